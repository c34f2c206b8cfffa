//! A cluster of three servers, which keeps each event three times.

use async_nats::jetstream::stream as store;
use bus::Position;
use bus::engine::Engine;

use crate::servers::{Happened, Node, PATIENCE, Server, free_port, stream};

/// Starts three servers that are joined.
fn cluster() -> Vec<Server> {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let routes: Vec<String> = ports
        .iter()
        .map(|port| format!("\"nats://127.0.0.1:{port}\""))
        .collect();
    let routes = routes.join(", ");
    (0..3)
        .map(|number| {
            Server::with(&format!(
                "jetstream {{}}\nserver_name: s{number}\nserver_tags: [\"s{number}\"]\n\
                 cluster {{ name: c, listen: \"127.0.0.1:{}\", routes: [{routes}] }}",
                ports[number]
            ))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_while_one_server_after_the_other_is_killed() {
    let mut servers = cluster();
    let config = |server: &Server| {
        let mut config = server.config_of("?replicas=3");
        config.servers = servers
            .iter()
            .flat_map(|one| one.config().servers)
            .collect();
        config
    };
    let (publisher, node) = (
        Node::start(config(&servers[0])),
        Node::start(config(&servers[0])),
    );
    // The servers elect leaders first.
    publisher.is_live().await;
    node.is_live().await;
    let orders = stream("orders");
    let start = node.want(&orders).await;
    let mut published: Vec<Position> = Vec::new();
    for (round, server) in servers.iter_mut().enumerate() {
        for number in 0..5 {
            let text = format!("{round}.{number}");
            published.push(publish(&publisher, &orders, &text).await);
        }
        server.kill();
        published.push(publish(&publisher, &orders, &format!("{round} killed")).await);
        server.restart();
        // Two servers out of three must always have all events.
        is_complete(server).await;
        published.push(publish(&publisher, &orders, &format!("{round} back")).await);
    }
    assert!(
        published
            .windows(2)
            .all(|two| two[0].offset < two[1].offset)
    );
    assert!(
        published.iter().all(|at| at.epoch == start.epoch),
        "the servers have lost events: from {start:?}, published {published:?}"
    );
    let began = std::time::Instant::now();
    let page = loop {
        let page = node.read(&orders, start, 100).await;
        match page {
            Ok(page) if page.events.len() >= published.len() => break page,
            page => assert!(
                began.elapsed() < PATIENCE,
                "not all events are kept: {page:?}, published {published:?}"
            ),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let read: Vec<Position> = page.events.iter().map(|(at, _)| *at).collect();
    assert_eq!(read, published);
    // The servers publish stored events once, and may lose that when they change their leader. A later
    // event shows the gap.
    let began = std::time::Instant::now();
    while !node.received.all().iter().any(|one| {
        matches!(one, Happened::Event(_, at, _) if at.offset > published[published.len() - 1].offset)
    }) {
        publish(&publisher, &orders, "later").await;
        assert!(began.elapsed() < PATIENCE, "no later event arrives");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Creates the stream of a partition out of two on one server.
async fn create_on(client: &async_nats::Client, partition: u32, server: u32) {
    let subject = format!("fs1.in.{partition}.>");
    let config = store::Config {
        name: format!("fs1-{partition}-of-2"),
        subjects: vec![subject.clone()],
        allow_direct: true,
        republish: Some(store::Republish {
            source: subject,
            destination: "fs1.e.>".to_owned(),
            headers_only: false,
        }),
        placement: Some(store::Placement {
            cluster: None,
            tags: vec![format!("s{server}")],
        }),
        ..store::Config::default()
    };
    let jetstream = async_nats::jetstream::new(client.clone());
    let start = std::time::Instant::now();
    while let Err(error) = jetstream.create_stream(config.clone()).await {
        assert!(start.elapsed() < PATIENCE, "not created: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_without_its_server_keeps_up_no_other() {
    let mut servers = cluster();
    let client = servers[0].client().await;
    create_on(&client, 0, 0).await;
    create_on(&client, 1, 1).await;
    let mut config = servers[0].config_of("?partitions=2");
    config.times.answer = std::time::Duration::from_secs(3);
    let of_partition = |partition: u32| {
        let names = (0..).map(|number| stream(&format!("s{number}")));
        let engine = brokers::nats::Nats::new(config.clone()).unwrap();
        let mut names = names.filter(move |one| engine.partition(one) == partition);
        names.next().unwrap()
    };
    let (good, bad) = (of_partition(0), of_partition(1));
    let old = Node::live(config.clone()).await;
    old.want(&good).await;
    old.want(&bad).await;
    servers[1].kill();
    // Its links may have been to that server.
    let new = Node::live(config.clone()).await;
    new.engine.want(&bad);
    new.want(&good).await;
    for number in 0..5 {
        let text = number.to_string();
        publish(&new, &good, &text).await;
        old.received.event(&good, &text).await;
        new.received.event(&good, &text).await;
    }
    let is_ready = |all: &[Happened]| {
        let mut all = all.iter();
        all.any(|one| matches!(one, Happened::Ready(of, _) if *of == bad))
    };
    assert!(!is_ready(&new.received.all()));
    servers[1].restart();
    new.received.ready(&bad).await;
    publish(&new, &bad, "back").await;
    old.received.event(&bad, "back").await;
    new.received.event(&bad, "back").await;
}

/// Waits until each server has all events.
pub(crate) async fn is_complete(server: &Server) {
    let client = server.client().await;
    let jetstream = async_nats::jetstream::new(client);
    let start = std::time::Instant::now();
    loop {
        if let Ok(mut store) = jetstream.get_stream("fs1").await
            && let Ok(info) = store.info().await
            && let Some(cluster) = &info.cluster
        {
            let current = cluster
                .replicas
                .iter()
                .filter(|one| one.current && !one.offline);
            if cluster.leader.is_some() && current.count() == 2 {
                return;
            }
        }
        assert!(start.elapsed() < PATIENCE, "a server has not all events");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Publishes one event, repeatedly with the same id until it succeeds.
pub(crate) async fn publish(node: &Node, stream: &bus::StreamKey, text: &str) -> Position {
    let batch = crate::servers::batch(stream, &[text]);
    let start = std::time::Instant::now();
    loop {
        match node.engine.publish(batch.clone()).await.remove(0) {
            Ok(position) => return position,
            Err(error) => assert!(start.elapsed() < 2 * PATIENCE, "not published: {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
