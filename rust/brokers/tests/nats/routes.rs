//! Three servers whose routes are cut, or that end all at once (N3, N6).

use std::time::Instant;

use bus::Position;
use bus::engine::{AttemptError, Engine, ReadError, Scope};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cluster::{is_complete, publish};
use crate::servers::{Happened, Node, PATIENCE, Server, batch, free_port, stream};

/// What stands before the port for routes of a server, and may cut them.
struct Gate {
    port: u16,
    is_open: watch::Sender<bool>,
}

impl Gate {
    /// A gate to a port.
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self {
            port: listener.local_addr().unwrap().port(),
            is_open: watch::Sender::new(true),
        };
        let is_open = gate.is_open.clone();
        tokio::spawn(async move {
            while let Ok((mut inner, _)) = listener.accept().await {
                let mut is_open = is_open.subscribe();
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let Ok(mut outer) = TcpStream::connect(("127.0.0.1", port)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut inner, &mut outer) => {}
                        _ = is_open.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        gate
    }
}

/// Starts three servers, whose routes lead through gates.
async fn cluster() -> (Vec<Server>, Vec<Gate>) {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let mut gates = Vec::new();
    for port in &ports {
        gates.push(Gate::to(*port).await);
    }
    let routes: Vec<String> = gates
        .iter()
        .map(|gate| format!("\"nats://127.0.0.1:{}\"", gate.port))
        .collect();
    let routes = routes.join(", ");
    let servers = ports.iter().zip(&gates).enumerate();
    let servers = servers.map(|(number, (port, gate))| {
        Server::with(&format!(
            "jetstream {{}}\nserver_name: s{number}\n\
             cluster {{ name: c, listen: \"127.0.0.1:{port}\", advertise: \"127.0.0.1:{}\", \
             routes: [{routes}] }}",
            gate.port
        ))
    });
    (servers.collect(), gates)
}

/// A node that is connected to one of the servers.
async fn node_at(server: &Server) -> Node {
    let node = Node::start(server.config_of("?replicas=3"));
    // The servers elect leaders first.
    node.is_live().await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_cut_and_no_acknowledged_event_is_lost() {
    let (servers, gates) = cluster().await;
    let (publisher, node) = (node_at(&servers[0]).await, node_at(&servers[1]).await);
    let orders = stream("orders");
    let start = node.want(&orders).await;
    let mut published = Vec::new();
    for number in 0..3 {
        published.push(publish(&publisher, &orders, &format!("before {number}")).await);
    }
    for gate in &gates {
        gate.is_open.send_replace(false);
    }
    // No two servers can agree. What is published now may be stored later, and is not acknowledged.
    let unanswered = batch(&orders, &["cut"]);
    let began = Instant::now();
    loop {
        match publisher.engine.publish(unanswered.clone()).await.remove(0) {
            // The leader may answer once more.
            Ok(position) => {
                assert!(began.elapsed() < PATIENCE, "without a majority it goes on");
                published.push(position);
                published.dedup();
            }
            Err(AttemptError::Refused(reason)) => panic!("refused for good: {reason}"),
            Err(_) => break,
        }
    }
    for gate in &gates {
        gate.is_open.send_replace(true);
    }
    is_complete(&servers[0]).await;
    for number in 0..3 {
        published.push(publish(&publisher, &orders, &format!("after {number}")).await);
    }
    assert!(published.is_sorted_by(|one, next| one.offset < next.offset));
    assert!(published.iter().all(|at| at.epoch == start.epoch));
    let page = loop {
        match node.read(&orders, start, 100).await {
            Ok(page) if page.head.offset >= published[published.len() - 1].offset => break page,
            page => assert!(began.elapsed() < 2 * PATIENCE, "not all is kept: {page:?}"),
        }
    };
    let read: Vec<Position> = page.events.iter().map(|(at, _)| *at).collect();
    assert!(published.iter().all(|at| read.contains(at)), "{read:?}");
    let texts: Vec<_> = page.events.iter().map(|(_, text)| text.clone()).collect();
    let cut = texts.iter().filter(|text| &text[..] == b"cut").count();
    assert!(cut <= 1, "an event that was sent again is stored once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_end_at_once_without_their_newest_events_and_a_new_epoch_begins() {
    let (mut servers, _gates) = cluster().await;
    let node = node_at(&servers[0]).await;
    let orders = stream("orders");
    node.want(&orders).await;
    publish(&node, &orders, "1").await;
    is_complete(&servers[0]).await;
    servers.iter_mut().for_each(Server::kill);
    // What was on their disks at this time, when the power fails later.
    for server in &servers {
        copy_all(&server.path("js"), &server.path("copy"));
    }
    servers.iter_mut().for_each(Server::restart);
    is_complete(&servers[0]).await;
    publish(&node, &orders, "2").await;
    let lost = publish(&node, &orders, "3").await;
    servers.iter_mut().for_each(Server::kill);
    for server in &servers {
        std::fs::remove_dir_all(server.path("js")).unwrap();
        std::fs::rename(server.path("copy"), server.path("js")).unwrap();
    }
    node.received.clear();
    servers.iter_mut().for_each(Server::restart);
    is_complete(&servers[0]).await;
    let head = node
        .received
        .wait("doubt, then ready in another epoch", |all| {
            let doubt = all
                .iter()
                .position(|one| *one == Happened::Doubt(Scope::All))?;
            all[doubt..].iter().find_map(|one| match one {
                Happened::Ready(_, head) if head.epoch != lost.epoch => Some(*head),
                _ => None,
            })
        })
        .await;
    assert!(head.offset < lost.offset);
    let next = publish(&node, &orders, "4").await;
    assert_ne!(next.epoch, lost.epoch);
    let read = node.read(&orders, lost, 10).await;
    assert!(
        matches!(read, Err(ReadError::OtherEpoch { .. })),
        "{read:?}"
    );
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-a").args([from, to]).status().unwrap().success());
}
