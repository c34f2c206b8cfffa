//! One client connection: its protocol session, its operations, its outgoing messages.
//!
//! Its transport (`server::websocket`, [`ConnectionHandle`](crate::ConnectionHandle)) hands in what it
//! receives and writes what the [`Outbox`] holds; everything in between happens here, on one thread.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use actix::Addr;
use bytes::Bytes;
use graphql::GraphQLError;
use protocol::{Action, Close, OperationId, OperationKind, OperationMap, Session};
use security::Check;
use tokio::sync::oneshot;

use crate::audit;
use crate::catalog::PreparedRequest;
use crate::client::{Buckets, Client, ConnectionInfo, RateTable};
use crate::journal::{self, OperationEnd};
use crate::operation::{OpenResult, Opened, opened_unless_cancelled};
use crate::routing::WorkerNumber;
use crate::subscription::{FinishSubscription, StopSubscription, SubscriptionActor};

mod ending;
mod expiry;
mod initialisation;
mod liveness;
mod operation_sink;
mod outbox;
mod path;
mod rates;
mod registry;
mod retained;
mod signal;
mod task;
mod transport;
mod verdict;

use liveness::Liveness;
pub use liveness::{Flow, stuck_time};
use operation_sink::OperationSink;
use outbox::OperationMark;
pub use outbox::{Outbox, Outgoing};
pub(crate) use path::ClientPath;
pub use registry::Registry;
use retained::{Charge, Retained};
pub use signal::SignalStream;
use task::Task;
pub use transport::Transport;
pub(crate) use verdict::Verdict;
use verdict::VerdictSink;

/// One client connection.
pub struct Connection {
    key: u64,
    connected: Arc<ConnectionInfo>,
    registry: Rc<Registry>,
    session: RefCell<Session>,
    outbox: Rc<Outbox>,
    operations: RefCell<OperationMap<ActiveOperation>>,
    /// Set from the handshake until `connection_init` takes it, and again when authenticated.
    client: RefCell<Option<Box<Client>>>,
    accepted: RefCell<Option<Arc<Client>>>,
    transport: Box<dyn Transport>,
    is_websocket: bool,
    is_exchange: bool,
    /// Whether it was counted as refused before authentication.
    is_counted: Cell<bool>,
    /// Whether the log says that it has ended.
    is_told: Cell<bool>,
    liveness: Liveness,
    /// A reference for each document that the host's executor is checking.
    judged: Rc<()>,
    /// Set when it has to close as soon as its running queries and mutations have ended.
    leaving: Cell<bool>,
    /// Set until the operation of an HTTP request has started.
    awaits_operation: Cell<bool>,
    buckets: RefCell<Option<Arc<Buckets>>>,
    /// Waits for the authentication of the client.
    authenticating: RefCell<Option<Task>>,
    /// Closes a connection whose client is not accepted in time, or does not open its stream.
    initialising: RefCell<Option<Task>>,
    /// Memory that its operations keep for their requests.
    retained: Retained,
    /// Subscriptions that wait for their checks (count).
    checking: Cell<usize>,
    /// The reader, while it waits for those.
    reader: RefCell<Option<Waker>>,
}

struct ActiveOperation {
    mark: Rc<OperationMark>,
    /// Set once the operation runs.
    actor: Option<Addr<SubscriptionActor>>,
    /// Memory that it keeps for its request.
    charge: Option<Charge>,
}

impl Connection {
    /// Registers a connection with its worker. `client` has the data of the handshake or the
    /// request.
    #[must_use]
    pub fn open(
        registry: &Rc<Registry>,
        client: Client,
        session: Session,
        transport: Box<dyn Transport>,
    ) -> Rc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let key = LAST.fetch_add(1, Relaxed);
        let is_websocket = session.is_websocket();
        let is_exchange = session.is_exchange();
        let limits = &registry.state().limits;
        let outbox = Outbox::new(
            limits.max_pending_bytes,
            limits.slow_consumer,
            registry.state().metrics.clone(),
        )
        .with_budget(client.budget.clone());
        let connection = Rc::new(Self {
            key,
            connected: Arc::new(ConnectionInfo::new(&client, session.protocol())),
            registry: registry.clone(),
            session: RefCell::new(session),
            outbox: Rc::new(outbox),
            operations: RefCell::default(),
            client: RefCell::new(Some(Box::new(client))),
            accepted: RefCell::new(None),
            transport,
            is_websocket,
            is_exchange,
            is_counted: Cell::new(false),
            is_told: Cell::new(false),
            liveness: Liveness::new(),
            judged: Rc::default(),
            leaving: Cell::new(false),
            awaits_operation: Cell::new(is_exchange),
            buckets: RefCell::new(
                registry
                    .state()
                    .rates
                    .as_ref()
                    .map(RateTable::of_connection),
            ),
            authenticating: RefCell::new(None),
            initialising: RefCell::new(None),
            retained: Retained::new(limits.max_retained_bytes),
            checking: Cell::new(0),
            reader: RefCell::new(None),
        });
        registry.add(key, &connection);
        journal::connection_opened(&connection.connected);
        let ended = Rc::downgrade(&connection);
        connection.outbox.on_overflow(move || {
            if let Some(connection) = ended.upgrade() {
                journal::connection_too_slow(&connection.connected);
                connection.end_told(&Close::slow_consumer());
                connection.end();
            }
        });
        if is_websocket {
            connection.set_initialisation_time(limits.connection_init_timeout);
        }
        let action = connection.session.borrow_mut().begin();
        connection.act(action);
        if registry.state().is_draining() {
            // It was admitted just before the drain.
            connection.leave();
        }
        connection
    }

    /// Returns the id of the connection, unique within the process.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.connected.id
    }

    /// Returns its snapshot for other threads.
    pub(crate) fn connected(&self) -> &Arc<ConnectionInfo> {
        &self.connected
    }

    /// Returns the number of its worker.
    fn worker(&self) -> WorkerNumber {
        self.registry.opener().subscriptions().channels().number()
    }

    /// Returns the outbox.
    #[must_use]
    pub fn outbox(&self) -> &Rc<Outbox> {
        &self.outbox
    }

    /// Returns the client, once it is accepted.
    #[must_use]
    pub fn client(&self) -> Option<Arc<Client>> {
        self.accepted.borrow().clone()
    }

    /// Ready when the next message may be passed on. While checks decide about a subscription, the
    /// transport does not read further messages, so that messages take effect in order.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        if self.checking.get() == 0 {
            return Poll::Ready(());
        }
        self.reader.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Receives one text message.
    pub fn receive_text(self: &Rc<Self>, text: &str) {
        self.liveness.hear();
        if self.takes_message() {
            let actions = self.session.borrow_mut().receive_text(text);
            self.act(actions);
        }
    }

    /// Counts and logs a denial.
    fn denied(&self, check: Check) {
        self.registry.state().metrics.denied(check);
        let client = self.client();
        let identity = client
            .as_ref()
            .and_then(|client| client.identity.as_deref());
        audit::connection_denied(check, identity, self.id());
    }

    /// Receives one binary message, which the protocols do not have.
    pub fn receive_binary(self: &Rc<Self>) {
        if self.takes_message() {
            let action = self.session.borrow_mut().receive_binary();
            self.act(action);
        }
    }

    /// Receives a ping of the transport.
    pub fn receive_ping(self: &Rc<Self>, payload: Bytes) {
        self.liveness.hear();
        if self.takes_message() {
            self.outbox.push_control(Outgoing::Pong(payload));
        }
    }

    /// Receives a pong of the transport.
    pub fn receive_pong(&self) {
        self.liveness.answer();
    }

    /// Records that the client has opened its reserved stream.
    pub(crate) fn open_stream(&self) {
        self.initialising.take();
        self.session.borrow_mut().open();
    }

    /// Starts an operation of an event stream; false if its id is in use.
    pub(crate) fn start(self: &Rc<Self>, id: OperationId, prepared: &Arc<PreparedRequest>) -> bool {
        let is_new = self.session.borrow_mut().start(&id);
        if is_new {
            self.subscribe(id, prepared);
        }
        is_new
    }

    /// Passes a refused document to the host's executor; the request waits for its errors.
    pub(crate) fn judge(
        &self,
        prepared: &Arc<PreparedRequest>,
        mut reply: oneshot::Sender<Verdict>,
    ) {
        let Some(client) = self.client() else { return };
        let limit = self
            .registry
            .state()
            .limits
            .max_subscriptions_per_connection;
        if Rc::strong_count(&self.judged) > limit {
            // The request is answered without the executor.
            return;
        }
        let (sink, verdict) = VerdictSink::new();
        let opening = self
            .registry
            .opener()
            .open(prepared, &client, Rc::new(sink));
        let judged = self.judged.clone();
        actix::spawn(async move {
            let opened = match opening {
                OpenResult::Ready(opened) => opened,
                OpenResult::Pending(pending) => {
                    opened_unless_cancelled(pending, reply.closed()).await
                }
            };
            if opened.is_ok()
                && let Ok(verdict) = verdict.await
            {
                // Fails only if its request is gone.
                reply.send(verdict).ok();
            }
            stop_opened(opened);
            drop(judged);
        });
    }

    /// Ends an operation of an event stream.
    pub(crate) fn stop(self: &Rc<Self>, id: OperationId) {
        let action = self.session.borrow_mut().stop(id);
        self.act(action);
    }

    fn act(self: &Rc<Self>, actions: impl IntoIterator<Item = Action>) {
        for action in actions {
            match action {
                Action::Respond(head) => self.outbox.push_control(Outgoing::Head(head)),
                Action::Send(message) => self.outbox.push_control(Outgoing::Text(message.into())),
                Action::Initialise { payload } => self.initialise(payload),
                Action::Subscribe { id, request } => {
                    self.subscribe(id, &PreparedRequest::new(request));
                }
                Action::Complete { id } => self.client_completed(&id),
                Action::Answered => self.liveness.answer(),
                Action::Close(close) => self.close(close),
            }
        }
    }

    fn subscribe(self: &Rc<Self>, id: OperationId, prepared: &Arc<PreparedRequest>) {
        // The session does not allow a client to subscribe before it is accepted.
        let Some(client) = self.client() else { return };
        self.client_completed(&id);
        let catalog = &self.registry.state().catalog;
        let kind = (!self.is_websocket).then(|| catalog.kind(prepared));
        if self.is_too_late(kind.flatten()) {
            return self.leave();
        }
        if let Err(wait) = self.takes_operation(&client) {
            let error = self.too_many_operations();
            let told = error.message.clone();
            let actions = self.session.borrow_mut().too_many_operations(&told, wait);
            return match actions {
                Some(actions) => self.act(actions),
                None => self.refuse(&id, &[error]),
            };
        }
        let limit = self
            .registry
            .state()
            .limits
            .max_subscriptions_per_connection;
        if self.operations.borrow().len() >= limit {
            let error = GraphQLError::new(format!(
                "this connection runs {limit} operations already, which is its limit: complete one first"
            ));
            return self.refuse(&id, &[error]);
        }
        if let Some(kind) = kind {
            let starting = self.session.borrow_mut().starting(kind);
            match starting {
                Ok(actions) => self.act(actions),
                Err(actions) => return self.act(actions),
            }
        }
        let mark = Rc::<OperationMark>::default();
        if self.registry.state().metrics.timings.is_some()
            && let Some(selected) = catalog.selected(prepared)
        {
            mark.select(selected);
        }
        self.operations.borrow_mut().insert(
            id.clone(),
            ActiveOperation {
                mark: mark.clone(),
                actor: None,
                charge: None,
            },
        );
        self.count_operations();
        let asks_ids = prepared.resume().is_ok_and(|resume| resume.is_asked);
        let framing = self.session.borrow().framing(&id);
        let sink = Rc::new(OperationSink {
            connection: Rc::downgrade(self),
            outbox: self.outbox.clone(),
            framing: framing.with_ids(self.registry.state().can_resume(), asks_ids),
            stream: OnceCell::new(),
            needs_head: Cell::new(!self.is_websocket),
            id: id.clone(),
            mark: mark.clone(),
            buckets: self.buckets_of_results(&client, prepared),
            metrics: self.registry.state().metrics.clone(),
            running: OnceCell::new(),
        });
        match self.registry.opener().open(prepared, &client, sink) {
            OpenResult::Ready(opened) => self.opened(&id, &mark, opened),
            OpenResult::Pending(pending) => {
                self.checking.set(self.checking.get() + 1);
                let connection = Rc::downgrade(self);
                actix::spawn(async move {
                    let opened = opened_unless_cancelled(pending, mark.withdrawn()).await;
                    match connection.upgrade() {
                        Some(connection) => connection.checked(&id, &mark, opened),
                        None => stop_opened(opened),
                    }
                });
            }
        }
    }

    /// Handles the decision of the checks about a subscription.
    fn checked(
        self: &Rc<Self>,
        id: &OperationId,
        mark: &Rc<OperationMark>,
        opened: Result<Opened, Vec<GraphQLError>>,
    ) {
        self.opened(id, mark, opened);
        self.checking.set(self.checking.get() - 1);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn opened(
        self: &Rc<Self>,
        id: &OperationId,
        mark: &Rc<OperationMark>,
        opened: Result<Opened, Vec<GraphQLError>>,
    ) {
        if mark.is_withdrawn() {
            // The client, or the connection, has ended it in the meantime.
            return stop_opened(opened);
        }
        match opened {
            Ok(Opened::Subscription(actor)) => {
                journal::operation_started(&*self.connected, Some(id.as_str()), mark.field());
                if self.leaving.get() {
                    actor.do_send(FinishSubscription);
                }
                if let Some(running) = self.operations.borrow_mut().get_mut(id) {
                    running.actor = Some(actor);
                }
            }
            Ok(Opened::Answered) => {}
            Err(errors) => self.refuse(id, &errors),
        }
    }

    /// Counts the memory that an operation keeps for its request, including its id.
    fn retain(
        &self,
        id: &OperationId,
        mark: &Rc<OperationMark>,
        bytes: usize,
    ) -> Result<(), Vec<GraphQLError>> {
        // The id is also part of the framing of results.
        let bytes = bytes.saturating_add(2 * id.as_str().len());
        let charge = self.retained.charge(bytes).ok_or_else(|| {
            vec![GraphQLError::new(format!(
                "the operations of this connection would keep more than {} bytes of ids and arguments, which is its limit (max_retained_bytes): complete one first, or send less",
                self.retained.limit()
            ))]
        })?;
        let mut operations = self.operations.borrow_mut();
        let running = operations.get_mut(id);
        if let Some(running) = running.filter(|running| Rc::ptr_eq(&running.mark, mark)) {
            running.charge = Some(charge);
        }
        Ok(())
    }

    /// Handles that the identity has expired.
    pub(crate) fn expired(&self) {
        self.registry.state().metrics.connections_expired.add(1);
        self.close(Close::new(4403, "Identity expired"));
    }

    fn refuse(self: &Rc<Self>, id: &OperationId, errors: &[GraphQLError]) {
        journal::operation_refused(&*self.connected, Some(id.as_str()), errors);
        self.operation_failed(id, &graphql::errors_to_json(errors));
    }

    fn client_completed(&self, id: &OperationId) {
        let running = self.forget(id, OperationEnd::Client);
        if let Some(running) = running {
            running.stop();
        }
        self.count_operations();
    }

    /// Removes an operation that ends.
    fn forget(&self, id: &OperationId, end: OperationEnd) -> Option<ActiveOperation> {
        let ended = self.operations.borrow_mut().remove(id)?;
        self.tell_end(id, &ended.mark, end);
        Some(ended)
    }

    fn count_operations(&self) {
        self.connected
            .set_operations(self.operations.borrow().len());
    }

    fn operation_failed(self: &Rc<Self>, id: &OperationId, errors: &[u8]) {
        let actions = self.session.borrow_mut().error(id, errors);
        self.operation_ended(id, OperationEnd::Failed, actions);
    }

    fn operation_completed(self: &Rc<Self>, id: &OperationId) {
        let actions = self.session.borrow_mut().complete(id);
        self.operation_ended(id, OperationEnd::Complete, actions);
    }

    fn operation_ended(self: &Rc<Self>, id: &OperationId, end: OperationEnd, actions: Vec<Action>) {
        self.forget(id, end);
        self.count_operations();
        self.act(actions);
        self.close_when_done();
    }

    /// Handles that an operation has sent all results and receives no further event. Its client is
    /// not sent an end, so that it reconnects to another server.
    fn operation_drained(&self, id: &OperationId) {
        self.forget(id, OperationEnd::Drain);
        self.count_operations();
        self.close_when_done();
    }

    pub(crate) fn keep_alive(&self) {
        if self.is_websocket && self.outbox.is_closed() {
            // It has the grace period of its close. A body may be read for longer while the client
            // makes progress.
            return;
        }
        let (heartbeat, ping) = {
            let session = self.session.borrow();
            let ping = if self.transport.has_pings() {
                self.is_websocket.then_some(Outgoing::Ping)
            } else {
                session.ping().map(|ping| Outgoing::Text(ping.into()))
            };
            (session.heartbeat(), ping)
        };
        if let Some(heartbeat) = heartbeat {
            self.outbox.push_control(Outgoing::Text(heartbeat.into()));
        }
        match (
            self.liveness.is_gone(self.transport.flow(), ping.is_some()),
            ping,
        ) {
            (false, None) => {}
            (false, Some(ping)) => self.ping(ping),
            // If the client reads again, it receives the reason.
            (true, Some(_)) => self.close(Close::no_answer()),
            (true, None) => {
                self.loss_told();
                self.end();
                self.transport.shut_down();
            }
        }
    }

    /// Whether the keepalive is on: clients are pinged, and disconnected when they are gone.
    #[must_use]
    pub fn is_kept_alive(&self) -> bool {
        self.registry.state().limits.keepalive.is_some()
    }

    /// Whether an operation of this kind, if known, arrives too late during a drain. An HTTP
    /// request has arrived before, because a draining server admits none.
    fn is_too_late(&self, kind: Option<OperationKind>) -> bool {
        let is_draining = self.leaving.get() || self.registry.state().is_draining();
        let may_go_on = self.is_websocket || kind == Some(OperationKind::Subscription);
        self.awaits_operation.set(false);
        is_draining && may_go_on
    }
}

impl ActiveOperation {
    fn stop(self) {
        self.mark.withdraw();
        if let Some(actor) = self.actor {
            actor.do_send(StopSubscription);
        }
    }
}

fn stop_opened(opened: Result<Opened, Vec<GraphQLError>>) {
    if let Ok(Opened::Subscription(actor)) = opened {
        actor.do_send(StopSubscription);
    }
}

#[cfg(test)]
mod size_tests;
