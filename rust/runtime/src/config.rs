//! Limits of one manager and what happens past them.

use std::time::Duration;

/// How long a client that is being closed has to take its close before its socket is cut.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What happens to a subscriber that takes its results slower than they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowConsumer {
    /// End it: close 1013 for a connection, an `error` for a single subscription.
    Disconnect,
    /// Drop its oldest pending results.
    DropOldest,
    /// Keep the newest pending result of each subscription only.
    Latest,
}

/// Limits of one manager. Every queue between publisher and socket is bounded by one of these.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time until a WebSocket client is accepted, `connection_init` and authentication included;
    /// past it the close code is 4408.
    pub connection_init_timeout: Duration,
    /// Connections and requests of one manager (count); past it further ones are refused with 503.
    pub max_connections: Option<usize>,
    /// Operations one connection may hold at once (count); past it `subscribe` gets an `error`.
    pub max_subscriptions_per_connection: usize,
    /// Largest message a client may send (bytes); past it the close code is 1009.
    pub max_message_bytes: usize,
    /// Largest head of a request: target, and names and values of fields with 32 each (bytes); past
    /// it the answer is 431.
    pub max_head_bytes: usize,
    /// Time a client has to send a head, and again a body. Past it the answer is 408, or the
    /// connection ends. So long authentication may take for a request, past it the answer is 503.
    pub request_timeout: Duration,
    /// Time that a response waits for its client to take more of it; past it the response ends.
    pub send_timeout: Duration,
    /// What the operations of one connection keep of their requests: ids, names, arguments
    /// (bytes); past it an operation gets an `error`.
    pub max_retained_bytes: usize,
    /// Results that wait for one client (bytes); past it `slow_consumer` acts.
    pub max_pending_bytes: usize,
    /// What happens past `max_pending_bytes`, and past [`MAX_PENDING_EVENTS`].
    pub slow_consumer: SlowConsumer,
    /// Interval of server pings; a connection silent for two of them is closed. `None`: off.
    pub keepalive: Option<Duration>,
}

/// Events that wait for the resolver of one subscription (count). Past it
/// [`Limits::slow_consumer`] acts. Events are shared, so a place costs one pointer.
pub(crate) const MAX_PENDING_EVENTS: usize = 16_384;

/// Outcomes of one subscription that wait for its actor, beside the calls that run (count). Past
/// it no further call starts.
pub(crate) const OUTCOMES_AHEAD: usize = 64;

/// Results of a call group that are sent to workers and not handled yet (count). Past it the
/// outcomes of its lane wait.
pub(crate) const SHARED_IN_FLIGHT: usize = 256;

/// Items of a source stream that wait for their subscriber (count). Past it the stream is not
/// advanced.
pub(crate) const STREAM_WINDOW: usize = 16;

/// Time that a subscription waits until an engine delivers its events.
pub(crate) const INTEREST_TIME: Duration = Duration::from_secs(5);

/// Missed events of one subscription that wait for its resolver (count). Past it no further one is
/// read from history.
pub(crate) const REPLAY_WINDOW: usize = 64;

/// Missed events that are replayed without a pause (count). Past it other tasks of the worker run.
pub(crate) const REPLAY_BATCH: usize = 64;

/// Events taken and not yet handed to the shards (count). Past it publishers wait.
pub const INTAKE_CAPACITY: usize = 4_096;

/// Items up to which an intake is emptied by its publisher's own thread (count). Past it the thread of
/// the broadcast's actor does it, beside the publisher.
pub(crate) const DIRECT_ITEMS: usize = 64;

/// Batches that a thread takes from the intake before the broadcast's actor goes on (count).
pub(crate) const DIRECT_BATCHES: usize = 4;

/// Events in one message to a shard (count). Connections write between two messages.
pub(crate) const BROADCAST_BATCH: usize = 64;

/// What the variables of one request may take as values while they are coerced (bytes): so many
/// times `max_message_bytes`, and so much at least. Past it the request is refused.
pub(crate) const MAX_VARIABLES_FACTOR: usize = 16;
pub(crate) const MAX_VARIABLES_BYTES: usize = 16 * 1024 * 1024;

/// Validated documents that are kept by text (count).
pub(crate) const DOCUMENT_CACHE_CAPACITY: usize = 1_024;
