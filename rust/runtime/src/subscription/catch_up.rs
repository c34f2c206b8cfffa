//! The first steps of a subscription that returns: it hands over what was missed, then goes live.
//!
//! A part of the subscription's actor. Not here: what was missed (`replay`).

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

/// Hands over what was missed, as far as the client has room for its results, then ends.
pub(super) struct CatchUp {
    replay: Replay,
    is_too_late: bool,
    remote: RemoteState,
}

/// What is asked of the engine.
enum RemoteState {
    /// Nothing.
    Idle,
    /// Its answer is awaited.
    Asking(Pending<Result<ReadPage, ReadError>>),
    /// It is asked again then.
    Pausing(Pin<Box<Sleep>>),
}

/// Time after which an engine is asked again that had no answer, at most.
const PAUSE: Duration = Duration::from_secs(2);

/// What came of one step.
enum Stepped {
    /// There are more.
    On,
    /// Nothing, until the lane has moved.
    Waits,
    /// It has caught up: only events after this sequence are new to it.
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

    /// Hands over one event, or reads on.
    fn step(&mut self, actor: &SubscriptionActor) -> Stepped {
        let (replay, lane) = (&mut self.replay, actor.lane());
        let is_idle = lane.is_none_or(|lane| lane.is_idle());
        if self.is_too_late {
            // What it can still be sent comes before it is told of the gap.
            if !is_idle {
                return Stepped::Waits;
            }
            self.is_too_late = false;
            return Stepped::CaughtUp(replay.restart(lane, actor.sink()));
        }
        if lane.is_some_and(|lane| !lane.has_replay_room()) {
            return Stepped::Waits;
        }
        if let Some(event) = replay.missed.next() {
            match lane {
                Some(lane) => lane.replay(event),
                None => replay.send(&event, actor.sink()),
            }
            return Stepped::On;
        }
        // A shared subscription lets its lane go in the end: all calls have ended before.
        if !is_idle && lane.is_some_and(|lane| lane.info.definition.is_shared) {
            return Stepped::Waits;
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
        Stepped::On
    }
}

impl CatchUp {
    /// Ready when the engine has answered, or nothing was asked of it.
    fn poll_remote(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            match &mut self.remote {
                RemoteState::Idle => return Poll::Ready(()),
                RemoteState::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    // The first step finds out whether the engine is still needed.
                    self.remote = RemoteState::Idle;
                }
                RemoteState::Asking(answer) => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    self.remote = RemoteState::Idle;
                    match self.replay.missed.answered(answer) {
                        RemoteRead::On => {}
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
                // A drain does not wait for an engine that has no answer.
                actor.caught_up(&mut self.replay, 0, ctx);
                return Poll::Ready(());
            }
            ready!(self.poll_remote(cx));
            ready!(actor.sink().poll_room(cx));
            match self.step(actor) {
                Stepped::On => {}
                Stepped::Waits => return Poll::Pending,
                Stepped::CaughtUp(after) => {
                    if !actor.caught_up(&mut self.replay, after, ctx) {
                        continue;
                    }
                    // What waits in the lane may pass without room from now on.
                    cx.waker().wake_by_ref();
                    return Poll::Ready(());
                }
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
