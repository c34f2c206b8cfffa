//! Who a client is and what it may do, as pure decisions.
//!
//! Rules are read once ([`Policy`]), checked when a subscription is made, and what has to hold for
//! each event is compiled into a [`Guard`]. No I/O and no clock: time comes in as an argument. A
//! check that cannot decide denies.
//! Not here: when checks run (`runtime::admission`).
//!
//! # Layout
//!
//! - `policy`: all rules of a manager; `guard`: those that hold for each event of a subscription;
//! - `identity`, `jwt`, `jwks`: who a client is, by its token and the keys for it;
//! - `origin`, `host`, `authority`: where a request comes from, and for which host;
//! - `rbac`, `scope`, `rows`, `tenant`, `federation`: the rules, a file each;
//! - `rate`: rates as they are configured;
//! - `channel`, `path`, `value`: what rules are written with.

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
pub use rate::{Rate, RateBy, Rates};
pub use rbac::{OnDenied, Rbac, Requirement};
pub use rows::{RowFilter, RowRule};
pub use scope::Scope;
pub use tenant::{TenantConflict, TenantIsolation};
pub use value::{Allowed, Wanted};
