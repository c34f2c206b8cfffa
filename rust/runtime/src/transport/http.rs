//! Answers HTTP requests: admits the client, runs the operation on a worker, returns the response.
//!
//! Used by the embedded server and by adapters, on any thread. Reserved event streams are stored
//! here, so every thread of the process finds them.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use actix::Addr;
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::http::{self, Asked, HttpRequest, Response};
use protocol::{Head, Session, Transports, fields};
use security::{Check, RequestSource};
use tokio::sync::oneshot;

use super::connection_handle::{
    ConnectionConfig, ConnectionHandle, Handoff, HandoffMessage, TransportHandle,
};
use super::event_streams::{Stream, Streams};
use super::reply::{Body, Reply, begun, unavailable, whole};
use crate::audit;
use crate::catalog::{Checked, PreparedRequest};
use crate::client::{Buckets, Client};
use crate::connection::Verdict;
use crate::journal;
use crate::places::Place;
use crate::random::random_key;
use crate::state::{Arriving, RuntimeState};
use crate::subscription::Callback;
use crate::worker::ShardActor;

/// Seconds for which a browser may cache the response to a preflight.
const PREFLIGHT_MAX_AGE: &str = "600";

/// The error past `max_connections`.
pub(super) const TOO_MANY: &str = "too many connections: try again later";

fn too_many(peer: Option<&str>) -> Response {
    journal::server_full(peer);
    Response::unavailable(TOO_MANY)
}

/// Answers requests with one worker.
#[derive(Clone)]
pub struct Responder {
    pub(super) state: Arc<RuntimeState>,
    streams: Arc<Streams>,
    worker: Addr<ShardActor>,
    /// Held by what lives on the worker, so that its holders are the worker's load.
    load: Arc<()>,
}

impl Responder {
    /// Creates a responder that runs operations on `worker`.
    #[must_use]
    pub(crate) fn new(
        state: Arc<RuntimeState>,
        streams: Arc<Streams>,
        worker: Addr<ShardActor>,
    ) -> Self {
        Self {
            state,
            streams,
            worker,
            load: Arc::default(),
        }
    }

    /// Returns the state that all threads share.
    #[must_use]
    pub fn state(&self) -> &Arc<RuntimeState> {
        &self.state
    }

    /// Connections and requests of the worker (count).
    pub(crate) fn load(&self) -> usize {
        Arc::strong_count(&self.load)
    }

    /// Opens a connection on the worker.
    #[must_use]
    pub fn open(&self, config: ConnectionConfig) -> ConnectionHandle {
        ConnectionHandle::open(&self.worker, config, self.load.clone())
    }

    /// Accepts or refuses a client at `peer` by the headers of its handshake; names in lower case.
    ///
    /// # Errors
    ///
    /// The response with the reason.
    pub fn admit(
        &self,
        headers: &[(String, String)],
        peer: Option<&str>,
    ) -> Result<Place, Response> {
        self.state.admit_peer(peer)?;
        self.enter(headers, peer, Arriving::Handshake)
    }

    fn enter(
        &self,
        headers: &[(String, String)],
        peer: Option<&str>,
        arriving: Arriving,
    ) -> Result<Place, Response> {
        self.may_enter(headers, peer, arriving)?;
        let place = self.state.places.take();
        place.ok_or_else(|| too_many(peer))
    }

    pub(super) fn may_enter(
        &self,
        headers: &[(String, String)],
        peer: Option<&str>,
        arriving: Arriving,
    ) -> Result<(), Response> {
        self.has_source(headers, arriving, peer)?;
        if self.state.is_draining() {
            return Err(Response::shutting_down());
        }
        let length = fields::value(headers, "content-length");
        self.may_be_sent(length)
            .inspect_err(|_| self.state.refused(peer))
    }

    /// Checks the origin and host of a request.
    fn has_source(
        &self,
        headers: &[(String, String)],
        arriving: Arriving,
        peer: Option<&str>,
    ) -> Result<(), Response> {
        if let Some(name) = fields::repeated(headers) {
            self.state.refused(peer);
            let problem = format!("the header `{name}` may be sent once only");
            return Err(Response::error(400, &problem));
        }
        let value = |name| fields::value(headers, name);
        let source = RequestSource {
            origin: value("origin"),
            host: value("host"),
            fetch_site: value("sec-fetch-site"),
            fetch_mode: value("sec-fetch-mode"),
        };
        let admitted = self.state.admit(&source, arriving);
        admitted.map_err(|check| {
            // The request comes from the browser of a visitor of another site, who must not be
            // locked out.
            if check != Check::Origin {
                self.state.refused(peer);
            }
            Response::denied(check.name())
        })
    }

    /// Checks the declared length of a body.
    fn may_be_sent(&self, length: Option<&str>) -> Result<(), Response> {
        let Some(length) = length else { return Ok(()) };
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Response::error(400, "`content-length` is no number"));
        }
        let limit = self.state.limits.max_message_bytes;
        // A number with too many digits is too large.
        let fits = length.parse().is_ok_and(|bytes: u64| bytes <= limit as u64);
        fits.then_some(()).ok_or_else(|| Response::too_large(limit))
    }

    /// Accepts or refuses a request by its head, before its body is read.
    ///
    /// # Errors
    ///
    /// The response with the reason.
    pub fn admit_request(
        &self,
        request: &HttpRequest<'_>,
        peer: Option<&str>,
    ) -> Result<Place, Reply> {
        let (headers, arriving) = (request.headers, Arriving::Request);
        let admitted = match self.stream_of(request) {
            Some((place, account)) => {
                let entered = self.may_enter(headers, peer, arriving).map(|()| place);
                entered.and_then(|place| self.take_message(account, peer).map(|()| place))
            }
            // A browser sends preflights by itself, and could not show a refusal to its page.
            None if is_preflight(request) => self.enter(headers, peer, arriving),
            None => {
                let admitted = self.state.admit_request(peer);
                admitted.and_then(|()| self.enter(headers, peer, arriving))
            }
        };
        admitted.map_err(|refusal| self.told(request, refusal))
    }

    /// Counts a message of the client of an event stream.
    fn take_message(
        &self,
        account: Option<Arc<Buckets>>,
        peer: Option<&str>,
    ) -> Result<(), Response> {
        match account.map_or(Ok(()), |account| account.send()) {
            Ok(()) => Ok(()),
            Err(wait) => Err(self.state.rate_limited(peer, wait)),
        }
    }

    /// Refuses a request of an unauthenticated client.
    #[must_use]
    pub fn refuse(
        &self,
        request: &HttpRequest<'_>,
        peer: Option<&str>,
        refusal: Response,
    ) -> Reply {
        self.told(request, self.refuse_handshake(peer, refusal))
    }

    /// Refuses an accepted request whose body has not come in time.
    #[must_use]
    pub fn late(&self, request: &HttpRequest<'_>, peer: Option<&str>) -> Reply {
        let refusal = Response::error(408, "the body took too long: send it faster");
        self.refuse(request, peer, refusal)
    }

    /// Counts, for its address, an unauthenticated client that has disconnected before its request
    /// was complete.
    pub fn abandoned(&self, peer: Option<&str>) {
        self.state.refused(peer);
    }

    /// Counts and logs a connection that is closed because it does not begin as that of a trusted proxy.
    pub fn proxy_denied(&self, peer: Option<&str>, reason: &dyn Display) {
        self.state.metrics.denied_proxy.add(1);
        audit::proxy_denied(peer, reason);
    }

    /// Refuses an unauthenticated client and counts this for its address; past the rate, the
    /// response is that of the rate.
    #[must_use]
    fn refuse_handshake(&self, peer: Option<&str>, refusal: Response) -> Response {
        match self.state.admit_peer(peer) {
            Ok(()) => {
                self.state.refused(peer);
                refusal
            }
            Err(limited) => limited,
        }
    }

    /// Checks whether [`Self::admit_request`] would accept a request now, without counting it.
    ///
    /// # Errors
    ///
    /// The response with the reason.
    pub fn look_at(&self, request: &HttpRequest<'_>, peer: Option<&str>) -> Result<(), Reply> {
        let has_place = || self.state.places.has_room() || self.stream_of(request).is_some();
        let looked = self.state.admit_peer(peer);
        looked
            .and_then(|()| self.may_enter(request.headers, peer, Arriving::Request))
            .and_then(|()| has_place().then_some(()).ok_or_else(|| too_many(peer)))
            .map_err(|refusal| self.told(request, refusal))
    }

    /// Returns the place of the event stream that a request is for, and its rate limits.
    fn stream_of(&self, request: &HttpRequest<'_>) -> Option<(Place, Option<Arc<Buckets>>)> {
        let token = request.stream(|token| self.is_reserved(token))?;
        self.place_of(&token)
    }

    /// Converts a response so that a page of an allowed origin may read it.
    #[must_use]
    pub fn told(&self, request: &HttpRequest<'_>, response: Response) -> Reply {
        let mut reply = Reply::from(response);
        self.allow_origin(request, &mut reply.head);
        reply
    }

    /// Answers an accepted request that arrived by `transport`.
    pub async fn answer(
        &self,
        request: HttpRequest<'_>,
        client: Client,
        place: Place,
        transport: TransportHandle,
    ) -> Reply {
        let peer = client.peer.clone();
        let refused = |response: Response| -> Reply {
            self.state.refused(peer.as_deref());
            response.into()
        };
        let mut reply = if is_preflight(&request) {
            preflight(&request, self.state.transports)
        } else if request.body.len() > self.state.limits.max_message_bytes {
            refused(Response::too_large(self.state.limits.max_message_bytes))
        } else {
            match http::read(request, self.state.transports, |token| {
                self.is_reserved(token)
            }) {
                Ok(asked) => self.act(asked, client, &place, transport).await,
                Err(response) => refused(response),
            }
        };
        self.allow_origin(&request, &mut reply.head);
        reply.place = Some(place);
        reply
    }

    async fn act(
        &self,
        asked: Asked,
        client: Client,
        place: &Place,
        transport: TransportHandle,
    ) -> Reply {
        match asked {
            Asked::Run(exchange) => {
                let session = Session::exchange(exchange);
                let remote = self.begin(session, client, transport, Box::new(|| {}));
                whole(begun(remote).await).await
            }
            Asked::Reserve => self.reserve(client, place.clone()).await,
            Asked::Open { token } if self.is_reserved(&token) => self.open_stream(&token),
            Asked::Open { .. } => self.no_stream(&client),
            Asked::Start { token, id, request } => {
                let Some((slot, account)) = self.slot(&token) else {
                    return self.no_stream(&client);
                };
                if let Some(Err(wait)) = account.map(|account| account.subscribe()) {
                    let peer = client.peer.as_deref();
                    return self.state.too_many_operations(peer, wait).into();
                }
                // Only results of running operations are sent on the stream.
                let prepared = PreparedRequest::new(request);
                let checked = self.state.catalog.check(&prepared);
                match checked {
                    Ok(Checked::Valid) => {}
                    Ok(Checked::JudgedElsewhere) => return judged(&slot, prepared).await,
                    Err(errors) => {
                        return Response::refused(&graphql::errors_to_json(&errors)).into();
                    }
                }
                let (reply, started) = oneshot::channel();
                slot.push(HandoffMessage::Start {
                    id,
                    prepared,
                    reply,
                });
                match started.await {
                    Ok(true) => Response::empty(202).into(),
                    Ok(false) => {
                        Response::error(409, "an operation of this stream has this id already")
                            .into()
                    }
                    Err(_) => Response::no_stream().into(),
                }
            }
            Asked::Stop { token, id } => match self.slot(&token) {
                Some((slot, _)) => {
                    slot.push(HandoffMessage::Stop(id));
                    Response::empty(200).into()
                }
                None => self.no_stream(&client),
            },
            Asked::Page => match &self.state.page {
                // The page is sent to any client, so it counts as a request of an unauthenticated
                // one.
                Some(page) => {
                    self.state.refused(client.peer.as_deref());
                    Response::page(page.html.clone(), &page.policy).into()
                }
                None => Response::error(400, "Invalid request: `query` is missing").into(),
            },
        }
    }

    /// Answers a request for a missing stream, whose token may be a guess.
    fn no_stream(&self, client: &Client) -> Reply {
        self.state.refused(client.peer.as_deref());
        Response::no_stream().into()
    }

    fn begin(
        &self,
        session: Session,
        client: Client,
        transport: TransportHandle,
        ended: Callback,
    ) -> ConnectionHandle {
        let config = ConnectionConfig {
            client,
            session,
            close: None,
            transport,
            ended,
        };
        self.open(config)
    }

    async fn reserve(&self, mut client: Client, place: Place) -> Reply {
        let account = Arc::<OnceLock<Arc<Buckets>>>::default();
        client.account = Some(account.clone());
        let Ok(token) = new_token() else {
            return Response::unavailable("no random token can be had: try again later").into();
        };
        let (streams, ending) = (self.streams.clone(), token.clone());
        let ended = move || {
            streams.0.remove(&ending);
        };
        // No data is written for a stream until it is opened, so there is no transport to shut
        // down.
        let remote = self.begin(
            Session::event_stream(),
            client,
            TransportHandle {
                shut_down: Box::new(|| {}),
                pulse: None,
            },
            Box::new(ended),
        );
        let begun = begun(remote).await;
        if begun.head.status != 201 {
            return whole(begun).await;
        }
        let Body::Stream(_, remote) = begun.body else {
            return unavailable();
        };
        let stream = Stream {
            slot: remote.slot().clone(),
            reserved: Mutex::new(Some(remote)),
            account: account.get().cloned(),
            place,
        };
        let slot = stream.slot.clone();
        self.streams.0.insert(token.clone(), stream);
        if slot.is_over() {
            // It has ended since it was accepted, so no other code removes it.
            self.streams.0.remove(&token);
            return unavailable();
        }
        Response::text(201, token).into()
    }

    fn open_stream(&self, token: &str) -> Reply {
        let Some(stream) = self.streams.0.get(token) else {
            return Response::no_stream().into();
        };
        let Some(remote) = stream.reserved.lock().take() else {
            return Response::error(409, "this event stream is open already").into();
        };
        stream.slot.push(HandoffMessage::Open);
        Reply {
            head: http::stream_head(),
            // A comment shows the client at once that the stream is open.
            body: Body::Stream(Bytes::from_static(b":\n\n"), remote),
            place: None,
        }
    }

    fn is_reserved(&self, token: &str) -> bool {
        self.streams.0.contains_key(token)
    }

    fn place_of(&self, token: &str) -> Option<(Place, Option<Arc<Buckets>>)> {
        let stream = self.streams.0.get(token)?;
        Some((stream.place.clone(), stream.account.clone()))
    }

    fn slot(&self, token: &str) -> Option<(Arc<Handoff>, Option<Arc<Buckets>>)> {
        let stream = self.streams.0.get(token)?;
        Some((stream.slot.clone(), stream.account.clone()))
    }

    /// Adds the headers that allow a page of an allowed origin to read the response.
    fn allow_origin(&self, request: &HttpRequest<'_>, head: &mut Head) {
        let Some(origins) = &self.state.policy.origins else {
            return;
        };
        // Also without an origin: a cache must not reuse this response for a page.
        head.headers.push(("vary".into(), "origin".into()));
        let named = request.headers.iter().filter(|(name, _)| name == "origin");
        if named.count() > 1 {
            return;
        }
        let origin = request.header("origin");
        let Some(origin) = origin.filter(|origin| origins.allow(origin)) else {
            return;
        };
        let is_any = origins.allow_any();
        let allowed = if is_any { "*" } else { origin };
        head.headers.push((
            "access-control-allow-origin".into(),
            allowed.to_owned().into(),
        ));
        if head.headers.iter().any(|(name, _)| name == "retry-after") {
            let exposed = ("access-control-expose-headers".into(), "retry-after".into());
            head.headers.push(exposed);
        }
        if !is_any {
            head.headers
                .push(("access-control-allow-credentials".into(), "true".into()));
        }
    }
}

/// Answers a request with the host executor's errors for its document.
async fn judged(slot: &Handoff, prepared: Arc<PreparedRequest>) -> Reply {
    let (reply, verdict) = oneshot::channel();
    slot.push(HandoffMessage::Judge { prepared, reply });
    match verdict.await {
        Ok(Verdict { errors, amendment }) => {
            let mut response = Response::refused(&errors);
            response.head = response.head.amended(amendment);
            response.into()
        }
        Err(_) => Response::no_stream().into(),
    }
}

fn is_preflight(request: &HttpRequest<'_>) -> bool {
    request.method == "OPTIONS" && request.header("access-control-request-method").is_some()
}

fn preflight(request: &HttpRequest<'_>, transports: Transports) -> Reply {
    let mut response = Response::empty(204);
    if request.header("origin").is_some() {
        let asked = request.header("access-control-request-headers");
        let headers = asked.filter(|names| fields::are_names(names));
        response.head = response
            .head
            .with("access-control-allow-methods", transports.methods())
            .with(
                "access-control-allow-headers",
                headers.unwrap_or("content-type").to_owned(),
            )
            .with("access-control-max-age", PREFLIGHT_MAX_AGE);
    }
    response.into()
}

/// Returns an unguessable token, which gives access to the stream.
fn new_token() -> Result<String, getrandom::Error> {
    let bytes = random_key()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
