//! The first steps of a subscription that returns: it hands over what was missed, then goes live.
//!
//! A part of the subscription's actor. Not here: what was missed (`replay`).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use actix::Context;
use actix::fut::ActorFuture;

use super::subscription::SubscriptionActor;
use crate::config::REPLAY_BATCH;
use crate::lane::Lane;
use crate::replay::{Found, Replay};

/// Hands over what was missed, as far as the client has room for its results, then ends.
pub(super) struct CatchUp {
    replay: Option<Replay>,
    is_too_late: bool,
}

impl CatchUp {
    pub(super) fn new(replay: Replay) -> Self {
        Self {
            replay: Some(replay),
            is_too_late: false,
        }
    }

    /// Hands over one event, or finds the end.
    fn step(
        &mut self,
        actor: &mut SubscriptionActor,
        ctx: &mut Context<SubscriptionActor>,
        cx: &TaskContext<'_>,
    ) -> Poll<Option<()>> {
        ready!(actor.sink().poll_room(cx));
        let lane = actor.lane().cloned();
        let Some(replay) = &mut self.replay else {
            return Poll::Ready(None);
        };
        let is_idle = lane.as_ref().is_none_or(|lane| lane.is_idle());
        if !self.is_too_late {
            if lane.as_ref().is_some_and(|lane| !may_feed(lane, replay)) {
                return Poll::Pending;
            }
            match (replay.missed.next(), &lane) {
                (Found::Event(event), Some(lane)) => {
                    lane.replay(event);
                    return Poll::Ready(Some(()));
                }
                (Found::Event(event), None) => {
                    if let Some(response) = replay.project(&event) {
                        actor.sink().next_of(&response, Some(event.offset));
                    }
                    return Poll::Ready(Some(()));
                }
                (Found::TooLate, _) => self.is_too_late = true,
                (Found::CaughtUp(after), _) => {
                    let replay = self.replay.take();
                    replay
                        .into_iter()
                        .for_each(|r| actor.go_live(r, after, ctx));
                    return Poll::Ready(None);
                }
            }
        }
        if !is_idle {
            // What it can still be sent comes before it is told of the gap.
            return Poll::Pending;
        }
        let now = replay.missed.now();
        let has_initial = lane.as_ref().is_some_and(|lane| lane.begin_anew());
        actor.sink().standing((!has_initial).then_some(now), true);
        let replay = self.replay.take();
        replay.into_iter().for_each(|r| actor.go_live(r, now, ctx));
        Poll::Ready(None)
    }
}

/// Whether the lane takes one more event. The next owner of a shared subscriber's results is its
/// group; so it finds the end only once its own calls have.
fn may_feed(lane: &Arc<Lane>, replay: &Replay) -> bool {
    let may_end = replay.missed.is_read() && lane.info.definition.is_shared;
    lane.has_replay_room() && (!may_end || lane.is_idle())
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
            if ready!(self.step(actor, ctx, cx)).is_none() {
                // What waits in the lane may pass without room from now on.
                cx.waker().wake_by_ref();
                return Poll::Ready(());
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
