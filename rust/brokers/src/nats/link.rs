//! One connection to a server. It is made once: when it ends, another link takes its place, so that it
//! is always known which events a link can have delivered.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event, Request, ServerError};
use bus::engine::Role;
use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::config::{Address, Config};
use super::fault::{Answer, Fault, FaultKind, JetStreamError, no_jetstream};
use super::login::{log_in, tls};

/// How many denials are remembered (count). More than the subscriptions and events between two round
/// trips.
const DENIALS: usize = 128;
/// Messages of one subject that wait to be delivered (count). Past it the server's next messages are
/// dropped, and the streams are in doubt. It is not reached: tasks share a thread, and tokio lets the one
/// that reads the socket read 128 times before others run, each time at most [`READ_BYTES`] or one
/// message. So all subjects together wait with 8 MiB, and no message has less than 64 bytes there.
const WAITING: usize = 128 * READ_BYTES as usize / 64;
/// What is read from the socket at once (bytes).
const READ_BYTES: u16 = u16::MAX;
/// An address that no server has.
const NOWHERE: &str = "nats://127.0.0.1:0";
/// How often it is checked whether the connection is open, in case the crate has not said so: it drops
/// what it says while too much is said at once.
const CHECK_AFTER: Duration = Duration::from_secs(1);

/// What a link needs to know, and to whom it says what is not about itself.
pub(super) trait LinkOwner: Send + Sync + 'static {
    fn config(&self) -> &Config;
    /// What the subjects of answers begin with.
    fn inbox(&self) -> String;
    /// Messages were dropped because a queue was full. Called for each message.
    fn dropped(&self);
    /// Remembers the servers of a cluster, as one of them has named them.
    fn learn_servers(&self, named: &[String]);
    /// How many servers are known.
    fn known_servers(&self) -> usize;
}

/// One connection.
pub(super) struct Link {
    pub(super) client: Client,
    state: watch::Sender<LinkState>,
    /// The subject on which this link answers itself.
    echo: String,
    echo_task: AbortHandle,
}

/// What the server has reported.
#[derive(Debug, Default)]
struct LinkState {
    /// The newest denials of permissions, in the words of the server, and how many there were.
    denials: VecDeque<String>,
    denied: u64,
    /// The newest other error.
    error: Option<String>,
    /// Why the link has ended.
    end: Option<Fault>,
}

impl Link {
    /// Connects to a server.
    pub(super) async fn open(
        owner: &Arc<impl LinkOwner>,
        role: Role,
        address: &Address,
    ) -> Result<Arc<Self>, Fault> {
        let config = owner.config();
        let times = config.times;
        let state = watch::Sender::<LinkState>::default();
        let (events, weak) = (state.clone(), Arc::downgrade(owner));
        // As it begins in a denial.
        let answers = format!("\"{}.", owner.inbox());
        let inbox = answers.clone();
        let scheme = if config.tls.is_some() { "tls" } else { "nats" };
        let server: async_nats::ServerAddr = format!("{scheme}://{address}")
            .parse()
            .map_err(|error| Fault::configuration(format!("{address} is no address: {error}")))?;
        let options = log_in(config)
            .await?
            .name(format!("fraiseql-subs {}", purpose(role)))
            .tls_client_config(tls(config).await?)
            .require_tls(config.tls.is_some())
            .connection_timeout(times.connect)
            .ping_interval(times.ping_after)
            .request_timeout(Some(times.answer))
            .subscription_capacity(WAITING)
            .read_buffer_capacity(READ_BYTES)
            .custom_inbox_prefix(owner.inbox())
            .ignore_discovered_servers()
            .max_reconnects(1)
            .event_callback(move |event| {
                if let (Event::SlowConsumer(_), Some(owner)) = (&event, weak.upgrade()) {
                    owner.dropped();
                }
                let servers = weak.upgrade().map_or(0, |owner| owner.known_servers());
                events.send_modify(|state| state.apply(&event, servers, &inbox));
                async {}
            });
        let client = options
            .connect(server)
            .await
            .map_err(|error| Fault::of_connection(&error, &address.to_string()))?;
        owner.learn_servers(&client.server_info().connect_urls);
        // After the end of this link the crate would connect once more, and send what it still has. No
        // server can have this address.
        client.set_server_pool(NOWHERE).await.map_err(|_| lost())?;
        let echo = format!("{}.echo", client.new_inbox());
        let mut asked = client
            .subscribe(echo.clone())
            .await
            .map_err(|_| Fault::away("the link to NATS has ended"))?;
        let answering = client.clone();
        let echo_task = tokio::spawn(async move {
            while let Some(message) = asked.next().await {
                if let Some(reply) = message.reply {
                    let _ = answering.publish(reply, bytes::Bytes::new()).await;
                }
            }
        });
        let link = Self {
            client,
            state,
            echo,
            echo_task: echo_task.abort_handle(),
        };
        // A missing permission for answers is named here, before anything is asked.
        let request = Request::new();
        let answer = link.client.send_request(link.echo.clone(), request);
        let answer = async {
            answer
                .await
                .map_err(|error| Fault::of_request(error.kind()))
        };
        link.unless_denied(&answers, answer).await?;
        Ok(Arc::new(link))
    }

    /// Why the link has ended; waits for it.
    pub(super) async fn ended(&self) -> Fault {
        let mut state = self.state.subscribe();
        let closed = async {
            while self.client.connection_state() == State::Connected {
                tokio::time::sleep(CHECK_AFTER).await;
            }
        };
        tokio::select! {
            biased;
            state = state.wait_for(|state| state.end.is_some()) => match state {
                Ok(state) => state.end.clone().unwrap_or_else(lost),
                Err(_) => lost(),
            },
            () = closed => lost(),
        }
    }

    /// Waits until the server has handled everything that was sent before. Errors about that are known
    /// then: see [`Self::denial`].
    pub(super) async fn round_trip(&self) -> Result<(), Fault> {
        let answer = self.ask(&self.echo, Request::new()).await;
        answer.map_err(|fault| Fault {
            kind: match fault.kind {
                FaultKind::Late | FaultKind::Busy => FaultKind::Away,
                kind => kind,
            },
            ..fault
        })?;
        // Errors of the server take a way of their own through the crate.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// How many denials there were.
    pub(super) fn denials(&self) -> u64 {
        self.state.borrow().denied
    }

    /// The subjects whose subscriptions were denied, among the denials after the first `before`, and
    /// how many denials there were. An error if some of them are no longer known.
    pub(super) fn denied_subscriptions(
        &self,
        before: u64,
    ) -> Result<(Vec<(String, Fault)>, u64), Fault> {
        let state = self.state.borrow();
        let new = usize::try_from(state.denied - before).unwrap_or(usize::MAX);
        if new > DENIALS {
            return Err(Fault::away("the server has denied too much at once"));
        }
        let new = state.denials.iter().rev().take(new);
        let denied =
            new.filter_map(|text| Some((subscription(text)?.to_owned(), Fault::denied(text))));
        Ok((denied.collect(), state.denied))
    }

    /// Waits for denials after the first `before`. Nothing is lost when this future is dropped.
    pub(super) async fn denied_after(&self, before: u64) {
        let mut state = self.state.subscribe();
        // Whoever waits for this has the sender, so the channel cannot be closed.
        let _ = state.wait_for(|state| state.denied > before).await;
    }

    /// The newest denial of a subject, among those after the first `before`.
    pub(super) fn denial(&self, subject: &str, before: u64) -> Option<Fault> {
        self.state.borrow().denial(&quoted(subject), before)
    }

    /// Sends a request. Returns early when the link ends, or a permission is missing.
    pub(super) async fn ask(
        &self,
        subject: &str,
        request: Request,
    ) -> Result<async_nats::Message, Fault> {
        let answer = self.client.send_request(subject.to_owned(), request);
        let answer = async {
            answer
                .await
                .map_err(|error| Fault::of_request(error.kind()))
        };
        self.unless_denied(&quoted(subject), answer).await
    }

    /// Sends a request to JetStream, such as `STREAM.INFO.fs1`.
    pub(super) async fn ask_jetstream<Q: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        subject: &str,
        question: &Q,
    ) -> Result<Result<A, JetStreamError>, Fault> {
        let question = serde_json::to_vec(question)
            .map_err(|error| Fault::away(format!("no question for JetStream: {error}")))?;
        let request = Request::new().payload(question.into());
        let answer = self.ask(&format!("$JS.API.{subject}"), request).await;
        let answer = answer.map_err(|fault| match fault.kind {
            FaultKind::Busy => no_jetstream(),
            _ => fault,
        })?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Answer::Ok(answer)) => Ok(Ok(answer)),
            Ok(Answer::Err { error }) => Ok(Err(error)),
            Err(error) => Err(Fault::away(format!(
                "JetStream has sent no valid answer: {error}"
            ))),
        }
    }

    /// Waits for an answer. Returns early when the link ends, or a denial has the text `named`.
    async fn unless_denied<T>(
        &self,
        named: &str,
        answer: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let mut state = self.state.subscribe();
        let before = state.borrow().denied;
        let failed = async {
            let is_over =
                |state: &LinkState| state.end.is_some() || state.denial(named, before).is_some();
            match state.wait_for(is_over).await {
                Ok(state) => state
                    .denial(named, before)
                    .or_else(|| state.end.clone())
                    .unwrap_or_else(lost),
                Err(_) => lost(),
            }
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            fault = failed => Err(fault),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.echo_task.abort();
    }
}

impl LinkState {
    /// Handles an event of the crate. `servers`: how many servers are known; `inbox`: how subjects of
    /// answers begin in a denial.
    fn apply(&mut self, event: &Event, servers: usize, inbox: &str) {
        match event {
            Event::ServerError(ServerError::Other(text))
                if text.to_lowercase().starts_with("permissions violation") =>
            {
                self.denied += 1;
                self.denials.push_back(text.clone());
                if self.denials.len() > DENIALS {
                    self.denials.pop_front();
                }
                // Without answers a link is of no use. Servers also remove what other settings no longer
                // allow.
                if subscription(text).is_some() && text.contains(inbox) {
                    self.end(Fault::away(text.as_str()));
                }
            }
            Event::ServerError(error) => self.error = Some(error.to_string()),
            // The server ends soon: another one can be used before that.
            Event::LameDuckMode if servers > 1 => {
                self.end(Fault::away("the server is about to end (lame duck mode)"));
            }
            Event::Disconnected | Event::Closed => {
                let fault = self.error.as_deref().map_or_else(lost, Fault::of_server);
                self.end(fault);
            }
            _ => {}
        }
    }

    fn end(&mut self, fault: Fault) {
        self.end.get_or_insert(fault);
    }

    fn denial(&self, named: &str, before: u64) -> Option<Fault> {
        let new = usize::try_from(self.denied - before).unwrap_or(usize::MAX);
        let mut newest = self.denials.iter().rev().take(new);
        newest
            .find(|text| text.contains(named))
            .map(|text| Fault::denied(text))
    }
}

/// The subject of a subscription that is denied.
fn subscription(denial: &str) -> Option<&str> {
    let is_subscription = denial
        .to_lowercase()
        .contains("violation for subscription to");
    denial.split('"').nth(1).filter(|_| is_subscription)
}

/// A subject as the server writes it in a denial.
fn quoted(subject: &str) -> String {
    format!("\"{subject}\"")
}

fn lost() -> Fault {
    Fault::away("the link to NATS was lost")
}

fn purpose(role: Role) -> &'static str {
    match role {
        Role::Publisher => "publisher",
        Role::Reader => "reader",
        Role::Subscriber => "subscriber",
    }
}
