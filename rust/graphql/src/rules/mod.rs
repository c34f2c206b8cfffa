//! Finds the errors of a document that the compiler has refused, with the texts and locations of
//! graphql-js 16, by the rules of the specification's section 5.
//!
//! The compiler decides first. These rules explain the documents that it refuses. A document that
//! it accepts is checked again by the rules that it does not fully implement.

mod arguments;
mod definitions;
mod merge;
mod overlap;
mod selections;
mod values;
mod variables;

pub(crate) use definitions::root_field_errors;

use apollo_compiler::Node;
use apollo_compiler::ast::{
    DirectiveList, Document, FieldDefinition, FragmentDefinition, FragmentSpread, Selection,
};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::ExtendedType;
use hashbrown::HashMap;

use crate::error::{CODE_VALIDATION_FAILED, GraphQLError};
use crate::limits::{MAX_ERRORS, fragments};
use crate::schema::Schema;
use crate::source::Source;

/// Locations of all errors of one document that are reported (count). Past it an error has only its
/// first location.
const MAX_PLACES: usize = 1_000;

/// Returns all errors of a document; empty if these rules find none.
pub(crate) fn explain(
    schema: &Schema,
    document: &Document,
    text: &str,
    source: &Source,
) -> Vec<GraphQLError> {
    let mut rules = Rules::new(schema, document, text, source);
    rules.definitions();
    rules.selections();
    rules.variables();
    rules.overlaps();
    rules.errors
}

/// Returns the errors of a document that the compiler accepts: it checks neither duplicate members
/// in a literal nor the types of variables inside literals.
pub(crate) fn recheck(
    schema: &Schema,
    document: &Document,
    text: &str,
    source: &Source,
) -> Vec<GraphQLError> {
    let mut rules = Rules::new(schema, document, text, source);
    rules.selections();
    rules.variables();
    rules.errors
}

/// Whether a document is valid by all these rules, with [`merge`] instead of [`overlap`]. If not,
/// the compiler has to decide.
pub(crate) fn accept(schema: &Schema, document: &Document, text: &str, source: &Source) -> bool {
    let mut rules = Rules::new(schema, document, text, source);
    rules.definitions();
    rules.selections();
    rules.variables();
    rules.errors.is_empty() && rules.merges()
}

struct Rules<'d> {
    schema: &'d Schema,
    document: &'d Document,
    text: &'d str,
    source: &'d Source,
    /// Fragments by name; of several with one name, the last.
    fragments: HashMap<&'d str, &'d FragmentDefinition>,
    errors: Vec<GraphQLError>,
    /// Locations of those errors (count).
    places: usize,
}

impl<'d> Rules<'d> {
    fn new(schema: &'d Schema, document: &'d Document, text: &'d str, source: &'d Source) -> Self {
        Self {
            schema,
            document,
            text,
            source,
            fragments: fragments(document),
            errors: Vec::new(),
            places: 0,
        }
    }

    /// Whether a further error would be left out, so that the search can stop.
    fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    fn report(&mut self, message: String, places: impl IntoIterator<Item = Option<SourceSpan>>) {
        let places = places.into_iter().flatten();
        let places = places.map(|span| span.offset()).collect::<Vec<_>>();
        self.report_at(message, &places);
    }

    fn report_at(&mut self, message: String, offsets: &[usize]) {
        if self.is_full() {
            return;
        }
        let left = MAX_PLACES.saturating_sub(self.places).max(1);
        let places: Vec<_> = offsets
            .iter()
            .take(left)
            .map(|offset| self.source.locate(*offset))
            .collect();
        self.places += places.len();
        let error = GraphQLError::of_document(message).with_code(CODE_VALIDATION_FAILED);
        self.errors.push(error.with_locations(places));
    }

    fn type_named(&self, name: &str) -> Option<&'d ExtendedType> {
        self.schema.compiled().types.get(name)
    }

    fn field_definition(&self, parent: &str, field: &str) -> Option<&'d FieldDefinition> {
        let definition = self.schema.compiled().type_field(parent, field);
        definition.ok().map(|component| &***component)
    }

    fn is_composite(&self, name: &str) -> bool {
        matches!(
            self.type_named(name),
            Some(ExtendedType::Object(_) | ExtendedType::Interface(_) | ExtendedType::Union(_))
        )
    }

    /// Whether a value can have both types: `doTypesOverlap` of graphql-js.
    fn overlap(&self, a: &str, b: &str) -> bool {
        let possible = |name: &str| match self.type_named(name) {
            Some(ExtendedType::Object(object)) => vec![object.name.clone()],
            _ => self.schema.possible_types(name),
        };
        let others = possible(b);
        a == b || possible(a).iter().any(|name| others.contains(name))
    }
}

fn directives(selection: &Selection) -> &DirectiveList {
    match selection {
        Selection::Field(field) => &field.directives,
        Selection::FragmentSpread(spread) => &spread.directives,
        Selection::InlineFragment(fragment) => &fragment.directives,
    }
}

/// Returns the fragment spreads in a selection set, in the order of `getFragmentSpreads`.
fn spreads(selections: &[Selection]) -> Vec<&Node<FragmentSpread>> {
    let mut spreads = Vec::new();
    let mut left = vec![selections];
    while let Some(set) = left.pop() {
        for selection in set {
            match selection {
                Selection::FragmentSpread(spread) => spreads.push(spread),
                Selection::Field(field) => left.push(&field.selection_set),
                Selection::InlineFragment(fragment) => left.push(&fragment.selection_set),
            }
        }
    }
    spreads
}
