//! `CoerceArgumentValues()` of the specification, section 6.4.1.

use apollo_compiler::ast::Value as Literal;
use apollo_compiler::executable::Field;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::InputValueDefinition;
use apollo_compiler::{Name, Node};
use hashbrown::HashMap;
use serde_json::Value as Json;

use super::copies::{MAX_COPIED, units};
use super::literal::literal;
use crate::JsonMap;
use crate::schema::Schema;

/// Coerced arguments, and the names of those that are null because they were left out.
type Arguments = (JsonMap, Vec<Name>);

/// `CoerceArgumentValues()` of the specification. An error has the location of the wrong value, if
/// the document contains it.
pub(crate) fn coerce_arguments(
    schema: &Schema,
    field: &Field,
    variables: &JsonMap,
) -> Result<Arguments, (String, Option<SourceSpan>)> {
    let mut coerced = JsonMap::new();
    let mut left_out = Vec::new();
    check_repeated(field, variables)?;
    for definition in &field.definition.arguments {
        let given = field
            .arguments
            .iter()
            .find(|argument| argument.name == definition.name);
        let given = given.map(|given| &given.value);
        let value = argument(schema, definition, given, variables)
            .map_err(|message| (message, given.and_then(Node::location)))?;
        if let Some(value) = value {
            if value.is_null() && is_left_out(given, variables) {
                left_out.push(definition.name.clone());
            }
            coerced.insert(definition.name.to_string(), value);
        }
    }
    Ok((coerced, left_out))
}

/// Refuses arguments that use large variables many times: each use is a copy.
fn check_repeated(field: &Field, variables: &JsonMap) -> Result<(), (String, Option<SourceSpan>)> {
    let mut used = HashMap::new();
    for argument in &field.arguments {
        count_variables(&argument.value, &mut used);
    }
    let mut copied = 0_usize;
    for (name, times) in used {
        if let Some(value) = variables.get(name).filter(|_| times > 1) {
            copied = copied.saturating_add(units(value).saturating_mul(times - 1));
        }
        if copied > MAX_COPIED {
            let message = format!(
                "Variable \"${name}\" is used {times} times in the arguments of one field, which is too often for its size."
            );
            return Err((message, None));
        }
    }
    Ok(())
}

fn count_variables<'d>(value: &'d Literal, used: &mut HashMap<&'d str, usize>) {
    match value {
        Literal::Variable(name) => *used.entry(name.as_str()).or_default() += 1,
        Literal::List(items) => items.iter().for_each(|item| count_variables(item, used)),
        Literal::Object(members) => {
            let values = members.iter().map(|(_, value)| value);
            values.for_each(|value| count_variables(value, used));
        }
        _ => {}
    }
}

/// Whether the client passed no value: no argument, or a variable without a value.
fn is_left_out(given: Option<&Node<Literal>>, variables: &JsonMap) -> bool {
    given.is_none_or(|given| {
        let variable = given.as_variable();
        variable.is_some_and(|name| !variables.contains_key(name.as_str()))
    })
}

fn argument(
    schema: &Schema,
    definition: &InputValueDefinition,
    given: Option<&Node<Literal>>,
    variables: &JsonMap,
) -> Result<Option<Json>, String> {
    let (name, ty) = (&definition.name, &*definition.ty);
    let given = given.filter(|given| !is_left_out(Some(given), variables));
    let Some(given) = given else {
        if let Some(default) = &definition.default_value {
            return Ok(literal(schema, ty, default, None));
        }
        if ty.is_non_null() {
            return Err(format!(
                "Argument \"{name}\" of required type \"{ty}\" was not provided."
            ));
        }
        return Ok(None);
    };
    match literal(schema, ty, given, Some(variables)) {
        Some(Json::Null) if ty.is_non_null() => Err(format!(
            "Argument \"{name}\" of non-null type \"{ty}\" must not be null."
        )),
        Some(value) => Ok(Some(value)),
        None => Err(format!(
            "Argument \"{name}\" has an invalid value: expected type \"{ty}\"."
        )),
    }
}
