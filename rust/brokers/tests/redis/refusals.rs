//! What Redis refuses: missing permissions, full memory, replicas, endless scripts, wrong passwords.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use brokers::Credentials;
use brokers::redis::{Config, Times};
use bus::engine::{AttemptError, Engine, Health, Outgoing, Role};

use crate::servers::{Happened, Node, PATIENCE, Server, event, eventually, quick, stream};

/// The permissions that the bus needs, and no others.
const RULES: &str = "resetchannels &fs1:* resetkeys ~fs1:* -@all +hello +auth +ping +select +info \
    +evalsha +script|load +subscribe +unsubscribe +publish +xadd +xrange +expire +unlink +del +hset \
    +hmget +set +get +time +zadd +zrem +zcard +zrange +zremrangebyscore";

fn with_user(rules: &str) -> Server {
    let server = Server::start();
    let mut arguments = vec!["ACL", "SETUSER", "bus", "reset", "on", ">secret"];
    arguments.extend(rules.split_whitespace());
    assert_eq!(server.command(&arguments), "OK");
    server
}

fn as_user(server: &Server) -> Config {
    let mut config = server.config();
    config.credentials = Some(Credentials::fixed(
        Some("bus".to_owned()),
        "secret".to_owned(),
    ));
    config
}

#[tokio::test]
async fn a_user_with_only_the_needed_permissions_can_use_the_bus() {
    let server = with_user(RULES);
    let node = Node::live(as_user(&server)).await;
    let orders = stream("orders");
    let head = node.want(&orders).await;
    node.publish(&orders, &["x"]).await.remove(0).unwrap();
    node.received.event(&orders, "x").await;
    assert_eq!(
        node.engine
            .read(&orders, head, 10)
            .await
            .unwrap()
            .events
            .len(),
        1
    );
    node.engine.unwant(&orders);
    eventually("it is not subscribed", || {
        !server.command(&["PUBSUB", "CHANNELS"]).contains("orders")
    })
    .await;
    assert_eq!(server.command(&["ACL", "LOG"]), "");
}

#[tokio::test]
async fn a_missing_permission_is_reported_and_not_tried_again_fast() {
    for (missing, what) in [
        ("+subscribe", "subscribe"),
        ("+info", "info"),
        ("+script|load", "script"),
    ] {
        let server = with_user(&RULES.replace(missing, ""));
        let node = Node::start(as_user(&server));
        let reason = node.configuration_error().await;
        assert!(
            reason.contains("NOPERM") && reason.contains(what),
            "{missing}: {reason}"
        );
    }
    // New users of Redis have no channels.
    let server = with_user(&RULES.replace("&fs1:*", ""));
    let node = Node::start(as_user(&server));
    let reason = node.configuration_error().await;
    assert!(
        reason.contains("NOPERM") && reason.contains("channels"),
        "{reason}"
    );
}

#[tokio::test]
async fn an_event_that_needs_a_missing_permission_waits_for_it() {
    for missing in ["+xadd", "+publish", "+hset"] {
        let server = Server::start();
        let node = Node::live(server.config()).await;
        let orders = stream("orders");
        node.publish(&orders, &["before"]).await.remove(0).unwrap();
        let arguments = ["ACL", "SETUSER", "default", &missing.replace('+', "-")];
        assert_eq!(server.command(&arguments), "OK");
        let orders = stream(if missing == "+hset" { "new" } else { "orders" });
        let answer = node.publish(&orders, &["x"]).await.remove(0);
        let Err(AttemptError::Denied(why)) = answer else {
            panic!("{missing}: {answer:?}");
        };
        assert!(why.contains("NOPERM"), "{why}");
        // It is published with the same id when the permission is granted.
        server.command(&["ACL", "SETUSER", "default", missing]);
        node.publish_for_certain(&orders, "x").await;
    }
}

#[tokio::test]
async fn a_user_that_may_not_subscribe_can_publish() {
    let server = with_user(&RULES.replace("+subscribe", ""));
    let node = Node::start(as_user(&server));
    node.configuration_error().await;
    eventually("it can publish and read", || {
        let health = node.engine.health();
        health.of(Role::Publisher).is_live() && health.of(Role::Reader).is_live()
    })
    .await;
    let health = node.engine.health();
    assert!(matches!(
        health.of(Role::Subscriber),
        Health::Away {
            is_configuration: true,
            ..
        }
    ));
    assert!(!health.is_live());
    let orders = stream("orders");
    node.publish(&orders, &["x"]).await.remove(0).unwrap();
}

#[tokio::test]
async fn a_wrong_password_does_not_refuse_events_for_good() {
    let server = with_user(RULES);
    let mut config = as_user(&server);
    config.credentials = Some(Credentials::fixed(
        Some("bus".to_owned()),
        "late".to_owned(),
    ));
    config.times.configuration_pause = Duration::from_millis(100);
    let node = Node::start(config);
    node.configuration_error().await;
    let orders = stream("orders");
    eventually("it is the publisher that is refused", || {
        let health = node.engine.health();
        matches!(health.of(Role::Publisher), Health::Away { .. })
    })
    .await;
    let answer = node.publish(&orders, &["x"]).await.remove(0);
    assert!(
        matches!(&answer, Err(AttemptError::Denied(why)) if why.contains("password")),
        "{answer:?}"
    );
    server.command(&["ACL", "SETUSER", "bus", ">late"]);
    node.publish_for_certain(&orders, "x").await;
}

#[tokio::test]
async fn a_full_memory_is_busy_and_publishing_goes_on_after_it() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    for one in [&orders, &stream("new")] {
        let answer = node.publish(one, &["x"]).await.remove(0);
        assert!(
            matches!(&answer, Err(AttemptError::Busy(why)) if why.contains("maxmemory")),
            "{answer:?}"
        );
    }
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let position = node.publish(&orders, &["x"]).await.remove(0).unwrap();
    assert_eq!(position.offset.major, 1);
    assert_eq!(node.received.event(&orders, "x").await, position);
}

#[tokio::test]
async fn streams_that_are_ready_stay_so_while_a_new_one_cannot_be_stored() {
    let server = Server::start();
    let node = Node::live(server.config_of("?partitions=1", quick())).await;
    let (orders, new) = (stream("orders"), stream("new"));
    node.want(&orders).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    node.received.clear();
    node.engine.want(&new);
    eventually("it is subscribed", || {
        server.command(&["PUBSUB", "CHANNELS"]).contains("new")
    })
    .await;
    assert!(node.head(&orders).await.offset.major == 0);
    let error = node
        .engine
        .heads(Arc::new([new.clone()]))
        .await
        .remove(0)
        .unwrap_err();
    assert!(error.to_string().contains("maxmemory"), "{error}");
    assert_eq!(node.received.all(), [], "neither ready nor in doubt");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    node.received.ready(&new).await;
    assert!(node.engine.health().is_live());
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left() {
    let master = Server::on_a_port(&[]);
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let port = master.port.to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]);
    let answer = node.publish(&orders, &["x"]).await.remove(0);
    assert!(
        matches!(&answer, Err(AttemptError::Busy(why)) if why.contains("replica")),
        "{answer:?}"
    );
    node.received
        .wait("it is away", |all| {
            all.iter().find_map(|one| match one {
                Happened::Health(Health::Away { reason, .. }) if reason.contains("READONLY") => {
                    Some(())
                }
                _ => None,
            })
        })
        .await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    node.publish_for_certain(&orders, "after").await;
    node.received.event(&orders, "after").await;
}

#[tokio::test]
async fn a_script_that_does_not_end_is_busy() {
    let server = Server::with(&["--lua-time-limit", "50"]);
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let socket = server.socket();
    let endless = std::thread::spawn(move || {
        std::process::Command::new("redis-cli")
            .arg("-s")
            .arg(socket)
            .args(["EVAL", "while true do end", "0"])
            .output()
    });
    let mut answer = node.publish(&orders, &["x"]).await.remove(0);
    while answer.is_ok() {
        answer = node.publish(&orders, &["x"]).await.remove(0);
    }
    assert!(
        matches!(&answer, Err(AttemptError::Busy(why)) if why.contains("SCRIPT KILL")),
        "{answer:?}"
    );
    server.command(&["SCRIPT", "KILL"]);
    endless.join().unwrap().unwrap();
    node.publish_for_certain(&orders, "after").await;
    node.received.event(&orders, "after").await;
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_busy() {
    let server = Server::with(&["--enable-protected-configs", "yes"]);
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    // A snapshot fails: its directory was removed.
    let directory = server.path("gone");
    std::fs::create_dir(&directory).unwrap();
    server.command(&["CONFIG", "SET", "dir", directory.to_str().unwrap()]);
    server.command(&["CONFIG", "SET", "save", "3600 1"]);
    std::fs::remove_dir(&directory).unwrap();
    server.command(&["BGSAVE"]);
    eventually("the snapshot has failed", || {
        server
            .command(&["INFO", "persistence"])
            .contains("rdb_last_bgsave_status:err")
    })
    .await;
    let answer = node.publish(&orders, &["x"]).await.remove(0);
    assert!(
        matches!(&answer, Err(AttemptError::Busy(why)) if why.contains("disk")),
        "{answer:?}"
    );
    server.command(&["CONFIG", "SET", "save", ""]);
    node.publish(&orders, &["x"]).await.remove(0).unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_a_configuration_error_that_is_not_tried_again_fast() {
    let server = with_user(RULES);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let mut config = server.config();
    config.times = Times {
        configuration_pause: Duration::from_mins(10),
        ..quick()
    };
    config.credentials = Some(Credentials::from_callable(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok((Some("bus".to_owned()), "s3cret-and-wrong".to_owned()))
    }));
    let node = Node::start(config);
    let reason = node.configuration_error().await;
    assert!(reason.contains("password"), "{reason}");
    assert!(!reason.contains("s3cret"), "{reason}");
    eventually("each link was tried", || asked.load(Ordering::Relaxed) == 3).await;
    // Much longer than the pauses after other errors.
    tokio::time::sleep(quick().backoff_limit * 3).await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_password_is_asked_for_before_each_connection() {
    let server = with_user(RULES);
    let password = Arc::new(parking_lot::Mutex::new(Err(
        "the vault is sealed".to_owned()
    )));
    let current = password.clone();
    let mut config = server.config();
    config.credentials = Some(Credentials::from_callable(move || {
        let password: Result<String, String> = current.lock().clone();
        Ok((Some("bus".to_owned()), password?))
    }));
    let node = Node::start(config);
    // A password that is missing for a while, such as from a sealed vault, is not a fault of the
    // configuration.
    let is_reported = || {
        matches!(node.engine.health().of(Role::Publisher), Health::Away { reason, is_configuration: false, .. }
            if reason.contains("the vault is sealed"))
    };
    eventually("the reason is reported", is_reported).await;
    *password.lock() = Ok("secret".to_owned());
    node.is_live().await;
}

#[tokio::test]
async fn a_password_that_is_not_returned_in_time_is_asked_for_again() {
    let server = with_user(RULES);
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = parking_lot::Mutex::new(told);
    let mut config = server.config();
    config.times = Times {
        password: Duration::from_millis(50),
        ..quick()
    };
    config.credentials = Some(Credentials::from_callable(move || {
        // Returns at once when the sender was dropped.
        let _ = told.lock().recv();
        Ok((Some("bus".to_owned()), "secret".to_owned()))
    }));
    let node = Node::start(config);
    let is_reported = || {
        matches!(node.engine.health().of(Role::Publisher), Health::Away { reason, .. }
            if reason.contains("within 0.05 seconds"))
    };
    eventually("the reason is reported", is_reported).await;
    drop(tell);
    node.is_live().await;
}

#[tokio::test]
async fn a_user_without_a_command_of_the_scripts_learns_its_name_and_loses_no_event() {
    let orders = stream("orders");
    for command in [
        "set", "del", "hset", "hmget", "expire", "unlink", "xadd", "xrange",
    ] {
        let server = with_user(&format!("{RULES} -{command}"));
        let node = Node::start(as_user(&server));
        let reason = node.configuration_error().await;
        assert!(reason.contains(&command.to_uppercase()), "{reason}");
        let answer = node.publish(&orders, &["x"]).await.remove(0);
        assert!(matches!(answer, Err(AttemptError::Denied(_))), "{answer:?}");
        server.command(&["ACL", "SETUSER", "bus", &format!("+{command}")]);
        node.is_live().await;
        node.want(&orders).await;
        let position = node.publish_for_certain(&orders, "x").await;
        assert_eq!(node.received.event(&orders, "x").await, position);
    }
}

#[tokio::test]
async fn a_user_who_loses_a_command_loses_no_event() {
    let orders = stream("orders");
    for command in ["hset", "xadd", "publish"] {
        let server = with_user(RULES);
        let node = Node::live(as_user(&server)).await;
        node.want(&orders).await;
        node.publish_for_certain(&orders, "first").await;
        server.command(&["ACL", "SETUSER", "bus", &format!("-{command}")]);
        let again: Arc<[_]> = Arc::new([event(&orders, "again", "again")]);
        for _ in 0..2 {
            let answer = node.engine.publish(again.clone()).await.remove(0);
            assert!(answer.is_err(), "{command}: {answer:?}");
        }
        server.command(&["ACL", "SETUSER", "bus", &format!("+{command}")]);
        eventually_published(&node, &again).await;
        node.received.event(&orders, "again").await;
    }
}

async fn eventually_published(node: &Node, event: &Arc<[Outgoing]>) {
    let published = async {
        while node.engine.publish(event.clone()).await.remove(0).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, published).await.unwrap();
}

#[tokio::test]
async fn settings_that_redis_has_lost_are_stored_again() {
    let server = Server::start();
    let times = Times {
        settings_after: Duration::from_millis(20),
        ..quick()
    };
    let _node = Node::live(server.config_of("", times)).await;
    server.command(&["FLUSHALL"]);
    eventually("they are there", || {
        server.command(&["GET", "fs1:layout"]) == "64"
    })
    .await;
    let other = Node::start(server.config_of("?partitions=8", quick()));
    let reason = other.configuration_error().await;
    assert!(reason.contains("partitions=64"), "{reason}");
}

#[tokio::test]
async fn programs_that_isolate_tenants_and_others_are_refused() {
    for first in [false, true] {
        let server = Server::start();
        let config = |by_tenant| Config {
            by_tenant,
            ..server.config()
        };
        let _node = Node::live(config(first)).await;
        let _same = Node::live(config(first)).await;
        let other = Node::start(config(!first));
        let reason = other.configuration_error().await;
        assert!(reason.contains("set the same tenant= in all"), "{reason}");
    }
}

#[tokio::test]
async fn nodes_with_other_partitions_are_refused() {
    let server = Server::start();
    let _node = Node::live(server.config()).await;
    let other = Node::start(server.config_of("?partitions=8", quick()));
    let reason = other.configuration_error().await;
    assert!(
        reason.contains("partitions=64") && reason.contains("partitions=8"),
        "{reason}"
    );
    let _third = Node::live(server.config_of("?partitions=8&prefix=fs2", quick())).await;
}

/// Returns a connection that the server has answered, `None` if the server has refused it.
fn held_connection(server: &Server) -> Option<UnixStream> {
    let mut connection = UnixStream::connect(server.socket()).unwrap();
    connection.write_all(b"PING\r\n").ok()?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).ok()?;
    (answer == *b"+PONG").then_some(connection)
}

#[tokio::test]
async fn too_many_clients_are_waited_for() {
    let server = Server::with(&["--maxclients", "5"]);
    let mut held = Vec::new();
    // A connection that is refused is not held: the one of the start may not have ended yet.
    eventually("every place is taken", || {
        held.extend(held_connection(&server));
        held.len() == 5
    })
    .await;
    let node = Node::start(server.config());
    let is_reported = || {
        matches!(node.engine.health().of(Role::Publisher), Health::Away { reason, is_configuration: false, .. }
            if reason.contains("max number of clients") && reason.contains("raise maxclients"))
    };
    eventually("the reason is reported", is_reported).await;
    let orders = stream("orders");
    let answer = node.publish(&orders, &["x"]).await.remove(0);
    assert!(matches!(answer, Err(AttemptError::Busy(_))), "{answer:?}");
    drop(held);
    node.publish_for_certain(&orders, "x").await;
}

#[tokio::test]
async fn a_key_of_the_bus_that_holds_something_else_does_not_refuse_events_for_good() {
    let server = Server::start();
    server.command(&["RPUSH", "fs1:layout", "x"]);
    let mut config = server.config();
    config.times.configuration_pause = Duration::from_millis(100);
    let node = Node::start(config);
    let reason = node.configuration_error().await;
    assert!(reason.contains("another prefix"), "{reason}");
    let orders = stream("orders");
    let answer = node.publish(&orders, &["x"]).await.remove(0);
    assert!(matches!(answer, Err(AttemptError::Denied(_))), "{answer:?}");
    server.command(&["DEL", "fs1:layout"]);
    node.publish_for_certain(&orders, "x").await;
}

#[tokio::test]
async fn a_database_that_redis_does_not_have_is_a_configuration_error() {
    let server = Server::start();
    let node = Node::start(server.config_of("?db=99", quick()));
    let reason = node.configuration_error().await;
    assert!(reason.contains("no database of this number"), "{reason}");
}

#[tokio::test]
async fn a_command_that_was_renamed_is_named_and_waited_for() {
    let server = Server::with(&["--rename-command", "EVALSHA", "other"]);
    let node = Node::start(server.config());
    let reason = node.configuration_error().await;
    assert!(reason.contains("'EVALSHA'"), "{reason}");
    let answer = node.publish(&stream("orders"), &["x"]).await.remove(0);
    assert!(matches!(answer, Err(AttemptError::Denied(_))), "{answer:?}");
}
