//! Estimates how much of the schema a query selects, before it is answered.
//!
//! The compiler bounds the depth of introspection. Aliases and types of types still multiply: a
//! document of 900 bytes could select the schema thirty times.

use apollo_compiler::executable::{ExecutableDocument, Selection, SelectionSet};

use crate::schema::{Elements, SchemaSize};

/// Values that a query may select for each element of the schema (count). The query of common tools
/// selects about thirty.
const VALUES_OF_AN_ELEMENT: usize = 40;

/// Values that a query may select of any schema (count).
const VALUES: usize = 20_000;

/// Bytes of a response key that count as an additional value.
const KEY_BYTES: usize = 32;

/// Returns the number of values that a query may select.
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

/// Returns an upper bound of the values that a selection set of the query type selects; saturates.
pub(super) fn cost(size: &SchemaSize, document: &ExecutableDocument, set: &SelectionSet) -> usize {
    let estimate = Estimate { size, document };
    estimate.of(set, Parents::of_count(1))
}

/// The values that a selection set is applied to.
#[derive(Clone, Copy)]
struct Parents {
    count: usize,
    /// How often they contain each type, or each field of each type, if they contain nothing else.
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

    /// Returns the elements of one kind that these values have.
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
                // A long alias is repeated in the response with each value.
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
