//! A request, with its document and its resume position, each determined only once.

use std::sync::{Arc, OnceLock};

use graphql::{Document, GraphQLError};
use protocol::{Request, Resume, ResumeFault};

/// A request, its document, and its resume position. Both are determined at their first use, so
/// that a client past its rate costs no look-up.
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

    /// Returns the request.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the position after which its client resumes.
    ///
    /// # Errors
    ///
    /// [`ResumeFault`]: the position is invalid.
    pub fn resume(&self) -> Result<&Resume, ResumeFault> {
        let resume = self.resume.get_or_init(|| self.request.resume());
        resume.as_ref().map_err(|fault| *fault)
    }
}
