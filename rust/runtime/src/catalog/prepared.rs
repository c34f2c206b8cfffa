//! A request with what is found out about it, each once, whoever asks.

use std::sync::{Arc, OnceLock};

use graphql::{Document, GraphQLError};
use protocol::{Request, Resume, ResumeFault};

/// A request, its document, and where its client goes on. Both are looked at when they are first
/// needed: a client past its rate costs no look-up.
#[derive(Debug)]
pub struct PreparedRequest {
    pub(super) request: Request,
    pub(super) document: OnceLock<Result<Arc<Document>, Vec<GraphQLError>>>,
    resume: OnceLock<Result<Resume, ResumeFault>>,
}

impl PreparedRequest {
    /// Prepares a request.
    #[must_use]
    pub fn new(request: Request) -> Arc<Self> {
        Arc::new(Self {
            request,
            document: OnceLock::new(),
            resume: OnceLock::new(),
        })
    }

    /// The request itself.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Where its client goes on.
    ///
    /// # Errors
    ///
    /// [`ResumeFault`]: what it says of that cannot be understood.
    pub fn resume(&self) -> Result<&Resume, ResumeFault> {
        let resume = self.resume.get_or_init(|| self.request.resume());
        resume.as_ref().map_err(|fault| *fault)
    }
}
