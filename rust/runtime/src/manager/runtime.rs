//! A started manager: its actors, its in-process operations, its end.

use std::cell::OnceCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Actor, Addr};
use bus::EngineLink;
use bus::cluster::{NodeHost, Selector};
use bus::source::SourceTarget;
use dashmap::DashMap;
use graphql::GraphQLError;
use protocol::{Close, Framing, OperationKind, Request};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::broadcaster::{Broadcaster, ShardList};
use super::departures::{Departures, DrainOptions};
use super::event_bus::EventBusActor;
use super::link_thread::{ClusterLosses, LinkThread, Node};
use super::local_node::LocalNode;
use super::system::SystemThread;
use super::worker_factory::WorkerFactory;
use super::worker_pool::WorkerPool;
use crate::catalog::PreparedRequest;
use crate::client::{Buckets, Client};
use crate::error::RuntimeError;
use crate::journal::{self, OperationEnd};
use crate::operation::{OpenResult, Opened, opened_unless_cancelled};
use crate::state::RuntimeState;
use crate::subscription::{FinishSubscription, StopSubscription, SubscriptionActor};
use crate::transport::{Responder, Response, ResponseStream, StreamSink, Streams};
use crate::worker::{DrainConnections, ListPaths, RunOnWorker, ShardActor, StopWorker, Worker};

/// Interval at which a drain checks whether everything has ended.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Time for the last close frames of a drain to be written.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Time to tell other nodes that this one leaves.
const LEAVE_TIME: Duration = Duration::from_millis(250);

/// Time after which what still holds a drain is told.
const TELL_AFTER: Duration = Duration::from_millis(100);

/// A started manager.
pub struct Runtime {
    state: Arc<RuntimeState>,
    pub(super) shards: Arc<ShardList>,
    pub(super) broadcaster: Arc<Broadcaster>,
    streams: Arc<Streams>,
    /// The worker on the system's thread, which hosts in-process operations.
    local: Addr<ShardActor>,
    operations: Arc<DashMap<String, InProcess>>,
    /// Threads of the pool (count).
    workers: usize,
    pool: OnceLock<WorkerPool>,
    system: Arc<SystemThread>,
    /// Held for its end.
    link: Option<LinkThread>,
}

struct InProcess {
    stream: Arc<ResponseStream>,
    /// `None` until it runs, and for operations that were answered at once.
    actor: Option<Addr<SubscriptionActor>>,
}

impl InProcess {
    /// Whether this is the operation of a stream. Its id alone does not tell: ids are reused.
    fn is(&self, stream: &Arc<ResponseStream>) -> bool {
        Arc::ptr_eq(&self.stream, stream)
    }
}

impl Runtime {
    /// Starts the actors of a manager. Blocks until they run. `workers`: threads for connections
    /// that an adapter accepts in another server (count); they start with the first of these.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Thread`] when the operating system refuses a thread.
    pub fn start(state: RuntimeState, workers: usize) -> Result<Self, RuntimeError> {
        let system = SystemThread::acquire()?;
        let state = Arc::new(state);
        let shards = Arc::<ShardList>::default();
        let (started, local) = mpsc::sync_channel(1);
        let broadcaster = Broadcaster::new(&state, &shards);
        let (of_worker, list, of_bus) = (state.clone(), shards.clone(), broadcaster.clone());
        system.arbiter().spawn_fn(move || {
            EventBusActor::new(&of_worker, of_bus).start();
            let groups = of_worker.call_groups.clone();
            let (worker, shard) = Worker::start(of_worker);
            groups.set_home(worker.address(&shard));
            list.add(worker.number(), shard.clone());
            // Fails only when the caller has returned, and does not need the address.
            started.send(shard).ok();
        });
        let local = local.recv().map_err(|_| RuntimeError::Closed)?;
        let mut runtime = Self {
            state,
            shards,
            broadcaster,
            streams: Arc::default(),
            local,
            operations: Arc::default(),
            workers,
            pool: OnceLock::new(),
            system,
            link: None,
        };
        // Where its thread is refused, the runtime is dropped, and its actors end.
        let node = runtime.node();
        let link = runtime.state.link.clone();
        runtime.link = link.map(|link| LinkThread::start(link, node)).transpose()?;
        Ok(runtime)
    }

    /// This process among those that share the engine; `None`: there is one process.
    fn node(&self) -> Option<Node> {
        let cluster = self.state.cluster.clone()?;
        let host: Arc<dyn NodeHost> = Arc::new(self.local_node());
        let losses = ClusterLosses {
            cluster: cluster.clone(),
            host: host.clone(),
        };
        let target = SourceTarget {
            engine: cluster.engine().clone(),
            by_tenant: self.state.policy.tenant.is_some(),
            losses: Arc::new(losses),
        };
        Some(Node {
            cluster,
            host,
            sources: self.state.sources.clone(),
            target,
        })
    }

    /// Makes it possible to start a runtime in a forked process, which does not have the thread of
    /// the old one.
    pub fn after_fork() {
        SystemThread::forget();
    }

    /// What all threads of the manager share.
    #[must_use]
    pub fn state(&self) -> &Arc<RuntimeState> {
        &self.state
    }

    /// Ends the actors and with them all operations. The system's thread runs on while another
    /// manager uses it. Dropping the runtime also stops it.
    pub fn stop(&self) {
        self.state.intake.close();
        for shard in self.shards.live() {
            shard.do_send(StopWorker);
        }
        self.complete_all();
    }

    /// Runs a future on the system's thread; false when the system has ended.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> bool {
        self.system.arbiter().spawn(future)
    }

    /// Runs a function on the system's thread, inside its arbiter; false when it has ended.
    pub fn run_on_system(&self, run: impl FnOnce() + Send + 'static) -> bool {
        self.system.arbiter().spawn_fn(run)
    }

    /// Returns the responder of the worker thread with the least load, for a request or connection
    /// that another server accepts. Blocks the first time, while the threads start.
    #[must_use]
    pub fn responder(&self) -> Responder {
        let pool = self.pool.get_or_init(|| self.start_pool());
        pool.least_loaded().unwrap_or_else(|| {
            Responder::new(self.state.clone(), self.streams.clone(), self.local.clone())
        })
    }

    fn start_pool(&self) -> WorkerPool {
        let (started, pool) = mpsc::sync_channel(1);
        let (workers, factory) = (self.workers, self.worker_factory());
        self.run_on_system(move || {
            // The receiver waits below, so this does not fail.
            started.send(WorkerPool::start(workers, &factory)).ok();
        });
        // When the system has ended, the pool is empty.
        pool.recv().unwrap_or_default()
    }

    /// Lets other threads join this manager as workers.
    #[must_use]
    pub fn worker_factory(&self) -> WorkerFactory {
        WorkerFactory::new(
            self.state.clone(),
            self.shards.clone(),
            self.streams.clone(),
        )
    }

    /// Starts an operation without a connection. Returns after it is registered, so events that are
    /// published from then on reach it.
    ///
    /// # Errors
    ///
    /// The inner result: request errors of the GraphQL specification, section 7.1.2, or that the id
    /// is in use. The outer result: [`RuntimeError::Closed`].
    pub async fn subscribe(
        &self,
        id: String,
        request: Request,
        client: Client,
    ) -> Result<Result<Arc<ResponseStream>, Vec<GraphQLError>>, RuntimeError> {
        let mut client = client;
        client.buckets = self.state.in_process_account(&client);
        if let Some(buckets) = &client.buckets
            && buckets.subscribe().is_err()
        {
            return Ok(Err(vec![self.state.operation_denied(&client)]));
        }
        let limits = &self.state.limits;
        let stream = Arc::new(ResponseStream::new(
            limits.max_pending_bytes,
            limits.slow_consumer,
            self.state.metrics.clone(),
        ));
        match self.operations.entry(id.clone()) {
            dashmap::Entry::Occupied(_) => {
                let error = GraphQLError::new(format!("subscription id `{id}` is in use"));
                return Ok(Err(vec![error]));
            }
            dashmap::Entry::Vacant(place) => {
                place.insert(InProcess {
                    stream: stream.clone(),
                    actor: None,
                });
            }
        }
        let (mut reply, opened) = oneshot::channel();
        let client = Arc::new(client);
        let subscriber = client.clone();
        let prepared = PreparedRequest::new(request);
        let asked = prepared.resume().is_ok_and(|resume| resume.is_asked);
        let is_limited = |buckets: &Arc<Buckets>| {
            let kind = || self.state.catalog.kind(&prepared);
            buckets.limits_results() && kind() == Some(OperationKind::Subscription)
        };
        let sink = StreamSink {
            stream: stream.clone(),
            client: client.clone(),
            events: OnceCell::new(),
            buckets: client.buckets.clone().filter(is_limited),
            metrics: self.state.metrics.clone(),
            running: OnceCell::new(),
            framing: Framing::bare().with_ids(self.state.can_resume(), asked),
        };
        let (operations, opening) = (self.operations.clone(), stream.clone());
        self.local.do_send(RunOnWorker(Box::new(move |worker| {
            let finish = move |reply: oneshot::Sender<_>, opened| {
                let result = match opened {
                    Ok(Opened::Subscription(actor)) => {
                        match operations.get_mut(&id).filter(|found| found.is(&opening)) {
                            Some(mut operation) => operation.actor = Some(actor),
                            // It was completed before it ran.
                            None => actor.do_send(StopSubscription),
                        }
                        Ok(())
                    }
                    Ok(Opened::Answered) => Ok(()),
                    Err(errors) => {
                        operations.remove_if(&id, |_, found| found.is(&opening));
                        Err(errors)
                    }
                };
                // Fails only when the caller has given up waiting.
                reply.send(result).ok();
            };
            match worker.opener().open(&prepared, &client, Rc::new(sink)) {
                OpenResult::Ready(opened) => finish(reply, opened),
                OpenResult::Pending(pending) => {
                    actix::spawn(async move {
                        let opened = opened_unless_cancelled(pending, reply.closed()).await;
                        finish(reply, opened);
                    });
                }
            }
        })));
        let opened = opened.await.map_err(|_| RuntimeError::Closed)?;
        if let Err(errors) = &opened {
            journal::operation_refused(&*subscriber, None, errors);
        }
        Ok(opened.map(|()| stream))
    }

    /// Returns the responses of an in-process operation; `None`: no operation has this id.
    #[must_use]
    pub fn responses(&self, id: &str) -> Option<Arc<ResponseStream>> {
        self.operations.get(id).map(|found| found.stream.clone())
    }

    /// Ends an in-process operation. Returns false when it has ended before. `stream` identifies
    /// it: another operation may have its id by now.
    pub fn complete(&self, id: &str, stream: &Arc<ResponseStream>) -> bool {
        self.end_operation(id, stream, OperationEnd::Client)
    }

    fn end_operation(&self, id: &str, stream: &Arc<ResponseStream>, reason: OperationEnd) -> bool {
        let removed = self.operations.remove_if(id, |_, found| found.is(stream));
        let Some((_, operation)) = removed else {
            return false;
        };
        if let Some(actor) = operation.actor {
            actor.do_send(StopSubscription);
        }
        operation.stream.end(Response::Complete, reason);
        true
    }

    fn complete_all(&self) {
        let operations = self.operations.iter();
        let operations: Vec<_> = operations
            .map(|found| (found.key().clone(), found.stream.clone()))
            .collect();
        for (id, stream) in operations {
            self.end_operation(&id, &stream, OperationEnd::Drain);
        }
    }

    /// Closes the selected connections of this process. Returns how many.
    pub fn disconnect(
        &self,
        selector: Selector,
        close: Close,
    ) -> impl Future<Output = usize> + Send + use<> {
        self.local_node().close(selector, close)
    }

    /// The connections of this process.
    pub(super) fn local_node(&self) -> LocalNode {
        LocalNode {
            state: self.state.clone(),
            shards: self.shards.clone(),
        }
    }

    /// Drains all connections, then accepts no further event and ends the operations without a
    /// connection. No client can connect any more.
    pub async fn drain(&self, drain: &DrainOptions) {
        let limit = drain.limit;
        self.announce(drain.ready_delay);
        self.announced().await;
        let begin = Instant::now();
        self.drain_announced(drain).await;
        // After the connections: a mutation that is under way may publish.
        self.state.intake.close();
        let deadline = (begin + limit).max(Instant::now() + limit.min(CLOSE_TIME));
        self.wait_while(|| !self.state.intake.is_empty(), deadline)
            .await;
        let actors: Vec<_> = self
            .operations
            .iter()
            .filter_map(|operation| operation.actor.clone())
            .collect();
        for actor in actors {
            actor.do_send(FinishSubscription);
        }
        let metrics = &self.state.metrics;
        // An operation that receives no further event is not counted as a subscription, but its
        // calls may be under way.
        let is_answering = || self.operations.iter().any(|one| !one.stream.is_over());
        let is_under_way = || metrics.subscriptions.get() > 0 || is_answering();
        let told_at = Instant::now() + TELL_AFTER;
        self.wait_while(is_under_way, told_at.min(deadline)).await;
        if is_under_way() && !self.state.is_hurried() {
            let running = self.operations.iter().filter(|one| !one.stream.is_over());
            tell_waiting(running.count(), deadline);
        }
        self.wait_while(is_under_way, deadline).await;
        self.complete_all();
        if let Some(cluster) = &self.state.cluster {
            cluster.leave(LEAVE_TIME).await;
        }
        if let Some(link) = &self.state.link {
            let (left, least) = (
                deadline.saturating_duration_since(Instant::now()),
                limit.min(CLOSE_TIME),
            );
            self.close_link(link, left.max(least), least).await;
        }
    }

    /// Closes the link to the engine, which may wait so long for answers; if the drain is hurried, for
    /// `least`, or less if what hurries it has less time.
    async fn close_link(&self, link: &EngineLink, longest: Duration, least: Duration) {
        let mut closing = link.close(longest);
        tokio::select! {
            biased;
            () = &mut closing => return,
            () = self.hurried() => {}
        }
        // The shortest time counts for events without an answer; it begins with the call.
        let least = least.min(self.state.close_time());
        drop(link.close(least));
        tokio::time::timeout(least + CLOSE_TIME, closing).await.ok();
    }

    async fn hurried(&self) {
        while !self.state.is_hurried() {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }

    /// Says that further clients should go elsewhere. They are still let in for `delay`, because what
    /// distributes them needs a moment to notice. Another call may shorten the time, but not
    /// prolong it.
    pub fn announce(&self, delay: Duration) {
        let is_first = self.state.leave_by(std::time::Instant::now() + delay);
        if is_first && !delay.is_zero() && !self.state.is_hurried() {
            let seconds = delay.as_secs_f64();
            tracing::info!(
                name: "drain.announced",
                target: "fraiseql_subs",
                "not ready any more: clients are let in for another {seconds:.1} s, then the drain begins"
            );
        }
    }

    /// Waits until the time that was announced is over.
    pub async fn announced(&self) {
        let state = &self.state;
        while state.is_announcing() && !state.is_hurried() {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }

    /// Drains all connections, one after the other. Each sends the results of events that were
    /// published before, waits for operations that end by themselves, and closes with 1001. No
    /// client can connect until [`Self::readmit`].
    pub async fn drain_connections(&self, drain: &DrainOptions) {
        self.announce(drain.ready_delay);
        self.announced().await;
        self.drain_announced(drain).await;
    }

    async fn drain_announced(&self, drain: &DrainOptions) {
        let state = &self.state;
        state.set_draining(true);
        let deadline = Instant::now() + drain.limit;
        let published = state.intake.accepted();
        self.wait_while(|| self.broadcaster.sent() < published, deadline)
            .await;
        let last = self.send_away(drain, deadline).await;
        let publishing = || state.places.publishers() > 0;
        let connected = || state.metrics.connections.get() > 0 || publishing();
        // Those without an operation under way have left by then.
        let told_at = last + TELL_AFTER;
        self.wait_while(connected, told_at.min(deadline)).await;
        if connected() && !state.is_hurried() {
            let listed = state.roster.list();
            tell_waiting(listed.iter().map(|one| one.operations()).sum(), deadline);
        }
        self.wait_while(connected, deadline).await;
        self.disconnect(Selector::default(), Close::going_away())
            .await;
        // Waits until the close frames are written.
        wait_while(connected, Instant::now() + CLOSE_TIME).await;
    }

    /// Closes all connections, one after the other; returns when the last one has its turn.
    async fn send_away(&self, drain: &DrainOptions, deadline: Instant) -> Instant {
        let mut workers: Vec<_> = self
            .shards
            .live()
            .into_iter()
            .map(|one| (one, vec![]))
            .collect();
        let mut clients = Vec::new();
        for (number, (shard, _)) in workers.iter().enumerate() {
            // An error means that the worker, and with it its connections, has ended.
            let paths = shard.send(ListPaths).await.unwrap_or_default();
            clients.extend(paths.into_iter().map(|(key, path)| ((number, key), path)));
        }
        let begin = Instant::now();
        let left = DrainOptions {
            limit: deadline.saturating_duration_since(begin),
            ..*drain
        };
        let departures = Departures::plan(clients, &left);
        if !self.state.is_hurried() {
            departures.tell();
        }
        let last = begin + departures.duration();
        for ((number, key), after) in departures.times {
            workers[number].1.push((key, begin + after));
        }
        for (shard, departures) in workers {
            shard.send(DrainConnections { departures }).await.ok();
        }
        last
    }

    /// Ends the drain that is under way without waiting for answers. Events that the engine has not
    /// taken wait at most for `limit`, and for a moment in each case.
    pub fn hurry(&self, limit: Duration) {
        self.state.hurry(limit.min(CLOSE_TIME));
    }

    /// Lets clients connect again after [`Self::drain_connections`], unless [`Self::end`] was called.
    pub fn readmit(&self) {
        if !self.state.is_ending() {
            self.state.end_hurry();
            self.state.set_draining(false);
        }
    }

    /// Says that a drain which begins is the last one.
    pub fn end(&self) {
        self.state.set_ending();
    }

    async fn wait_while(&self, condition: impl Fn() -> bool, deadline: Instant) {
        wait_while(|| condition() && !self.state.is_hurried(), deadline).await;
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Logs how many operations a drain waits for.
fn tell_waiting(operations: usize, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    if operations > 0 && !left.is_zero() {
        let seconds = left.as_secs_f64();
        let (noun, verb) = if operations == 1 {
            ("operation", "has")
        } else {
            ("operations", "have")
        };
        tracing::info!(
            name: "drain.waits",
            target: "fraiseql_subs",
            "draining: {operations} {noun} under way {verb} up to {seconds:.1} s to end"
        );
    }
}

async fn wait_while(condition: impl Fn() -> bool, deadline: Instant) {
    while condition() && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}
