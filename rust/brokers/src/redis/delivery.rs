//! Delivers what comes through the subscriber link, in the task that reads the socket.

use std::sync::Arc;
use std::time::Instant;

use bus::Throttle;
use bus::engine::Arrival;
use parking_lot::Mutex;
use redis::aio::{AsyncPushSender, SendError};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::watch;

use super::script::message;
use super::shared::Shared;
use super::socket::Activity;

/// Delivers the pushes of one link.
pub(super) struct Delivery {
    shared: Arc<Shared>,
    /// When an event or a probe came last.
    pub(super) activity: Activity,
    /// The newest probe that came back.
    pub(super) probe: watch::Sender<u64>,
    /// How often messages are told of that are none of the bus.
    unreadable: Mutex<Throttle>,
}

impl Delivery {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            activity: Activity::new(),
            probe: watch::Sender::new(0),
            unreadable: Mutex::default(),
        }
    }

    fn tell_unreadable(&self, channel: &str) {
        if let Some(untold) = self.unreadable.lock().admit(Instant::now()) {
            tracing::warn!(
                target: "fraiseql_subs",
                channel,
                untold,
                "a message on a channel of the bus has no position, and is dropped: another program publishes there"
            );
        }
    }
}

impl AsyncPushSender for Delivery {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        if !matches!(info.kind, PushKind::Message | PushKind::SMessage) {
            return Ok(());
        }
        let mut data = info.data.into_iter();
        let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
            (data.next(), data.next())
        else {
            return Ok(());
        };
        let Ok(channel) = std::str::from_utf8(&channel) else {
            return Ok(());
        };
        self.activity.note();
        if let Some(stream) = self.shared.wants.stream(channel) {
            match message(payload) {
                Some((position, envelope)) => self.shared.arrivals().event(Arrival {
                    stream,
                    position,
                    before: None,
                    envelope,
                }),
                None => self.tell_unreadable(channel),
            }
        } else if channel == &*self.shared.probe {
            let number = std::str::from_utf8(&payload)
                .ok()
                .and_then(|text| text.parse().ok());
            if let Some(number) = number {
                self.probe.send_replace(number);
            }
        }
        Ok(())
    }
}
