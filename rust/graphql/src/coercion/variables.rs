//! `CoerceVariableValues()` of the specification, section 6.1.2.

use apollo_compiler::ast::Type;
use apollo_compiler::executable::Operation;
use apollo_compiler::schema::ExtendedType;
use serde_json::Value as Json;

use super::copies::{MAX_COPIED, units};
use super::literal::literal;
use super::scalar::scalar;
use crate::JsonMap;
use crate::error::{CODE_BAD_USER_INPUT, GraphQLError, PathSegment};
use crate::schema::Schema;
use crate::source::Source;
use crate::value::{describe_own, describe_string};

/// Errors of one request that are reported (count). Past it further errors are left out.
const MAX_ERRORS: usize = 50;

/// `CoerceVariableValues()` of the specification. Coerces the values in place, so that large ones
/// are not copied.
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
            let error = GraphQLError::of_document(message).with_code(CODE_BAD_USER_INPUT);
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
    /// Size of the defaults that were added.
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
        self.refuse_described(&describe_own(value), problem)
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
                // The description of an object, whose members are moved out.
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
