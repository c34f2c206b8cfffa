//! What goes wrong in the runtime.

use bus::BusError;
use graphql::GraphQLError;

/// A declared subscription that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// The schema has no such field.
    #[error(
        "the schema has no field `Subscription.{0}`: add it to the schema, or use the name of a field that is there"
    )]
    UnknownField(String),
    /// Channel or filter name an argument that the field does not have.
    #[error(
        "`Subscription.{field}` has no argument `{argument}` that its channel or filter names; it has: {known}"
    )]
    UnknownArgument {
        /// The field.
        field: String,
        /// The argument that is not there.
        argument: String,
        /// Those that are.
        known: String,
    },
    /// The function has a parameter, or the declaration an argument, that the field has not.
    #[error(
        "`Subscription.{field}` has no argument `{parameter}`, which its declaration names; it has: {known}. Rename it to an argument, or remove it"
    )]
    UnknownParameter {
        /// The field.
        field: String,
        /// The parameter.
        parameter: String,
        /// The arguments that are there.
        known: String,
    },
    /// No value that the function says it returns can be of the type of the field.
    #[error(
        "`Subscription.{field}` is of type `{type_text}` in the schema, but it is declared as `{returned}`: correct the annotation, or the schema"
    )]
    Returns {
        /// The field.
        field: String,
        /// What the function says.
        returned: String,
        /// What the schema says.
        type_text: String,
    },
    /// The channel's argument was left out or null.
    #[error("`{field}` needs a value for its argument `{argument}`")]
    MissingArgument {
        /// The field.
        field: String,
        /// The argument.
        argument: String,
    },
    /// An argument has the text that ends it in the channel.
    #[error(
        "`{field}`: its argument `{argument}` must not contain `{separator}`, which ends it in the name of the channel"
    )]
    Separator {
        /// The field.
        field: String,
        /// The argument.
        argument: String,
        /// What it must not contain.
        separator: String,
    },
    /// The channel's argument has no text.
    #[error(
        "`Subscription.{field}`: its channel contains the argument `{argument}`, which is {what} and cannot be part of a name: use a scalar or an enum"
    )]
    NoName {
        /// The field.
        field: String,
        /// The argument.
        argument: String,
        /// What its values are.
        what: String,
    },
    /// No event can satisfy a condition.
    #[error(
        "`Subscription.{field}`: filter `{path}` can never match: {problem}; name a path and a value of one type, or compare in a resolver that returns SKIP"
    )]
    NeverMatches {
        /// The field.
        field: String,
        /// Where in the event's data.
        path: String,
        /// Why.
        problem: String,
    },
    /// Two definitions serve one field.
    #[error("`Subscription.{0}` is declared twice: rename one")]
    Duplicate(String),
    /// The channel template is malformed.
    #[error("channel `{channel}`: {problem}; write it as `orders` or `orders.{{userId}}`")]
    Channel {
        /// The template.
        channel: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Why the runtime could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The manager was closed or has never been started.
    #[error("the manager is closed: start it again")]
    Closed,
    /// The operating system refused a thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The bus refused.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Returns the error of an operation that cannot start because the manager ends.
pub(crate) fn shutting_down() -> Vec<GraphQLError> {
    let message = "the server is shutting down: connect again";
    vec![GraphQLError::new(message)]
}
