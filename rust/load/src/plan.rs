//! The checked options: the plan of the run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use serde::de::IgnoredAny;
use url::Url;

use crate::options::{Mode, OptionError, Options};
use crate::template::Template;
use crate::tls::Tls;

/// Connections of one client address (count). For a bound socket Linux finds every second of its
/// 28,000 ports at once, and then searches longer and longer.
const CONNECTIONS_PER_ADDRESS: u32 = 14_000;

/// Limit of the subscriptions of all connections, and of the events of a run, which are all kept in
/// memory (count).
const MAX_COUNT: u64 = 100_000_000;

/// The role of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Receives every event.
    Broadcast,
    /// Receives the events of its subscriptions' keys.
    Selective,
    /// Disconnects and reconnects.
    Churning,
    /// Never reads.
    Slow,
    /// Is one of many that connect at once.
    Storming,
}

/// Where events are published.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// One line for each event.
    Lines(SocketAddr),
    /// One POST for each event, with this head up to its content-length.
    Http(SocketAddr, String),
}

/// The checked options.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) options: Options,
    pub(crate) server: SocketAddr,
    /// `Host` and path of the handshake.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) publish: Option<Target>,
    pub(crate) variables: Template,
    pub(crate) broadcast_variables: Template,
    pub(crate) storm_variables: Template,
    /// Set for wss.
    pub(crate) tls: Option<Tls>,
    /// The published event, with its channel.
    pub(crate) event: Template,
    /// Events a second, if there is a rate.
    pub(crate) rate: Option<f64>,
    sources: Vec<IpAddr>,
}

/// Numbers of the placeholders of an event.
pub(crate) const EVENT_NAMES: [&str; 3] = ["sequence", "now", "key"];
const VARIABLE_NAMES: [&str; 3] = ["connection", "subscription", "index"];

impl Plan {
    /// Checks the options.
    pub(crate) fn new(options: Options) -> Result<Self, OptionError> {
        let mode = options.mode;
        numbers(&options)?;
        let url = address("--url", &options.url, &["ws", "wss"])?;
        let server = resolve("--url", &url)?;
        let tls = match url.scheme() {
            "wss" => Some(Tls::new(&options, url.host_str().unwrap_or_default())?),
            _ => None,
        };
        let publish = match &options.publish {
            Some(publish) => Some(target(publish)?),
            None if mode == Mode::Idle => None,
            None => {
                return Err(value(
                    "--publish",
                    "is needed to publish events: tcp://HOST:PORT or http://HOST:PORT/PATH",
                ));
            }
        };
        const SEQUENCE: &str =
            "selects no `sequence`, the number of the event, by which results are recognised";
        if !options.query.contains("sequence") {
            return Err(value("--query", SEQUENCE));
        }
        match &options.storm_query {
            Some(query) if !query.contains("sequence") => {
                return Err(value("--storm-query", SEQUENCE));
            }
            None if mode == Mode::Storm => {
                return Err(value(
                    "--storm-query",
                    "is needed: a subscription whose first result comes at once",
                ));
            }
            _ => {}
        }
        let variables = variables("--variables", &options.variables)?;
        let broadcast_variables =
            self::variables("--broadcast-variables", &options.broadcast_variables)?;
        let storm_variables = self::variables("--storm-variables", &options.storm_variables)?;
        if let Some(payload) = &options.init_payload {
            serde_json::from_str::<IgnoredAny>(payload)
                .map_err(|error| value("--init-payload", format!("is not JSON: {error}")))?;
        }
        let event = event(&options)?;
        let rate = match mode {
            Mode::FanOut | Mode::Idle => None,
            Mode::Selective => options.rate,
            Mode::Rate | Mode::Slow | Mode::Churn | Mode::Mixed | Mode::Storm => {
                Some(options.rate.unwrap_or(100.0))
            }
        };
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        Ok(Self {
            server,
            host: host.to_owned(),
            path: path.to_owned(),
            publish,
            variables,
            broadcast_variables,
            storm_variables,
            tls,
            event,
            rate,
            sources: options.source.clone(),
            options,
        })
    }

    /// Returns the number of connections that are open when the measurement begins.
    pub(crate) fn connections(&self) -> u32 {
        match self.options.mode {
            Mode::Storm => self.options.live,
            _ => self.options.connections,
        }
    }

    /// Returns the role of each of these connections.
    pub(crate) fn roles(&self) -> Result<Vec<Role>, OptionError> {
        let options = &self.options;
        let connections = self.connections();
        let share = |share: f64| ((f64::from(connections) * share).round() as u32).max(1);
        let (slow, churning) = match options.mode {
            Mode::Slow => (share(options.slow_share), 0),
            Mode::Churn => (0, share(options.churn_share)),
            Mode::Mixed => (share(options.slow_share), share(options.churn_share)),
            _ => (0, 0),
        };
        let checked = connections.checked_sub(slow + churning);
        let selective = match (options.mode, checked) {
            (Mode::Selective, Some(checked)) => checked,
            (Mode::Mixed, Some(checked)) => checked / 2,
            _ => 0,
        };
        let Some(broadcast) = checked.filter(|n| *n > 0).map(|n| n - selective) else {
            return Err(value(
                "--connections",
                "are too few: none is left to be checked",
            ));
        };
        let roles = [
            (Role::Broadcast, broadcast),
            (Role::Selective, selective),
            (Role::Churning, churning),
            (Role::Slow, slow),
        ];
        let all = roles
            .into_iter()
            .map(|(role, count)| std::iter::repeat_n(role, count as usize));
        Ok(all.flatten().collect())
    }

    /// Returns the client address of a connection; `None`: the system chooses.
    pub(crate) fn source(&self, connection: u32) -> Option<IpAddr> {
        if !self.sources.is_empty() {
            return Some(self.sources[connection as usize % self.sources.len()]);
        }
        let group = connection / CONNECTIONS_PER_ADDRESS;
        match self.server.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && group > 0 => {
                let first = u32::from(Ipv4Addr::LOCALHOST);
                Some(IpAddr::V4(Ipv4Addr::from(first + group)))
            }
            _ => None,
        }
    }
}

fn value(option: &'static str, problem: impl Into<String>) -> OptionError {
    OptionError::Value {
        option,
        problem: problem.into(),
    }
}

/// Checks the numbers that are not integers.
fn numbers(options: &Options) -> Result<(), OptionError> {
    let positive = [
        ("--rate", options.rate.unwrap_or(1.0)),
        ("--duration", options.duration),
        ("--churn-rate", options.churn_rate),
        ("--patience", options.patience),
        ("--sample-interval", options.sample_interval),
    ];
    for (option, number) in positive {
        if !(number > 0.0 && number < 1e9) {
            return Err(value(option, format!("is a number above 0, not {number}")));
        }
    }
    let subscriptions = u64::from(options.connections) * u64::from(options.subscriptions);
    if subscriptions > MAX_COUNT {
        return Err(value(
            "--subscriptions",
            format!("make {subscriptions} in all, of at most {MAX_COUNT}"),
        ));
    }
    let events = options.rate.unwrap_or(1.0) * options.duration;
    if options.rate.is_some() && events > MAX_COUNT as f64 {
        return Err(value(
            "--duration",
            format!("makes {events:.0} events, of at most {MAX_COUNT}"),
        ));
    }
    for (option, share) in [
        ("--slow-share", options.slow_share),
        ("--churn-share", options.churn_share),
    ] {
        if !(0.0..1.0).contains(&share) {
            return Err(value(
                option,
                format!("is a share from 0 to below 1, not {share}"),
            ));
        }
    }
    if options.slow_share + options.churn_share >= 1.0 && options.mode == Mode::Mixed {
        return Err(value(
            "--slow-share",
            "and `--churn-share` leave no connection to be checked",
        ));
    }
    Ok(())
}

fn variables(option: &'static str, text: &str) -> Result<Template, OptionError> {
    if !text.trim_start().starts_with('{') {
        return Err(value(option, format!("is a JSON object, not `{text}`")));
    }
    Template::parse(text, &VARIABLE_NAMES)
        .map_err(|source| OptionError::Template { option, source })
}

/// Returns the event of `--channel` and `--data`.
fn event(options: &Options) -> Result<Template, OptionError> {
    let channel = serde_json::Value::from(options.channel.as_str());
    let text = format!(r#"{{"channel":{channel},"data":{}}}"#, options.data);
    // A line break ends an event, and JSON does not need one.
    let template =
        Template::parse(&text.replace(['\n', '\r'], " "), &EVENT_NAMES).map_err(|source| {
            OptionError::Template {
                option: "--data",
                source,
            }
        })?;
    if !template.has(0) {
        return Err(value(
            "--data",
            "has no `{sequence}`, the number of the event, by which results are recognised",
        ));
    }
    if !template.has(2) && matches!(options.mode, Mode::Selective | Mode::Mixed) {
        return Err(value(
            "--data",
            "has no `{key}`, the number of the subscription that an event is for",
        ));
    }
    Ok(template)
}

fn target(text: &str) -> Result<Target, OptionError> {
    let url = address("--publish", text, &["tcp", "http"])?;
    let address = resolve("--publish", &url)?;
    if url.scheme() == "tcp" {
        return Ok(Target::Lines(address));
    }
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: ",
        &url[url::Position::BeforePath..url::Position::AfterQuery],
        &url[url::Position::BeforeHost..url::Position::AfterPort],
    );
    Ok(Target::Http(address, head))
}

fn address(option: &'static str, text: &str, schemes: &[&str]) -> Result<Url, OptionError> {
    let problem = |problem: String| OptionError::Address {
        option,
        value: text.to_owned(),
        problem,
    };
    let url = Url::parse(text).map_err(|error| problem(format!("no address: {error}")))?;
    if !schemes.contains(&url.scheme()) {
        let schemes = schemes.join(":// or ");
        return Err(problem(format!("begins with {schemes}://")));
    }
    Ok(url)
}

fn resolve(option: &'static str, url: &Url) -> Result<SocketAddr, OptionError> {
    let problem = |problem: String| OptionError::Address {
        option,
        value: url.to_string(),
        problem,
    };
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| problem("has no host".into()))?;
    let port = url.port_or_known_default();
    let port = port.ok_or_else(|| problem("has no port".into()))?;
    let addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    addresses
        .map_err(|error| problem(error.to_string()))?
        .next()
        .ok_or_else(|| problem("has no IP address".into()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const QUERY: &str = "subscription { feed { sequence sentAt } }";

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let all = ["load"].iter().chain(arguments);
        let options = Options::try_parse_from(all).map_err(|error| error.to_string())?;
        Plan::new(options).map_err(|error| error.to_string())
    }

    fn fan_out(more: &[&str]) -> Result<Plan, String> {
        let arguments = [
            "fan-out",
            "--query",
            QUERY,
            "--publish",
            "tcp://127.0.0.1:9001",
        ];
        plan(&[&arguments, more].concat())
    }

    #[test]
    fn connections_beyond_the_ports_of_an_address_come_from_the_next() {
        let plan = fan_out(&["--connections", "60000"]).unwrap();
        let sources = [0, 13_999, 14_000, 28_000].map(|number| plan.source(number));
        let next = |last| Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        assert_eq!(sources, [None, None, next(2), next(3)]);
    }

    #[test]
    fn addresses_that_are_given_are_taken_in_turn() {
        let plan = fan_out(&["--source", "127.0.0.7,127.0.0.8"]).unwrap();
        let sources = [0, 1, 2].map(|number| plan.source(number).unwrap().to_string());
        assert_eq!(sources, ["127.0.0.7", "127.0.0.8", "127.0.0.7"]);
    }

    #[test]
    fn invalid_values_are_refused_with_the_name_of_the_option() {
        for (arguments, expected) in [
            (&["--url", "http://127.0.0.1/"][..], "ws:// or wss://"),
            (&["--url", "127.0.0.1:8000"], "`--url 127.0.0.1:8000`"),
            (&["--publish", "udp://127.0.0.1:1"], "tcp:// or http://"),
            (&["--publish", "tcp://127.0.0.1"], "has no port"),
            (&["--variables", "[]"], "JSON object"),
            (
                &["--variables", r#"{"a": {b}}"#],
                "`{b}` is not a placeholder",
            ),
            (&["--data", r#"{"now": {now}}"#], "has no `{sequence}`"),
            (&["--data", "{sequence"], "`--data`"),
            (&["--init-payload", "token"], "`--init-payload` is not JSON"),
            (
                &["--query", "subscription { feed { id } }"],
                "`--query` selects no",
            ),
            (&["--rate", "0"], "`--rate` is a number above 0"),
            (&["--rate", "NaN"], "`--rate` is a number above 0"),
            (&["--slow-share", "1"], "`--slow-share` is a share"),
            (&["--connections", "0"], "--connections"),
            (&["--subscriptions", "1001"], "--subscriptions"),
            (&["--rate", "1e8"], "`--duration` makes 1000000000 events"),
        ] {
            // clap refuses an option that is passed twice, so replace the existing one.
            let mut all = vec![
                "fan-out",
                "--query",
                QUERY,
                "--publish",
                "tcp://127.0.0.1:1",
            ];
            match all.iter().position(|known| *known == arguments[0]) {
                Some(place) => all[place + 1] = arguments[1],
                None => all.extend(arguments),
            }
            let error = plan(&all).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn only_idle_needs_nowhere_to_publish() {
        assert!(plan(&["idle", "--query", QUERY]).is_ok());
        let error = plan(&["rate", "--query", QUERY]).unwrap_err();
        assert!(error.contains("`--publish` is needed"), "{error}");
    }

    #[test]
    fn a_selective_event_needs_its_key() {
        let arguments = [
            "selective",
            "--query",
            QUERY,
            "--publish",
            "tcp://127.0.0.1:1",
        ];
        let data = ["--data", r#"{"sequence": {sequence}}"#];
        let error = plan(&[&arguments[..], &data].concat()).unwrap_err();
        assert!(error.contains("has no `{key}`"), "{error}");
    }

    #[test]
    fn a_channel_is_written_as_json() {
        let plan = fan_out(&["--channel", "a \"b\""]).unwrap();
        let mut event = Vec::new();
        plan.event.render(&[1, 2, 3], &mut event);
        let event: serde_json::Value = serde_json::from_slice(&event).unwrap();
        assert_eq!(event["channel"], "a \"b\"");
        assert_eq!(event["data"]["sentAt"], 2);
    }
}
