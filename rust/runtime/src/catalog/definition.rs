//! The definition of one subscription field: its channel, its filter, its resolver.

use std::time::Duration;

use graphql::{Comparison, DataType, JsonMap, Returned, Schema, SubscriptionOperation};
use security::ChannelPattern;

use super::filter::{Condition, FilterValue};
use crate::error::DefinitionError;
use crate::routing::Route;

/// How the events of a field become its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolverKind {
    /// The event's data is the value.
    Passthrough,
    /// A function of the host language returns the value.
    Call,
    /// A source stream of the host language yields the values; there are no events.
    Stream,
    /// An executor of the host language yields whole responses; there are no events.
    Delegate,
}

impl ResolverKind {
    /// Whether the host yields results without events.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Delegate)
    }
}

/// A parameter of the host's function that takes an argument of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the host's language, which may equal the argument's name.
    pub name: String,
    /// The GraphQL name of the argument.
    pub graphql_name: String,
}

/// One declared subscription field.
#[derive(Debug)]
pub struct Definition {
    /// Index in the manager's definitions, by which the host finds its function.
    pub index: usize,
    /// GraphQL name of the field.
    pub field: String,
    /// How events become values.
    pub kind: ResolverKind,
    /// The channel of the events; `None` for a source stream.
    pub channel: Option<ChannelTemplate>,
    /// Only these types of events; `None`: all.
    pub event_types: Option<Vec<String>>,
    /// Conditions on the event's data.
    pub filter: Vec<Condition>,
    /// Events of one subscription that are resolved at once (count, at least 1).
    pub concurrency: usize,
    /// Time limit of one resolver call; `None`: unlimited.
    pub timeout: Option<Duration>,
    /// Whether the host has an initial value, which is sent before any event.
    pub has_initial: bool,
    /// Whether the host's functions receive the client.
    pub takes_client: bool,
    /// Whether subscribers with equal operation and arguments share one call for each event.
    pub is_shared: bool,
    /// For a delegate: whether the served schema has fields that its executor does not know, so
    /// that requests contain our introspection result.
    pub is_partial: bool,
    /// The declared return type of the host's function; `None`: unknown.
    pub returned: Option<Returned>,
    /// Parameters of the host's function, or declared arguments, that the field has to have.
    pub parameters: Vec<Parameter>,
}

impl Definition {
    /// Checks the definition against the served schema, and determines how its filter and its
    /// channel are compared.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] with field, argument and remedy.
    pub fn check(&mut self, schema: &Schema) -> Result<(), DefinitionError> {
        let signature = schema
            .subscription_field(&self.field)
            .ok_or_else(|| DefinitionError::UnknownField(self.field.clone()))?;
        if let Some(returned) = &self.returned
            && let Some(type_text) = schema.misfit(&self.field, returned)
        {
            return Err(DefinitionError::Returns {
                field: self.field.clone(),
                returned: returned.text.clone(),
                type_text,
            });
        }
        let from_filter = self
            .filter
            .iter()
            .filter_map(|condition| match &condition.value {
                FilterValue::Argument(name) => Some(name.as_str()),
                FilterValue::Literal(_) => None,
            });
        let from_channel = self.channel.iter().flat_map(ChannelTemplate::arguments);
        let has = |name: &str| signature.arguments.iter().any(|a| *a.name == *name);
        let known = || {
            let names = signature.arguments.iter().map(|a| format!("`{}`", a.name));
            let names = names.collect::<Vec<_>>().join(", ");
            if names.is_empty() {
                "none".to_owned()
            } else {
                names
            }
        };
        for name in from_channel.chain(from_filter) {
            if !has(name) {
                return Err(DefinitionError::UnknownArgument {
                    field: self.field.clone(),
                    argument: name.to_owned(),
                    known: known(),
                });
            }
        }
        for Parameter { name, graphql_name } in &self.parameters {
            if !has(name) && !has(graphql_name) {
                return Err(DefinitionError::UnknownParameter {
                    field: self.field.clone(),
                    parameter: name.clone(),
                    known: known(),
                });
            }
        }
        if let Some(channel) = &mut self.channel {
            channel.check(schema, &self.field)?;
        }
        for condition in &mut self.filter {
            let data = data_type(self.kind, schema, &self.field, &condition.path);
            condition.check(schema, &self.field, &data)?;
        }
        Ok(())
    }

    /// Returns how the value at a path of an event's data is compared, if that is known.
    pub(crate) fn data_comparison(&self, schema: &Schema, path: &[Box<str>]) -> Comparison {
        let condition = self
            .filter
            .iter()
            .find(|condition| *condition.path == *path);
        if let Some(condition) = condition {
            return condition.comparison.clone();
        }
        match data_type(self.kind, schema, &self.field, path) {
            DataType::Known(comparison) => comparison,
            DataType::Unknown | DataType::Nowhere(_) => Comparison::Any,
        }
    }

    /// Returns the route of a subscription's events; `None` for a source stream.
    ///
    /// A filter on an argument that the client left out is not applied.
    ///
    /// # Errors
    ///
    /// [`DefinitionError::MissingArgument`] if the channel needs an argument that is absent.
    pub fn route(
        &self,
        operation: &SubscriptionOperation,
    ) -> Result<Option<Route>, DefinitionError> {
        let Some(channel) = &self.channel else {
            return Ok(None);
        };
        let channel = channel
            .fill(&operation.arguments)
            .map_err(|unfilled| match unfilled {
                Unfilled::Absent(argument) => DefinitionError::MissingArgument {
                    field: self.field.clone(),
                    argument,
                },
                Unfilled::Ambiguous {
                    argument,
                    separator,
                } => DefinitionError::Separator {
                    field: self.field.clone(),
                    argument,
                    separator,
                },
            })?;
        let conditions = self.filter.iter();
        let conditions = conditions.filter_map(|condition| condition.required(operation));
        let event_types = self.event_types.as_deref();
        Ok(Some(Route::new(channel, event_types, conditions.collect())))
    }
}

/// Returns the schema's type of an event's data, which is the field's type only for a passthrough.
fn data_type(kind: ResolverKind, schema: &Schema, field: &str, path: &[Box<str>]) -> DataType {
    match kind {
        ResolverKind::Passthrough => schema.data_type(field, path),
        ResolverKind::Call | ResolverKind::Stream | ResolverKind::Delegate => DataType::Unknown,
    }
}

/// A channel name with placeholders for arguments: `orders.{userId}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTemplate {
    parts: Vec<Part>,
}

/// Why arguments do not produce a channel.
#[derive(Debug, PartialEq, Eq)]
enum Unfilled {
    /// This argument was left out, or is null.
    Absent(String),
    /// The value of this argument contains the text that separates it from the next one.
    Ambiguous { argument: String, separator: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// An argument, and how its values are compared.
    Argument(String, Comparison),
}

impl ChannelTemplate {
    /// Parses a template; `{{` and `}}` are literal braces.
    ///
    /// # Errors
    ///
    /// [`DefinitionError::Channel`] for an empty channel or an unbalanced brace.
    pub fn parse(text: &str) -> Result<Self, DefinitionError> {
        let refuse = |problem| DefinitionError::Channel {
            channel: text.to_owned(),
            problem,
        };
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err(refuse("`{` is never closed")),
                        }
                    }
                    if name.is_empty() {
                        return Err(refuse("`{}` names no argument"));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    } else if !parts.is_empty() {
                        return Err(refuse("two arguments have no text between them"));
                    }
                    parts.push(Part::Argument(name, Comparison::Any));
                }
                '}' => return Err(refuse("`}` without `{`")),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        if parts.is_empty() {
            return Err(refuse("it is empty"));
        }
        Ok(Self { parts })
    }

    /// Returns the channel, if it does not depend on arguments.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the text of the template.
    pub(crate) fn source(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Part::Argument(name, _) => format!("{{{name}}}"),
        });
        parts.collect()
    }

    fn arguments(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Argument(name, _) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Determines how the arguments are compared; refuses lists and objects.
    fn check(&mut self, schema: &Schema, field: &str) -> Result<(), DefinitionError> {
        for part in &mut self.parts {
            let Part::Argument(name, comparison) = part else {
                continue;
            };
            let known = schema.argument_comparison(field, name);
            *comparison = known.unwrap_or(Comparison::Any);
            if matches!(comparison, Comparison::List(_) | Comparison::Object(_)) {
                return Err(DefinitionError::NoName {
                    field: field.to_owned(),
                    argument: name.clone(),
                    what: comparison.describe(),
                });
            }
        }
        Ok(())
    }

    /// Returns a pattern of the channels that arguments can produce.
    #[must_use]
    pub(crate) fn pattern(&self) -> ChannelPattern {
        let mut texts = vec![String::new()];
        for part in &self.parts {
            match (part, texts.last_mut()) {
                (Part::Text(text), Some(last)) => last.push_str(text),
                _ => texts.push(String::new()),
            }
        }
        ChannelPattern::between(texts.into_iter().map(Box::from))
    }

    /// Returns an example of a channel that arguments can produce.
    #[must_use]
    pub(crate) fn sample(&self) -> String {
        let texts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Argument(..) => "x",
        });
        texts.collect()
    }

    /// Returns the texts between two arguments.
    fn separators(&self) -> impl Iterator<Item = &str> {
        self.parts.windows(3).filter_map(|parts| match parts {
            [Part::Argument(..), Part::Text(text), Part::Argument(..)] => Some(text.as_str()),
            _ => None,
        })
    }

    /// Inserts the arguments, whose values clients choose. Each channel can be produced by only one
    /// set of values, so that a value cannot extend into another argument.
    fn fill(&self, arguments: &JsonMap) -> Result<String, Unfilled> {
        let mut channel = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => channel.push_str(text),
                Part::Argument(name, comparison) => {
                    let value = arguments.get(name);
                    let text = value.and_then(|value| comparison.channel_text(value));
                    let text = text.ok_or_else(|| Unfilled::Absent(name.clone()))?;
                    let is_free = value.is_some_and(|value| comparison.is_free_text(value));
                    let separator = self
                        .separators()
                        .find(|separator| text.contains(*separator));
                    if let Some(separator) = separator.filter(|_| is_free) {
                        return Err(Unfilled::Ambiguous {
                            argument: name.clone(),
                            separator: separator.to_owned(),
                        });
                    }
                    channel.push_str(&text);
                }
            }
        }
        Ok(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn arguments(value: Value) -> JsonMap {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_template_takes_strings_numbers_and_booleans() {
        let template = ChannelTemplate::parse("orders.{region}.{userId}.{live}").unwrap();
        let filled = template.fill(&arguments(
            json!({"region": "eu", "userId": 7, "live": true}),
        ));
        assert_eq!(filled.unwrap(), "orders.eu.7.true");
    }

    #[test]
    fn doubled_braces_are_literal() {
        let template = ChannelTemplate::parse("a{{b}}").unwrap();
        assert_eq!(template.fill(&JsonMap::new()).unwrap(), "a{b}");
    }

    #[test]
    fn an_absent_argument_is_named() {
        let template = ChannelTemplate::parse("orders.{userId}").unwrap();
        assert_eq!(
            template.fill(&JsonMap::new()).unwrap_err(),
            Unfilled::Absent("userId".into())
        );
    }

    #[test]
    fn no_argument_reaches_into_the_place_of_another() {
        let template = ChannelTemplate::parse("chat.{team}.{topic}-log").unwrap();
        for (team, topic) in [("acme", "eu.secret"), ("acme.eu", "secret"), (".", "")] {
            let filled = template.fill(&arguments(json!({"team": team, "topic": topic})));
            assert!(
                matches!(filled, Err(Unfilled::Ambiguous { .. })),
                "{filled:?}"
            );
        }
        let filled = template.fill(&arguments(json!({"team": "a-b", "topic": "c-log"})));
        assert_eq!(filled.unwrap(), "chat.a-b.c-log-log");
        let single = ChannelTemplate::parse("orders.{region}").unwrap();
        let filled = single.fill(&arguments(json!({"region": "eu.west"})));
        assert_eq!(filled.unwrap(), "orders.eu.west");
    }

    #[test]
    fn a_brace_left_open_is_refused() {
        for text in ["{a}{b}", "", "orders.{userId", "orders.}", "orders.{}"] {
            assert!(ChannelTemplate::parse(text).is_err(), "{text}");
        }
    }
}
