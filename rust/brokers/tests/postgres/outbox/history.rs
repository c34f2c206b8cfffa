//! Events that are read again, by any node, and what is no longer kept.

use std::time::Duration;

use brokers::postgres::Outbox;
use bus::engine::{Engine, ReadError, Scope};
use bus::{Epoch, Offset, Position, StreamKey};

use super::{Node, config, node, numbers, publish, server};
use crate::servers::{Happened, Server, eventually, stream};

fn read_texts(events: &[(Position, bytes::Bytes)]) -> Vec<u32> {
    let texts = events.iter().map(|(at, bytes)| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        (*at, text)
    });
    numbers(&texts.collect::<Vec<_>>())
}

#[tokio::test]
async fn a_node_that_starts_later_reads_what_others_have_received() {
    let server = server().await;
    let first = node(&server).await;
    let orders = stream("orders");
    let begun = first.want(&orders).await;
    for number in 0..5 {
        server.sql(&publish("orders", number));
        server.sql(&publish("others", 100 + number));
    }
    let received = first.received.events(&orders, 5).await;
    let later = node(&server).await;
    let page = later.engine.read(&orders, begun, 3).await.unwrap();
    assert_eq!(read_texts(&page.events), [0, 1, 2]);
    assert_eq!(page.head, received[4].0);
    let rest = later
        .engine
        .read(&orders, page.events[2].0, 10)
        .await
        .unwrap();
    assert_eq!(read_texts(&rest.events), [3, 4]);
    let end = later.engine.read(&orders, rest.head, 10).await.unwrap();
    assert_eq!((end.events.len(), end.head), (0, rest.head));
    // What it receives itself comes after that.
    let head = later.want(&orders).await;
    assert_eq!(head.epoch, begun.epoch);
    assert!(head.offset >= page.head.offset);
    server.sql(&publish("orders", 6));
    assert_eq!(numbers(&later.received.events(&orders, 1).await), [6]);
}

#[tokio::test]
async fn a_stream_is_a_channel_or_what_one_tenant_has_of_it() {
    let server = server().await;
    let of = |tenant: Option<&str>| StreamKey {
        tenant: tenant.map(Into::into),
        channel: "orders".into(),
    };
    let isolated = {
        let mut config = config(&server);
        config.by_tenant = true;
        let node = Node::over(Outbox::new(config).unwrap());
        node.is_live().await;
        node
    };
    let shared = node(&server).await;
    let begun = shared.want(&of(None)).await;
    for tenant in [None, Some("a"), Some("b")] {
        isolated.want(&of(tenant)).await;
    }
    for (number, tenant) in [(1, "NULL"), (2, "'a'"), (3, "'b'"), (4, "'a'")] {
        server.sql(&format!(
            "SELECT fraiseql_subs.publish('orders', '{number}', tenant_id => {tenant})"
        ));
    }
    for (tenant, expected) in [
        (None, vec![1]),
        (Some("a"), vec![2, 4]),
        (Some("b"), vec![3]),
    ] {
        let events = isolated.received.events(&of(tenant), expected.len()).await;
        assert_eq!(numbers(&events), expected);
        let page = isolated.engine.read(&of(tenant), begun, 10).await.unwrap();
        assert_eq!(read_texts(&page.events), expected);
    }
    assert_eq!(
        numbers(&shared.received.events(&of(None), 4).await),
        [1, 2, 3, 4]
    );
    let page = shared.engine.read(&of(None), begun, 10).await.unwrap();
    assert_eq!(read_texts(&page.events), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_position_of_another_epoch_or_of_none_is_told() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let head = node.publish_for_certain(&orders, "one").await;
    let other = Position {
        epoch: Epoch(head.epoch.0 ^ 1),
        ..head
    };
    let future = Position {
        offset: Offset::new(head.offset.major + 1000),
        ..head
    };
    for after in [other, future] {
        let answer = node.engine.read(&orders, after, 10).await;
        assert_eq!(answer, Err(ReadError::OtherEpoch { head }));
    }
}

/// Nodes that keep events for a moment.
async fn short(server: &Server) -> Node {
    let mut config = config(server);
    config.history = Some(super::kept_for(Duration::from_millis(400)));
    config.times.upkeep = Duration::from_millis(20);
    let node = Node::over(Outbox::new(config).unwrap());
    node.is_live().await;
    node
}

#[tokio::test]
async fn what_is_no_longer_kept_is_freed_and_told_and_all_after_it_is_kept() {
    let server = server().await;
    let node = short(&server).await;
    let orders = stream("orders");
    let begun = node.want(&orders).await;
    server.sql(&publish("orders", 1));
    node.received.events(&orders, 1).await;
    let count = "SELECT count(*) FROM fraiseql_subs.outbox";
    eventually("the event is freed", || server.sql(count) == "0").await;
    let too_late = node.engine.read(&orders, begun, 10).await.unwrap_err();
    let ReadError::TooLate { head } = too_late else {
        panic!("{too_late}");
    };
    assert_eq!(
        node.engine.read(&orders, head, 10).await.unwrap().events,
        []
    );
    server.sql(&publish("orders", 2));
    let page = node.engine.read(&orders, head, 10).await.unwrap();
    assert_eq!(read_texts(&page.events), [2]);
    // A client may have the newest position, also after its event was freed.
    let last = node.received.events(&orders, 2).await[1].0;
    eventually("the event is freed", || server.sql(count) == "0").await;
    assert_eq!(
        node.engine.read(&orders, last, 10).await.unwrap().head,
        last
    );
    assert!(!node.received.all().contains(&Happened::Doubt(Scope::All)));
}

#[tokio::test]
async fn events_of_a_transaction_that_was_open_for_longer_are_kept_as_long_as_others() {
    let server = server().await;
    let node = short(&server).await;
    let orders = stream("orders");
    let begun = node.want(&orders).await;
    let session = server.session().await;
    let begin = format!("BEGIN; {}", publish("orders", 1));
    session.batch_execute(&begin).await.unwrap();
    let begun_at = server.sql("SELECT clock_timestamp()");
    let kept_for_longer = format!(
        "SELECT count(*) FROM fraiseql_subs.outbox_marks WHERE at > '{begun_at}'::timestamptz + \
         interval '1 s'"
    );
    eventually("upkeep goes on", || server.sql(&kept_for_longer) != "0").await;
    session.batch_execute("COMMIT").await.unwrap();
    let page = node.engine.read(&orders, begun, 10).await.unwrap();
    assert_eq!(read_texts(&page.events), [1]);
    assert_eq!(numbers(&node.received.events(&orders, 1).await), [1]);
}

#[tokio::test]
async fn a_node_that_was_away_for_longer_than_events_are_kept_tells_it() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(
        "ALTER ROLE subs NOLOGIN; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'subs'",
    );
    server.sql(&publish("orders", 1));
    eventually("the event is freed", || {
        server.sql("SELECT fraiseql_subs.maintain_outbox('0')");
        server.sql("SELECT count(*) FROM fraiseql_subs.outbox") == "0"
    })
    .await;
    server.sql("ALTER ROLE subs LOGIN");
    node.received
        .wait("a doubt is told", |all| {
            all.contains(&Happened::Doubt(Scope::All)).then_some(())
        })
        .await;
    server.sql(&publish("orders", 2));
    let (at, _) = node.received.events(&orders, 1).await[0];
    assert_eq!(node.head(&orders).await, at);
}
