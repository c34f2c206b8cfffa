//! How much of the schema a query asks for, estimated before it is answered.
//!
//! The depth of introspection is bounded by the compiler. Aliases and types of types still
//! multiply: 900 bytes of a document could ask for a schema thirty times over.

use apollo_compiler::executable::{ExecutableDocument, Selection, SelectionSet};

use crate::schema::{Elements, SchemaSize};

/// Values for each element of the schema that a query may ask for (count). The query that tools
/// send asks for some thirty.
const VALUES_OF_AN_ELEMENT: usize = 40;

/// Values that a query may ask for of any schema (count).
const VALUES: usize = 20_000;

/// Bytes of a response key that count as one more value.
const KEY_BYTES: usize = 32;

/// Values that a query may ask for (count).
pub(super) fn limit(size: &SchemaSize) -> usize {
    let elements = [
        size.fields,
        size.arguments,
        size.arguments_of_directives,
        size.input_fields,
        size.enum_values,
        size.interfaces,
        size.possible_types,
    ];
    let elements = elements.iter().map(|elements| elements.all).sum::<usize>();
    VALUES + VALUES_OF_AN_ELEMENT * (size.types + size.directives + elements)
}

/// Values that a selection set of the query type asks for (count), at most; saturates.
pub(super) fn cost(size: &SchemaSize, document: &ExecutableDocument, set: &SelectionSet) -> usize {
    let estimate = Estimate { size, document };
    estimate.of(set, Parents::of_count(1))
}

/// The values that a selection set is about.
#[derive(Clone, Copy)]
struct Parents {
    count: usize,
    /// How often each type, or each field of each type, is among them, if they are just those.
    sweeps: Option<usize>,
}

impl Parents {
    fn of_count(count: usize) -> Self {
        Self {
            count,
            sweeps: None,
        }
    }

    fn sweeping(sweeps: usize, count: usize) -> Self {
        Self {
            count: sweeps.saturating_mul(count),
            sweeps: Some(sweeps),
        }
    }

    /// The elements that these have, of one kind.
    fn elements(self, elements: Elements) -> Self {
        Self::of_count(match self.sweeps {
            Some(sweeps) => sweeps.saturating_mul(elements.all),
            None => self.count.saturating_mul(elements.most),
        })
    }
}

struct Estimate<'d> {
    size: &'d SchemaSize,
    document: &'d ExecutableDocument,
}

impl Estimate<'_> {
    fn of(&self, set: &SelectionSet, parents: Parents) -> usize {
        let costs = set.selections.iter().map(|selection| match selection {
            Selection::Field(field) => {
                let children = self.children(set.ty.as_str(), field.name.as_str(), parents);
                let inner = self.of(&field.selection_set, children);
                // A long alias stands in the response as often as its value.
                let size = 1 + field.response_key().len() / KEY_BYTES;
                parents.count.saturating_mul(size).saturating_add(inner)
            }
            Selection::InlineFragment(fragment) => self.of(&fragment.selection_set, parents),
            Selection::FragmentSpread(spread) => match spread.fragment_def(self.document) {
                Some(fragment) => self.of(&fragment.selection_set, parents),
                None => 0,
            },
        });
        costs.fold(0, usize::saturating_add)
    }

    fn children(&self, parent: &str, field: &str, parents: Parents) -> Parents {
        let size = self.size;
        match (parent, field) {
            ("__Schema", "types") => Parents::sweeping(parents.count, size.types),
            ("__Schema", "directives") => {
                Parents::of_count(parents.count.saturating_mul(size.directives))
            }
            ("__Type", "fields") => Parents {
                sweeps: parents.sweeps,
                ..parents.elements(size.fields)
            },
            ("__Type", "inputFields") => parents.elements(size.input_fields),
            ("__Type", "enumValues") => parents.elements(size.enum_values),
            ("__Type", "interfaces") => parents.elements(size.interfaces),
            ("__Type", "possibleTypes") => parents.elements(size.possible_types),
            ("__Field", "args") => parents.elements(size.arguments),
            ("__Directive", "args") => {
                Parents::of_count(parents.count).elements(size.arguments_of_directives)
            }
            // One value each, or fields of the host's query type, which are not answered here.
            _ => Parents::of_count(parents.count),
        }
    }
}
