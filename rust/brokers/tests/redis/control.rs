//! Messages between nodes, to all and to one, and revocations.

use std::sync::Arc;
use std::time::Duration;

use brokers::redis::{Config, Redis};
use bus::engine::{ControlArrivals, ControlError, Engine, MAX_REVOCATIONS};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::servers::{Receiver, Server, eventually, free_port, quick};

const MINUTE: Duration = Duration::from_mins(1);

#[derive(Default)]
struct Heard {
    messages: Mutex<Vec<String>>,
    joined: Mutex<usize>,
}

impl ControlArrivals for Heard {
    fn joined(&self) {
        *self.joined.lock() += 1;
    }

    fn message(&self, message: Bytes) {
        let text = String::from_utf8_lossy(&message).into_owned();
        self.messages.lock().push(text);
    }
}

struct Joined {
    engine: Redis,
    heard: Arc<Heard>,
}

impl Joined {
    fn start(config: Config, node: &str) -> Self {
        let engine = Redis::new(config).unwrap();
        let heard = Arc::<Heard>::default();
        engine.control().join(node, heard.clone());
        engine.start(Arc::new(Receiver::default()));
        Self { engine, heard }
    }

    async fn live(config: Config, node: &str) -> Self {
        let node = Self::start(config, node);
        node.is_back(1).await;
        node
    }

    async fn is_back(&self, times: usize) {
        eventually("it has joined", || *self.heard.joined.lock() >= times).await;
        eventually("it is live", || self.engine.health().is_live()).await;
    }

    async fn send(&self, to: Option<&str>, message: &str) -> Option<u64> {
        let message = Bytes::copy_from_slice(message.as_bytes());
        self.engine.control().send(to, message).await.unwrap()
    }

    async fn revoke(&self, entry: &str, lasts: Duration) -> Result<(), ControlError> {
        let entry = Bytes::copy_from_slice(entry.as_bytes());
        self.engine.control().revoke(entry, lasts).await
    }

    async fn revoked(&self) -> Vec<(String, Duration)> {
        let entries = self.engine.control().revocations().await.unwrap();
        let entries = entries.into_iter();
        entries
            .map(|(entry, left)| (String::from_utf8_lossy(&entry).into_owned(), left))
            .collect()
    }

    fn messages(&self) -> Vec<String> {
        self.heard.messages.lock().clone()
    }
}

#[tokio::test]
async fn messages_reach_all_nodes_or_one() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    let b = Joined::live(server.config(), "b").await;
    let other = Joined::live(server.config_of("?prefix=other", quick()), "b").await;
    assert_eq!(a.send(None, "to all").await, Some(2));
    assert_eq!(a.send(Some("b"), "to b").await, Some(1));
    b.send(Some("a"), "to a").await;
    eventually("b has both", || b.messages() == ["to all", "to b"]).await;
    eventually("a has both", || a.messages() == ["to all", "to a"]).await;
    assert!(other.messages().is_empty());
}

#[tokio::test]
async fn joined_is_reported_again_after_the_server_restarts() {
    let mut server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    server.restart();
    a.is_back(2).await;
    a.send(None, "again").await;
    eventually("it hears itself", || a.messages() == ["again"]).await;
}

#[tokio::test]
async fn a_node_without_a_link_receives_errors() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let a = Joined::start(Config::from_url(&url).unwrap(), "a");
    let control = a.engine.control();
    let sent = control.send(None, Bytes::new()).await;
    assert!(
        matches!(sent, Err(ControlError::Unavailable(_))),
        "{sent:?}"
    );
    let kept = a.revoke("x", MINUTE).await;
    assert!(
        matches!(kept, Err(ControlError::Unavailable(_))),
        "{kept:?}"
    );
    let read = control.revocations().await;
    assert!(
        matches!(read, Err(ControlError::Unavailable(_))),
        "{read:?}"
    );
}

#[tokio::test]
async fn revocations_are_read_by_all_nodes_until_they_end() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    let b = Joined::live(server.config(), "b").await;
    a.revoke("long", MINUTE).await.unwrap();
    a.revoke("short", Duration::from_millis(50)).await.unwrap();
    let found = b.revoked().await;
    let (_, left) = found.iter().find(|(entry, _)| entry == "long").unwrap();
    assert!(
        *left <= MINUTE && *left > Duration::from_secs(1),
        "{left:?}"
    );
    let ends = async {
        while b.revoked().await.len() > 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(MINUTE, ends).await.unwrap();
    assert_eq!(b.revoked().await[0].0, "long");
}

#[tokio::test]
async fn a_revocation_stored_twice_lasts_for_the_longer_time() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    a.revoke("x", MINUTE).await.unwrap();
    a.revoke("x", MINUTE / 2).await.unwrap();
    assert!(a.revoked().await[0].1 > MINUTE / 2);
    a.revoke("x", MINUTE * 2).await.unwrap();
    let found = a.revoked().await;
    assert_eq!(found.len(), 1);
    assert!(found[0].1 > MINUTE);
}

#[tokio::test]
async fn revocations_are_bounded_and_their_key_ends_with_them() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    let revoke = |number: usize| {
        let entry = Bytes::from(number.to_string());
        a.engine.control().revoke(entry, MINUTE)
    };
    let all = (0..MAX_REVOCATIONS).map(revoke);
    for kept in futures_util::future::join_all(all).await {
        kept.unwrap();
    }
    assert_eq!(a.revoke("more", MINUTE).await, Err(ControlError::Full));
    assert_eq!(a.revoke("7", MINUTE).await, Ok(()));
    assert_eq!(a.revoked().await.len(), MAX_REVOCATIONS);
    let left = server.command(&["TTL", "fs1:{10}:revocations"]);
    let left: u64 = left.trim().parse().unwrap();
    assert!((1..=62).contains(&left), "{left}");
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    server.command(&["ACL", "SETUSER", "default", "-zadd"]);
    let kept = a.revoke("x", MINUTE).await;
    assert!(matches!(kept, Err(ControlError::Refused(_))), "{kept:?}");
}
