//! Why a rule cannot be used, and why a client is denied.

/// What a configured rule gets wrong. Not retryable: the configuration has to be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A dotted path has an empty part.
    #[error("path `{0}` has an empty part: write it as `user_id` or `user.id`")]
    Path(String),
    /// A `$` begins no reference.
    #[error(
        "`{0}` refers to nothing: write `$identity.user_id`, or any claim as `$identity.<name>`"
    )]
    Reference(String),
    /// Neither a scalar nor a list of scalars.
    #[error(
        "`{0}` cannot be compared: give a string, a number, true, false, null or a list of them"
    )]
    Value(String),
    /// A channel pattern without text.
    #[error("a channel pattern is empty: write it as `orders` or `orders*`")]
    Channel,
    /// A subgraph without a name, or with a star in it.
    #[error("`{0}` is no name of a subgraph: write it as `orders`")]
    Subgraph(String),
    /// A rate that cannot be read.
    #[error("rate `{0}` is not of the form <count>/<unit>: write `10/s`, `600/m` or `1000/h`")]
    Rate(String),
    /// A `Type.field` that the schema does not have.
    #[error(
        "the schema has no `{0}`, which a permission is asked for: correct its name, as a misspelt one would protect nothing"
    )]
    UnknownField(String),
    /// The channel of a subscription that another one can be asked for.
    #[error(
        "`Subscription.{field}` can be asked for `{channel}`, the channel of `Subscription.{other}`, whose permission it does not need: ask for the same permission, or give them channels of their own"
    )]
    OpenChannel {
        /// The subscription that reaches it.
        field: String,
        /// The subscription whose channel it is.
        other: String,
        /// The channel.
        channel: String,
    },
    /// An argument that no subscription has.
    #[error(
        "no subscription has an argument `{0}`, which Scope asks for: correct its name as it is in the schema, as a misspelt one would protect nothing"
    )]
    UnknownArgument(String),
    /// A channel of a declared subscription that no subgraph channel is.
    #[error(
        "`Subscription.{field}` listens on `{channel}`, which is no channel of subgraph `{subgraph}`: rename the channel, or list it in Federation(channels=...)"
    )]
    ForeignChannel {
        /// The subscription.
        field: String,
        /// Its channel.
        channel: String,
        /// Whose channels are served.
        subgraph: String,
    },
}

/// The checks, as metrics and logs name them.
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
    /// The name in logs.
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

/// Why a subscription is refused, in words that a client may read. It names what the client has
/// asked for, and nothing of rules or identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The check needs an identity, and there is none.
    #[error("not permitted without an identity")]
    Anonymous(Check),
    /// The identity has no tenant.
    #[error("not permitted without a tenant")]
    NoTenant,
    /// An argument that is not the identity's, or was left out.
    #[error("not permitted with this value of `{argument}`")]
    Argument {
        /// The argument, as a path.
        argument: String,
    },
    /// A subscription that needs a permission.
    #[error("not permitted to subscribe to `{0}`")]
    Subscription(String),
    /// A channel of another subgraph, or a request to it.
    #[error("not served by this subgraph")]
    Subgraph,
    /// What cannot be checked here.
    #[error("not permitted: this operation cannot be checked")]
    Undecided(Check),
    /// Too many in a time.
    #[error("too many operations: try again later")]
    Rate,
}

impl Denied {
    /// Which check denied.
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

    /// `extensions.code` of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rate => "RATE_LIMITED",
            _ => "FORBIDDEN",
        }
    }
}
