//! Servers and roles that cannot be used: each is refused with what to do.

use bus::engine::{AttemptError, Engine};
use serde_json::json;

use crate::servers::{Node, Server, events, stream};

async fn problem(config: brokers::postgres::Config) -> String {
    let node = Node::start(config);
    node.engine.want(&stream("orders"));
    node.configuration_error().await
}

#[tokio::test]
async fn a_server_without_logical_decoding() {
    let server = Server::bare(&["wal_level=replica"]);
    server
        .install(&brokers::postgres::Installation::default())
        .await
        .unwrap();
    let problem = problem(server.config()).await;
    assert!(
        problem.contains("wal_level is replica: set wal_level = logical"),
        "{problem}"
    );
    let call = "SELECT fraiseql_subs.publish('a', '1')";
    let error = server.try_sql("postgres", call).unwrap_err();
    assert!(error.contains("wal_level is replica"), "{error}");
}

#[tokio::test]
async fn a_database_without_the_schema() {
    let server = Server::bare(&[]);
    let problem = problem(server.config()).await;
    assert!(
        problem.contains("fraiseql-subs postgres install"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_role_without_replication_and_one_without_grants() {
    let server = Server::start().await;
    server.sql("CREATE ROLE node LOGIN; CREATE ROLE reader LOGIN REPLICATION");
    let installation = brokers::postgres::Installation {
        nodes: vec!["node".to_owned()],
        ..Default::default()
    };
    server.install(&installation).await.unwrap();
    let without_replication = problem(server.config_of("node")).await;
    assert!(
        without_replication.contains("ALTER ROLE ... REPLICATION"),
        "{without_replication}"
    );
    let without_grant = problem(server.config_of("reader")).await;
    assert!(
        without_grant.contains("postgres install --node"),
        "{without_grant}"
    );
    server.sql("ALTER ROLE node REPLICATION");
    let node = Node::start(server.config_of("node"));
    let orders = stream("orders");
    node.want(&orders).await;
    let batch = events(&orders, [json!({"n": 1})]);
    loop {
        match node.engine.publish(batch.clone()).await.remove(0) {
            Ok(_) => break,
            Err(AttemptError::NotSent(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(node.data(&orders, 1).await, [json!({"n": 1})]);
}

#[tokio::test]
async fn a_server_without_a_free_slot_or_sender() {
    let server = Server::bare(&["max_replication_slots=0"]);
    server
        .install(&brokers::postgres::Installation::default())
        .await
        .unwrap();
    let no_slot = problem(server.config()).await;
    assert!(no_slot.contains("max_replication_slots"), "{no_slot}");
    let server = Server::bare(&["max_wal_senders=0"]);
    server
        .install(&brokers::postgres::Installation::default())
        .await
        .unwrap();
    let no_sender = problem(server.config()).await;
    assert!(no_sender.contains("max_wal_senders"), "{no_sender}");
}

#[tokio::test]
async fn a_wrong_password_a_wrong_database_and_no_password() {
    let server = Server::start().await;
    server.sql("CREATE ROLE me LOGIN SUPERUSER PASSWORD 'right'");
    let hba = "local all postgres trust\nlocal all all scram-sha-256\n";
    std::fs::write(server.path("data/pg_hba.conf"), hba).unwrap();
    server.sql("SELECT pg_reload_conf()");
    let url = |login: &str, database: &str| {
        let mut url = format!("postgresql://{login}@/{database}");
        url += &format!("?host={}&port={}", server.path("").display(), server.port);
        let mut config = brokers::postgres::Config::from_url(&url).unwrap();
        config.times = crate::servers::quick();
        config
    };
    let wrong = problem(url("me:wrong", "postgres")).await;
    assert!(
        wrong.contains("password authentication failed") && !wrong.contains("wrong\""),
        "{wrong}"
    );
    let none = problem(url("me", "postgres")).await;
    assert!(none.contains("password"), "{none}");
    let database = problem(url("me:right", "nothing")).await;
    assert!(
        database.contains("\"nothing\" does not exist"),
        "{database}"
    );
    let node = Node::live(url("me:right", "postgres")).await;
    node.want(&stream("orders")).await;
}

#[test]
fn channels_of_one_table_that_can_be_the_same_are_refused() {
    use crate::tables::table;
    let mut config = brokers::postgres::Config::from_url("postgresql://me@127.0.0.1/shop").unwrap();
    config.tables = vec![
        table("orders", "o.{a}"),
        table("items", "o.{a}"),
        table("orders", "all"),
    ];
    assert!(config.check().is_ok());
    config.tables.push(table("public.orders", "o.{b}"));
    let refused = config.check().unwrap_err().to_string();
    assert!(
        refused.contains(r#""o.{a}" and "o.{b}" can be the same"#),
        "{refused}"
    );
}
