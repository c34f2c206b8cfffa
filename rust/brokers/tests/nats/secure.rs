//! TLS and logins: a private authority, an unknown one, client certificates, tokens, nkeys.

use std::path::Path;
use std::process::Command;

use brokers::nats::Config;
use nkeys::KeyPair;

use crate::servers::{Node, Server, stream};

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

/// Creates an authority, its certificates for `localhost` and for a client, and another authority.
fn certificates(path: &Path) {
    let names = "subjectAltName=DNS:localhost";
    std::fs::write(path.join("names"), names).unwrap();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for authority in ["ca", "other"] {
        openssl(
            path,
            &format!(
                "req -x509 {new} -days 2 -subj /CN=test -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    for one in ["server", "client"] {
        openssl(
            path,
            &format!("req {new} -subj /CN={one} -keyout {one}.key -out {one}.csr"),
        );
        openssl(
            path,
            &format!(
                "x509 -req -in {one}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile \
                 names -out {one}.pem"
            ),
        );
    }
}

fn secure(settings: &str) -> Server {
    let mut server = Server::prepared(&format!(
        "jetstream {{}}\ntls {{ cert_file: \"DIR/server.pem\", key_file: \"DIR/server.key\", {settings} }}"
    ));
    certificates(&server.path(""));
    server.restart();
    server
}

fn config(server: &Server, scheme: &str, host: &str, options: &str) -> Config {
    let url = format!("{scheme}://{host}:{}{options}", server.port);
    let mut config = Config::from_url(&url).unwrap();
    config.times = server.config().times;
    config
}

async fn works(config: Config) {
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.publish_for_certain(&orders, "x").await;
    node.received.event(&orders, "x").await;
}

#[tokio::test]
async fn a_server_is_verified_by_its_authority_and_name() {
    let server = secure("");
    let ca = |name: &str| format!("?tls_ca={}", server.path(name).display());
    works(config(&server, "tls", "localhost", &ca("ca.pem"))).await;
    for (config, hint) in [
        (
            config(&server, "tls", "localhost", &ca("other.pem")),
            "certificate",
        ),
        (
            config(&server, "tls", "127.0.0.1", &ca("ca.pem")),
            "certificate",
        ),
        (
            config(&server, "tls", "localhost", &ca("missing.pem")),
            "missing.pem",
        ),
        // The server requires TLS, also where the URL does not.
        (config(&server, "nats", "127.0.0.1", ""), "certificate"),
    ] {
        let reason = Node::start(config).configuration_error().await;
        assert!(reason.contains(hint), "{reason}");
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let server = secure("ca_file: \"DIR/ca.pem\", verify: true");
    let path = |name: &str| server.path(name).display().to_string();
    let options = format!(
        "?tls_ca={}&tls_certificate={}&tls_key={}",
        path("ca.pem"),
        path("client.pem"),
        path("client.key")
    );
    works(config(&server, "tls", "localhost", &options)).await;
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_wanted() {
    let server = Server::start();
    let path = server.path("");
    certificates(&path);
    let options = format!("?tls_ca={}", path.join("ca.pem").display());
    let node = Node::start(config(&server, "tls", "localhost", &options));
    node.received
        .wait("there is no link", |_| {
            use bus::engine::{Engine, Health};
            matches!(node.engine.health().worst(), Health::Away { .. }).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_token_or_an_nkey_logs_in() {
    let server = Server::with("jetstream {}\nauthorization { token: \"s3cret\" }");
    works(server.config_of("?token=s3cret")).await;
    let reason = Node::start(server.config_of("?token=wrong"))
        .configuration_error()
        .await;
    assert!(
        reason.contains("login") && !reason.contains("wrong"),
        "{reason}"
    );

    let key = KeyPair::new_user();
    let server = Server::with(&format!(
        "jetstream {{}}\nauthorization {{ users: [ {{ nkey: {} }} ] }}",
        key.public_key()
    ));
    let seed = server.path("seed");
    std::fs::write(&seed, format!("{}\n", key.seed().unwrap())).unwrap();
    works(server.config_of(&format!("?nkey={}", seed.display()))).await;
    for (name, text) in [("broken", "s3cret"), ("absent", "")] {
        let path = server.path(name);
        if !text.is_empty() {
            std::fs::write(&path, text).unwrap();
        }
        for option in ["nkey", "credentials"] {
            let config = server.config_of(&format!("?{option}={}", path.display()));
            let reason = Node::start(config).configuration_error().await;
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }
}
