//! The seam to the host language: how resolvers are called.
//!
//! Nothing here blocks and nothing here knows the host. The Python bridge implements this trait.

use std::sync::Arc;

use super::call::CallId;
use super::lane::Lane;

/// Calls resolvers of the host language.
///
/// The host's side of a [`Lane`] runs on one thread of the host. It answers each scheduling with
/// [`Lane::start`], invokes what that returns, and ends it with [`Lane::settle`]. What cannot run
/// it ends with [`Lane::refuse`].
pub trait Resolver: Send + Sync {
    /// Tells the host that a lane has something to start, or has to be made ready; returns at
    /// once, on any thread.
    fn schedule(&self, lane: Arc<Lane>);
    /// Cancels calls whose outcome is not needed any more; returns at once, on any thread.
    fn cancel(&self, lane: Arc<Lane>, calls: Vec<CallId>);
}
