//! Publishes events that programs send over HTTP.
//!
//! Not here: bodies (`protocol::publishing`), keys (`security`).

use bus::publishing::{Outcome, PublishError};
use bus::{BatchError, BusError, Draft, EngineLink, Receipt, TraceContext};
use protocol::http::{HttpRequest, Response};
use protocol::publishing::{self, EventAnswer, PostedEvent};
use security::{Check, PublishKeys};
use tokio::time::{Instant, timeout_at};

use super::http::{Responder, TOO_MANY};
use super::reply::Reply;
use crate::audit;
use crate::config::{MAX_VARIABLES_BYTES, MAX_VARIABLES_FACTOR};
use crate::places::Place;
use crate::state::{Arriving, RuntimeState};

type Published = Result<Receipt, BusError>;

impl Responder {
    /// Accepts or refuses a request to publish by its head, before its body is read.
    ///
    /// # Errors
    ///
    /// The response with the reason.
    pub fn admit_publisher(
        &self,
        request: &HttpRequest<'_>,
        peer: Option<&str>,
        keys: &PublishKeys,
    ) -> Result<Place, Response> {
        self.may_publish(request, peer, keys)?;
        let place = self.state.places.take_for_publisher();
        place.ok_or_else(too_many)
    }

    /// Checks whether [`Self::admit_publisher`] would accept a request now.
    ///
    /// # Errors
    ///
    /// The response with the reason.
    pub fn look_at_publisher(
        &self,
        request: &HttpRequest<'_>,
        peer: Option<&str>,
        keys: &PublishKeys,
    ) -> Result<(), Response> {
        self.may_publish(request, peer, keys)?;
        let has_room = self.state.places.has_room();
        has_room.then_some(()).ok_or_else(too_many)
    }

    /// Checks the head of a request to publish.
    fn may_publish(
        &self,
        request: &HttpRequest<'_>,
        peer: Option<&str>,
        keys: &PublishKeys,
    ) -> Result<(), Response> {
        let state = &self.state;
        let checked = state
            .admit_peer(peer)
            .and_then(|()| self.may_enter(request.headers, peer, Arriving::Request));
        checked.map_err(|refusal| publishing::refused(&refusal))?;
        if request.method != "POST" {
            state.refused(peer);
            let mut refusal = publishing::refusal(405, "events are published by POST");
            refusal.head = refusal.head.with("allow", "POST");
            return Err(refusal);
        }
        keys.check(request.header("authorization"))
            .map_err(|error| {
                state.refused(peer);
                state.metrics.denied(Check::Authentication);
                audit::publisher_denied(peer, &error);
                let mut refusal = publishing::refusal(401, &error.to_string());
                refusal.head = refusal.head.with("www-authenticate", "Bearer");
                refusal
            })
    }

    /// Refuses a request to publish whose body cannot be read, and counts this for its address.
    #[must_use]
    pub fn refuse_publisher(&self, peer: Option<&str>, refusal: &Response) -> Response {
        self.state.refused(peer);
        publishing::refused(refusal)
    }

    /// Publishes the events of an accepted request. A body that cannot be read counts for the address
    /// of its client.
    pub async fn publish(
        &self,
        request: HttpRequest<'_>,
        peer: Option<&str>,
        place: Place,
    ) -> Reply {
        let mut reply = Reply::from(self.published(request, peer).await);
        reply.place = Some(place);
        reply
    }

    async fn published(&self, request: HttpRequest<'_>, peer: Option<&str>) -> Response {
        let state = &self.state;
        let bytes = state.limits.max_message_bytes;
        let values = (bytes * MAX_VARIABLES_FACTOR).max(MAX_VARIABLES_BYTES);
        let trace = trace_of(&request);
        let posted = match publishing::read(request, values) {
            Ok(posted) => posted,
            Err(refusal) => {
                state.refused(peer);
                return refusal;
            }
        };
        let is_list = posted.is_list;
        let events = posted.events.into_iter();
        let drafts: Vec<_> = events.map(|event| draft(event, trace.as_ref())).collect();
        let published = match &state.link {
            Some(link) => to_engine(state, link, drafts).await,
            None => to_intake(state, drafts).await,
        };
        match published {
            Ok(published) => {
                let answers: Vec<_> = published.into_iter().map(answered).collect();
                publishing::answer(&answers, is_list)
            }
            Err(error) => invalid(&error, is_list),
        }
    }
}

fn too_many() -> Response {
    publishing::refused(&Response::unavailable(TOO_MANY))
}

/// Returns the span in which a client publishes, if its request names one.
fn trace_of(request: &HttpRequest<'_>) -> Option<TraceContext> {
    let parent = request.header("traceparent")?;
    TraceContext::parse(parent, request.header("tracestate"))
}

fn draft(event: PostedEvent, trace: Option<&TraceContext>) -> Draft {
    Draft {
        channel: event.channel.into(),
        event_type: event.event_type.map(Into::into),
        tenant_id: event.tenant_id.map(Into::into),
        id: event.event_id.map(Into::into),
        data: event.data,
        trace: trace.cloned().map(Box::new),
    }
}

/// Publishes to the engine, and waits for its answers.
///
/// # Errors
///
/// None of the events was sent.
async fn to_engine(
    state: &RuntimeState,
    link: &EngineLink,
    mut drafts: Vec<Draft>,
) -> Result<Vec<Published>, BatchError> {
    state.check_published(&mut drafts)?;
    Ok(link.publish(drafts)?.each().await)
}

/// Publishes to the bus of this process, and waits for room, at most for `request_timeout`.
///
/// # Errors
///
/// As [`to_engine`].
async fn to_intake(state: &RuntimeState, drafts: Vec<Draft>) -> Result<Vec<Published>, BatchError> {
    let intake = &state.intake;
    let drafts = match intake.try_publish_many(drafts)? {
        Ok(receipts) => return Ok(receipts.into_iter().map(Ok).collect()),
        Err(drafts) => drafts,
    };
    let until = Instant::now() + state.limits.request_timeout;
    let mut published = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let receipt = timeout_at(until, intake.publish(draft)).await;
        published.push(receipt.unwrap_or_else(|_| Err(behind())));
    }
    Ok(published)
}

fn behind() -> BusError {
    BusError::Publish(PublishError::Failed {
        outcome: Outcome::NotSent,
        is_retryable: true,
        message: "the bus is behind: try again later".to_owned(),
    })
}

/// Returns the response to events of which none was sent. It names the event that is refused, as
/// [`publishing::read`] does.
fn invalid(BatchError { index, error }: &BatchError, is_list: bool) -> Response {
    let problem = || match index {
        Some(index) => format!("{}: {error}", publishing::place(*index, is_list)),
        None => error.to_string(),
    };
    match error {
        BusError::Closed | BusError::Publish(PublishError::Closed) => {
            publishing::refused(&Response::shutting_down())
        }
        BusError::Publish(PublishError::TooLarge { .. }) => publishing::refusal(413, &problem()),
        BusError::Publish(_) => publishing::answer(&[answered(Err(error.clone()))], false),
        BusError::Envelope(_)
        | BusError::TenantConflict { .. }
        | BusError::EmptyChannel
        | BusError::EmptyId => publishing::refusal(400, &format!("Invalid request: {}", problem())),
    }
}

fn answered(published: Published) -> EventAnswer {
    match published {
        Ok(receipt) => EventAnswer::Published {
            event_id: receipt.event_id.text().into_owned(),
            offset: receipt.position.map_or(0, |position| position.offset.major),
            position: receipt.position.map(|position| position.to_string()),
        },
        Err(BusError::Publish(error)) => EventAnswer::Failed {
            message: error.to_string(),
            is_retryable: error.is_retryable(),
            is_unknown: error.outcome() == Outcome::Unknown,
        },
        // The manager is being closed.
        Err(error) => EventAnswer::Failed {
            message: error.to_string(),
            is_retryable: true,
            is_unknown: false,
        },
    }
}
