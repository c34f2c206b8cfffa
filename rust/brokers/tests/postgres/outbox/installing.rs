//! The two forms of a database, and nodes that do not fit.

use brokers::postgres::{
    Changes, Config, Installation, Outbox, Postgres, Table, execute, uninstall_sql,
};

use bus::engine::{AttemptError, Engine, Health, Role};

use super::{config, installation, node, numbers, publish, server};
use crate::servers::{Server, eventually, stream};

#[tokio::test]
async fn it_can_be_run_again_and_keeps_the_events() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(&publish("orders", 1));
    let installer = server.config_of("installer");
    let again = Installation {
        outbox: true,
        ..Installation::default()
    };
    let warnings = execute(&installer, &again.sql().unwrap()).await.unwrap();
    assert_eq!(warnings, [""; 0]);
    server.try_sql("app", &publish("orders", 2)).unwrap();
    assert_eq!(numbers(&node.received.events(&orders, 2).await), [1, 2]);
    let begun = node.received.ready(&orders).await;
    let page = node.engine.read(&orders, begun, 10).await;
    assert_eq!(page.unwrap().events.len(), 2);
    execute(&installer, &uninstall_sql(&[])).await.unwrap();
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'fraiseql_subs'";
    assert_eq!(server.sql(schemas), "0");
}

#[tokio::test]
async fn the_form_can_be_changed_and_the_change_is_told() {
    let server = Server::start().await;
    server.sql("CREATE ROLE subs LOGIN REPLICATION; CREATE ROLE app LOGIN");
    server
        .install(&Installation {
            outbox: false,
            ..installation()
        })
        .await
        .unwrap();
    // Not by mistake.
    let outbox = Installation {
        outbox: true,
        ..Installation::default()
    };
    let refused = execute(&server.config(), &outbox.sql().unwrap()).await;
    assert!(refused.unwrap_err().contains("--switch"));
    assert_eq!(server.sql("SELECT count(*) FROM pg_publication"), "1");
    let orders = stream("orders");
    let running = crate::servers::Node::live(server.config_of("subs")).await;
    running.want(&orders).await;
    // Grants of before hold for the other form.
    let outbox = Installation {
        switch: true,
        ..outbox
    };
    let told = execute(&server.config(), &outbox.sql().unwrap())
        .await
        .unwrap();
    assert!(
        matches!(&told[..], [one] if one.contains("from log to outbox")),
        "{told:?}"
    );
    assert_eq!(server.sql("SELECT count(*) FROM pg_publication"), "0");
    let refused = running.publish(&orders, &["one"]).await.remove(0);
    assert!(
        matches!(&refused, Err(AttemptError::Denied(reason)) if reason.contains("with an outbox")),
        "{refused:?}"
    );
    // The next row of any table ends the link that reads, as the publication is gone.
    server.sql("CREATE TABLE things AS SELECT 1");
    eventually("the reader of the log says it", || {
        says(&running, "with an outbox")
    })
    .await;
    let with_outbox = node(&server).await;
    with_outbox.want(&orders).await;
    server.try_sql("app", &publish("orders", 1)).unwrap();
    with_outbox.received.events(&orders, 1).await;
    let log = Installation::default();
    let refused = execute(&server.config(), &log.sql().unwrap()).await;
    assert!(refused.unwrap_err().contains("--outbox"));
    let log = Installation {
        switch: true,
        ..log
    };
    let told = execute(&server.config(), &log.sql().unwrap())
        .await
        .unwrap();
    let refused = with_outbox.publish(&orders, &["one"]).await.remove(0);
    assert!(
        matches!(&refused, Err(AttemptError::Denied(reason)) if reason.contains("without an outbox")),
        "{refused:?}"
    );
    eventually("the reader of the outbox says it", || {
        says(&with_outbox, "without an outbox")
    })
    .await;
    assert!(
        matches!(&told[..], [one] if one.contains("from outbox to log")),
        "{told:?}"
    );
    let tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relkind IN ('r', 'p') AND \
        relnamespace = 'fraiseql_subs'::regnamespace";
    assert_eq!(server.sql(tables), "revocations,sources");
    let with_log = crate::servers::Node::live(server.config_of("subs")).await;
    with_log.want(&orders).await;
    server.try_sql("app", &publish("orders", 2)).unwrap();
    assert_eq!(numbers(&with_log.received.events(&orders, 1).await), [2]);
}

/// Whether the link that receives events is away, as the configuration is wrong.
fn says<E: Engine>(node: &crate::support::Node<E>, text: &str) -> bool {
    match node.engine.health().of(Role::Subscriber) {
        Health::Away {
            reason,
            is_configuration: true,
            ..
        } => reason.contains(text),
        _ => false,
    }
}

#[tokio::test]
async fn a_node_that_expects_the_other_form_is_told_what_to_write() {
    let server = server().await;
    let mut log = config(&server);
    log.outbox = false;
    let node = crate::support::Node::over(Postgres::new(log).unwrap());
    node.engine.want(&stream("orders"));
    eventually("all links say it", || {
        Role::ALL
            .iter()
            .all(|role| match node.engine.health().of(*role) {
                Health::Away { reason, .. } => reason.contains("outbox=true"),
                _ => false,
            })
    })
    .await;
    let server = Server::start().await;
    let mut outbox = server.config();
    outbox.outbox = true;
    let node = crate::support::Node::over(Outbox::new(outbox).unwrap());
    let problem = node.configuration_error().await;
    assert!(problem.contains("install --outbox"), "{problem}");
}

#[tokio::test]
async fn a_database_of_an_earlier_version_and_a_role_without_grants() {
    let server = server().await;
    server.sql("CREATE ROLE stranger LOGIN");
    let mut stranger = server.config_of("stranger");
    stranger.outbox = true;
    let node = crate::support::Node::over(Outbox::new(stranger).unwrap());
    let problem = node.configuration_error().await;
    assert!(problem.contains("install --node ROLE"), "{problem}");
    server.sql(
        "CREATE OR REPLACE FUNCTION fraiseql_subs.version() RETURNS integer LANGUAGE sql AS 'SELECT 1'; \
         DROP FUNCTION fraiseql_subs.form()",
    );
    let node = crate::support::Node::over(Outbox::new(config(&server)).unwrap());
    let problem = node.configuration_error().await;
    assert!(problem.contains("install` again"), "{problem}");
}

#[test]
fn tables_need_logical_decoding() {
    let mut config = Config::from_url("postgresql://me@host/db?outbox=true").unwrap();
    let changes = Changes {
        insert: true,
        update: true,
        delete: true,
    };
    config.tables = vec![Table::new("orders", "orders", changes, None).unwrap()];
    let problem = Outbox::new(config).err().unwrap().to_string();
    assert!(
        problem.contains("tables need logical decoding"),
        "{problem}"
    );
    let wrong = Config::from_url("postgresql://me@host/db?outbox=yes");
    assert!(wrong.unwrap_err().to_string().contains("true or false"));
}

#[tokio::test]
async fn a_change_of_form_names_the_slots_that_keep_the_log() {
    let server = Server::start().await;
    server.sql(
        "SELECT pg_create_logical_replication_slot('staging', 'pgoutput'), \
         fraiseql_subs.begin_source('staging')",
    );
    let outbox = Installation {
        outbox: true,
        switch: true,
        ..Installation::default()
    };
    let told = execute(&server.config(), &outbox.sql().unwrap())
        .await
        .unwrap();
    let names = |text: &&String| text.contains("slot staging goes on to keep the log");
    assert_eq!(told.iter().filter(names).count(), 1, "{told:?}");
    let left = "SELECT to_regclass('fraiseql_subs.sources') IS NULL";
    assert_eq!(server.sql(left), "t");
}
