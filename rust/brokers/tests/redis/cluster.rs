//! A Redis Cluster: partitions on several masters, and masters that are away. Not here: slots that move
//! (`moving`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use brokers::redis::{Config, Times};
use bus::StreamKey;
use bus::engine::{AttemptError, Engine, Health};
use futures_util::future::join_all;

use crate::servers::{Cluster, Happened, Node, Server, eventually, free_port, quick, stream};

pub(crate) fn streams(count: usize) -> Vec<StreamKey> {
    (0..count)
        .map(|number| stream(&format!("s{number}")))
        .collect()
}

pub(crate) async fn want_all(node: &Node, streams: &[StreamKey]) {
    for one in streams {
        node.engine.want(one);
    }
    for one in streams {
        node.received.ready(one).await;
    }
}

/// The connections to a server, except that of `redis-cli` and those of other servers.
fn connections(server: &Server) -> usize {
    let clients = server.command(&["CLIENT", "LIST", "TYPE", "normal"]);
    let subscribers = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]);
    let is_ours = |client: &&str| client.contains("laddr=127.0.0.1:");
    clients
        .lines()
        .chain(subscribers.lines())
        .filter(is_ours)
        .count()
}

#[tokio::test]
async fn streams_of_every_master_are_delivered_over_three_links_to_each() {
    let cluster = Cluster::start().await;
    let (one, other) = (
        Node::live(cluster.config()).await,
        Node::live(cluster.config()).await,
    );
    let streams = streams(200);
    want_all(&one, &streams).await;
    want_all(&other, &streams).await;
    for server in &cluster.servers {
        let channels = server.command(&["PUBSUB", "SHARDCHANNELS"]);
        let count = channels.lines().count();
        assert!(
            count > 20,
            "partitions are spread over the masters: {count}"
        );
        eventually("each node has three links to each master", || {
            connections(server) == 6
        })
        .await;
    }
    let sent = join_all(
        streams
            .iter()
            .map(|one_stream| one.publish(one_stream, &["a", "b"])),
    );
    for (stream, answers) in streams.iter().zip(sent.await) {
        let last = answers[1].clone().unwrap();
        for node in [&one, &other] {
            assert_eq!(node.received.event(stream, "b").await, last);
        }
    }
    let mut expected = Vec::new();
    for (stream, head) in streams
        .iter()
        .zip(other.engine.heads(streams.clone().into()).await)
    {
        let head = head.unwrap();
        let mut start = head;
        start.offset.major = 0;
        let page = other.engine.read(stream, start, 10).await.unwrap();
        assert_eq!((page.events.len(), page.head), (2, head));
        expected.push(head);
    }
    assert!(expected.iter().all(|head| head.offset.major == 2));
}

#[tokio::test]
async fn many_streams_of_many_partitions_are_ready_again_after_links_were_cut() {
    let cluster = Cluster::start().await;
    let node = Node::live(cluster.config_of("?partitions=1024", quick())).await;
    let streams = streams(3000);
    want_all(&node, &streams).await;
    node.received.clear();
    let cut = Instant::now();
    for server in &cluster.servers {
        assert_eq!(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]), "1");
    }
    node.is_live().await;
    for one in &streams {
        node.received.ready(one).await;
    }
    eprintln!("3,000 streams are ready again after {:?}", cut.elapsed());
    node.publish_for_certain(&streams[7], "after").await;
    node.received.event(&streams[7], "after").await;
    for server in &cluster.servers {
        let errors = server.command(&["INFO", "errorstats"]);
        assert!(!errors.contains("CROSSSLOT"), "{errors}");
    }
}

#[tokio::test]
async fn a_cluster_without_one_of_its_masters_accepts_no_events_and_comes_back() {
    let mut cluster = Cluster::start().await;
    let node = Node::live(cluster.config()).await;
    let streams = streams(30);
    want_all(&node, &streams).await;
    let places = cluster.places(&streams);
    let of = |server: usize| &streams[places.iter().position(|place| *place == server).unwrap()];
    cluster.servers[0].kill();
    eventually("the cluster is down", || {
        let info = cluster.servers[1].command(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:fail")
    })
    .await;
    let answer = node.publish(of(1), &["x"]).await.remove(0);
    assert!(
        matches!(&answer, Err(AttemptError::Busy(why)) if why.contains("CLUSTERDOWN")),
        "{answer:?}"
    );
    let answer = node.publish(of(0), &["x"]).await.remove(0);
    assert!(
        matches!(&answer, Err(AttemptError::NotSent(_))),
        "{answer:?}"
    );
    let asked: Arc<[StreamKey]> = Arc::new([of(0).clone()]);
    assert!(node.engine.heads(asked).await[0].is_err());
    cluster.servers[0].restart();
    for server in [0, 1] {
        node.publish_for_certain(of(server), "after").await;
        node.received.event(of(server), "after").await;
    }
    node.is_live().await;
}

#[tokio::test]
async fn a_master_that_is_away_affects_its_streams_only() {
    let mut cluster = Cluster::with(3, &["--cluster-require-full-coverage", "no"]).await;
    let node = Node::live(cluster.config()).await;
    let streams = streams(30);
    want_all(&node, &streams).await;
    let places = cluster.places(&streams);
    cluster.servers[2].kill();
    eventually("it is away", || !node.engine.health().is_live()).await;
    let heads = node.engine.heads(streams.clone().into()).await;
    for ((one, place), head) in streams.iter().zip(&places).zip(heads) {
        assert_eq!(head.is_ok(), *place != 2, "{head:?}");
        if *place != 2 {
            let new = stream(&format!("new {}", one.channel));
            node.engine.want(&new);
            node.publish(one, &["during"]).await.remove(0).unwrap();
            node.received.event(one, "during").await;
        }
    }
    cluster.servers[2].restart();
    node.is_live().await;
    for one in &streams {
        node.publish_for_certain(one, "after").await;
        node.received.event(one, "after").await;
    }
}

#[tokio::test]
async fn a_cluster_is_found_by_any_of_its_servers() {
    let cluster = Cluster::start().await;
    let unused = free_port();
    let last = cluster.servers[2].port;
    for hosts in [
        format!("127.0.0.1:{unused},127.0.0.1:{last}"),
        format!("localhost:{last}"),
    ] {
        let mut config = Config::from_url(&format!("redis+cluster://{hosts}")).unwrap();
        config.times = quick();
        let node = Node::live(config).await;
        want_all(&node, &streams(20)).await;
    }
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_away_until_it_comes() {
    let port = free_port();
    let mut config = Config::from_url(&format!("redis+cluster://127.0.0.1:{port}")).unwrap();
    config.times = quick();
    let node = Node::start(config);
    let reason = node
        .received
        .wait("it is away", |all| {
            all.iter().find_map(|one| match one {
                Happened::Health(Health::Away { reason, .. }) => Some(reason.clone()),
                _ => None,
            })
        })
        .await;
    assert!(reason.contains(&port.to_string()), "{reason}");
    let answer = node.publish(&stream("orders"), &["x"]).await.remove(0);
    assert!(
        matches!(&answer, Err(AttemptError::NotSent(why)) if why.contains(&port.to_string())),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_server_of_the_other_kind_is_reported() {
    let single = Server::on_a_port(&[]);
    let mut config =
        Config::from_url(&format!("redis+cluster://127.0.0.1:{}", single.port)).unwrap();
    config.times = quick();
    let reason = Node::start(config).configuration_error().await;
    assert!(reason.contains("write redis://"), "{reason}");
    let cluster = Cluster::with(1, &[]).await;
    let port = cluster.servers[0].port;
    let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    config.times = quick();
    let reason = Node::start(config).configuration_error().await;
    assert!(reason.contains("write redis+cluster://"), "{reason}");
}

#[tokio::test]
async fn nodes_with_other_partitions_are_refused_by_a_cluster() {
    let cluster = Cluster::start().await;
    let _node = Node::live(cluster.config()).await;
    let other = cluster.config_of("?partitions=8", quick());
    let reason = Node::start(other).configuration_error().await;
    assert!(
        reason.contains("partitions=64") && reason.contains("partitions=8"),
        "{reason}"
    );
    let _third = Node::live(cluster.config_of("?partitions=8&prefix=fs2", quick())).await;
}

#[tokio::test]
async fn events_come_through_each_master_or_its_link_is_made_again() {
    let cluster = Cluster::start().await;
    let times = Times {
        probe_after: Duration::from_millis(50),
        probe_answer: Duration::from_secs(10),
        ..quick()
    };
    let node = Node::live(cluster.config_of("", times)).await;
    for server in &cluster.servers {
        eventually("probes are published to each master", || {
            let stats = server.command(&["INFO", "commandstats"]);
            let calls = stats.lines().find_map(|line| {
                let calls = line.strip_prefix("cmdstat_spublish:calls=")?;
                calls.split(',').next()?.parse::<u32>().ok()
            });
            calls.is_some_and(|calls| calls > 20)
        })
        .await;
    }
    assert!(node.engine.health().is_live());
    node.engine.close(Duration::ZERO).await;
    for server in &cluster.servers {
        eventually("no link is left", || connections(server) == 0).await;
    }
}
