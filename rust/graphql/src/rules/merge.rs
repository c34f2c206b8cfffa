//! Whether fields of one response key are alike, so that they can be merged.
//!
//! A quick form of `overlap`, which only accepts: fields of one key have to have the same name,
//! type and arguments, also where `overlap` allows differences because no value has both parent
//! types. Every selection set is visited with those that it merges with, its fragments spread out,
//! so the time is that of the nodes that `limits` has counted.

use apollo_compiler::ast::{Definition, Field, FieldDefinition, Selection};
use apollo_compiler::{Name, Node};
use hashbrown::HashSet;

use super::Rules;
use super::overlap::same_arguments;

/// Nesting of selection sets and fragments (count). The compiler refuses some documents from 100
/// on.
const MAX_LEVELS: usize = 64;

/// A selection set and its type.
type Set<'d> = (&'d [Selection], &'d str);

/// A field, by its response key.
struct Keyed<'d> {
    key: &'d str,
    field: &'d Node<Field>,
    /// `None` for `__typename`.
    definition: Option<&'d FieldDefinition>,
}

impl<'d> Rules<'d> {
    /// Whether all fields of one key are alike. The other rules have found no errors.
    pub(super) fn merges(&self) -> bool {
        self.document
            .definitions
            .iter()
            .all(|definition| match definition {
                Definition::OperationDefinition(operation) => {
                    let schema = self.schema.compiled();
                    let root = schema.root_operation(operation.operation_type);
                    root.is_some_and(|root| self.merge(&[(&operation.selection_set, root)], 0))
                }
                // Those that are used are spread out.
                _ => true,
            })
    }

    fn merge(&self, sets: &[Set<'d>], level: usize) -> bool {
        let mut fields = Vec::new();
        let mut spread = HashSet::new();
        let is_known = sets
            .iter()
            .all(|(set, parent)| self.spread_out(set, parent, level, &mut spread, &mut fields));
        if !is_known {
            return false;
        }
        fields.sort_by_key(|one| one.key);
        fields.chunk_by(|a, b| a.key == b.key).all(|same| {
            let Some((first, others)) = same.split_first() else {
                return true;
            };
            if !others.iter().all(|other| is_alike(first, other)) {
                return false;
            }
            let Some(definition) = first.definition else {
                return true;
            };
            let inner = definition.ty.inner_named_type().as_str();
            let sets: Vec<_> = same
                .iter()
                .map(|one| one.field.selection_set.as_slice())
                .filter(|set| !set.is_empty())
                .map(|set| (set, inner))
                .collect();
            sets.is_empty() || self.merge(&sets, level + 1)
        })
    }

    /// Collects the fields of a set and its fragments, each fragment once; false if something is
    /// unknown.
    fn spread_out(
        &self,
        set: &'d [Selection],
        parent: &'d str,
        level: usize,
        spread: &mut HashSet<&'d str>,
        fields: &mut Vec<Keyed<'d>>,
    ) -> bool {
        let is_deep = level > MAX_LEVELS;
        !is_deep
            && set.iter().all(|selection| match selection {
                Selection::Field(field) => {
                    let definition = self.field_definition(parent, &field.name);
                    fields.push(Keyed {
                        key: field.alias.as_ref().unwrap_or(&field.name).as_str(),
                        field,
                        definition,
                    });
                    definition.is_some() || field.name == "__typename"
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_ref().map(Name::as_str);
                    self.spread_out(
                        &fragment.selection_set,
                        condition.unwrap_or(parent),
                        level + 1,
                        spread,
                        fields,
                    )
                }
                Selection::FragmentSpread(one) => {
                    let name = one.fragment_name.as_str();
                    let Some(fragment) = self.fragments.get(name).copied() else {
                        return false;
                    };
                    !spread.insert(name)
                        || self.spread_out(
                            &fragment.selection_set,
                            &fragment.type_condition,
                            level + 1,
                            spread,
                            fields,
                        )
                }
            })
    }
}

fn is_alike(a: &Keyed<'_>, b: &Keyed<'_>) -> bool {
    a.field.name == b.field.name
        && same_arguments(&a.field.arguments, &b.field.arguments)
        && a.definition.map(|definition| &definition.ty)
            == b.definition.map(|definition| &definition.ty)
}
