//! TLS: a private authority, an unknown authority, and a server without TLS.

use std::path::Path;
use std::process::Command;

use brokers::redis::Config;
use bus::engine::Health;
use tempfile::TempDir;

use crate::servers::{Happened, Node, Server, free_port, quick, stream};

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .current_dir(directory)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("cannot run openssl: {error}: apt-get install openssl"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Creates an authority, and its certificate for `localhost`.
fn certificates() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(
        path.join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    )
    .unwrap();
    for authority in ["ca", "other"] {
        openssl(
            path,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \
                 -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    openssl(
        path,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout server.key \
         -out server.csr",
    );
    openssl(
        path,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
         -out server.pem",
    );
    directory
}

struct Secure {
    _server: Server,
    directory: TempDir,
    port: u16,
}

fn secure(clients: &str) -> Secure {
    let directory = certificates();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let port = free_port();
    let server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("server.pem"),
        "--tls-key-file",
        &path("server.key"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        clients,
    ]);
    Secure {
        _server: server,
        directory,
        port,
    }
}

impl Secure {
    fn config(&self, host: &str, options: &str) -> Config {
        let directory = self.directory.path().display();
        let options = options.replace('@', &format!("{directory}/"));
        let mut config =
            Config::from_url(&format!("rediss://{host}:{}?{options}", self.port)).unwrap();
        config.times = quick();
        config
    }
}

#[tokio::test]
async fn a_server_of_a_known_authority_is_used() {
    let secure = secure("no");
    for host in ["localhost", "127.0.0.1"] {
        let node = Node::live(secure.config(host, "tls_ca=@ca.pem")).await;
        let orders = stream("orders");
        node.want(&orders).await;
        node.publish(&orders, &[host]).await.remove(0).unwrap();
        node.received.event(&orders, host).await;
    }
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_refused() {
    let secure = secure("no");
    let reason = Node::start(secure.config("localhost", "tls_ca=@other.pem"))
        .configuration_error()
        .await;
    assert!(
        reason.contains("certificate") && reason.contains("tls_ca"),
        "{reason}"
    );
    let reason = Node::start(secure.config("localhost", ""))
        .configuration_error()
        .await;
    assert!(reason.contains("tls_ca"), "{reason}");
    let reason = Node::start(secure.config("127.0.0.2", "tls_ca=@ca.pem"))
        .configuration_error()
        .await;
    assert!(reason.contains("name"), "{reason}");
    let reason = Node::start(secure.config("localhost", "tls_ca=@missing.pem"))
        .configuration_error()
        .await;
    assert!(reason.contains("missing.pem"), "{reason}");
    let reason = Node::start(secure.config("localhost", "tls_ca=@names"))
        .configuration_error()
        .await;
    assert!(reason.contains("no certificate"), "{reason}");
}

#[tokio::test]
async fn a_server_that_requires_a_certificate_receives_it() {
    let secure = secure("yes");
    let options = "tls_ca=@ca.pem&tls_certificate=@server.pem&tls_key=@server.key";
    let _node = Node::live(secure.config("localhost", options)).await;
    let node = Node::start(secure.config("localhost", "tls_ca=@ca.pem"));
    node.received
        .wait("it is away", |all| {
            all.iter()
                .find(|one| matches!(one, Happened::Health(Health::Away { .. })))
                .map(|_| ())
        })
        .await;
}

#[tokio::test]
async fn a_port_without_tls_is_refused_with_advice() {
    let server = Server::on_a_port(&[]);
    let mut config = Config::from_url(&format!("rediss://127.0.0.1:{}", server.port)).unwrap();
    config.times = quick();
    let directory = certificates();
    config.tls.as_mut().unwrap().authorities = Some(directory.path().join("ca.pem"));
    let node = Node::start(config);
    node.received
        .wait("it is away", |all| {
            all.iter()
                .find(|one| matches!(one, Happened::Health(Health::Away { .. })))
                .map(|_| ())
        })
        .await;
}
