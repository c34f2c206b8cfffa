//! Collects the fields of a selection set: `CollectFields()` of the specification, in the order of
//! graphql-js.

use apollo_compiler::collections::{HashSet, IndexMap};
use apollo_compiler::executable::{DirectiveList, Field, FragmentMap, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::{Name, Node};
use serde_json::Value as Json;

use crate::JsonMap;
use crate::schema::Schema;

/// Field nodes by response key, in document order.
pub(crate) type Collected<'d> = IndexMap<&'d str, Vec<&'d Node<Field>>>;

/// A variable of `@skip` or `@include` is null: it may be declared nullable if it has a default.
#[derive(Debug, Clone)]
pub(crate) struct NullCondition {
    pub(crate) message: String,
    pub(crate) place: Option<SourceSpan>,
}

/// The inputs that decide about `@skip`, `@include` and type conditions.
#[derive(Clone, Copy)]
pub(crate) struct Collector<'d> {
    pub(crate) schema: &'d Schema,
    pub(crate) fragments: &'d FragmentMap,
    pub(crate) variables: &'d JsonMap,
}

impl<'d> Collector<'d> {
    /// Returns the fields of merged selection sets for a value of the object type `type_name`.
    pub(crate) fn collect(
        &self,
        type_name: &str,
        sets: impl IntoIterator<Item = &'d SelectionSet>,
    ) -> Result<Collected<'d>, NullCondition> {
        let mut collected = Collected::default();
        let mut visited = HashSet::default();
        for set in sets {
            self.collect_set(type_name, set, &mut visited, &mut collected)?;
        }
        Ok(collected)
    }

    fn collect_set(
        &self,
        type_name: &str,
        set: &'d SelectionSet,
        visited: &mut HashSet<&'d Name>,
        collected: &mut Collected<'d>,
    ) -> Result<(), NullCondition> {
        for selection in &set.selections {
            if !self.is_included(selection.directives())? {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    collected
                        .entry(field.response_key().as_str())
                        .or_default()
                        .push(field);
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_ref();
                    if condition.is_none_or(|name| self.applies(name, type_name)) {
                        self.collect_set(type_name, &fragment.selection_set, visited, collected)?;
                    }
                }
                Selection::FragmentSpread(spread) => {
                    if !visited.insert(&spread.fragment_name) {
                        continue;
                    }
                    let Some(fragment) = self.fragments.get(&spread.fragment_name) else {
                        continue;
                    };
                    if self.applies(fragment.type_condition(), type_name) {
                        self.collect_set(type_name, &fragment.selection_set, visited, collected)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `DoesFragmentTypeApply()` of the specification.
    fn applies(&self, condition: &str, type_name: &str) -> bool {
        condition == type_name || self.schema.compiled().is_subtype(condition, type_name)
    }

    fn is_included(&self, directives: &DirectiveList) -> Result<bool, NullCondition> {
        Ok(self.condition(directives, "skip")? != Some(true)
            && self.condition(directives, "include")? != Some(false))
    }

    fn condition(
        &self,
        directives: &DirectiveList,
        name: &str,
    ) -> Result<Option<bool>, NullCondition> {
        let directive = directives.get(name);
        let Some(value) =
            directive.and_then(|directive| directive.specified_argument_by_name("if"))
        else {
            return Ok(None);
        };
        let Some(variable) = value.as_variable() else {
            return Ok(value.to_bool());
        };
        match self.variables.get(variable.as_str()) {
            Some(Json::Null) => Err(NullCondition {
                message: format!(
                    "Argument \"if\" of non-null type \"Boolean!\" must not be null: \"@{name}\" has the variable \"${variable}\"."
                ),
                place: value.location(),
            }),
            given => Ok(given.and_then(Json::as_bool)),
        }
    }
}

/// Returns the variables of all `@skip` and `@include` in this selection set and its fragments,
/// each once.
pub(crate) fn condition_variables(set: &SelectionSet, fragments: &FragmentMap) -> Vec<Name> {
    fn visit<'d>(
        set: &'d SelectionSet,
        fragments: &'d FragmentMap,
        visited: &mut HashSet<&'d Name>,
        variables: &mut Vec<Name>,
    ) {
        for selection in &set.selections {
            for directive in selection.directives() {
                if !matches!(directive.name.as_str(), "skip" | "include") {
                    continue;
                }
                let condition = directive.specified_argument_by_name("if");
                if let Some(name) = condition.and_then(|value| value.as_variable())
                    && !variables.contains(name)
                {
                    variables.push(name.clone());
                }
            }
            match selection {
                Selection::Field(field) => {
                    visit(&field.selection_set, fragments, visited, variables);
                }
                Selection::InlineFragment(fragment) => {
                    visit(&fragment.selection_set, fragments, visited, variables);
                }
                Selection::FragmentSpread(spread) => {
                    if visited.insert(&spread.fragment_name)
                        && let Some(fragment) = fragments.get(&spread.fragment_name)
                    {
                        visit(&fragment.selection_set, fragments, visited, variables);
                    }
                }
            }
        }
    }
    let mut variables = Vec::new();
    visit(set, fragments, &mut HashSet::default(), &mut variables);
    variables
}
