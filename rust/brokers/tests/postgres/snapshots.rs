//! Snapshots, and the transactions of events.

use std::fmt::Write;
use std::sync::Arc;

use bus::engine::{Arrival, Arrivals, Engine, Health, Role, Scope};
use bus::{Position, Snapshot, StreamKey};
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::servers::{Server, eventually, stream};

fn snapshots() -> impl Strategy<Value = String> {
    let listed = prop::collection::btree_set(0..40_u64, 0..12);
    (1..1_u64 << 40, 0..40_u64, listed).prop_map(|(oldest, width, listed)| {
        let listed: Vec<String> = listed
            .into_iter()
            .filter(|id| *id < width)
            .map(|id| (oldest + id).to_string())
            .collect();
        format!("{oldest}:{}:{}", oldest + width, listed.join(","))
    })
}

#[tokio::test]
async fn what_a_snapshot_contains_is_what_the_server_says() {
    let server = Server::bare(&[]);
    let mut runner = TestRunner::deterministic();
    let mut texts: Vec<String> = (0..200)
        .map(|_| snapshots().new_tree(&mut runner).unwrap().current())
        .collect();
    // One of open transactions, as the server makes it.
    let sessions = [server.session().await, server.session().await];
    for session in &sessions {
        let begin = "BEGIN; SELECT pg_current_xact_id()";
        session.batch_execute(begin).await.unwrap();
    }
    texts.push(server.sql("SELECT pg_current_snapshot()::text"));
    let mut sql = String::from(
        "SELECT string_agg((pg_visible_in_snapshot(id, at))::int::text, '' ORDER BY n) FROM (VALUES ",
    );
    let mut expected = String::new();
    let mut count = 0;
    for text in &texts {
        let snapshot: Snapshot = text.parse().unwrap();
        let first = snapshot.oldest().saturating_sub(3).max(1);
        for id in first..snapshot.end() + 3 {
            let comma = if count > 0 { "," } else { "" };
            count += 1;
            let is_contained = u8::from(snapshot.contains(id));
            write!(expected, "{is_contained}").unwrap();
            write!(sql, "{comma}({count}, '{id}'::xid8, '{text}'::pg_snapshot)").unwrap();
        }
    }
    sql.push_str(") AS asked (n, id, at)");
    let session = server.session().await;
    let answer: String = session.query_one(&sql, &[]).await.unwrap().get(0);
    assert!(count > 2000 && expected.contains('0') && expected.contains('1'));
    assert_eq!(answer, expected);
}

/// Records the transactions of events.
#[derive(Default)]
struct Transactions(Mutex<Vec<Option<u64>>>);

impl Arrivals for Transactions {
    fn ready(&self, _: &StreamKey, _: Position) {
        self.0.lock().push(None);
    }

    fn event(&self, arrival: Arrival) {
        assert!(arrival.transaction.is_some());
        self.0.lock().push(arrival.transaction);
    }

    fn doubt(&self, _: Scope) {}

    fn health(&self, _: Role, _: Health) {}
}

#[tokio::test]
async fn an_event_has_the_id_of_its_transaction_also_from_a_savepoint() {
    let server = Server::start().await;
    let engine = brokers::postgres::Postgres::new(server.config()).unwrap();
    let seen = Arc::new(Transactions::default());
    engine.start(seen.clone());
    engine.want(&stream("orders"));
    eventually("the stream is ready", || seen.0.lock().len() == 1).await;
    let mut expected = vec![None];
    let publish = "SELECT fraiseql_subs.publish('orders', '{}')";
    let session = server.session().await;
    for _ in 0..3 {
        session
            .batch_execute(&format!(
                "BEGIN; SAVEPOINT a; CREATE TABLE t (); ROLLBACK TO a; SAVEPOINT b; {publish}"
            ))
            .await
            .unwrap();
        let id = "SELECT pg_current_xact_id()::text";
        let id: String = session.query_one(id, &[]).await.unwrap().get(0);
        session
            .batch_execute(&format!("RELEASE b; {publish}; COMMIT"))
            .await
            .unwrap();
        expected.extend([Some(id.parse().unwrap()); 2]);
    }
    eventually("the events arrive", || {
        seen.0.lock().len() == expected.len()
    })
    .await;
    assert_eq!(*seen.0.lock(), expected);
}

#[tokio::test]
async fn what_was_delivered_is_settled_when_others_see_it() {
    let server = Server::start().await;
    let engine = brokers::postgres::Postgres::new(server.config()).unwrap();
    let seen = Arc::new(Transactions::default());
    engine.start(seen.clone());
    engine.want(&stream("orders"));
    eventually("the stream is ready", || seen.0.lock().len() == 1).await;
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    server.sql("SELECT pg_reload_conf()");
    let mut count = 1;
    // The server takes the setting up later: until then, commits do not wait.
    let publishing = loop {
        let session = server.session().await;
        let publishing = tokio::spawn(async move {
            let publish = "SELECT fraiseql_subs.publish('orders', '{}')";
            session.batch_execute(publish).await
        });
        count += 1;
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        eventually("the commit is done, or waits", || {
            publishing.is_finished() || server.sql(waiting) == "1"
        })
        .await;
        if !publishing.is_finished() {
            break publishing;
        }
    };
    eventually("the events arrive", || seen.0.lock().len() == count).await;
    let everything = Position::new(bus::Epoch(0), 0);
    let settled = engine.settled(everything).unwrap();
    let settled = tokio::spawn(settled);
    // The answer to a later statement of the same connections comes after several looks.
    for _ in 0..3 {
        server.sql("SELECT 1");
    }
    assert!(!settled.is_finished() && !publishing.is_finished());
    server.sql("ALTER SYSTEM RESET synchronous_standby_names");
    server.sql("SELECT pg_reload_conf()");
    settled.await.unwrap();
    publishing.await.unwrap().unwrap();
    eventually("nothing is pending", || {
        engine.settled(everything).is_none()
    })
    .await;
}
