//! Finds default values of input fields that contain themselves:
//! `InputObjectDefaultValueHasCycle()` of the specification. Their coercion would never end.

use apollo_compiler::ast::Value as Literal;
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use apollo_compiler::{Name, Schema};

/// Returns the first input field whose default value contains itself, as type and field.
pub(crate) fn find_cycle(schema: &Schema) -> Option<(Name, Name)> {
    let mut walk = Walk {
        schema,
        under_way: Vec::new(),
        done: Vec::new(),
    };
    let mut inputs = schema
        .types
        .values()
        .filter_map(ExtendedType::as_input_object);
    inputs.find_map(|input| walk.object(input, &[]))
}

struct Walk<'s> {
    schema: &'s Schema,
    under_way: Vec<(&'s Name, &'s Name)>,
    done: Vec<(&'s Name, &'s Name)>,
}

type DefaultMembers<'s> = [(Name, apollo_compiler::Node<Literal>)];

impl<'s> Walk<'s> {
    fn object(
        &mut self,
        input: &'s InputObjectType,
        given: &'s DefaultMembers<'s>,
    ) -> Option<(Name, Name)> {
        for (name, field) in &input.fields {
            let inner = self.schema.get_input_object(field.ty.inner_named_type());
            let Some(inner) = inner else { continue };
            if let Some((_, value)) = given.iter().find(|(given, _)| given == name) {
                if let Some(cycle) = self.value(inner, value) {
                    return Some(cycle);
                }
                continue;
            }
            let Some(default) = &field.default_value else {
                continue;
            };
            let place = (&input.name, name);
            if self.under_way.contains(&place) {
                return Some((input.name.clone(), name.clone()));
            }
            if self.done.contains(&place) {
                continue;
            }
            self.under_way.push(place);
            let cycle = self.value(inner, default);
            self.under_way.pop();
            self.done.push(place);
            if cycle.is_some() {
                return cycle;
            }
        }
        None
    }

    fn value(&mut self, input: &'s InputObjectType, value: &'s Literal) -> Option<(Name, Name)> {
        match value {
            Literal::Object(members) => self.object(input, members),
            Literal::List(items) => items.iter().find_map(|item| self.value(input, item)),
            _ => None,
        }
    }
}
