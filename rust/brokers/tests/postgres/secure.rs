//! TLS: the server is always verified, and there is no way back to plain text.

use std::path::PathBuf;
use std::process::Command;

use brokers::postgres::Config;
use bus::engine::Engine;

use crate::servers::{Node, Server, quick, stream};

/// Makes an authority and a certificate for `localhost`. Returns the path of the authority.
fn certificates(server: &Server) -> PathBuf {
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let path = |name: &str| server.path(name).display().to_string();
    let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
    run(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=ca",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-keyout",
        &ca_key,
        "-out",
        &ca,
    ]);
    let (key, request, extensions) = (path("raw.key"), path("server.csr"), path("server.ext"));
    run(&[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &key,
        "-out",
        &request,
    ]);
    std::fs::write(&extensions, "subjectAltName=DNS:localhost\n").unwrap();
    run(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "1",
        "-extfile",
        &extensions,
        "-out",
        &path("raw.pem"),
    ]);
    for (from, to) in [("raw.key", "server.key"), ("raw.pem", "server.pem")] {
        let text = std::fs::read_to_string(server.path(from)).unwrap();
        server.write(to, &text);
    }
    ca.into()
}

async fn server_with_tls() -> (Server, PathBuf) {
    let server = Server::start().await;
    let authority = certificates(&server);
    for (name, file) in [
        ("ssl_cert_file", "server.pem"),
        ("ssl_key_file", "server.key"),
    ] {
        server.sql(&format!(
            "ALTER SYSTEM SET {name} = '{}'",
            server.path(file).display()
        ));
    }
    server.sql("ALTER SYSTEM SET ssl = on");
    server.sql("SELECT pg_reload_conf()");
    crate::servers::eventually("TLS is on", || server.sql("SHOW ssl") == "on").await;
    (server, authority)
}

fn config(server: &Server, host: &str, options: &str) -> Config {
    let url = format!(
        "postgresql://postgres@{host}:{}/postgres?{options}",
        server.port
    );
    let mut config = Config::from_url(&url).unwrap();
    config.times = quick();
    config
}

async fn problem(config: Config) -> String {
    let node = Node::start(config);
    node.engine.want(&stream("orders"));
    node.configuration_error().await
}

#[tokio::test]
async fn all_links_use_tls() {
    let (server, authority) = server_with_tls().await;
    let options = format!("sslmode=verify-full&sslrootcert={}", authority.display());
    let node = Node::live(config(&server, "localhost", &options)).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.is_live().await;
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"n\": 1}')");
    node.received.events(&orders, 1).await;
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE application_name = 'fraiseql-subs' AND NOT ssl";
    assert_eq!(server.sql(plain), "0");
    let encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE ssl";
    assert_eq!(server.sql(encrypted), "3");
}

#[tokio::test]
async fn another_authority_another_name_and_no_tls_are_refused() {
    let (server, authority) = server_with_tls().await;
    let own = format!("sslmode=require&sslrootcert={}", authority.display());
    let name = problem(config(&server, "127.0.0.1", &own)).await;
    assert!(
        name.contains("not valid for name") || name.contains("NotValidForName"),
        "{name}"
    );
    let unknown = problem(config(&server, "localhost", "sslmode=verify-full")).await;
    assert!(
        unknown.contains("UnknownIssuer") || unknown.contains("authorities"),
        "{unknown}"
    );
    let plain = Server::start().await;
    let none = problem(config(&plain, "localhost", &own)).await;
    assert!(none.contains("TLS"), "{none}");
}
