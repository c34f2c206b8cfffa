//! Links that are lost, servers that crash, and servers that are others than before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bus::engine::{Engine, Health, Role, Scope};

use super::{config, node, numbers, publish, server, server_with};
use crate::servers::{Happened, Server, eventually, stream};

/// Ends the connections of nodes whose query is like this.
fn cut(server: &Server, query: &str) {
    server.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'subs' AND query LIKE \
         '{query}'"
    ));
}

#[tokio::test]
async fn an_event_without_notify_is_found() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(&format!(
        "SET fraiseql_subs.notify = off; {}",
        publish("orders", 1)
    ));
    assert_eq!(numbers(&node.received.events(&orders, 1).await), [1]);
}

#[tokio::test]
async fn a_notify_wakes_a_node_that_would_not_look() {
    let server = server().await;
    let mut config = config(&server);
    config.times.poll = Duration::from_hours(1);
    let node = super::Node::over(brokers::postgres::Outbox::new(config).unwrap());
    node.is_live().await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(&publish("orders", 1));
    assert_eq!(numbers(&node.received.events(&orders, 1).await), [1]);
}

#[tokio::test]
async fn each_event_wakes_a_node_that_falls_asleep_at_any_moment() {
    let server = server().await;
    let mut config = config(&server);
    config.times.poll = Duration::from_hours(1);
    let node = super::Node::over(brokers::postgres::Outbox::new(config).unwrap());
    node.is_live().await;
    let orders = stream("orders");
    node.want(&orders).await;
    let session = server.session().await;
    for number in 0..100_u32 {
        // A node reads on for 50 ms. Some transactions begin before that is over, and end after it.
        let pause = Duration::from_millis(u64::from(number * 7 % 100));
        let begin = format!("BEGIN; {}", publish("orders", number));
        session.batch_execute(&begin).await.unwrap();
        tokio::time::sleep(pause).await;
        session.batch_execute("COMMIT").await.unwrap();
        let events = node.received.events(&orders, number as usize + 1).await;
        assert_eq!(numbers(&events).last(), Some(&number));
        tokio::time::sleep(pause / 2).await;
    }
}

#[tokio::test]
async fn links_that_are_lost_go_on_where_they_were() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let mut number = 0;
    for query in ["%LISTEN%", "%read_outbox%", "%"] {
        for _ in 0..3 {
            cut(&server, query);
            number += 1;
            server.sql(&publish("orders", number));
        }
    }
    let events = node.received.events(&orders, 9).await;
    assert_eq!(numbers(&events), (1..=9).collect::<Vec<_>>());
    nothing_is_told(&node);
}

#[tokio::test]
async fn backends_that_end_again_and_again_lose_and_double_nothing() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let is_done = AtomicBool::new(false);
    let publishing = async {
        for number in 0..2000_u32 {
            node.publish_for_certain(&orders, &number.to_string()).await;
        }
        is_done.store(true, Ordering::Relaxed);
    };
    let cutting = async {
        while !is_done.load(Ordering::Relaxed) {
            let session = server.session().await;
            let end =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'subs'";
            session.batch_execute(end).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::join!(publishing, cutting);
    node.publish_for_certain(&orders, "2000").await;
    let events = node.received.events(&orders, 2001).await;
    assert_eq!(numbers(&events), (0..=2000).collect::<Vec<_>>());
    nothing_is_told(&node);
}

#[tokio::test]
async fn after_a_crash_of_the_server_events_go_on() {
    let mut server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(&publish("orders", 1));
    node.received.events(&orders, 1).await;
    server.kill();
    eventually("the links are away", || {
        let health = node.engine.health();
        let is_away = |role: &Role| matches!(health.of(*role), Health::Away { .. });
        Role::ALL.iter().all(is_away)
    })
    .await;
    server.launch();
    server.sql(&publish("orders", 2));
    let events = node.received.events(&orders, 2).await;
    assert_eq!(numbers(&events), [1, 2]);
    nothing_is_told(&node);
}

/// Nothing was missed.
fn nothing_is_told(node: &super::Node) {
    let told = node.received.all();
    let ready = told.iter().filter(|one| matches!(one, Happened::Ready(..)));
    assert_eq!(ready.count(), 1);
    assert!(!told.contains(&Happened::Doubt(Scope::All)));
}

#[tokio::test]
async fn a_server_that_has_lost_its_newest_transactions_has_another_epoch() {
    let mut server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    let begun = node.want(&orders).await;
    server.sql(&publish("orders", 1));
    node.received.events(&orders, 1).await;
    server.shut_down().await;
    server.copy("data", "older");
    server.launch();
    server.sql(&publish("orders", 2));
    let lost = node.received.events(&orders, 2).await[1].0;
    server.shut_down().await;
    server.copy("older", "data");
    node.received.clear();
    server.launch();
    let head = node.received.ready(&orders).await;
    assert_ne!(head.epoch, begun.epoch);
    assert!(node.received.all().contains(&Happened::Doubt(Scope::All)));
    server.sql(&publish("orders", 3));
    let events = node.received.events(&orders, 1).await;
    assert_eq!(numbers(&events), [3]);
    // It may have the number of an event that is lost, and is another position.
    assert_ne!(events[0].0, lost);
    node.is_live().await;
    let answer = node.engine.read(&orders, lost, 10).await;
    assert!(
        matches!(answer, Err(bus::engine::ReadError::OtherEpoch { .. })),
        "{answer:?}"
    );
    let begin = bus::Position {
        epoch: head.epoch,
        ..bus::Position::default()
    };
    let page = node.engine.read(&orders, begin, 10).await.unwrap();
    assert_eq!(
        page.events.len(),
        1,
        "what is older belongs to the other epoch"
    );
}

#[tokio::test]
async fn a_replica_that_is_promoted_has_another_epoch() {
    let mut server = server_with(&["hot_standby=on"]).await;
    let node = node(&server).await;
    let orders = stream("orders");
    let begun = node.want(&orders).await;
    server.sql(&publish("orders", 1));
    node.received.events(&orders, 1).await;
    server.shut_down().await;
    server.write("data/standby.signal", "");
    node.received.clear();
    server.launch();
    server.sql("SELECT pg_promote()");
    let head = node.received.ready(&orders).await;
    assert_ne!(head.epoch, begun.epoch);
    server.sql(&publish("orders", 2));
    assert_eq!(numbers(&node.received.events(&orders, 1).await), [2]);
}

#[tokio::test]
async fn transactions_that_are_lost_are_noticed_also_behind_newer_ones() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    let begun = node.want(&orders).await;
    server.sql_by_statement(&format!("{}{}", publish("orders", 1), publish("orders", 2)));
    node.received.events(&orders, 2).await;
    node.received.clear();
    // As a server that was restored: the newest event is gone, and others come before the node is back.
    server.sql(
        "ALTER ROLE subs NOLOGIN; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'subs'; \
         DELETE FROM fraiseql_subs.outbox WHERE tx = (SELECT max(tx) FROM fraiseql_subs.outbox)",
    );
    server.sql(&publish("orders", 3));
    server.sql("ALTER ROLE subs LOGIN");
    let head = node.received.ready(&orders).await;
    assert_ne!(head.epoch, begun.epoch);
    assert!(node.received.all().contains(&Happened::Doubt(Scope::All)));
}

#[tokio::test]
async fn locks_of_others_hold_up_no_event() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let stranger = server.session().await;
    for lock in ["publishing", "sleeping"] {
        let take = format!("SELECT pg_advisory_lock(hashtextextended('fraiseql_subs {lock}', 0))");
        stranger
            .batch_execute("SELECT pg_advisory_unlock_all()")
            .await
            .unwrap();
        // Nodes take it for moments.
        stranger.batch_execute(&take).await.unwrap();
        node.received.clear();
        let call = format!("SET statement_timeout = '30s'; {}", publish("orders", 1));
        server.try_sql("app", &call).unwrap();
        node.received.events(&orders, 1).await;
    }
}
