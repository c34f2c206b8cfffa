//! The SQL that prepares a database, and its removal.

use brokers::postgres::{Installation, execute, uninstall_sql};

use crate::servers::Server;

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
