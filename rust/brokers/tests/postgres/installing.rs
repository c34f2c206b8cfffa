//! The SQL that prepares a database, and its removal.

use std::sync::Arc;

use brokers::postgres::{Changes, Installation, Outbox, Table, execute, uninstall_sql};
use bus::engine::{AttemptError, Engine, Health, Outgoing, Role};
use serde_json::json;

use crate::servers::{Logged, Node, Server, events, eventually, stream};

const OBJECTS: &str = "SELECT count(*) FROM pg_namespace WHERE nspname = 'fraiseql_subs' \
    UNION ALL SELECT count(*) FROM pg_publication WHERE pubname = 'fraiseql_subs'";

#[tokio::test]
async fn it_can_be_run_again_and_be_undone() {
    let server = Server::bare(&[]);
    for _ in 0..2 {
        server.install(&Installation::default()).await.unwrap();
        assert_eq!(server.sql(OBJECTS), "1\n1");
    }
    for _ in 0..2 {
        execute(&server.config(), &uninstall_sql(&[]))
            .await
            .unwrap();
        assert_eq!(server.sql(OBJECTS), "0\n0");
    }
}

#[tokio::test]
async fn psql_can_run_it() {
    let server = Server::bare(&[]);
    server.sql(&Installation::default().sql().unwrap());
    server.sql("SELECT fraiseql_subs.publish('a', '1')");
}

#[tokio::test]
async fn a_table_is_published_once_and_only_if_its_rows_have_an_identity() {
    let server = Server::bare(&[]);
    server.sql("CREATE TABLE \"my Orders\" (id int PRIMARY KEY); CREATE TABLE loose (id int)");
    let of = |table: &str| Installation {
        tables: vec![table.to_owned()],
        ..Installation::default()
    };
    for _ in 0..2 {
        server.install(&of("public.\"my Orders\"")).await.unwrap();
    }
    let tables = "SELECT tablename FROM pg_publication_tables WHERE pubname = 'fraiseql_subs'";
    assert_eq!(server.sql(tables), "my Orders");
    let problem = server.install(&of("loose")).await.unwrap_err();
    assert!(
        problem.contains("no primary key") && problem.contains("REPLICA IDENTITY FULL"),
        "{problem}"
    );
    let missing = server.install(&of("nothing")).await.unwrap_err();
    assert!(missing.contains("does not exist"), "{missing}");
    server.sql("ALTER TABLE loose REPLICA IDENTITY FULL");
    server.install(&of("loose")).await.unwrap();
    assert_eq!(
        server.sql(&format!("{tables} ORDER BY 1")),
        "loose\nmy Orders"
    );
}

/// A database with a table, and a publication that somebody has made for it.
fn server_with(publication: &str) -> Server {
    let server = Server::bare(&[]);
    server.sql("CREATE TABLE orders (id int PRIMARY KEY, total int)");
    server.sql(publication);
    server
}

fn orders() -> Installation {
    Installation {
        tables: vec!["orders".to_owned()],
        ..Installation::default()
    }
}

fn reads_orders(server: &Server) -> Node {
    let mut config = server.config();
    let all = Changes {
        insert: true,
        update: true,
        delete: true,
    };
    config.tables = vec![Table::new("orders", "orders", all, None).unwrap()];
    let node = Node::start(config);
    node.engine.want(&stream("orders"));
    node
}

/// Waits until a node says that its table is published in part.
async fn is_told_of_a_part(server: &Server) {
    let log = Logged::begin();
    let _node = reads_orders(server);
    eventually("it is told", || log.has("published in part")).await;
    assert!(log.has("--table public.orders`"), "{:?}", log.lines());
    assert!(log.has("until then these do not arrive"));
}

#[tokio::test]
async fn a_publication_that_leaves_changes_out_is_completed() {
    let server = server_with(
        "CREATE PUBLICATION fraiseql_subs FOR TABLE orders WITH (publish = 'insert, truncate')",
    );
    server.sql(&Installation::default().sql().unwrap());
    server.sql("ALTER PUBLICATION fraiseql_subs SET (publish = 'insert')");
    is_told_of_a_part(&server).await;
    server.install(&orders()).await.unwrap();
    let node = reads_orders(&server);
    let stream = stream("orders");
    node.want(&stream).await;
    server.sql("INSERT INTO orders VALUES (1, 1); UPDATE orders SET total = 2; DELETE FROM orders");
    assert_eq!(node.data(&stream, 3).await.len(), 3);
}

#[tokio::test]
async fn row_filters_and_column_lists_are_removed_and_this_is_told() {
    let server = server_with("");
    if server.sql("SELECT current_setting('server_version_num')::int < 150000") == "t" {
        return;
    }
    server.sql("CREATE PUBLICATION fraiseql_subs FOR TABLE orders (id) WHERE (id > 10)");
    server.install(&Installation::default()).await.unwrap();
    is_told_of_a_part(&server).await;
    let told = execute(&server.config(), &orders().sql().unwrap()).await;
    let told = told.unwrap().join("\n");
    assert!(
        told.contains("some rows or columns of public.orders"),
        "{told}"
    );
    let node = reads_orders(&server);
    let stream = stream("orders");
    node.want(&stream).await;
    server.sql("INSERT INTO orders VALUES (1, 2)");
    assert_eq!(node.data(&stream, 1).await, [json!({"id": 1, "total": 2})]);
}

#[tokio::test]
async fn a_publisher_may_publish_in_each_way_and_nothing_else() {
    let server = Server::bare(&[]);
    server.sql("CREATE ROLE app LOGIN");
    for outbox in [false, true, false] {
        let installation = Installation {
            outbox,
            switch: true,
            publishers: vec!["app".to_owned()],
            ..Installation::default()
        };
        server.install(&installation).await.unwrap();
        // An update keeps what it has.
        let update = Installation {
            outbox,
            ..Installation::default()
        };
        server.install(&update).await.unwrap();
        server
            .try_sql("app", "SELECT fraiseql_subs.publish('orders', '1')")
            .unwrap();
        let mut config = server.config_of("app");
        config.outbox = outbox;
        let batch = events(&stream("orders"), [json!({"n": 1})]);
        if outbox {
            publishes(
                &crate::support::Node::over(Outbox::new(config).unwrap()),
                batch,
            )
            .await;
        } else {
            publishes(&Node::start(config), batch).await;
        }
        let functions = "SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc WHERE pronamespace = \
            'fraiseql_subs'::regnamespace AND has_function_privilege('app', oid, 'EXECUTE')";
        let of_form = match outbox {
            true => "form publish publish_events version",
            false => "form publish publish_envelopes version",
        };
        assert_eq!(server.sql(functions), of_form);
    }
}

/// Publishes as a program that serves nobody. No link of it may be refused.
async fn publishes<E: Engine>(node: &crate::support::Node<E>, batch: Arc<[Outgoing]>) {
    eventually("each link is live", || {
        let health = node.engine.health();
        assert!(
            !Role::ALL.iter().any(|role| matches!(
                health.of(*role),
                Health::Away {
                    is_configuration: true,
                    ..
                }
            )),
            "{health:?}"
        );
        Role::ALL
            .iter()
            .all(|role| matches!(health.of(*role), Health::Live))
    })
    .await;
    node.engine.publish(batch).await.remove(0).unwrap();
}

#[tokio::test]
async fn without_logical_decoding_it_warns_and_nothing_is_published() {
    let server = Server::bare(&["wal_level=replica"]);
    let told = execute(&server.config(), &Installation::default().sql().unwrap()).await;
    let told = told.unwrap().join("\n");
    assert!(
        told.contains("wal_level is replica, so nothing can be published"),
        "{told}"
    );
    let call = "SELECT fraiseql_subs.publish_envelopes(ARRAY['a'::bytea])";
    let problem = server.try_sql("postgres", call).unwrap_err();
    assert!(problem.contains("wal_level is replica"), "{problem}");
    let node = Node::start(server.config());
    let batch = events(&stream("orders"), [json!({"n": 1})]);
    let problem = loop {
        match node.engine.publish(batch.clone()).await.remove(0) {
            Err(AttemptError::NotSent(_)) => tokio::task::yield_now().await,
            other => break format!("{other:?}"),
        }
    };
    assert!(problem.contains("wal_level is replica"), "{problem}");
}

#[tokio::test]
async fn names_are_those_of_sql_and_of_the_configuration() {
    let server = Server::bare(&[]);
    server.sql(
        "CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY); CREATE TABLE \"We ird\" (id int \
         PRIMARY KEY); CREATE TABLE mixed (id int PRIMARY KEY); ALTER ROLE postgres SET search_path = shop",
    );
    let install = async |name: &str| {
        let installation = Installation {
            tables: vec![name.to_owned()],
            ..Installation::default()
        };
        server.install(&installation).await
    };
    // As `Table("orders")`, in the schema "public".
    let problem = install("orders").await.unwrap_err();
    assert!(
        problem.contains("\"public.orders\" does not exist"),
        "{problem}"
    );
    for name in ["\"We ird\"", "Public.Mixed", "shop.orders"] {
        install(name).await.unwrap();
    }
    let all = Changes {
        insert: true,
        update: true,
        delete: true,
    };
    let mut config = server.config();
    config.tables = ["\"We ird\"", "Public.Mixed", "shop.orders"]
        .map(|name| Table::new(name, "a", all, None).unwrap())
        .to_vec();
    let node = Node::live(config).await;
    node.want(&stream("a")).await;
    server.sql("INSERT INTO public.\"We ird\" VALUES (1)");
    assert_eq!(node.data(&stream("a"), 1).await, [json!({"id": 1})]);
}

#[tokio::test]
async fn the_advice_for_a_table_can_be_pasted() {
    let server = Server::start().await;
    server.sql("CREATE TABLE \"We ird\" (id int PRIMARY KEY)");
    let all = Changes {
        insert: true,
        update: true,
        delete: true,
    };
    let mut config = server.config();
    config.tables = vec![Table::new("\"We ird\"", "a", all, None).unwrap()];
    let log = Logged::begin();
    let _node = Node::live(config).await;
    let advice = "install --table 'public.\"We ird\"'` as an administrator";
    eventually("it is advised", || log.has(advice)).await;
}

#[tokio::test]
async fn a_table_whose_rows_could_not_be_updated_any_more_is_refused() {
    let server = Server::bare(&[]);
    server.sql(
        "CREATE TABLE keyless (id int); CREATE TABLE late (id int PRIMARY KEY DEFERRABLE); \
         CREATE VIEW seen AS SELECT * FROM late",
    );
    for (name, expected) in [
        ("keyless", "has no primary key"),
        ("late", "or a deferrable one"),
        ("seen", "is not a table"),
    ] {
        let installation = Installation {
            tables: vec![name.to_owned()],
            ..Installation::default()
        };
        let problem = server.install(&installation).await.unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
}

#[tokio::test]
async fn what_others_have_made_is_not_removed() {
    for outbox in [false, true] {
        let server = Server::bare(&[]);
        let installation = Installation {
            outbox,
            ..Installation::default()
        };
        server.install(&installation).await.unwrap();
        for (object, name) in [
            (
                "VIEW public.seen AS SELECT fraiseql_subs.version()",
                "view public.seen",
            ),
            (
                "TABLE fraiseql_subs.mine (id int)",
                "table fraiseql_subs.mine",
            ),
        ] {
            server.sql(&format!("CREATE {object}"));
            let problem = execute(&server.config(), &uninstall_sql(&[]))
                .await
                .unwrap_err();
            assert!(
                problem.contains(name) && !problem.contains("CASCADE"),
                "{problem}"
            );
            server.sql("SELECT fraiseql_subs.publish('orders', '1')");
            server.sql(&format!("DROP {name}"));
        }
        execute(&server.config(), &uninstall_sql(&[]))
            .await
            .unwrap();
        let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'fraiseql_subs'";
        assert_eq!(server.sql(schemas), "0");
    }
}

#[tokio::test]
async fn psql_does_all_of_it_or_nothing() {
    let server = Server::bare(&[]);
    let installation = Installation {
        nodes: vec!["nobody".to_owned()],
        ..Installation::default()
    };
    server.sql_past_errors(&installation.sql().unwrap());
    assert_eq!(server.sql(OBJECTS), "0\n0");
}

#[tokio::test]
async fn it_does_not_wait_for_a_lock_without_end() {
    let server = Server::start().await;
    server.sql("CREATE TABLE orders (id int PRIMARY KEY)");
    let url = server.config();
    let blocker = tokio::spawn(async move {
        let lock = "BEGIN; LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE; \
            SELECT pg_sleep(600)";
        execute(&url, lock).await
    });
    let is_locked =
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'orders'::regclass AND granted)";
    eventually("the table is locked", || server.sql(is_locked) == "t").await;
    let problem = server.install(&orders()).await.unwrap_err();
    assert!(
        problem.contains("lock timeout") && problem.contains("pg_stat_activity"),
        "{problem}"
    );
    blocker.abort();
}

#[tokio::test]
async fn the_advice_revokes_the_function_of_each_version() {
    let server = Server::bare(&[]);
    let sql = Installation::default().sql().unwrap();
    let (_, advice) = sql.split_once("--     DO $do$\n").unwrap();
    let (advice, _) = advice.split_once("$do$;").unwrap();
    let revoke = advice.replace("--", "") + "$do$";
    server.sql(&format!("CREATE ROLE app LOGIN; DO $do$ {revoke}"));
    let problem = server
        .try_sql("app", "SELECT pg_logical_emit_message(true, 'fs1', 'a')")
        .unwrap_err();
    assert!(problem.contains("permission denied"), "{problem}");
}
