//! Databases in which other roles have made objects before: nothing of theirs is run with the privileges
//! of who installs, or of a node.

use brokers::postgres::{Config, Installation, execute};

use crate::servers::{Node, Server, stream};

/// A superuser, or a role that may do something, becomes visible by this.
const TRAP: &str = "CREATE ROLE eve LOGIN; GRANT CREATE ON DATABASE postgres TO eve; GRANT CREATE ON SCHEMA \
    public TO eve; CREATE TABLE public.trapped (role text); GRANT ALL ON public.trapped TO PUBLIC; CREATE \
    TABLE public.orders (id int PRIMARY KEY); CREATE ROLE subs LOGIN REPLICATION";
/// A function that notes who runs it.
const NOTE: &str = "INSERT INTO public.trapped SELECT current_user WHERE current_user <> ''eve''; ";

fn server() -> Server {
    let server = Server::bare(&[]);
    server.sql(TRAP);
    server
}

fn orders() -> Installation {
    Installation {
        tables: vec!["public.orders".to_owned()],
        nodes: vec!["subs".to_owned()],
        ..Installation::default()
    }
}

fn nobody_was_trapped(server: &Server) {
    let roles = "SELECT string_agg(DISTINCT role, ',') FROM public.trapped";
    assert_eq!(server.sql(roles), "");
}

/// Operators that fit the operands better than those of PostgreSQL.
fn set_traps(server: &Server, schema: &str) {
    let mut traps = String::new();
    for (operator, left, right, type_of_right) in [
        ("=", "oid", "regclass", "oid"),
        (">=", "oid", "integer", "oid"),
        ("<>", "oid", "regrole", "oid"),
    ] {
        traps += &format!(
            "CREATE FUNCTION {schema}.trap(a {left}, b {right}) RETURNS boolean LANGUAGE sql AS '{NOTE} \
             SELECT a OPERATOR(pg_catalog.{operator}) b::{type_of_right}'; CREATE OPERATOR {schema}.{operator} \
             (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {schema}.trap); "
        );
    }
    server.try_sql("eve", &traps).unwrap();
}

#[tokio::test]
async fn operators_of_others_are_not_run() {
    let server = server();
    set_traps(&server, "public");
    for _ in 0..2 {
        server.install(&orders()).await.unwrap();
    }
    server.sql(&orders().sql().unwrap());
    nobody_was_trapped(&server);
    let node = Node::live(server.config_of("subs")).await;
    node.want(&stream("orders")).await;
    nobody_was_trapped(&server);
}

#[tokio::test]
async fn functions_of_a_search_path_are_not_run() {
    let server = server();
    server.sql(
        "CREATE SCHEMA evil AUTHORIZATION eve; GRANT USAGE ON SCHEMA evil TO PUBLIC; ALTER DATABASE postgres \
         SET search_path = evil, pg_catalog, public",
    );
    set_traps(&server, "evil");
    let trap = format!(
        "CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS '{NOTE} SELECT \
         pg_catalog.current_setting($1)'; CREATE FUNCTION evil.format(text, regclass) RETURNS text LANGUAGE \
         sql AS '{NOTE} SELECT pg_catalog.format($1, $2)'; CREATE DOMAIN evil.bytea AS pg_catalog.bytea"
    );
    server.try_sql("eve", &trap).unwrap();
    server.install(&orders()).await.unwrap();
    let socket = server.path("").display().to_string();
    let options = "options=-csearch_path%3Devil";
    let url = format!(
        "postgresql://subs@/postgres?host={socket}&port={}&{options}",
        server.port
    );
    let mut config = Config::from_url(&url).unwrap();
    config.times = crate::servers::quick();
    let node = Node::live(config).await;
    node.want(&stream("orders")).await;
    nobody_was_trapped(&server);
}

#[tokio::test]
async fn a_schema_of_another_role_is_refused() {
    let server = server();
    let trap = format!(
        "CREATE SCHEMA fraiseql_subs; CREATE TABLE fraiseql_subs.outbox_state (epoch bigint); CREATE FUNCTION \
         fraiseql_subs.trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {NOTE} RETURN new; END'; CREATE \
         TRIGGER trap BEFORE INSERT ON fraiseql_subs.outbox_state FOR EACH ROW EXECUTE FUNCTION \
         fraiseql_subs.trap()"
    );
    server.try_sql("eve", &trap).unwrap();
    for outbox in [false, true] {
        let installation = Installation {
            outbox,
            ..Installation::default()
        };
        let problem = server.install(&installation).await.unwrap_err();
        assert!(
            problem.contains("belongs to eve") && problem.contains("run this as eve"),
            "{problem}"
        );
    }
    nobody_was_trapped(&server);
}

#[tokio::test]
async fn objects_of_another_role_in_the_schema_are_refused() {
    let server = server();
    server.install(&Installation::default()).await.unwrap();
    server.sql("GRANT ALL ON SCHEMA fraiseql_subs TO eve");
    let function =
        "CREATE FUNCTION fraiseql_subs.publish(text, json) RETURNS void LANGUAGE sql AS ''";
    server.try_sql("eve", function).unwrap();
    let problem = server.install(&orders()).await.unwrap_err();
    assert!(
        problem.contains("function fraiseql_subs.publish(text,json) of eve"),
        "{problem}"
    );
    server.sql("DROP OWNED BY eve");
    server.install(&orders()).await.unwrap();
}

#[tokio::test]
async fn a_publication_of_another_role_is_refused() {
    let server = server();
    server
        .try_sql("eve", "CREATE PUBLICATION fraiseql_subs")
        .unwrap();
    let problem = server.install(&orders()).await.unwrap_err();
    assert!(problem.contains("belongs to eve"), "{problem}");
}

#[tokio::test]
async fn other_superusers_can_run_it_again_and_other_roles_cannot() {
    let server = server();
    server.sql("CREATE ROLE admin LOGIN SUPERUSER; CREATE ROLE shop LOGIN");
    server.install(&orders()).await.unwrap();
    let again = orders().sql().unwrap();
    execute(&server.config_of("admin"), &again).await.unwrap();
    let problem = execute(&server.config_of("shop"), &again)
        .await
        .unwrap_err();
    assert!(
        problem.contains("belongs to postgres, so shop cannot change it")
            && problem.contains("Let an administrator run this"),
        "{problem}"
    );
}

#[tokio::test]
async fn names_of_tables_do_not_end_the_quotes() {
    let server = server();
    for name in [
        r#""$do$; CREATE TABLE public.made (); --""#,
        r#""it's \ {table}""#,
        "\"new\nline\"",
    ] {
        server.sql(&format!("CREATE TABLE public.{name} (id int PRIMARY KEY)"));
        let installation = Installation {
            tables: vec![name.to_owned()],
            ..Installation::default()
        };
        server.install(&installation).await.unwrap();
        server.sql(&installation.sql().unwrap());
    }
    let published = "SELECT count(*) FROM pg_publication_tables WHERE pubname = 'fraiseql_subs'";
    assert_eq!(server.sql(published), "3");
    assert_eq!(server.sql("SELECT to_regclass('public.made')"), "");
}
