//! A private `nats-server` with its own directory and port, which is killed at the end of the test.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use brokers::nats::Config;
use tempfile::TempDir;

use super::{PATIENCE, Process, free_port, quick};

pub(crate) struct Server {
    process: Option<Process>,
    directory: TempDir,
    pub(crate) port: u16,
    settings: String,
}

impl Server {
    /// Starts a server with JetStream.
    pub(crate) fn start() -> Self {
        Self::with("jetstream {}")
    }

    /// Starts a server with settings. `DIR/` in them is the directory of the server.
    pub(crate) fn with(settings: &str) -> Self {
        let mut server = Self {
            process: None,
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
            settings: settings.to_owned(),
        };
        server.restart();
        server
    }

    /// A server with settings that is not started yet. Its files can be written before.
    pub(crate) fn prepared(settings: &str) -> Self {
        Self {
            process: None,
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
            settings: settings.to_owned(),
        }
    }

    /// Kills the server with SIGKILL if it runs, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.write_settings();
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(self.path("nats.conf"));
        self.process = Some(Process::start(command));
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < PATIENCE, "nats-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the running server read other settings.
    pub(crate) fn reload(&mut self, settings: &str) {
        settings.clone_into(&mut self.settings);
        self.write_settings();
        self.signal("-HUP");
    }

    fn write_settings(&self) {
        let directory = self.directory.path().display().to_string();
        let settings = self
            .settings
            .replace("jetstream {}", "jetstream { store_dir: \"DIR/js\" }")
            .replace("DIR/", &format!("{directory}/"));
        let text = format!("listen: \"127.0.0.1:{}\"\n{settings}\n", self.port);
        std::fs::write(self.path("nats.conf"), text).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.process.as_ref().unwrap().signal(signal);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn config(&self) -> Config {
        self.config_of("")
    }

    /// The configuration for a URL with options, such as `?history=off`.
    pub(crate) fn config_of(&self, options: &str) -> Config {
        let mut config = Config::from_url(&format!("{}{options}", self.url())).unwrap();
        config.times = quick();
        config
    }

    /// A client that is not of the bus.
    pub(crate) async fn client(&self) -> async_nats::Client {
        let start = Instant::now();
        loop {
            match async_nats::connect(self.url()).await {
                Ok(client) => return client,
                Err(error) => assert!(start.elapsed() < PATIENCE, "no client: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
