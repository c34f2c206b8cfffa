//! Authentication and authorisation of clients, as pure decisions.
//!
//! Rules are parsed once ([`Policy`]) and checked when a subscription opens. The conditions for
//! each event are compiled into a [`Guard`]. No I/O and no clock: time is an argument. A check that
//! cannot decide denies.
//! Not here: when checks run (`runtime::admission`).
//!
//! # Layout
//!
//! - `policy`: all rules of a manager; `guard`: the conditions for each event of a subscription;
//! - `identity`, `jwt`, `jwks`: the identity of a client, tokens and their keys;
//! - `origin`, `host`, `authority`: the origin and host of a request;
//! - `publish_keys`: the keys of programs that publish over HTTP;
//! - `rbac`, `scope`, `rows`, `tenant`, `federation`: the rules, one file each;
//! - `rate`: configured rates;
//! - `channel`, `path`, `value`: patterns, paths and values in rules.

mod authority;
mod channel;
mod error;
mod federation;
mod guard;
mod host;
mod identity;
mod jwks;
mod jwt;
mod origin;
mod path;
mod policy;
mod publish_keys;
mod rate;
mod rbac;
mod rows;
mod scope;
mod tenant;
mod value;

pub use channel::ChannelPattern;
pub use error::{Check, Denied, RuleError};
pub use federation::Federation;
pub use guard::{Guard, Subject};
pub use host::{HostError, Hosts, is_same_host};
pub use identity::Identity;
pub use jwks::FetchTimes;
pub use jwt::{ClaimNames, JwtConfigError, KeySet, TokenError, TokenRules};
pub use origin::{OriginError, Origins, is_same_origin};
pub use path::Path;
pub use policy::{Policy, RequestSource};
pub use publish_keys::{PublishKeyError, PublishKeys};
pub use rate::{Rate, RateBy, Rates};
pub use rbac::{OnDenied, Rbac, Requirement};
pub use rows::{RowFilter, RowRule};
pub use scope::Scope;
pub use tenant::{TenantConflict, TenantIsolation};
pub use value::{Allowed, RuleValue};
