//! Replays the events that a resuming subscription has missed, then lets it go live.
//!
//! The future runs in the subscription's actor. Not here: how missed events are read (`replay`).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::Context;
use actix::fut::ActorFuture;
use bus::ReadPage;
use bus::engine::{Pending, ReadError};
use tokio::time::{Sleep, sleep};

use super::actor::SubscriptionActor;
use super::replay::{HistoryRead, RemoteRead, Replay};
use crate::config::REPLAY_BATCH;
use crate::random::random_part_of;

/// Replays missed events as long as the sink has room for results. Completes when the subscription
/// is live.
pub(super) struct CatchUp {
    replay: Replay,
    is_too_late: bool,
    remote: RemoteState,
}

/// The state of reading the engine's history.
enum RemoteState {
    /// No read is under way.
    Idle,
    /// A read is under way.
    Asking(Pending<Result<ReadPage, ReadError>>),
    /// Waits before the next read.
    Pausing(Pin<Box<Sleep>>),
}

/// Longest pause before the engine is read again, after a read without an answer or without events.
const PAUSE: Duration = Duration::from_secs(2);

/// The result of one step.
enum Stepped {
    /// The next step can be made at once.
    Continue,
    /// The next step has to wait until the lane has made progress.
    Wait,
    /// All events up to this sequence were replayed.
    CaughtUp(u64),
}

impl CatchUp {
    pub(super) fn new(replay: Replay) -> Self {
        Self {
            replay,
            is_too_late: false,
            remote: RemoteState::Idle,
        }
    }

    /// Replays one event, or reads the next ones.
    fn step(&mut self, actor: &SubscriptionActor) -> Stepped {
        let (replay, lane) = (&mut self.replay, actor.lane());
        let is_idle = lane.is_none_or(|lane| lane.is_idle());
        if self.is_too_late {
            // The client receives the remaining results before it is told of the gap.
            if !is_idle {
                return Stepped::Wait;
            }
            self.is_too_late = false;
            return Stepped::CaughtUp(replay.restart(lane, actor.sink()));
        }
        if lane.is_some_and(|lane| !lane.has_replay_room()) {
            return Stepped::Wait;
        }
        if let Some(event) = replay.missed.next() {
            match lane {
                Some(lane) => lane.replay(event),
                None => replay.send(&event, actor.sink()),
            }
            return Stepped::Continue;
        }
        // A member of a call group drops its own lane when it goes live. Its calls must end first.
        if !is_idle && lane.is_some_and(|lane| lane.info.definition.is_shared) {
            return Stepped::Wait;
        }
        match replay.missed.read_on() {
            HistoryRead::CaughtUp(after) => return Stepped::CaughtUp(after),
            HistoryRead::TooLate => self.is_too_late = true,
            HistoryRead::More => {}
            HistoryRead::Remote => {
                if let Some(answer) = replay.missed.ask() {
                    self.remote = RemoteState::Asking(answer);
                }
            }
        }
        Stepped::Continue
    }
}

impl CatchUp {
    /// Ready when no read of the engine is under way.
    fn poll_remote(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            match &mut self.remote {
                RemoteState::Idle => return Poll::Ready(()),
                RemoteState::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    // The next step decides whether the engine still has to be read.
                    self.remote = RemoteState::Idle;
                }
                RemoteState::Asking(answer) => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    self.remote = RemoteState::Idle;
                    match self.replay.missed.answered(answer) {
                        RemoteRead::Continue => {}
                        RemoteRead::TooLate => self.is_too_late = true,
                        RemoteRead::Later => {
                            let pause = random_part_of(PAUSE);
                            self.remote = RemoteState::Pausing(Box::pin(sleep(pause)));
                        }
                    }
                }
            }
        }
    }
}

impl ActorFuture<SubscriptionActor> for CatchUp {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut SubscriptionActor,
        ctx: &mut Context<SubscriptionActor>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        actor.wake_when_moved(cx.waker().clone());
        for _ in 0..REPLAY_BATCH {
            if actor.is_finishing() && !matches!(self.remote, RemoteState::Idle) {
                // A drain does not wait for the engine.
                actor.caught_up(&mut self.replay, 0, ctx);
                return Poll::Ready(());
            }
            ready!(self.poll_remote(cx));
            ready!(actor.sink().poll_room(cx));
            match self.step(actor) {
                Stepped::Continue => {}
                Stepped::Wait => return Poll::Pending,
                Stepped::CaughtUp(after) => {
                    if !actor.caught_up(&mut self.replay, after, ctx) {
                        continue;
                    }
                    // Live outcomes are taken without room, so the lane has to be polled again.
                    cx.waker().wake_by_ref();
                    return Poll::Ready(());
                }
            }
        }
        // Lets other tasks of this thread run.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
