//! Variables: declared once, used, defined, and of a type that fits each use.

use apollo_compiler::ast::{
    Argument, Definition, DirectiveList, DirectiveLocation, FragmentDefinition,
    InputValueDefinition, OperationDefinition, Selection, Type, Value, VariableDefinition,
};
use apollo_compiler::collections::IndexMap;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node};
use hashbrown::{HashMap, HashSet};

use super::Rules;

/// One use of a variable.
#[derive(Clone, Copy)]
struct Usage<'d> {
    name: &'d str,
    place: Option<SourceSpan>,
    /// The expected type, if it is known, and whether it has a default.
    expected: Option<(&'d Type, bool)>,
}

impl<'d> Rules<'d> {
    /// `KnownTypeNames`, `VariablesAreInputTypes`, `UniqueVariableNames`, defaults and directives.
    pub(super) fn variable_definitions(&mut self, variables: &'d [Node<VariableDefinition>]) {
        let mut places: IndexMap<&Name, Vec<_>> = IndexMap::default();
        for variable in variables {
            let of_name = places.entry(&variable.name).or_default();
            of_name.push(variable.name.location());
            let (name, ty) = (&variable.name, &variable.ty);
            let named = ty.inner_named_type();
            self.known_type(named);
            let is_input = self.type_named(named).map(ExtendedType::is_input_type);
            if is_input == Some(false) {
                self.report(
                    format!("Variable \"${name}\" cannot be non-input type \"{ty}\"."),
                    [ty.location()],
                );
            }
            if let Some(default) = &variable.default_value {
                let ty = (is_input == Some(true)).then_some(&**ty);
                self.value(default, ty);
            }
            self.directives(&variable.directives, DirectiveLocation::VariableDefinition);
        }
        for (name, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
            self.report(
                format!("There can be only one variable named \"${name}\"."),
                places,
            );
        }
    }

    /// `NoUndefinedVariables`, `NoUnusedVariables` and `VariablesInAllowedPosition`.
    pub(super) fn variables(&mut self) {
        let mut of_fragments: HashMap<&str, Vec<Usage<'d>>> = HashMap::new();
        for definition in &self.document.definitions {
            if self.is_full() {
                return;
            }
            let Definition::OperationDefinition(operation) = definition else {
                continue;
            };
            let root = self
                .schema
                .compiled()
                .root_operation(operation.operation_type);
            let mut usages = Vec::new();
            self.in_directives(&operation.directives, &mut usages);
            let root = root.map(Name::as_str);
            self.in_selections(&operation.selection_set, root, &mut usages);
            for name in self.fragments_of(&operation.selection_set) {
                if let Some(fragment) = self.fragments.get(name).copied() {
                    let nested = of_fragments
                        .entry(name)
                        .or_insert_with(|| self.in_fragment(fragment));
                    usages.extend(nested.iter());
                }
            }
            self.check_usages(operation, &usages);
        }
    }

    fn check_usages(&mut self, operation: &'d Node<OperationDefinition>, usages: &[Usage<'d>]) {
        // Of several with one name, the last is used, as in graphql-js.
        let declared: HashMap<_, _> = operation
            .variables
            .iter()
            .map(|variable| (variable.name.as_str(), variable))
            .collect();
        let within = match &operation.name {
            Some(name) => format!(" in operation \"{name}\""),
            None => String::new(),
        };
        for usage in usages {
            if self.is_full() {
                return;
            }
            let name = usage.name;
            let Some(variable) = declared.get(name) else {
                self.report(
                    format!("Variable \"${name}\" is not defined{within}."),
                    [usage.place, operation.location()],
                );
                continue;
            };
            let is_known = self.type_named(variable.ty.inner_named_type()).is_some();
            if let Some((expected, has_default)) = usage.expected
                && is_known
                && !is_allowed(variable, expected, has_default)
            {
                self.report(
                    format!(
                        "Variable \"${name}\" of type \"{}\" used in position expecting type \"{expected}\".",
                        variable.ty
                    ),
                    [variable.location(), usage.place],
                );
            }
        }
        let used: HashSet<_> = usages.iter().map(|usage| usage.name).collect();
        for variable in &operation.variables {
            if !used.contains(variable.name.as_str()) {
                self.report(
                    format!("Variable \"${}\" is never used{within}.", variable.name),
                    [variable.location()],
                );
            }
        }
    }

    fn in_fragment(&self, fragment: &'d FragmentDefinition) -> Vec<Usage<'d>> {
        let mut usages = Vec::new();
        let parent = fragment.type_condition.as_str();
        self.in_directives(&fragment.directives, &mut usages);
        self.in_selections(&fragment.selection_set, Some(parent), &mut usages);
        usages
    }

    fn in_selections(
        &self,
        selections: &'d [Selection],
        parent: Option<&'d str>,
        usages: &mut Vec<Usage<'d>>,
    ) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let definition =
                        parent.and_then(|parent| self.field_definition(parent, &field.name));
                    let declared = definition.map(|definition| definition.arguments.as_slice());
                    self.in_arguments(&field.arguments, declared, usages);
                    self.in_directives(&field.directives, usages);
                    let inner =
                        definition.map(|definition| definition.ty.inner_named_type().as_str());
                    self.in_selections(&field.selection_set, inner, usages);
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_ref().map(Name::as_str);
                    self.in_directives(&fragment.directives, usages);
                    self.in_selections(&fragment.selection_set, condition.or(parent), usages);
                }
                Selection::FragmentSpread(spread) => self.in_directives(&spread.directives, usages),
            }
        }
    }

    fn in_directives(&self, directives: &'d DirectiveList, usages: &mut Vec<Usage<'d>>) {
        for directive in directives {
            let definitions = &self.schema.compiled().directive_definitions;
            let definition = definitions.get(&directive.name);
            let declared = definition.map(|definition| definition.arguments.as_slice());
            self.in_arguments(&directive.arguments, declared, usages);
        }
    }

    fn in_arguments(
        &self,
        given: &'d [Node<Argument>],
        declared: Option<&'d [Node<InputValueDefinition>]>,
        usages: &mut Vec<Usage<'d>>,
    ) {
        for argument in given {
            let named = |known: &&'d Node<InputValueDefinition>| known.name == argument.name;
            let definition = declared.and_then(|declared| declared.iter().find(named));
            self.in_value(&argument.value, definition.map(|d| expectation(d)), usages);
        }
    }

    fn in_value(
        &self,
        value: &'d Node<Value>,
        expected: Option<(&'d Type, bool)>,
        usages: &mut Vec<Usage<'d>>,
    ) {
        match &**value {
            Value::Variable(name) => usages.push(Usage {
                name,
                place: value.location(),
                expected,
            }),
            Value::List(items) => {
                let item = expected.map(|(ty, _)| (ty.item_type(), false));
                for value in items {
                    self.in_value(value, item, usages);
                }
            }
            Value::Object(members) => {
                let named = expected.and_then(|(ty, _)| self.type_named(ty.inner_named_type()));
                let definition = named.and_then(ExtendedType::as_input_object);
                for (name, member) in members {
                    let field = definition.and_then(|definition| definition.fields.get(name));
                    self.in_value(member, field.map(|field| expectation(field)), usages);
                }
            }
            _ => {}
        }
    }
}

fn expectation(definition: &InputValueDefinition) -> (&Type, bool) {
    (&definition.ty, definition.default_value.is_some())
}

/// `IsVariableUsageAllowed()` of the specification.
fn is_allowed(variable: &VariableDefinition, expected: &Type, has_default: bool) -> bool {
    if !expected.is_non_null() || variable.ty.is_non_null() {
        return variable.ty.is_assignable_to(expected);
    }
    let default = variable.default_value.as_ref();
    (has_default || default.is_some_and(|value| !value.is_null()))
        && variable.ty.is_assignable_to(&expected.clone().nullable())
}
