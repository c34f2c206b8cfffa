//! A private Redis Cluster: a number of masters on local ports, which share the slots evenly.

use brokers::redis::{Config, Times};
use bus::StreamKey;

use super::{Server, eventually, free_port, quick};

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    /// Starts three masters.
    pub(crate) async fn start() -> Self {
        Self::with(3, &[]).await
    }

    /// Starts this number of masters with further settings, such as
    /// `["--cluster-require-full-coverage", "no"]`.
    pub(crate) async fn with(count: usize, settings: &[&str]) -> Self {
        let servers: Vec<Server> = (0..count).map(|_| server(settings)).collect();
        for (number, server) in servers.iter().enumerate() {
            let (first, last) = (number * 16384 / count, (number + 1) * 16384 / count - 1);
            let range = [first.to_string(), last.to_string()];
            let add = ["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]];
            assert_eq!(server.command(&add), "OK");
            let epoch = (number + 1).to_string();
            assert_eq!(
                server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]),
                "OK"
            );
        }
        let cluster = Self { servers };
        for server in &cluster.servers[1..] {
            cluster.meet(server);
        }
        cluster.is_complete(count).await;
        cluster
    }

    /// Adds a replica of a master.
    pub(crate) async fn add_replica(&mut self, of: usize) -> usize {
        let replica = server(&["--repl-diskless-sync-delay", "0"]);
        self.meet(&replica);
        self.servers.push(replica);
        self.is_complete(self.servers.len()).await;
        let number = self.servers.len() - 1;
        let id = self.id(of);
        let replica = &self.servers[number];
        assert_eq!(replica.command(&["CLUSTER", "REPLICATE", &id]), "OK");
        eventually("the replica has its copy", || {
            replica
                .command(&["INFO", "replication"])
                .contains("master_link_status:up")
        })
        .await;
        number
    }

    fn meet(&self, server: &Server) {
        let first = &self.servers[0];
        let (port, bus) = (server.port.to_string(), server.bus_port.to_string());
        let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
        assert_eq!(first.command(&meet), "OK");
    }

    /// Waits until each server knows the others and serves its slots.
    pub(crate) async fn is_complete(&self, count: usize) {
        for server in &self.servers {
            eventually("the cluster is complete", || {
                let info = server.command(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{count}"))
            })
            .await;
        }
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self
            .servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    pub(crate) fn config(&self) -> Config {
        self.config_of("", quick())
    }

    pub(crate) fn config_of(&self, options: &str, times: Times) -> Config {
        let mut config = Config::from_url(&format!("{}{options}", self.url())).unwrap();
        config.times = times;
        config
    }

    fn id(&self, server: usize) -> String {
        self.servers[server].command(&["CLUSTER", "MYID"])
    }

    /// The slot of a stream that some node wants, and the index of its server.
    pub(crate) fn place(&self, stream: &StreamKey) -> (String, usize) {
        let end = format!(":c:{}", stream.channel);
        for (number, server) in self.servers.iter().enumerate() {
            let channels = server.command(&["PUBSUB", "SHARDCHANNELS"]);
            if let Some(channel) = channels.lines().find(|channel| channel.ends_with(&end)) {
                return (server.command(&["CLUSTER", "KEYSLOT", channel]), number);
            }
        }
        panic!("no server has a subscription of {stream:?}");
    }

    /// The indexes of the servers of some wanted streams. Asks each server once, because the cluster of
    /// a waiting test makes no progress while it asks.
    pub(crate) fn places(&self, streams: &[StreamKey]) -> Vec<usize> {
        let channels: Vec<String> = self
            .servers
            .iter()
            .map(|server| server.command(&["PUBSUB", "SHARDCHANNELS"]))
            .collect();
        let place = |stream: &StreamKey| {
            let end = format!(":c:{}", stream.channel);
            let has_it = |channels: &String| channels.lines().any(|name| name.ends_with(&end));
            channels.iter().position(has_it).unwrap()
        };
        streams.iter().map(place).collect()
    }

    /// Starts to move a slot: both servers know of it, and all keys are still on the first.
    pub(crate) fn begin_move(&self, slot: &str, from: usize, to: usize) {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let import = ["CLUSTER", "SETSLOT", slot, "IMPORTING", &self.id(from)];
        assert_eq!(target.command(&import), "OK");
        let migrate = ["CLUSTER", "SETSLOT", slot, "MIGRATING", &self.id(to)];
        assert_eq!(source.command(&migrate), "OK");
    }

    /// Moves up to `count` keys of a slot.
    pub(crate) fn move_keys(&self, slot: &str, from: usize, to: usize, count: usize) {
        let count = count.to_string();
        let keys = self.servers[from].command(&["CLUSTER", "GETKEYSINSLOT", slot, &count]);
        let port = self.servers[to].port.to_string();
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        migrate.extend(keys.lines().filter(|key| !key.is_empty()));
        assert_eq!(self.servers[from].command(&migrate), "OK");
    }

    /// Ends the move of a slot.
    pub(crate) fn end_move(&self, slot: &str, from: usize, to: usize) {
        let id = self.id(to);
        for server in [to, from] {
            let assign = ["CLUSTER", "SETSLOT", slot, "NODE", &id];
            assert_eq!(self.servers[server].command(&assign), "OK");
        }
    }

    /// Moves a slot with all its keys.
    pub(crate) fn move_slot(&self, slot: &str, from: usize, to: usize) {
        self.begin_move(slot, from, to);
        self.move_keys(slot, from, to, 10_000);
        self.end_move(slot, from, to);
    }
}

fn server(settings: &[&str]) -> Server {
    let bus = free_port();
    let text = bus.to_string();
    let mut all = vec![
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &text,
        "--cluster-node-timeout",
        "2000",
        "--bind",
        "127.0.0.1",
    ];
    all.extend(settings);
    let mut server = Server::on_a_port(&all);
    server.bus_port = bus;
    server
}
