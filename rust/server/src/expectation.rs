//! Requests with `Expect: 100-continue` (RFC 9110, section 10.1.1): a request that is refused by
//! its head is refused before the client sends the body.

use actix_http::body::BoxBody;
use actix_http::{Request, Response};
use protocol::http::HttpRequest;

use crate::handshake::UpgradeService;
use crate::head::{fault_of, headers_of, is_too_large, peer_of};
use crate::http::{closing, refuse_malformed, respond, too_large_head};

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
    let path = head.uri.path();
    let publishers = upgrades.publish.as_ref();
    let publishers = publishers.filter(|publishers| publishers.serve(path));
    if publishers.is_none() && !upgrades.path.is_match(path) {
        return Ok(());
    }
    let limit = upgrades.current.worker.state().limits.max_head_bytes;
    let is_too_large = is_too_large(head, limit);
    let headers = headers_of(head, |name| !is_too_large || name == "origin");
    let asked = HttpRequest {
        method: head.method.as_str(),
        query: head.uri.query().unwrap_or_default(),
        headers: &headers,
        body: &[],
    };
    let peer = peer_of(head);
    let peer = peer.as_deref();
    if is_too_large {
        let refusal = too_large_head(limit);
        let refusal = match publishers {
            Some(_) => responder.refuse_publisher(peer, &refusal).into(),
            None => responder.refuse(&asked, peer, refusal),
        };
        return refuse(respond(refusal, None));
    }
    let looked = match publishers {
        Some(publishers) => publishers.look(responder, &asked, peer),
        None => responder.look_at(&asked, peer),
    };
    looked.or_else(|refusal| refuse(respond(refusal, None)))
}
