//! Connections that another server carries: which threads they live on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

use bus::cluster::{NodeId, NodeIdentity};
use graphql::{DocumentLimits, Schema, SchemaOptions};
use protocol::{Session, Subprotocol, Transports};
use runtime::{
    CallId, Catalog, Client, ConnectionConfig, ConnectionHandle, Lane, Limits, Resolver, Runtime,
    RuntimeConfig, RuntimeState, SlowConsumer, TransportHandle,
};
use security::Policy;

struct NoResolvers;

impl Resolver for NoResolvers {
    fn schedule(&self, _: Arc<Lane>) {}
    fn cancel(&self, _: Arc<Lane>, _: Vec<CallId>) {}
}

fn runtime(workers: usize) -> Runtime {
    let sdl = "type Query { a: Int } type Subscription { a: Int }";
    let schema = Schema::parse(sdl, SchemaOptions::default()).unwrap();
    let catalog = Catalog::new(schema, Vec::new(), DocumentLimits::default(), None).unwrap();
    let state = RuntimeState::new(RuntimeConfig {
        catalog: Arc::new(catalog),
        limits: Limits {
            connection_init_timeout: Duration::from_mins(1),
            max_connections: None,
            max_subscriptions_per_connection: 1,
            max_message_bytes: 1024,
            max_head_bytes: 1024,
            request_timeout: Duration::from_mins(1),
            send_timeout: Duration::from_mins(1),
            max_retained_bytes: 1024 * 1024,
            max_pending_bytes: 1024,
            slow_consumer: SlowConsumer::Disconnect,
            keepalive: None,
        },
        policy: Policy::default(),
        transports: Transports::default(),
        resolver: Arc::new(NoResolvers),
        tokens: None,
        authenticator: None,
        page: None,
        node: NodeIdentity {
            id: NodeId::new(1),
            name: "node".into(),
            version: "1.0".into(),
            started_at: 0.0,
        },
        unready_after: None,
        timings: None,
        key: [0; 16],
        engine: None,
        history: None,
    });
    Runtime::start(state, workers).unwrap()
}

/// Opens a connection; its thread is told when it ends.
fn open(runtime: &Runtime, ended: mpsc::Sender<ThreadId>) -> ConnectionHandle {
    runtime.responder().open(ConnectionConfig {
        client: Client::default(),
        session: Session::websocket(Subprotocol::TransportWs),
        close: None,
        transport: TransportHandle {
            shut_down: Box::new(|| {}),
            pulse: None,
        },
        ended: Box::new(move || ended.send(std::thread::current().id()).unwrap()),
    })
}

#[test]
fn connections_are_spread_evenly_over_the_workers() {
    let runtime = runtime(2);
    let (ended, threads) = mpsc::channel();
    let remotes: Vec<_> = (0..100).map(|_| open(&runtime, ended.clone())).collect();
    drop((remotes, ended));
    let mut counts = HashMap::new();
    for thread in threads {
        *counts.entry(thread).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [50, 50]);
}

#[test]
fn a_connection_goes_where_the_fewest_are() {
    let runtime = runtime(2);
    let (ended, threads) = mpsc::channel();
    let first = open(&runtime, ended.clone());
    let second = open(&runtime, ended.clone());
    drop(first);
    let left = threads.recv().unwrap();
    // As when each client sends a request before it connects.
    for _ in 0..3 {
        drop(open(&runtime, ended.clone()));
        assert_eq!(threads.recv().unwrap(), left);
    }
    drop(second);
    assert_ne!(threads.recv().unwrap(), left);
}

#[test]
fn the_threads_of_a_manager_end_with_it() {
    let (ended, threads) = mpsc::channel();
    let runtime = runtime(2);
    let _remote = open(&runtime, ended);
    drop(runtime);
    // The connection went with its thread, which was waited for.
    assert!(threads.try_recv().is_ok());
}
