//! Errors of rules, and reasons for denying a client.

/// Why a configured rule is invalid. Not retryable: the configuration has to be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A dotted path has an empty part.
    #[error("path `{0}` has an empty part: write it as `user_id` or `user.id`")]
    Path(String),
    /// A `$` does not begin a reference.
    #[error(
        "`{0}` refers to nothing: write `$identity.user_id`, or any claim as `$identity.<name>`"
    )]
    Reference(String),
    /// A value that is neither a scalar nor a list of scalars.
    #[error(
        "`{0}` cannot be compared: use a string, a number, true, false, null or a list of them"
    )]
    Value(String),
    /// A channel pattern without text.
    #[error("a channel pattern is empty: write it as `orders` or `orders*`")]
    Channel,
    /// A subgraph without a name, or with a star in it.
    #[error("`{0}` is not a name of a subgraph: write it as `orders`")]
    Subgraph(String),
    /// A rate that cannot be parsed.
    #[error("rate `{0}` is not of the form <count>/<unit>: write `10/s`, `600/m` or `1000/h`")]
    Rate(String),
    /// A `Type.field` that the schema does not have.
    #[error(
        "the schema has no `{0}`, for which a permission is required: correct its name, as a misspelt one would protect nothing"
    )]
    UnknownField(String),
    /// A subscription whose arguments can produce the channel of another subscription.
    #[error(
        "`Subscription.{field}` can be asked for `{channel}`, the channel of `Subscription.{other}`, whose permission it does not need: ask for the same permission, or use separate channels"
    )]
    OpenChannel {
        /// The subscription with the arguments.
        field: String,
        /// The subscription that declares the channel.
        other: String,
        /// The channel.
        channel: String,
    },
    /// An argument that no subscription has.
    #[error(
        "no subscription has an argument `{0}`, which Scope asks for: correct its name as it is in the schema, as a misspelt one would protect nothing"
    )]
    UnknownArgument(String),
    /// A row filter that covers no channel of a subscription.
    #[error(
        "no subscription listens on a channel that RowFilter({channel:?}) covers; channels are: {known}. Correct its channel, as a misspelt one would protect nothing"
    )]
    UnusedFilter {
        /// The channels of the filter.
        channel: String,
        /// The channels of subscriptions.
        known: String,
    },
    /// A channel of a declared subscription that does not belong to the subgraph.
    #[error(
        "`Subscription.{field}` listens on `{channel}`, which is not a channel of subgraph `{subgraph}`: rename the channel, or list it in Federation(channels=...)"
    )]
    ForeignChannel {
        /// The subscription.
        field: String,
        /// Its channel.
        channel: String,
        /// The served subgraph.
        subgraph: String,
    },
}

/// The checks, by their names in metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// `Origin` header.
    Origin,
    /// `Host` header.
    Host,
    /// Token or hook.
    Authentication,
    /// Arguments.
    Scope,
    /// Permissions.
    Rbac,
    /// Tenant.
    Tenant,
    /// Row filters.
    Rows,
    /// Subgraph.
    Federation,
    /// Rates.
    Rate,
}

impl Check {
    /// Returns the name in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Host => "host",
            Self::Authentication => "authentication",
            Self::Scope => "scope",
            Self::Rbac => "rbac",
            Self::Tenant => "tenant",
            Self::Rows => "rows",
            Self::Federation => "federation",
            Self::Rate => "rate",
        }
    }
}

/// Why a subscription is refused, with a text for the client. The text names only what the client
/// has sent, not rules or identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The check needs an identity, and there is none.
    #[error("not permitted without an identity")]
    Anonymous(Check),
    /// The identity has no tenant.
    #[error("not permitted without a tenant")]
    NoTenant,
    /// An argument whose value the identity may not use, or that was left out.
    #[error("not permitted with this value of `{argument}`")]
    Argument {
        /// The path of the argument.
        argument: String,
    },
    /// A subscription that requires a permission that the identity lacks.
    #[error("not permitted to subscribe to `{0}`")]
    Subscription(String),
    /// A channel of another subgraph, or a request for it.
    #[error("not served by this subgraph")]
    Subgraph,
    /// An operation that cannot be checked.
    #[error("not permitted: this operation cannot be checked")]
    Undecided(Check),
    /// Operations past a rate.
    #[error("too many operations: try again later")]
    Rate,
}

impl Denied {
    /// Returns the check that denied.
    #[must_use]
    pub fn check(&self) -> Check {
        match self {
            Self::Anonymous(check) | Self::Undecided(check) => *check,
            Self::NoTenant => Check::Tenant,
            Self::Argument { .. } => Check::Scope,
            Self::Subscription(_) => Check::Rbac,
            Self::Subgraph => Check::Federation,
            Self::Rate => Check::Rate,
        }
    }

    /// Returns `extensions.code` of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rate => "RATE_LIMITED",
            _ => "FORBIDDEN",
        }
    }
}
