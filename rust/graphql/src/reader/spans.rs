//! Locations of nodes. The compiler has no function that creates one, but one that joins two: so
//! texts are parsed once that have nodes at every byte, and their locations are joined.

use std::sync::Arc;

use apollo_compiler::ast::Definition;
use apollo_compiler::parser::{Parser, SourceSpan};
use parking_lot::RwLock;

/// Bytes that the first table covers; later ones cover what is asked for.
const FIRST_LENGTH: usize = 4 * 1024;

/// Locations in a text up to some length.
#[derive(Clone)]
pub(super) struct Spans {
    /// By offset: what begins there. Names begin at odd offsets, and end at even ones.
    even: Arc<[SourceSpan]>,
    /// The same of a text that is moved by one; nothing begins at its first byte.
    odd: Arc<[SourceSpan]>,
}

impl Spans {
    /// Returns locations in a text of this length (bytes); `None` if the compiler's parser has
    /// changed.
    pub(super) fn up_to(length: usize) -> Option<Self> {
        static KNOWN: RwLock<Option<Spans>> = RwLock::new(None);
        let known = KNOWN.read().clone();
        if let Some(known) = known.filter(|known| known.even.len() >= length) {
            return Some(known);
        }
        let length = length.next_power_of_two().max(FIRST_LENGTH);
        let created = Self {
            even: table(length, "")?,
            odd: table(length, " ")?,
        };
        *KNOWN.write() = Some(created.clone());
        Some(created)
    }

    /// Returns the location of some bytes.
    pub(super) fn between(&self, start: usize, end: usize) -> Option<SourceSpan> {
        let table = if start == 0 || end.is_multiple_of(2) {
            &self.even
        } else {
            &self.odd
        };
        let last = end.checked_sub(1)?;
        SourceSpan::recompose(table.get(start).copied(), table.get(last).copied())
    }
}

fn table(length: usize, before: &str) -> Option<Arc<[SourceSpan]>> {
    // A definition, a field, and for two bytes each: a directive and its name.
    let text = format!("{before}{{a{}}}", "@a".repeat(length / 2));
    let document = Parser::new().parse_ast(text, "spans").ok()?;
    let Definition::OperationDefinition(operation) = document.definitions.first()? else {
        return None;
    };
    let field = operation.selection_set.first()?.as_field()?;
    let mut spans = vec![operation.location()?; before.len() + 1];
    spans.push(field.name.location()?);
    for directive in &field.directives {
        spans.push(directive.location()?);
        spans.push(directive.name.location()?);
    }
    let mut offsets = spans.iter().enumerate().skip(before.len());
    let is_right = offsets.all(|(offset, span)| span.offset() == offset);
    is_right.then(|| spans.into())
}
