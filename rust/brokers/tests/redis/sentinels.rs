//! Sentinels: the master is found, and the new one after a failover.

use std::process::Command;
use std::time::Duration;

use brokers::redis::{Config, Times};
use bus::engine::Engine;
use tempfile::TempDir;

use crate::servers::{Node, Process, Server, eventually, free_port, quick, stream};

struct Sentinel {
    _process: Process,
    _directory: TempDir,
    port: u16,
}

fn sentinel(master: u16, quorum: u32) -> Sentinel {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {master} {quorum}\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
        directory.path().display()
    );
    let path = directory.path().join("sentinel.conf");
    std::fs::write(&path, settings).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&path).arg("--sentinel");
    Sentinel {
        _process: Process::start(command),
        _directory: directory,
        port,
    }
}

fn ask(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_new_master_is_found_after_a_failover() {
    let mut master = Server::on_a_port(&[]);
    let port = master.port.to_string();
    let replica = Server::on_a_port(&[
        "--replicaof",
        "127.0.0.1",
        &port,
        "--repl-diskless-sync-delay",
        "0",
    ]);
    let sentinels: Vec<Sentinel> = (0..3).map(|_| sentinel(master.port, 2)).collect();
    for one in &sentinels {
        eventually("the sentinels know each other and the replica", || {
            let state = ask(one.port, &["SENTINEL", "MASTER", "main"]);
            let after = |name: &str| {
                state
                    .lines()
                    .skip_while(|line| *line != name)
                    .nth(1)
                    .unwrap_or("")
                    .to_owned()
            };
            after("num-other-sentinels") == "2" && after("num-slaves") == "1"
        })
        .await;
    }
    eventually("the replica is in step", || {
        replica
            .command(&["INFO", "replication"])
            .contains("master_link_status:up")
    })
    .await;

    let hosts: Vec<String> = sentinels
        .iter()
        .map(|one| format!("127.0.0.1:{}", one.port))
        .collect();
    let url = format!("redis+sentinel://{}/main", hosts.join(","));
    let mut config = Config::from_url(&url).unwrap();
    config.times = Times {
        ping_after: Duration::from_secs(1),
        dead_after: Duration::from_secs(3),
        ..quick()
    };
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let before = node.publish(&orders, &["before"]).await.remove(0).unwrap();
    node.received.event(&orders, "before").await;

    master.kill();
    let after = node.publish_for_certain(&orders, "after").await;
    assert_ne!(
        after.epoch, before.epoch,
        "a promoted server may have lost events"
    );
    eventually("the replica is the master", || {
        replica
            .command(&["INFO", "replication"])
            .contains("role:master")
    })
    .await;
    node.is_live().await;
    node.received.clear();
    node.publish_for_certain(&orders, "last").await;
    node.received.event(&orders, "last").await;

    // The old master comes back, and the node keeps its link.
    master.restart();
    node.publish_for_certain(&orders, "end").await;
    node.received.event(&orders, "end").await;
}

#[tokio::test]
async fn the_master_is_found_although_more_sentinels_name_a_server_that_is_a_replica_now() {
    let master = Server::on_a_port(&[]);
    let port = master.port.to_string();
    let old = Server::on_a_port(&["--replicaof", "127.0.0.1", &port]);
    // They need more votes than there are sentinels, so they never elect another master.
    let sentinels = [old.port, old.port, master.port].map(|port| sentinel(port, 5));
    for (one, named) in sentinels.iter().zip([old.port, old.port, master.port]) {
        eventually("each sentinel names what it was told", || {
            let answer = ask(one.port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
            answer.contains(&named.to_string())
        })
        .await;
    }
    let hosts = sentinels
        .iter()
        .map(|one| format!("127.0.0.1:{}", one.port));
    let hosts: Vec<String> = hosts.collect();
    let url = format!("redis+sentinel://{}/main", hosts.join(","));
    let mut config = Config::from_url(&url).unwrap();
    config.times = quick();
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.publish(&orders, &["x"]).await.remove(0).unwrap();
    node.received.event(&orders, "x").await;
}

#[tokio::test]
async fn a_master_that_sentinels_do_not_know_is_reported() {
    let server = Server::on_a_port(&[]);
    let one = sentinel(server.port, 1);
    let url = format!("redis+sentinel://127.0.0.1:{}/other", one.port);
    let mut config = Config::from_url(&url).unwrap();
    config.times = quick();
    let node = Node::start(config);
    let reason = node.configuration_error().await;
    assert!(reason.contains("name in the URL"), "{reason}");
    assert!(!node.engine.health().is_live());
}

#[tokio::test]
async fn the_scheme_of_another_kind_of_server_is_reported_with_the_right_one() {
    let server = Server::on_a_port(&[]);
    let one = sentinel(server.port, 1);
    eventually("the sentinel answers", || {
        ask(one.port, &["PING"]).contains("PONG")
    })
    .await;
    for (url, hint) in [
        (
            format!("redis://127.0.0.1:{}", one.port),
            "a sentinel answers",
        ),
        (
            format!("redis+sentinel://127.0.0.1:{}/main", server.port),
            "is no sentinel: write redis://",
        ),
        (
            format!("redis+cluster://127.0.0.1:{}", one.port),
            "if it is a sentinel, write redis+sentinel://",
        ),
    ] {
        let mut config = Config::from_url(&url).unwrap();
        config.times = quick();
        let reason = Node::start(config).configuration_error().await;
        assert!(reason.contains(hint), "{url}: {reason}");
    }
}
