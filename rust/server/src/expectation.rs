//! Requests with `Expect: 100-continue` (RFC 9110, section 10.1.1): a request that is refused by
//! its head is refused before the client sends the body.

use actix_http::body::BoxBody;
use actix_http::{Request, Response};
use protocol::http::HttpRequest;

use crate::handshake::UpgradeService;
use crate::head::{fault_of, headers_of, peer_of};
use crate::http::{closing, refuse_malformed, respond};

/// The response to a request that is refused by its head.
#[derive(Debug)]
pub(crate) struct Refused(Response<BoxBody>);

impl From<Refused> for Response<BoxBody> {
    fn from(refused: Refused) -> Self {
        refused.0
    }
}

/// Checks the head of a request whose client waits.
///
/// # Errors
///
/// The request is refused.
pub(crate) fn look(upgrades: &UpgradeService, request: &Request) -> Result<(), Refused> {
    let head = request.head();
    let responder = &upgrades.current.responder;
    let refuse = |response| Err(Refused(closing(response).into()));
    if let Some(problem) = fault_of(head) {
        return refuse(refuse_malformed(responder, head, problem));
    }
    if !upgrades.path.is_match(head.uri.path()) {
        return Ok(());
    }
    let headers = headers_of(head, |_| true);
    let asked = HttpRequest {
        method: head.method.as_str(),
        query: head.uri.query().unwrap_or_default(),
        headers: &headers,
        body: &[],
    };
    let peer = peer_of(head);
    let looked = responder.look_at(&asked, peer.as_deref());
    looked.or_else(|refusal| refuse(respond(refusal, None)))
}
