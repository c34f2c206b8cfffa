//! The outbox form, on a server without logical decoding, with roles that may do what they need alone.

mod control;
mod history;
mod installing;
mod links;
mod order;
mod publishing;

use std::time::Duration;

use brokers::postgres::{Config, Installation, Outbox, execute};
use bus::HistoryLimits;

use crate::servers::Server;

/// A node with an outbox.
type Node = crate::support::Node<Outbox>;

/// A server whose database `postgres` has an outbox. A role that is no superuser has installed it.
async fn server() -> Server {
    server_with(&[]).await
}

async fn server_with(settings: &[&str]) -> Server {
    let settings = [&["wal_level=replica", "max_wal_senders=4"], settings].concat();
    let server = Server::bare(&settings);
    server.sql("CREATE ROLE installer LOGIN; CREATE ROLE subs LOGIN; CREATE ROLE app LOGIN");
    server.sql("GRANT CREATE ON DATABASE postgres TO installer");
    let installer = server.config_of("installer");
    execute(&installer, &installation().sql().unwrap())
        .await
        .unwrap();
    server
}

fn installation() -> Installation {
    Installation {
        outbox: true,
        publishers: vec!["app".to_owned()],
        nodes: vec!["subs".to_owned()],
        ..Installation::default()
    }
}

fn config(server: &Server) -> Config {
    let mut config = server.config_of("subs");
    config.outbox = true;
    config.history = Some(kept_for(Duration::from_mins(5)));
    config
}

/// The limits of a history that keeps all events for a time.
fn kept_for(age: Duration) -> HistoryLimits {
    HistoryLimits {
        events: usize::MAX,
        age,
        bytes: usize::MAX,
    }
}

async fn node(server: &Server) -> Node {
    let node = Node::over(Outbox::new(config(server)).unwrap());
    node.is_live().await;
    node
}

/// The SQL that publishes a number.
fn publish(channel: &str, number: u32) -> String {
    format!("SELECT fraiseql_subs.publish('{channel}', '{number}');")
}

/// The numbers that were published by SQL, from what was received.
fn numbers(events: &[(bus::Position, String)]) -> Vec<u32> {
    let number = |text: &str| {
        let digits = text.rsplit(|of: char| !of.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    };
    events.iter().map(|(_, text)| number(text)).collect()
}
