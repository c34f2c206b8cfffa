//! A private PostgreSQL in a temporary directory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use brokers::postgres::{Config, Installation, execute};
use tempfile::TempDir;

use super::{PATIENCE, eventually, free_port, quick};
use crate::support::Process;

/// A private server, which ends when this is dropped.
pub(crate) struct Server {
    directory: TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
    process: Option<Process>,
}

impl Server {
    /// A server with the schema.
    pub(crate) async fn start() -> Self {
        let server = Self::bare(&[]);
        server.install(&Installation::default()).await.unwrap();
        server
    }

    /// A server without the schema, with more settings.
    pub(crate) fn bare(settings: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        copy(template(), directory.path());
        let mut server = Self {
            directory,
            port: free_port(),
            settings: settings
                .iter()
                .map(|setting| (*setting).to_owned())
                .collect(),
            process: None,
        };
        server.launch();
        server
    }

    pub(crate) async fn install(&self, installation: &Installation) -> Result<(), String> {
        execute(&self.config(), &installation.sql()?)
            .await
            .map(drop)
    }

    /// Starts it, also again.
    pub(crate) fn launch(&mut self) {
        let start = Instant::now();
        self.process = Some(self.run());
        while !self.answers() {
            assert!(start.elapsed() < PATIENCE, "postgres does not start");
            // It refuses to start while processes of a server that was killed are left.
            if self.process.as_mut().is_none_or(Process::has_ended) {
                self.process = Some(self.run());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn run(&self) -> Process {
        let mut command = as_postgres(&program("postgres"));
        command.arg("-D").arg(self.path("data"));
        let socket = self.directory.path().display().to_string();
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("port={}", self.port),
            &format!("unix_socket_directories={socket}"),
            "wal_level=logical",
            "max_wal_senders=20",
            "max_replication_slots=20",
            "max_slot_wal_keep_size=1GB",
            "shared_buffers=16MB",
            "fsync=off",
        ] {
            command.arg("-c").arg(setting);
        }
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        Process::start(command)
    }

    fn answers(&self) -> bool {
        let output = self.psql("postgres", "SELECT 1").output().unwrap();
        output.status.success()
    }

    /// Ends it in order, and waits until it has ended.
    pub(crate) async fn shut_down(&mut self) {
        self.process.as_ref().unwrap().signal("-INT");
        let id = self.path("data").join("postmaster.pid");
        eventually("the server ends", || !id.exists()).await;
        self.process = None;
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        // Its other processes end when they notice it.
        let id = self.path("data").join("postmaster.pid");
        let _ = std::fs::remove_file(id);
    }

    /// Ends it at once. Unlike a crash, it frees its shared memory, of which the system has a limited
    /// number.
    fn quit(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if process.has_ended() {
            return;
        }
        process.signal("-QUIT");
        let start = Instant::now();
        while !process.has_ended() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Copies a folder, in place of what the copy had.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        let _ = std::fs::remove_dir_all(self.path(to));
        let mut command = Command::new("cp");
        command.arg("-a").arg(self.path(from)).arg(self.path(to));
        assert!(command.status().unwrap().success());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that the server can read.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        own(&path);
        let status = Command::new("chmod")
            .arg("600")
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
        path
    }

    /// The configuration of a superuser.
    pub(crate) fn config(&self) -> Config {
        self.config_of("postgres")
    }

    pub(crate) fn config_of(&self, user: &str) -> Config {
        let socket = self.directory.path().display();
        let url = format!(
            "postgresql://{user}@/postgres?host={socket}&port={}",
            self.port
        );
        let mut config = Config::from_url(&url).unwrap();
        config.times = quick();
        config
    }

    /// Runs SQL as a superuser, each statement in its own transaction unless it says otherwise. Returns
    /// its output.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql("postgres", sql).unwrap()
    }

    /// Runs SQL as a user. Returns its output, or what psql says.
    pub(crate) fn try_sql(&self, user: &str, sql: &str) -> Result<String, String> {
        let output = self.psql(user, sql).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// Runs each statement in a transaction of its own.
    pub(crate) fn sql_by_statement(&self, sql: &str) {
        self.input(&["-f", "-"], sql);
    }

    /// Runs each statement, also after one that has failed, as psql does when it is not told otherwise.
    pub(crate) fn sql_past_errors(&self, sql: &str) {
        self.input(&["-v", "ON_ERROR_STOP=0", "-f", "-"], sql);
    }

    fn input(&self, options: &[&str], sql: &str) {
        let mut psql = self.psql("postgres", "");
        psql.args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut process = psql.spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        input.write_all(sql.as_bytes()).unwrap();
        drop(input);
        assert!(process.wait().unwrap().success());
    }

    /// Another program that reads from a slot. It ends when the result is dropped.
    pub(crate) async fn receive_from_slot(&self, slot: &str) -> Process {
        let mut command = as_postgres(&program("pg_recvlogical"));
        command.arg("-h").arg(self.directory.path());
        command.args(["-p", &self.port.to_string(), "-d", "postgres", "-S", slot]);
        command.args(["--start", "-f", "-", "-o", "proto_version=1"]);
        command.args(["-o", "publication_names=fraiseql_subs"]);
        let is_free =
            format!("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
        eventually("the slot is free", || self.sql(&is_free) == "t").await;
        let process = Process::start(command);
        eventually("the slot is in use", || self.sql(&is_free) == "f").await;
        process
    }

    /// Starts a replica, which follows this server.
    pub(crate) fn replica(&self) -> Self {
        let directory = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        own(directory.path());
        let mut command = as_postgres(&program("pg_basebackup"));
        command.arg("-h").arg(self.directory.path());
        command.args([
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-R",
            "-X",
            "stream",
        ]);
        command
            .args(["-c", "fast"])
            .arg("-D")
            .arg(directory.path().join("data"));
        assert!(command.status().unwrap().success());
        let mut replica = Self {
            directory,
            port: free_port(),
            settings: self.settings.clone(),
            process: None,
        };
        replica.launch();
        replica
    }

    fn psql(&self, user: &str, sql: &str) -> Command {
        let mut command = Command::new("psql");
        command.arg("-h").arg(self.directory.path());
        command.args(["-p", &self.port.to_string(), "-U", user, "-d", "postgres"]);
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        if !sql.is_empty() {
            command.args(["-c", sql]);
        }
        command
    }

    /// Another session, for transactions that stay open.
    pub(crate) async fn session(&self) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.directory.path()).port(self.port);
        config.user("postgres").dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// A text in SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.quit();
    }
}

/// The files of a new server, made once.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            let directory = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
            own(directory.path());
            let mut command = as_postgres(&program("initdb"));
            command.arg("-D").arg(directory.path().join("data"));
            command.args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-N",
            ]);
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            directory
        })
        .path()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-a")
        .arg(from.join("data"))
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
    own(to);
}

/// Makes the user `postgres` the owner: the server refuses to run as root.
fn own(path: &Path) {
    if is_root() {
        let status = Command::new("chown")
            .arg("postgres:postgres")
            .arg(path)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

fn as_postgres(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(program);
        command.current_dir("/");
        command
    } else {
        Command::new(program)
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.starts_with(b"0\n")
}

/// The path of a program of PostgreSQL: in the directory that `POSTGRES_BIN` names, or of the newest
/// version of Debian, which does not put them in the search path.
fn program(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os("POSTGRES_BIN") {
        return PathBuf::from(directory).join(name);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let programs = versions.filter_map(|version| Some(version.ok()?.path().join("bin").join(name)));
    programs
        .filter(|path| path.exists())
        .max()
        .unwrap_or_else(|| name.into())
}
