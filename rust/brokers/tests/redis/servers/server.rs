//! A private `redis-server` with its own directory and socket, which is killed at the end of the test.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use brokers::redis::{Config, Times};
use tempfile::TempDir;

use super::{PATIENCE, Process, free_port, quick};

/// A server on a Unix socket, and also on a port if one is requested.
pub(crate) struct Server {
    process: Option<Process>,
    directory: TempDir,
    settings: Vec<String>,
    pub(crate) port: u16,
    /// The port for the other servers of its cluster.
    pub(crate) bus_port: u16,
}

impl Server {
    /// Starts a server that stores nothing on disk.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with further settings, such as `["--maxmemory", "2mb"]`.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            directory: tempfile::tempdir().unwrap(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            port: 0,
            bus_port: 0,
        };
        server.restart();
        server
    }

    /// Starts a server that also listens on a port.
    pub(crate) fn on_a_port(settings: &[&str]) -> Self {
        let port = free_port();
        let text = port.to_string();
        let mut all = vec!["--port", &text];
        all.extend(settings);
        let mut server = Self::with(&all);
        server.port = port;
        server
    }

    /// Kills the server with SIGKILL if it runs, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--daemonize",
                "no",
            ])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.settings);
        self.process = Some(Process::start(command));
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(start.elapsed() < PATIENCE, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
        let _ = std::fs::remove_file(self.socket());
    }

    pub(crate) fn stop(&self) {
        self.process.as_ref().unwrap().signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.process.as_ref().unwrap().signal("-CONT");
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn config(&self) -> Config {
        self.config_of("", quick())
    }

    /// The configuration for a URL with options, such as `?history=off`.
    pub(crate) fn config_of(&self, options: &str, times: Times) -> Config {
        let mut config = Config::from_url(&format!("{}{options}", self.url())).unwrap();
        config.times = times;
        config
    }

    /// Runs a Redis command as the user `default`.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("cannot run redis-cli: {error}: install redis-tools"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
