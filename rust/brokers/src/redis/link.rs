//! One link: a connection to a server that was checked, with the scripts loaded.
//!
//! Not here: connecting again (`supervisor`), the commands of each role (`publisher`, `subscriber`,
//! `reader`).

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, PushKind, RedisConnectionInfo, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::config::{Address, Config, Credentials, Times, Topology};
use super::fault::{Fault, FaultKind, answered};
use super::said::Secrets;
use super::script::Script;
use super::socket::{Activity, Socket};

/// What a server reports about itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// Its run id: random, and another one after each start.
    pub(super) run: String,
    /// Its eviction policy, by which it drops keys when memory is full; empty if it is not reported.
    pub(super) eviction: String,
}

/// A connection in use. It is closed when it is dropped.
pub(super) struct Link {
    connection: MultiplexedConnection,
    pub(super) server: ServerInfo,
    times: Times,
    activity: Arc<Activity>,
    /// The digest of each script.
    digests: [String; Script::ALL.len()],
    /// Why the link has ended.
    end: Arc<watch::Sender<Option<Fault>>>,
    /// Notified when an answer shows that partitions are on another server.
    refresh: Arc<Notify>,
    driver: AbortHandle,
    secrets: Secrets,
}

impl Link {
    /// Connects to a master. `refresh` is notified when an answer shows that partitions are on another
    /// server.
    pub(super) async fn open(
        config: &Config,
        address: &Address,
        pushes: Option<Arc<dyn AsyncPushSender>>,
        refresh: Arc<Notify>,
    ) -> Result<Self, Fault> {
        let credentials = config.credentials.as_ref();
        let mut link = Self::connect(config, address, credentials, pushes).await?;
        link.refresh = refresh;
        let is_cluster = matches!(config.topology, Topology::Cluster { .. });
        link.server = link.introduce(is_cluster).await?;
        if config.database != 0 {
            link.ask(redis::cmd("SELECT").arg(config.database)).await?;
        }
        for script in Script::ALL {
            link.digests[script as usize] = link.load(script).await?;
        }
        Ok(link)
    }

    /// Connects to a server of any kind. The link uses database 0.
    pub(super) async fn connect(
        config: &Config,
        address: &Address,
        credentials: Option<&Credentials>,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Self, Fault> {
        let times = config.times;
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name();
        let mut secrets = Secrets::default();
        if let Some(credentials) = credentials.cloned() {
            let (user, password) = ask(credentials, times).await?;
            secrets = Secrets::new(user.as_deref(), &password);
            info = info.set_username(user.as_deref().unwrap_or("default"));
            info = info.set_password(password);
        }
        let activity = Arc::new(Activity::new());
        let tls = config.tls.as_ref();
        let socket = Socket::connect(address, tls, times.connect, activity.clone()).await?;
        let mut settings = AsyncConnectionConfig::new().set_response_timeout(Some(times.answer));
        if let Some(pushes) = pushes {
            settings = settings.set_push_sender(pushes);
        }
        let refusal = socket.refusal();
        let introduced = MultiplexedConnection::new_with_config(&info, socket, settings).await;
        let (connection, driver) = introduced.map_err(|error| match refusal.get() {
            Some(fault) => fault.clone(),
            None => first_fault(Fault::of_error(&error, &secrets), tls.is_none()),
        })?;
        let end = Arc::new(watch::Sender::new(None));
        let ended = end.clone();
        let driver = tokio::spawn(async move {
            driver.await;
            set_end(&ended, Fault::away("Redis has closed the link"));
        });
        Ok(Self {
            connection,
            server: ServerInfo::default(),
            times,
            activity,
            digests: Default::default(),
            end,
            refresh: Arc::default(),
            driver: driver.abort_handle(),
            secrets,
        })
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Fault> {
        let mut connection = self.connection.clone();
        let answer = connection.send_packed_command(command).await;
        let answer = answered(answer, &self.secrets);
        self.noted(answer.and_then(|answer| match answer {
            Value::Push { .. } => Err(Self::out_of_step()),
            answer => Ok(answer),
        }))
    }

    /// Calls a script. Loads it again if the server has forgotten it.
    pub(super) async fn call(
        &self,
        script: Script,
        build: impl Fn(&str) -> Result<Cmd, Fault>,
    ) -> Result<Value, Fault> {
        let command = build(&self.digests[script as usize])?;
        match self.ask(&command).await {
            Err(fault) if fault.kind == FaultKind::NoScript => {
                // The script was not run.
                self.load(script).await.map_err(Fault::of_link)?;
                self.ask(&command).await
            }
            answer => answer,
        }
    }

    /// Subscribes to channels. Returns when Redis has confirmed all of them.
    pub(super) async fn subscribe(&self, channels: &[Arc<str>]) -> Result<(), Fault> {
        let mut connection = self.connection.clone();
        let channels: Vec<&str> = channels.iter().map(AsRef::as_ref).collect();
        let answer = connection.subscribe(channels).await;
        self.noted(answer.map_err(|error| Fault::of_error(&error, &self.secrets)))
    }

    /// Unsubscribes from channels.
    pub(super) async fn unsubscribe(&self, channels: &[Arc<str>]) -> Result<(), Fault> {
        let mut connection = self.connection.clone();
        let channels: Vec<&str> = channels.iter().map(AsRef::as_ref).collect();
        let answer = connection.unsubscribe(channels).await;
        self.noted(answer.map_err(|error| Fault::of_error(&error, &self.secrets)))
    }

    /// Subscribes to channels of a cluster. Returns the answer to each.
    pub(super) async fn subscribe_sharded(
        &self,
        channels: &[Arc<str>],
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        let answers = self.sharded("SSUBSCRIBE", channels, &PushKind::SSubscribe);
        self.noted(answers.await)
    }

    /// Unsubscribes from channels of a cluster. A channel that has moved is unsubscribed already.
    pub(super) async fn unsubscribe_sharded(&self, channels: &[Arc<str>]) -> Result<(), Fault> {
        let answers = self.sharded("SUNSUBSCRIBE", channels, &PushKind::SUnsubscribe);
        self.noted(answers.await).map(drop)
    }

    /// Sends one command for each channel, all at once. A command with several channels would require
    /// that all are in one slot, and would have one answer for all of them.
    async fn sharded(
        &self,
        command: &str,
        channels: &[Arc<str>],
        kind: &PushKind,
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        let mut commands = redis::pipe();
        for channel in channels {
            commands.cmd(command).arg(&**channel);
        }
        let mut connection = self.connection.clone();
        let answers = connection
            .send_packed_commands(&commands, 0, channels.len())
            .await
            .map_err(|error| Fault::of_error(&error, &self.secrets))?;
        let answers = answers.into_iter().zip(channels);
        answers
            .map(|(answer, channel)| match answer {
                Value::ServerError(error) => {
                    let detail = error.details().unwrap_or_default();
                    let fault = Fault::of_code(error.code(), detail, &self.secrets);
                    self.note(&fault);
                    Ok(Err(fault))
                }
                Value::Push { kind: of, data } if of == *kind && is_of(&data, channel) => {
                    Ok(Ok(()))
                }
                _ => Err(Self::out_of_step()),
            })
            .collect()
    }

    /// If Redis ends a subscription while a command is in progress, the client takes that message for
    /// the answer to the command. From then on each answer is that of an earlier command.
    fn out_of_step() -> Fault {
        Fault::away("Redis has ended a subscription in the middle of other answers")
    }

    /// Ends the link.
    pub(super) fn end(&self, fault: Fault) {
        set_end(&self.end, fault);
    }

    /// Waits until the link ends: it was closed, or was silent for too long.
    pub(super) async fn ended(&self) -> Fault {
        let mut end = self.end.subscribe();
        let ended = async {
            match end.wait_for(Option::is_some).await {
                Ok(fault) => fault.clone(),
                Err(_) => None,
            }
        };
        tokio::select! {
            fault = ended => fault.unwrap_or_else(|| Fault::away("Redis has closed the link")),
            fault = self.silent() => fault,
        }
    }

    /// Sends pings while the link is silent. Returns when no byte arrives in time.
    async fn silent(&self) -> Fault {
        loop {
            let jitter = 0.8 + fastrand::f64() * 0.4;
            let patience = self.times.ping_after.mul_f64(jitter);
            let silent = self.activity.silent_for();
            if let Some(rest) = patience.checked_sub(silent).filter(|rest| !rest.is_zero()) {
                tokio::time::sleep(rest).await;
                continue;
            }
            let rest = self.times.dead_after.saturating_sub(silent);
            // Any byte counts: the answer may be queued behind much other data.
            let ping = redis::cmd("PING");
            match tokio::time::timeout(rest, self.ask(&ping)).await {
                Ok(Err(fault)) if fault.ends_link() => return fault,
                Ok(_) => {}
                Err(_) if self.activity.silent_for() >= self.times.dead_after => {
                    let seconds = self.times.dead_after.as_secs_f64();
                    return Fault::away(format!("Redis was silent for {seconds} seconds"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    async fn load(&self, script: Script) -> Result<String, Fault> {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(script.text());
        match self.ask(&command).await? {
            Value::BulkString(digest) => Ok(String::from_utf8_lossy(&digest).into_owned()),
            _ => Err(Fault::away(
                "Redis has answered SCRIPT LOAD without a digest",
            )),
        }
    }

    /// Checks that the server is a master of version 7 or later.
    async fn introduce(&self, is_cluster: bool) -> Result<ServerInfo, Fault> {
        let mut command = redis::cmd("INFO");
        command.arg("server").arg("replication").arg("memory");
        let text = match self.ask(&command).await? {
            Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
            Value::VerbatimString { text, .. } | Value::SimpleString(text) => text,
            _ => return Err(Fault::away("Redis has answered INFO without a text")),
        };
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        if field("redis_mode") == "sentinel" {
            return Err(Fault::configuration(
                "a sentinel answers: write redis+sentinel://host:26379/mymaster, with the name by which \
                 it knows the master",
            ));
        }
        let version = field("redis_version");
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < 7) {
            return Err(Fault::configuration(format!(
                "the server is Redis {version:.20}: the bus needs version 7 or later"
            )));
        }
        if !is_cluster && field("redis_mode") == "cluster" {
            return Err(Fault::configuration(
                "the server belongs to a cluster: write redis+cluster://",
            ));
        }
        if field("role") != "master" {
            return Err(match is_cluster {
                true => Fault::new(FaultKind::Elsewhere, "the server is a replica now"),
                false => Fault::of_text("READONLY", &self.secrets),
            });
        }
        let run = field("run_id").to_owned();
        if run.is_empty() {
            return Err(Fault::configuration(
                "the INFO of the server contains no run_id",
            ));
        }
        let is_bounded = !matches!(field("maxmemory"), "" | "0");
        let eviction = if is_bounded {
            field("maxmemory_policy")
        } else {
            ""
        }
        .to_owned();
        Ok(ServerInfo { run, eviction })
    }

    /// Returns the fault in a script's answer for one stream or event. Ends the link if it cannot be
    /// used any more.
    pub(super) fn fault_of(&self, error: &str) -> Fault {
        let fault = Fault::of_text(error, &self.secrets);
        self.note(&fault);
        fault
    }

    fn noted<T>(&self, answer: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &answer {
            self.note(fault);
        }
        answer
    }

    fn note(&self, fault: &Fault) {
        if fault.ends_link() {
            self.end(fault.clone());
        }
        if fault.kind == FaultKind::Moved {
            self.refresh.notify_one();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Returns the fault of a server that has not answered the first command. A server that waits for a TLS
/// handshake closes the connection.
fn first_fault(fault: Fault, is_plain: bool) -> Fault {
    if is_plain && fault.kind == FaultKind::Away {
        let reason = fault.reason;
        return Fault::away(format!(
            "{reason} before its first answer: if the server speaks TLS on this port, write rediss://"
        ));
    }
    fault
}

/// Whether a message is about a channel.
fn is_of(data: &[Value], channel: &str) -> bool {
    matches!(data.first(), Some(Value::BulkString(of)) if of == channel.as_bytes())
}

/// Asks for the user and the password, on a thread that may block.
async fn ask(credentials: Credentials, times: Times) -> Result<(Option<String>, String), Fault> {
    let asked = tokio::task::spawn_blocking(move || credentials.ask());
    let no_password = |why: &str| Fault::away(format!("there is no password: {why}"));
    match tokio::time::timeout(times.password, asked).await {
        Ok(Ok(answer)) => answer.map_err(|why| no_password(&why)),
        Ok(Err(_)) => Err(no_password("asking for it has failed")),
        Err(_) => {
            let seconds = times.password.as_secs_f64();
            Err(no_password(&format!(
                "it was not returned within {seconds} seconds"
            )))
        }
    }
}

/// Only the first reason is kept.
fn set_end(end: &watch::Sender<Option<Fault>>, fault: Fault) {
    end.send_if_modified(|current| {
        let is_first = current.is_none();
        if is_first {
            *current = Some(fault);
        }
        is_first
    });
}
