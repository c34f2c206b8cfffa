//! Who a client is and what it may do, as pure decisions.
//!
//! No I/O and no clock: time comes in as an argument. A check that cannot decide denies.
//! Not here: when checks run (`runtime::actors::gate`).

mod identity;
mod origin;

pub use identity::Identity;
pub use origin::{OriginError, Origins};
