//! The interface to the host language: how resolvers are called.
//!
//! Nothing here blocks or depends on Python. The crate `python` implements the trait.

use std::sync::Arc;

use super::call::CallId;
use super::lane::Lane;

/// Calls resolvers of the host language.
///
/// The host handles a [`Lane`] on one of its threads. For each [`Self::schedule`] it calls
/// [`Lane::start`], invokes the call that this returns, and reports the outcome with
/// [`Lane::settle`]. When a subscription cannot run, it calls [`Lane::refuse`].
pub trait Resolver: Send + Sync {
    /// Tells the host to prepare a new lane, or to start the lane's next call. Returns at once; may
    /// be called on any thread.
    fn schedule(&self, lane: Arc<Lane>);
    /// As [`Self::schedule`], for several lanes.
    fn schedule_all(&self, lanes: Vec<Arc<Lane>>) {
        for lane in lanes {
            self.schedule(lane);
        }
    }
    /// Cancels calls whose outcome is not needed any more. Returns at once; may be called on any
    /// thread.
    fn cancel(&self, lane: Arc<Lane>, calls: Vec<CallId>);
}
