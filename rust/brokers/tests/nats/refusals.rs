//! What a server refuses: logins, permissions, and settings of JetStream.

use std::time::Duration;

use async_nats::jetstream;
use brokers::Credentials;
use brokers::nats::Login;
use bus::StreamKey;
use bus::engine::{AttemptError, ControlError, Engine, Health, ReadError, Role, Scope};
use bytes::Bytes;

use crate::servers::{Happened, Node, Server, event, eventually, stream};

/// The permissions in `docs/how-to/nats.md`: exactly these are enough with JetStream.
const PERMISSIONS: &str = r#"
  publish: {
    allow: ["fs1.>", "$JS.API.STREAM.*.fs1", "$JS.API.STREAM.MSG.GET.fs1", "$JS.API.DIRECT.GET.fs1",
      "$JS.API.STREAM.*.fs1-revocations", "$JS.API.STREAM.MSG.*.fs1-revocations"]
    deny: ["fs1.e.>"]
  }
  subscribe: ["fs1.>"]
"#;
/// Without history nodes publish there.
const DENIED: &str = r#"deny: ["fs1.e.>"]"#;

fn with_user(permissions: &str) -> String {
    format!(
        "jetstream {{}}\nauthorization {{ users: [\n{{ user: admin, password: admin }}\n\
         {{ user: bus, password: s3cret, permissions: {{ {permissions} }} }} ] }}"
    )
}

fn config(server: &Server, login: &str, options: &str) -> brokers::nats::Config {
    let url = format!("nats://{login}@127.0.0.1:{}{options}", server.port);
    let mut config = brokers::nats::Config::from_url(&url).unwrap();
    config.times = server.config().times;
    config
}

#[tokio::test]
async fn the_documented_permissions_are_enough() {
    let page = std::fs::read_to_string("../../docs/how-to/nats.md").unwrap();
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    assert!(
        plain(&page).contains(&plain(PERMISSIONS)),
        "the page lists others"
    );
    for (options, permissions) in [
        ("", PERMISSIONS.to_owned()),
        ("?history=off", PERMISSIONS.replace(DENIED, "")),
    ] {
        let server = Server::with(&with_user(&permissions));
        let node = Node::live(config(&server, "bus:s3cret", options)).await;
        let orders = StreamKey::of_tenant("orders.eu", "t 1");
        let head = node.want(&orders).await;
        let at = node.publish_for_certain(&orders, "x").await;
        node.received.event(&orders, "x").await;
        if options.is_empty() {
            assert_eq!(node.head(&orders).await, at);
            let page = node.engine.read(&orders, head, 10).await.unwrap();
            assert_eq!(page.events.len(), 1);
        }
        let control = node.engine.control();
        control.send(None, Bytes::from_static(b"x")).await.unwrap();
        let minute = Duration::from_mins(1);
        control
            .revoke(Bytes::from_static(b"x"), minute)
            .await
            .unwrap();
        assert_eq!(control.revocations().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_login_says_what_to_check_and_no_secret() {
    let server = Server::with(&with_user(PERMISSIONS));
    for login in ["bus:s3cret-wrong", "nobody:s3cret"] {
        let node = Node::start(config(&server, login, ""));
        let reason = node.configuration_error().await;
        assert!(reason.contains("login"), "{reason}");
        assert!(!reason.contains("s3cret"), "{reason}");
        eventually("the publisher is refused as well", || {
            matches!(
                node.engine.health().of(Role::Publisher),
                Health::Away { .. }
            )
        })
        .await;
        let answer = node.publish(&stream("orders"), &["x"]).await.remove(0);
        assert!(matches!(answer, Err(AttemptError::Denied(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_password_that_cannot_be_asked_for_is_asked_for_again() {
    let server = Server::with(&with_user(PERMISSIONS));
    let mut config = config(&server, "bus:s3cret", "");
    let asked = std::sync::atomic::AtomicUsize::new(0);
    config.login = Login::Password(Credentials::from_callable(move || {
        // For each of the three links.
        match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0..=2 => Err("the vault is closed".to_owned()),
            _ => Ok((Some("bus".to_owned()), "s3cret".to_owned())),
        }
    }));
    let node = Node::start(config);
    node.received
        .wait("the reason is reported", |all| {
            all.iter().find_map(|one| match one {
                Happened::Health(Health::Away {
                    reason,
                    is_configuration: false,
                    ..
                }) => reason.contains("vault").then_some(()),
                _ => None,
            })
        })
        .await;
    node.is_live().await;
}

#[tokio::test]
async fn a_missing_permission_is_a_wrong_configuration_and_names_the_subject() {
    for (permissions, named) in [
        (
            r#"publish: ["fs1.>"], subscribe: ["fs1.>"]"#,
            "STREAM.INFO.fs1",
        ),
        (r#"publish: [">"], subscribe: ["fs1.e.>"]"#, "inbox"),
        (r#"publish: ["fs1.e.>"], subscribe: [">"]"#, "inbox"),
    ] {
        let server = Server::with(&with_user(permissions));
        let node = Node::start(config(&server, "bus:s3cret", ""));
        let reason = node.configuration_error().await;
        assert!(
            reason.contains(named) && reason.contains("allow"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_stream_whose_subject_may_not_be_published_is_denied_and_others_are_not() {
    for (options, allowed) in [
        ("", "fs1.in.0.-.orders"),
        ("?history=off", "fs1.e.-.orders"),
    ] {
        let permissions = format!(
            r#"publish: {{ allow: ["{allowed}", "fs1.inbox.>", "$JS.API.>"] }}, subscribe: ["fs1.>"]"#
        );
        let server = Server::with(&with_user(&permissions));
        let node = Node::live(config(&server, "bus:s3cret", options)).await;
        let (orders, secret) = (stream("orders"), stream("secret"));
        let batch = vec![event(&secret, "1", "x"), event(&orders, "2", "x")];
        let answers = node.engine.publish(batch.into()).await;
        let Err(AttemptError::Denied(reason)) = &answers[0] else {
            panic!("{answers:?}");
        };
        assert!(reason.contains("secret"), "{reason}");
        assert!(answers[1].is_ok(), "{answers:?}");
    }
}

#[tokio::test]
async fn a_stream_that_may_not_be_subscribed_is_not_ready_until_it_is_allowed() {
    let limited = r#"publish: [">"], subscribe: { allow: ["fs1.>"], deny: ["fs1.e.-.secret"] }"#;
    let mut server = Server::with(&with_user(limited));
    let node = Node::live(config(&server, "bus:s3cret", "")).await;
    let (orders, secret) = (stream("orders"), stream("secret"));
    node.engine.want(&secret);
    node.want(&orders).await;
    let is_ready = |node: &Node| {
        let all = node.received.all();
        all.iter()
            .any(|one| matches!(one, Happened::Ready(of, _) if *of == secret))
    };
    assert!(!is_ready(&node));
    server.reload(&with_user(PERMISSIONS));
    node.received.ready(&secret).await;
}

/// Waits until a stream is in doubt.
async fn in_doubt(node: &Node, stream: &StreamKey) {
    let doubt = Happened::Doubt(Scope::Stream(stream.clone()));
    node.received
        .wait("the stream is in doubt", |all| {
            all.contains(&doubt).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_stream_that_is_no_longer_allowed_is_told_and_used_again_when_it_is() {
    let limited = r#"publish: [">"], subscribe: { allow: ["fs1.>"], deny: ["fs1.e.-.secret"] }"#;
    let all = r#"publish: [">"], subscribe: ["fs1.>"]"#;
    for options in ["", "?history=off"] {
        let mut server = Server::with(&with_user(all));
        let node = Node::live(config(&server, "bus:s3cret", options)).await;
        let (orders, secret) = (stream("orders"), stream("secret"));
        node.want(&secret).await;
        node.want(&orders).await;
        node.received.clear();
        server.reload(&with_user(limited));
        in_doubt(&node, &secret).await;
        node.publish_for_certain(&orders, "1").await;
        node.received.event(&orders, "1").await;
        server.reload(&with_user(all));
        node.received.ready(&secret).await;
        node.publish_for_certain(&secret, "2").await;
        node.received.event(&secret, "2").await;
        // All that on one link.
        let happened = node.received.all();
        assert!(
            !happened
                .iter()
                .any(|one| matches!(one, Happened::Health(_)))
        );
    }
}

#[tokio::test]
async fn a_stream_that_was_refused_for_a_time_is_not_taken_for_a_quiet_one() {
    let limited = r#"publish: [">"], subscribe: { allow: [">"], deny: ["fs1.e.-.secret"] }"#;
    let all = r#"publish: [">"], subscribe: [">"]"#;
    let mut server = Server::with(&with_user(all));
    let node = Node::live(config(&server, "bus:s3cret", "")).await;
    let other = Node::live(config(&server, "admin:admin", "")).await;
    let (busy, secret) = (stream("busy"), stream("secret"));
    let start = node.want(&secret).await;
    server.reload(&with_user(limited));
    in_doubt(&node, &secret).await;
    other.publish_for_certain(&secret, "not delivered").await;
    for number in 0..20 {
        node.publish_for_certain(&busy, &number.to_string()).await;
        node.head(&busy).await;
    }
    let admin = async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin".into());
    let client = admin.connect(server.url()).await.unwrap();
    let mut store = crate::servers::store(&client).await;
    let last = store.info().await.unwrap().state.last_sequence;
    store.purge().sequence(last).await.unwrap();
    let read = node.read(&secret, start, 10).await;
    assert!(matches!(read, Err(ReadError::TooLate { .. })), "{read:?}");
}

#[tokio::test]
async fn many_streams_that_are_no_longer_allowed_are_all_told() {
    let limited = r#"publish: [">"], subscribe: { allow: ["fs1.>"], deny: ["fs1.e.t.>"] }"#;
    let all = r#"publish: [">"], subscribe: ["fs1.>"]"#;
    let mut server = Server::with(&with_user(all));
    let node = Node::live(config(&server, "bus:s3cret", "?history=off")).await;
    let streams: Vec<StreamKey> = (0..500)
        .map(|number| StreamKey::of_tenant(format!("s{number}"), "t"))
        .collect();
    for stream in &streams {
        node.engine.want(stream);
    }
    for stream in &streams {
        node.received.ready(stream).await;
    }
    node.received.clear();
    server.reload(&with_user(limited));
    node.received
        .wait("a stream is in doubt", |all| {
            let mut doubts = all.iter();
            doubts
                .any(|one| matches!(one, Happened::Doubt(_)))
                .then_some(())
        })
        .await;
    server.reload(&with_user(all));
    for stream in &streams {
        in_doubt(&node, stream).await;
        node.received.ready(stream).await;
    }
}

#[tokio::test]
async fn a_link_whose_answers_are_no_longer_allowed_ends_and_says_why() {
    let limited = r#"publish: [">"], subscribe: ["fs1.e.>"]"#;
    let mut server = Server::with(&with_user(PERMISSIONS));
    let node = Node::live(config(&server, "bus:s3cret", "")).await;
    server.reload(&with_user(limited));
    for role in Role::ALL {
        eventually("each role says that answers are refused", || {
            match node.engine.health().of(role) {
                Health::Away { reason, .. } => reason.contains("inbox"),
                _ => false,
            }
        })
        .await;
    }
    server.reload(&with_user(PERMISSIONS));
    node.is_live().await;
    node.publish_for_certain(&stream("orders"), "x").await;
}

#[tokio::test]
async fn a_user_that_is_removed_is_a_wrong_configuration_and_one_that_returns_is_used() {
    let mut server = Server::with(&with_user(PERMISSIONS));
    let node = Node::live(config(&server, "bus:s3cret", "")).await;
    let users = |password: &str| {
        with_user(PERMISSIONS).replace("password: s3cret", &format!("password: {password}"))
    };
    server.reload(&users("other"));
    node.configuration_error().await;
    server.reload(&users("s3cret"));
    node.is_live().await;
}

#[tokio::test]
async fn a_server_without_jetstream_says_what_to_do() {
    let server = Server::with("");
    let node = Node::start(server.config());
    let reason = node.configuration_error().await;
    assert!(
        reason.contains("JetStream") && reason.contains("history=off"),
        "{reason}"
    );
    let node = Node::live(server.config_of("?history=off")).await;
    let minute = Duration::from_mins(1);
    let answer = node
        .engine
        .control()
        .revoke(Bytes::from_static(b"x"), minute)
        .await;
    let Err(ControlError::Refused(reason)) = answer else {
        panic!("{answer:?}");
    };
    assert!(
        reason.contains("revocations") && reason.contains("JetStream"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_stream_with_wrong_settings_is_named_with_its_setting() {
    let server = Server::start();
    let client = server.client().await;
    let js = jetstream::new(client);
    let good = jetstream::stream::Config {
        name: "fs1".to_owned(),
        subjects: vec!["fs1.in.0.>".to_owned()],
        republish: Some(jetstream::stream::Republish {
            source: "fs1.in.0.>".to_owned(),
            destination: "fs1.e.>".to_owned(),
            headers_only: false,
        }),
        ..jetstream::stream::Config::default()
    };
    let others = |change: &dyn Fn(&mut jetstream::stream::Config)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    let wrong = [
        (others(&|config| config.republish = None), "republish"),
        (
            others(&|config| config.subjects = vec!["fs1.in.>".to_owned()]),
            "subjects",
        ),
        (
            others(&|config| config.max_messages_per_subject = 5),
            "max_msgs_per_subject",
        ),
        (others(&|config| config.no_ack = true), "no_ack"),
    ];
    for (config, setting) in wrong {
        js.create_stream(config).await.unwrap();
        let node = Node::start(server.config());
        let reason = node.configuration_error().await;
        assert!(
            reason.contains(setting) && reason.contains("fs1"),
            "{reason}"
        );
        drop(node);
        js.delete_stream("fs1").await.unwrap();
    }
    // A stream that fits is used, and what can be changed is.
    js.create_stream(good.clone()).await.unwrap();
    let node = Node::live(server.config_of("?max_bytes=2000000")).await;
    node.publish_for_certain(&stream("orders"), "x").await;
    let mut found = js.get_stream("fs1").await.unwrap();
    let found = found.info().await.unwrap().config.clone();
    assert!(found.allow_direct && found.max_bytes == 2_000_000);
}

#[tokio::test]
async fn programs_with_other_settings_are_refused() {
    let server = Server::start();
    let _node = Node::live(server.config()).await;
    let node = Node::start(server.config_of("?partitions=2"));
    let reason = node.configuration_error().await;
    assert!(reason.contains("partitions"), "{reason}");
    let mut apart = server.config();
    apart.by_tenant = true;
    let reason = Node::start(apart).configuration_error().await;
    assert!(reason.contains("tenants"), "{reason}");
}

#[tokio::test]
async fn what_another_program_keeps_for_longer_stays() {
    let server = Server::start();
    let (mut short, mut long) = (server.config(), server.config());
    short.history = Some(Duration::from_secs(10));
    long.history = Some(Duration::from_mins(10));
    let client = server.client().await;
    for (config, age) in [(short.clone(), 10), (long, 600), (short, 600)] {
        let _node = Node::live(config).await;
        let mut found = crate::servers::store(&client).await;
        let found = found.info().await.unwrap().config.max_age;
        assert_eq!(found, Duration::from_secs(age));
    }
}
