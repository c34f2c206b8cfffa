//! Delivers the messages of a subscriber link, in the task that reads the socket.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bus::Throttle;
use bus::engine::Arrival;
use parking_lot::Mutex;
use redis::aio::{AsyncPushSender, SendError};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Notify, watch};

use super::script::message;
use super::shared::Shared;
use super::socket::Activity;

/// Delivers the messages that one link receives.
pub(super) struct Delivery {
    shared: Arc<Shared>,
    /// When the last event or probe arrived.
    pub(super) activity: Activity,
    probe: Mutex<Option<Arc<str>>>,
    /// The number of the newest probe that came back.
    pub(super) answer: watch::Sender<u64>,
    subscriptions: Mutex<Subscriptions>,
    /// Notified when Redis has ended a subscription.
    ended: Notify,
    /// Limits how often messages that are not of the bus are logged.
    unreadable: Mutex<Throttle>,
}

/// Subscriptions that end; never more than there were.
#[derive(Default)]
struct Subscriptions {
    /// Channels from which the subscriber unsubscribes.
    leaving: HashSet<Arc<str>>,
    /// Channels whose subscription Redis has ended, because their partition has left the server.
    ended: HashSet<String>,
}

impl Delivery {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            activity: Activity::new(),
            probe: Mutex::default(),
            answer: watch::Sender::new(0),
            subscriptions: Mutex::default(),
            ended: Notify::new(),
            unreadable: Mutex::default(),
        }
    }

    fn log_unreadable(&self, channel: &str) {
        if let Some(suppressed) = self.unreadable.lock().admit(Instant::now()) {
            tracing::warn!(
                name: "event.unreadable",
                target: "fraiseql_subs",
                channel,
                suppressed,
                "a message on a channel of the bus has no position, and is dropped: another program publishes there"
            );
        }
    }

    /// The channel of probes; `None` while it is not subscribed.
    pub(super) fn probe(&self) -> Option<Arc<str>> {
        self.probe.lock().clone()
    }

    pub(super) fn set_probe(&self, channel: Option<Arc<str>>) {
        *self.probe.lock() = channel;
    }

    /// Marks channels from which the subscriber is about to unsubscribe.
    pub(super) fn leave(&self, channels: &[Arc<str>]) {
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.leaving.extend(channels.iter().cloned());
    }

    /// Clears the marks of [`Self::leave`], after the subscriber has unsubscribed.
    pub(super) fn has_left(&self) {
        self.subscriptions.lock().leaving.clear();
    }

    /// Returns and clears the channels whose subscriptions Redis has ended.
    pub(super) fn take_ended(&self) -> HashSet<String> {
        std::mem::take(&mut self.subscriptions.lock().ended)
    }

    /// Waits until Redis ends a subscription.
    pub(super) async fn some_ended(&self) {
        self.ended.notified().await;
    }

    fn unsubscribed(&self, channel: &str) {
        let mut subscriptions = self.subscriptions.lock();
        if !subscriptions.leaving.contains(channel) {
            subscriptions.ended.insert(channel.to_owned());
            drop(subscriptions);
            self.ended.notify_one();
        }
    }

    fn message(&self, channel: &str, payload: Vec<u8>) {
        // Messages of nodes do not count as activity: they arrive also when published events do not.
        let payload = match self.shared.control.deliver(channel, payload) {
            Ok(()) => return,
            Err(payload) => payload,
        };
        self.activity.note();
        if let Some(stream) = self.shared.wants.stream(channel) {
            match message(payload) {
                Some(events) => {
                    for (position, envelope) in events {
                        self.shared.arrivals().event(Arrival {
                            stream: stream.clone(),
                            position,
                            before: None,
                            transaction: None,
                            envelope,
                        });
                    }
                }
                None => {
                    self.shared.arrivals().unreadable();
                    self.log_unreadable(channel);
                }
            }
        } else if self.probe.lock().as_deref() == Some(channel) {
            let number = std::str::from_utf8(&payload)
                .ok()
                .and_then(|text| text.parse().ok());
            if let Some(number) = number {
                self.answer.send_replace(number);
            }
        }
    }
}

impl AsyncPushSender for Delivery {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        let mut data = info.data.into_iter();
        let Some(Value::BulkString(channel)) = data.next() else {
            return Ok(());
        };
        let Ok(channel) = std::str::from_utf8(&channel) else {
            return Ok(());
        };
        match (info.kind, data.next()) {
            (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(payload))) => {
                self.message(channel, payload);
            }
            (PushKind::SUnsubscribe, _) => self.unsubscribed(channel),
            _ => {}
        }
        Ok(())
    }
}
