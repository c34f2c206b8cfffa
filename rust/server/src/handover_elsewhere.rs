//! Takes no socket, on systems that cannot send one to the own process.

use std::convert::Infallible;
use std::io::{Error, ErrorKind, Result};

/// A socket that was sent: there is none.
pub type Taken = Infallible;

/// The way for one socket, which cannot be made.
#[derive(Debug)]
pub struct Handover(Infallible);

impl Handover {
    /// Refuses.
    ///
    /// # Errors
    ///
    /// On each system but Unix.
    pub fn new() -> Result<Self> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "this system does not pass sockets on: leave out `listener=`, and set `host=` and `port=`",
        ))
    }

    /// The descriptor to send the socket to.
    #[must_use]
    pub fn fileno(&self) -> i32 {
        match self.0 {}
    }

    /// Receives the socket that was sent.
    ///
    /// # Errors
    ///
    /// None can be sent.
    pub fn receive(&self) -> Result<Taken> {
        match self.0 {}
    }
}
