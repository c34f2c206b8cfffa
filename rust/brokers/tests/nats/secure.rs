//! TLS and logins: a private authority, an unknown one, client certificates, tokens, nkeys.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brokers::nats::Config;
use bus::engine::{Engine, Health};
use nkeys::KeyPair;
use serde_json::{Value, json};

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

/// A claim, signed as `nsc` does.
fn signed(issuer: &KeyPair, subject: &KeyPair, expires: u64, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut body = json!({
        "jti": "test", "iat": 1, "iss": issuer.public_key(), "name": "test",
        "sub": subject.public_key(), "nats": claims,
    });
    if expires > 0 {
        body["exp"] = json!(expires);
    }
    let head = encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let text = format!("{head}.{}", encode(&body));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Writes a credentials file of a user, who is refused from a moment on (s since 1970; 0: never).
fn write_credentials(path: &Path, account: &KeyPair, expires: u64) {
    let user = KeyPair::new_user();
    let claims = json!({
        "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2,
    });
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        signed(account, &user, expires, &claims),
        user.seed().unwrap()
    );
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_credentials_file_logs_in_and_is_read_again_when_it_has_expired() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let of_operator = json!({ "type": "operator", "version": 2 });
    let of_account = json!({
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1,
        },
        "default_permissions": { "pub": {}, "sub": {} }, "type": "account", "version": 2,
    });
    let server = Server::with(&format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {} }}",
        signed(&operator, &operator, 0, &of_operator),
        account.public_key(),
        signed(&operator, &account, 0, &of_account),
    ));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let path = server.path("bus.creds");
    write_credentials(&path, &account, now + 4);
    let options = format!("?history=off&credentials={}", path.display());
    let mut config = server.config_of(&options);
    config.times.configuration_pause = Duration::from_millis(500);
    let node = Node::live(config).await;
    let reason = node.configuration_error().await;
    assert!(
        reason.to_lowercase().contains("expired") || reason.contains("login"),
        "{reason}"
    );
    write_credentials(&path, &account, 0);
    node.is_live().await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.publish_for_certain(&orders, "x").await;
    node.received.event(&orders, "x").await;
    assert_eq!(*node.engine.health().worst(), Health::Live);
}
