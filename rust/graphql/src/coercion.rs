//! Input coercion: CoerceVariableValues() and CoerceArgumentValues() of the specification, as
//! graphql-js 16 does them.
//!
//! Enum values become what the host uses for them; everything else keeps its JSON form.

use std::collections::HashMap;

use apollo_compiler::ast::{Type, Value as Literal};
use apollo_compiler::executable::{Field, Operation};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::{ExtendedType, InputValueDefinition};
use apollo_compiler::{Name, Node};
use serde_json::Value as Json;

use crate::JsonMap;
use crate::error::{CODE_BAD_USER_INPUT, GraphQLError, PathSegment};
use crate::json::describe_string;
use crate::literal::literal;
use crate::schema::Schema;
use crate::source::Source;
use crate::value::Value as _;
use crate::write::write_float;

/// Errors of one request that are reported (count). Past it the rest is left out.
const MAX_ERRORS: usize = 50;

/// What may be copied of values that stand in a request once: variables that are used again, and
/// defaults that are put into many objects (values, and each 64 characters of their texts).
const MAX_COPIED: usize = 100_000;

/// What a value counts for where it is copied.
fn units(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
        Json::String(text) => 1 + text.len() / 64,
        Json::Array(items) => 1 + items.iter().map(units).sum::<usize>(),
        Json::Object(members) => {
            1 + members
                .values()
                .map(|value| 1 + units(value))
                .sum::<usize>()
        }
    }
}

/// CoerceVariableValues() of the specification. Values become what they are coerced to, so that
/// large ones are there once.
pub(crate) fn coerce_variables(
    schema: &Schema,
    operation: &Operation,
    mut values: JsonMap,
    source: &Source,
) -> Result<JsonMap, Vec<GraphQLError>> {
    let mut coerced = JsonMap::new();
    let mut errors = Vec::new();
    for definition in &operation.variables {
        let name = definition.name.as_str();
        let mut refuse = |message: String| {
            let place = definition
                .location()
                .map(|span| source.locate(span.offset()));
            let error = GraphQLError::new(message).with_code(CODE_BAD_USER_INPUT);
            errors.push(error.with_locations(place.into_iter().collect::<Vec<_>>()));
        };
        match values.remove(name) {
            None => {
                if let Some(default) = &definition.default_value {
                    if let Some(value) = literal(schema, &definition.ty, default, None) {
                        coerced.insert(name.to_owned(), value);
                    }
                } else if definition.ty.is_non_null() {
                    refuse(format!(
                        "Variable \"${name}\" of required type \"{}\" was not provided.",
                        definition.ty
                    ));
                }
            }
            Some(Json::Null) if definition.ty.is_non_null() => refuse(format!(
                "Variable \"${name}\" of non-null type \"{}\" must not be null.",
                definition.ty
            )),
            Some(value) => {
                let mut input = Input::new(schema, name);
                let value = input.value(&definition.ty, value);
                let problems = input.problems;
                if problems.is_empty() {
                    coerced.insert(name.to_owned(), value);
                }
                problems.into_iter().for_each(&mut refuse);
            }
        }
        if errors.len() > MAX_ERRORS {
            errors.truncate(MAX_ERRORS);
            let message =
                "Too many errors processing variables, error limit reached. Execution aborted.";
            errors.push(GraphQLError::new(message).with_code(CODE_BAD_USER_INPUT));
            break;
        }
    }
    if errors.is_empty() {
        Ok(coerced)
    } else {
        Err(errors)
    }
}

/// Coercion of one variable's value.
struct Input<'a> {
    schema: &'a Schema,
    variable: &'a str,
    path: Vec<PathSegment>,
    problems: Vec<String>,
    /// What defaults have added.
    copied: usize,
}

impl<'a> Input<'a> {
    fn new(schema: &'a Schema, variable: &'a str) -> Self {
        Self {
            schema,
            variable,
            path: Vec::new(),
            problems: Vec::new(),
            copied: 0,
        }
    }

    fn refuse(&mut self, value: &Json, problem: &str) -> Json {
        self.refuse_described(&value.describe(), problem)
    }

    fn refuse_described(&mut self, value: &str, problem: &str) -> Json {
        if self.problems.len() <= MAX_ERRORS {
            let mut place = String::new();
            if !self.path.is_empty() {
                place = format!(" at \"{}", self.variable);
                for segment in &self.path {
                    match segment {
                        PathSegment::Key(key) => place.extend([".", key]),
                        PathSegment::Index(index) => place.push_str(&format!("[{index}]")),
                    }
                }
                place.push('"');
            }
            self.problems.push(format!(
                "Variable \"${}\" got an invalid value{place}: {value}; {problem}",
                self.variable,
            ));
        }
        Json::Null
    }

    fn value(&mut self, ty: &Type, value: Json) -> Json {
        if value.is_null() {
            if ty.is_non_null() {
                let problem = format!("Expected non-nullable type \"{ty}\" not to be null.");
                self.refuse(&value, &problem);
            }
            return Json::Null;
        }
        match ty {
            Type::List(item) | Type::NonNullList(item) => match value {
                Json::Array(items) => {
                    let item = |(index, value)| {
                        self.path.push(PathSegment::Index(index));
                        let value = self.value(item, value);
                        self.path.pop();
                        value
                    };
                    Json::Array(items.into_iter().enumerate().map(item).collect())
                }
                single => Json::Array(vec![self.value(item, single)]),
            },
            Type::Named(name) | Type::NonNullNamed(name) => self.named(name, value),
        }
    }

    fn named(&mut self, type_name: &str, value: Json) -> Json {
        match self.schema.compiled().types.get(type_name) {
            Some(ExtendedType::InputObject(definition)) => {
                let Json::Object(mut members) = value else {
                    let problem = format!("Expected type \"{type_name}\" to be an object.");
                    return self.refuse(&value, &problem);
                };
                // As an object is described; its members leave it.
                let described = "an object";
                let mut coerced = JsonMap::new();
                for (name, field) in &definition.fields {
                    if let Some(member) = members.get_mut(name.as_str()).map(Json::take) {
                        self.path.push(PathSegment::Key(name.as_str().into()));
                        let member = self.value(&field.ty, member);
                        self.path.pop();
                        coerced.insert(name.to_string(), member);
                    } else if let Some(default) = &field.default_value {
                        if self.copied > MAX_COPIED {
                            let problem = "It has too many objects with default values.";
                            return self.refuse_described(described, problem);
                        }
                        if let Some(default) = literal(self.schema, &field.ty, default, None) {
                            self.copied += 1 + units(&default);
                            coerced.insert(name.to_string(), default);
                        }
                    } else if field.ty.is_non_null() {
                        let problem = format!(
                            "Field \"{name}\" of required type \"{}\" was not provided.",
                            field.ty
                        );
                        self.refuse_described(described, &problem);
                    }
                }
                for name in members.keys() {
                    if !definition.fields.contains_key(name.as_str()) {
                        let name = describe_string(name);
                        let problem =
                            format!("type \"{type_name}\" does not define the field {name}.");
                        self.refuse_described(described, &problem);
                    }
                }
                Json::Object(coerced)
            }
            Some(ExtendedType::Enum(_)) => self.enum_value(type_name, &value),
            Some(ExtendedType::Scalar(_)) => match scalar(type_name, &value) {
                Ok(coerced) => coerced.unwrap_or(value),
                Err(problem) => self.refuse(&value, problem),
            },
            _ => self.refuse(&value, "its type is no input type."),
        }
    }

    fn enum_value(&mut self, type_name: &str, value: &Json) -> Json {
        let Some(name) = value.as_str() else {
            let problem = format!("Enum \"{type_name}\" cannot represent non-string value.");
            return self.refuse(value, &problem);
        };
        let internal = self
            .schema
            .enum_type(type_name)
            .and_then(|known| known.internal(name));
        internal.unwrap_or_else(|| {
            let problem = format!("Value does not exist in \"{type_name}\" enum.");
            self.refuse(value, &problem)
        })
    }
}

/// Input coercion of a scalar from JSON: what it becomes, `None` if it stays as it is. The error says
/// what it cannot represent.
pub(crate) fn scalar(type_name: &str, value: &Json) -> Result<Option<Json>, &'static str> {
    match type_name {
        "Int" => match value.as_number().and_then(whole) {
            Some(number) => i32::try_from(number)
                .map(|number| Some(Json::from(number)))
                .map_err(|_| "Int cannot represent non 32-bit signed integer value."),
            None if value.is_number() && value.as_f64().is_some_and(|n| n.trunc() == n) => {
                Err("Int cannot represent non 32-bit signed integer value.")
            }
            None => Err("Int cannot represent non-integer value."),
        },
        "Float" if value.is_number() => Ok(None),
        "Float" => Err("Float cannot represent non numeric value."),
        "String" if value.is_string() => Ok(None),
        "String" => Err("String cannot represent a non string value."),
        "Boolean" if value.is_boolean() => Ok(None),
        "Boolean" => Err("Boolean cannot represent a non boolean value."),
        "ID" => match value {
            Json::String(_) => Ok(None),
            Json::Number(number) => match (whole(number), number.as_f64()) {
                (Some(number), _) => Ok(Some(number.to_string().into())),
                // A whole number beyond 64 bits, as JavaScript writes it.
                (None, Some(number)) if number.trunc() == number => {
                    let mut digits = Vec::new();
                    write_float(number, &mut digits);
                    Ok(Some(String::from_utf8_lossy(&digits).into()))
                }
                _ => Err("ID cannot represent this value."),
            },
            _ => Err("ID cannot represent this value."),
        },
        _ => Ok(None),
    }
}

/// A number without fraction, also when it is written as `5.0`.
fn whole(number: &serde_json::Number) -> Option<i128> {
    let integer = number.as_i64().map(i128::from);
    integer
        .or_else(|| number.as_u64().map(i128::from))
        .or_else(|| {
            let float = number.as_f64()?;
            #[allow(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
            (float.trunc() == float && float.abs() < 9e15).then_some(float as i128)
        })
}

/// Coerced arguments, and the names of those that are null because they were left out.
type Arguments = (JsonMap, Vec<Name>);

/// CoerceArgumentValues() of the specification. An error has the place of the value that is wrong,
/// if one was given.
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

/// Refuses arguments in which large variables stand again and again: each time is a copy.
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

/// Whether a client gave no value: no argument, or a variable without a value.
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
