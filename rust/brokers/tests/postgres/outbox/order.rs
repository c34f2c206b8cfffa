//! The order of events, and transactions that end late or never commit.

use bus::engine::Engine;
use tokio_postgres::Client;

use super::{config, node, numbers, publish, server, server_with};
use crate::servers::{Happened, stream};

async fn run(session: &Client, sql: &str) {
    session.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_commits_later_is_not_passed_over() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    let begun = node.want(&orders).await;
    let (early, late) = (server.session().await, server.session().await);
    run(&early, &format!("BEGIN; {}", publish("orders", 1))).await;
    run(&late, &publish("orders", 2)).await;
    // All that can be read was delivered; what is newer waits for the older transaction.
    assert_eq!(node.head(&orders).await, begun);
    assert!(!has_events(&node.received.all()));
    run(&early, &format!("{} COMMIT", publish("orders", 3))).await;
    run(&late, &publish("orders", 4)).await;
    let events = node.received.events(&orders, 4).await;
    assert_eq!(numbers(&events), [1, 3, 2, 4]);
    assert!(events.is_sorted_by(|(a, _), (b, _)| a.offset < b.offset));
    assert_eq!(node.head(&orders).await, events[3].0);
}

#[tokio::test]
async fn what_is_rolled_back_is_never_seen_also_not_by_savepoints() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let session = server.session().await;
    run(
        &session,
        &format!("BEGIN; {} ROLLBACK", publish("orders", 1)),
    )
    .await;
    let (one, two, three) = (
        publish("orders", 2),
        publish("orders", 3),
        publish("orders", 4),
    );
    let nested = format!("BEGIN; {one} SAVEPOINT s; {two} ROLLBACK TO s; {three} COMMIT");
    run(&session, &nested).await;
    run(&session, &publish("orders", 5)).await;
    let events = node.received.events(&orders, 3).await;
    assert_eq!(numbers(&events), [2, 4, 5]);
    assert_eq!([events[0].0.offset.minor, events[1].0.offset.minor], [0, 1]);
}

#[tokio::test]
async fn while_another_transaction_is_open_events_wait_and_the_link_is_live() {
    let server = server().await;
    let mut config = config(&server);
    config.times.behind = std::time::Duration::from_millis(200);
    let node = super::Node::over(brokers::postgres::Outbox::new(config).unwrap());
    node.is_live().await;
    let orders = stream("orders");
    node.want(&orders).await;
    let other = server.session().await;
    run(&other, "CREATE TABLE rows (id int)").await;
    run(&other, "BEGIN; INSERT INTO rows VALUES (1)").await;
    for number in 0..3 {
        server.sql(&publish("orders", number));
    }
    // They wait for longer than the log accepts without a warning.
    server.sql("SELECT pg_sleep(0.5)");
    assert!(node.engine.health().is_live());
    assert!(!has_events(&node.received.all()));
    run(&other, "COMMIT").await;
    let events = node.received.events(&orders, 3).await;
    assert_eq!(numbers(&events), [0, 1, 2]);
    node.is_live().await;
}

#[tokio::test]
async fn a_transaction_that_is_prepared_publishes_when_it_is_committed() {
    let server = server_with(&["max_prepared_transactions=2"]).await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let prepare = format!(
        "BEGIN; SET LOCAL fraiseql_subs.notify = off; {} PREPARE TRANSACTION 'p'",
        publish("orders", 1)
    );
    let session = server.session().await;
    run(&session, &prepare).await;
    run(&session, &publish("orders", 2)).await;
    assert_eq!(node.head(&orders).await, node.received.ready(&orders).await);
    run(&session, "COMMIT PREPARED 'p'").await;
    let events = node.received.events(&orders, 2).await;
    assert_eq!(numbers(&events), [1, 2]);
}

#[tokio::test]
async fn a_large_transaction_arrives_in_order() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(
        "SELECT fraiseql_subs.publish('orders', to_jsonb(n)) FROM generate_series(1, 3000) AS n",
    );
    let events = node.received.events(&orders, 3000).await;
    assert_eq!(numbers(&events), (1..=3000).collect::<Vec<_>>());
}

fn has_events(all: &[Happened]) -> bool {
    all.iter().any(|one| matches!(one, Happened::Event(..)))
}
