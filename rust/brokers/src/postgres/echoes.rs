//! Where own events are in the log: a publisher learns it when they come back.
//!
//! PostgreSQL does not say where a commit is. It says where a message was written, and the log says in
//! which commit a message is.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bus::Position;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Limit of the positions that came back before their publisher asked (count).
const KEPT: usize = 16_384;

/// Positions that came back, and publishers that wait for them.
#[derive(Default)]
pub(super) struct Echoes(Mutex<EchoesState>);

#[derive(Default)]
struct EchoesState {
    /// Calls in flight; without one nothing is kept.
    calls: usize,
    /// By the place of the message in the log.
    found: HashMap<u64, Position>,
    order: VecDeque<u64>,
    waiting: HashMap<u64, oneshot::Sender<Position>>,
    /// Until the log was read up to here, waiting is in vain.
    behind: u64,
}

/// A call whose events come back.
pub(super) struct Call<'a>(&'a Echoes);

impl Echoes {
    /// Begins to keep positions.
    pub(super) fn begin(&self) -> Call<'_> {
        self.0.lock().calls += 1;
        Call(self)
    }

    /// A message has come back.
    pub(super) fn found(&self, message: u64, position: Position) {
        let mut state = self.0.lock();
        if let Some(waiting) = state.waiting.remove(&message) {
            let _ = waiting.send(position);
        } else if state.calls > 0 {
            if state.order.len() >= KEPT
                && let Some(oldest) = state.order.pop_front()
            {
                state.found.remove(&oldest);
            }
            state.order.push_back(message);
            state.found.insert(message, position);
        }
    }

    /// The link was lost: what is waited for does not come back.
    pub(super) fn lost(&self) {
        let mut state = self.0.lock();
        state.waiting.clear();
        state.behind = 0;
    }
}

impl Call<'_> {
    /// Waits for the positions of messages; [`Position::UNKNOWN`] where they do not come back in time.
    /// `read`: how far the log was read.
    pub(super) async fn positions(
        &self,
        messages: &[u64],
        read: u64,
        patience: Duration,
    ) -> Vec<Position> {
        let until = Instant::now() + patience;
        let mut positions = Vec::with_capacity(messages.len());
        let waits: Vec<_> = messages
            .iter()
            .map(|message| self.wait(*message, read))
            .collect();
        for (message, wait) in messages.iter().zip(waits) {
            positions.push(match wait {
                Ok(position) => position,
                Err(None) => Position::UNKNOWN,
                Err(Some(wait)) => match timeout_at(until, wait).await {
                    Ok(Ok(position)) => position,
                    Ok(Err(_)) => Position::UNKNOWN,
                    Err(_) => {
                        let mut state = self.0.0.lock();
                        state.waiting.remove(message);
                        state.behind = state.behind.max(*message);
                        Position::UNKNOWN
                    }
                },
            });
        }
        positions
    }

    fn wait(
        &self,
        message: u64,
        read: u64,
    ) -> Result<Position, Option<oneshot::Receiver<Position>>> {
        let mut state = self.0.0.lock();
        if let Some(position) = state.found.remove(&message) {
            return Ok(position);
        }
        if read < state.behind {
            return Err(None);
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(message, sender);
        Err(Some(receiver))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.calls -= 1;
        if state.calls == 0 {
            state.found.clear();
            state.order.clear();
            state.waiting.clear();
        }
    }
}
