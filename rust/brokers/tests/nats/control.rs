//! Messages between nodes, to all and to one, and revocations.

use std::sync::Arc;
use std::time::Duration;

use brokers::Credentials;
use brokers::nats::{Config, Login, Nats};
use bus::engine::{ControlArrivals, ControlError, Engine};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::servers::{PATIENCE, Receiver, Server, eventually, free_port};

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
    engine: Nats,
    heard: Arc<Heard>,
}

impl Joined {
    fn start(config: Config, node: &str) -> Self {
        let engine = Nats::new(config).unwrap();
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
    let other = Joined::live(server.config_of("?prefix=other"), "b").await;
    assert_eq!(a.send(None, "to all").await, None);
    a.send(Some("b"), "to b").await;
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
    let url = format!("nats://127.0.0.1:{}", free_port());
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
async fn revocations_are_kept_without_history_and_over_a_restart() {
    let mut server = Server::start();
    let a = Joined::live(server.config_of("?history=off"), "a").await;
    a.revoke("x", MINUTE).await.unwrap();
    server.restart();
    a.is_back(2).await;
    assert_eq!(a.revoked().await.len(), 1);
}

#[tokio::test]
async fn revocations_end_by_the_clock_of_the_server() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    a.revoke("x", MINUTE).await.unwrap();
    // What another node stores, whatever its clock says: for how long, and what.
    let mut text = 60_000_u64.to_le_bytes().to_vec();
    text.extend(b"y");
    let client = server.client().await;
    let jetstream = async_nats::jetstream::new(client);
    let stored = jetstream.publish("fs1.rev.00", text.into()).await;
    stored.unwrap().await.unwrap();
    let found = a.revoked().await;
    let names: Vec<&str> = found.iter().map(|(entry, _)| &**entry).collect();
    assert_eq!(names, ["x", "y"]);
    assert!(
        found
            .iter()
            .all(|(_, left)| *left <= MINUTE && *left > MINUTE / 2)
    );
    // Asking for the time stores no second message for it.
    a.revoked().await;
    let mut store = jetstream.get_stream("fs1-revocations").await.unwrap();
    assert_eq!(store.info().await.unwrap().state.messages, 3);
}

fn with_denied(subject: &str) -> String {
    format!(
        "authorization {{ users: [ {{ user: admin, password: admin }}, {{ user: bus, password: s3cret, permissions: {{ publish: [\">\"], \
         subscribe: {{ allow: [\">\"], deny: [\"{subject}\"] }} }} }} ] }}"
    )
}

#[tokio::test]
async fn messages_that_are_no_longer_allowed_are_received_again_when_they_are() {
    let mut server = Server::with(&with_denied("none"));
    let mut config = server.config_of("?history=off");
    let credentials = Credentials::fixed(Some("bus".to_owned()), "s3cret".to_owned());
    config.login = Login::Password(credentials);
    let a = Joined::live(config, "a").await;
    server.reload(&with_denied("fs1.ctl"));
    let admin = async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin".into())
        .request_timeout(Some(Duration::from_millis(100)));
    let admin = admin.connect(server.url()).await.unwrap();
    let asked = std::time::Instant::now();
    while admin
        .request("fs1.ctl", Bytes::new())
        .await
        .unwrap_err()
        .kind()
        != async_nats::RequestErrorKind::NoResponders
    {
        assert!(
            asked.elapsed() < PATIENCE,
            "the subscription is not removed"
        );
    }
    server.reload(&with_denied("none"));
    a.is_back(2).await;
    a.send(None, "again").await;
    eventually("a has it", || a.messages().contains(&"again".to_owned())).await;
}

#[tokio::test]
async fn the_longer_of_two_revocations_stored_at_the_same_time_stays() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    let b = Joined::live(server.config(), "b").await;
    a.revoke("first", MINUTE).await.unwrap();
    for number in 0..100 {
        let entry = number.to_string();
        let (long, short) = tokio::join!(a.revoke(&entry, MINUTE * 60), b.revoke(&entry, MINUTE));
        assert!(long.is_ok() && short.is_ok(), "{long:?}, {short:?}");
        let found = a.revoked().await;
        let (_, left) = found.iter().find(|(of, _)| *of == entry).unwrap();
        assert!(*left > MINUTE * 30, "{left:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_no_revocation_hides_none() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    a.revoke("before", MINUTE).await.unwrap();
    let jetstream = async_nats::jetstream::new(server.client().await);
    for content in ["", "short"] {
        let stored = jetstream.publish("fs1.rev.x", content.into()).await;
        stored.unwrap().await.unwrap();
    }
    a.revoke("after", MINUTE).await.unwrap();
    let mut found: Vec<String> = a.revoked().await.into_iter().map(|(of, _)| of).collect();
    found.sort();
    assert_eq!(found, ["after", "before"]);
}

#[tokio::test]
async fn many_revocations_are_read() {
    let server = Server::start();
    let a = Joined::live(server.config(), "a").await;
    for number in 0..500 {
        a.revoke(&number.to_string(), MINUTE * 60).await.unwrap();
    }
    assert_eq!(a.revoked().await.len(), 500);
}
