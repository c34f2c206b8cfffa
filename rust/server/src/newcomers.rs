//! Turns of new connections: a burst of them does not delay the clients that are already there.
//!
//! The tasks of a worker run in the order in which they are woken. When thousands of clients
//! connect at once, an event would wait behind all of them. So the first polls of a new
//! connection's task are counted: between two turns of new connections every other task that is
//! ready runs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// Polls of a task that take turns (count): those of a handshake, of `connection_init`, of the
/// first operation and of its first result.
const NEW_POLLS: u32 = 4;

/// Time that new connections may use in one turn.
const TURN: Duration = Duration::from_millis(2);

/// Limit of the polls in one turn (count).
const MAX_POLLS: u32 = 256;

/// The new connections of one worker.
#[derive(Clone)]
pub(crate) struct Newcomers(Rc<TurnTaking>);

struct TurnTaking {
    /// Polls that are left in this turn (count).
    left: Cell<u32>,
    /// Moving average of the time of a poll (nanoseconds).
    cost: Cell<u64>,
    waiting: RefCell<VecDeque<WaitingPoll>>,
    /// Polls that have their turn, but are not over (count).
    running: Cell<u32>,
    /// Whether a poll of this turn is over.
    is_begun: Cell<bool>,
    /// The task that begins the turns.
    pacer: RefCell<Option<Waker>>,
}

/// A poll that waits for its turn.
struct WaitingPoll {
    task: Waker,
    turn: Rc<Cell<PlaceState>>,
}

/// The place of a task among others, which it may leave before its turn.
struct PlaceInLine {
    state: Rc<TurnTaking>,
    turn: Rc<Cell<PlaceState>>,
}

impl PlaceInLine {
    /// Ready when the task has its turn.
    fn poll_turn(&self, cx: &Context<'_>) -> Poll<GrantedPoll> {
        if self.turn.get() == PlaceState::Awaited || !self.has_turn() {
            if self.turn.replace(PlaceState::Awaited) != PlaceState::Awaited {
                self.state.waiting.borrow_mut().push_back(WaitingPoll {
                    task: cx.waker().clone(),
                    turn: self.turn.clone(),
                });
            }
            return Poll::Pending;
        }
        self.turn.set(PlaceState::None);
        Poll::Ready(GrantedPoll {
            state: self.state.clone(),
            begun: Instant::now(),
        })
    }

    /// Whether it was granted a turn, or takes one of those that are left.
    fn has_turn(&self) -> bool {
        self.turn.get() == PlaceState::Granted || self.state.take_left()
    }
}

impl Drop for PlaceInLine {
    fn drop(&mut self) {
        if self.turn.replace(PlaceState::Left) == PlaceState::Granted {
            self.state.end_poll();
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum PlaceState {
    None,
    Awaited,
    Granted,
    /// The task has ended.
    Left,
}

impl Newcomers {
    /// Starts the turns of this thread's worker.
    pub(crate) fn start() -> Self {
        let state = Rc::new(TurnTaking {
            left: Cell::new(MAX_POLLS),
            cost: Cell::new(0),
            waiting: RefCell::default(),
            running: Cell::new(0),
            is_begun: Cell::new(false),
            pacer: RefCell::default(),
        });
        actix_rt::spawn(pace(Rc::downgrade(&state)));
        Self(state)
    }

    /// Runs the task of a new connection, whose first polls take turns with those of others.
    pub(crate) fn take_turns<F: Future>(&self, task: F) -> TakeTurns<F> {
        TakeTurns {
            task: Box::pin(task),
            polls: NEW_POLLS,
            place: Some(PlaceInLine {
                state: self.0.clone(),
                turn: Rc::new(Cell::new(PlaceState::None)),
            }),
        }
    }
}

/// The task of a new connection.
pub(crate) struct TakeTurns<F> {
    task: Pin<Box<F>>,
    /// Polls that take turns (count).
    polls: u32,
    /// Set until these polls are over.
    place: Option<PlaceInLine>,
}

impl<F: Future> Future for TakeTurns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(place) = &mut self.place else {
            return self.task.as_mut().poll(cx);
        };
        let running = ready!(place.poll_turn(cx));
        let polled = self.task.as_mut().poll(cx);
        drop(running);
        self.polls -= 1;
        if self.polls == 0 {
            self.place = None;
        }
        polled
    }
}

/// A poll that has its turn.
struct GrantedPoll {
    state: Rc<TurnTaking>,
    begun: Instant,
}

impl Drop for GrantedPoll {
    fn drop(&mut self) {
        self.state.record(self.begun.elapsed());
        self.state.end_poll();
    }
}

/// Begins the turns of a worker.
async fn pace(state: Weak<TurnTaking>) {
    loop {
        let over = poll_fn(|cx| match state.upgrade() {
            Some(state) => state.poll_over(cx).map(|()| true),
            None => Poll::Ready(false),
        });
        if !over.await {
            return;
        }
        // Here all other tasks that are ready run, and those that other threads have woken.
        tokio::task::yield_now().await;
        if let Some(state) = state.upgrade() {
            state.begin_turn();
        }
    }
}

impl TurnTaking {
    /// Takes one of the polls that are left in this turn.
    fn take_left(&self) -> bool {
        let left = self.left.get();
        if left > 0 {
            self.left.set(left - 1);
            self.running.set(self.running.get() + 1);
        }
        left > 0
    }

    /// Ready when the polls of the turn are over, and there was one.
    fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_begun.get() && self.running.get() == 0 {
            return Poll::Ready(());
        }
        let mut pacer = self.pacer.borrow_mut();
        if pacer.is_none() {
            *pacer = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Begins the next turn, which the tasks that wait longest have first.
    fn begin_turn(&self) {
        let fitting = TURN.as_nanos() as u64 / self.cost.get().max(1);
        let polls = u32::try_from(fitting)
            .unwrap_or(MAX_POLLS)
            .clamp(1, MAX_POLLS);
        let mut waiting = self.waiting.borrow_mut();
        let granted = waiting.len().min(polls as usize);
        self.is_begun.set(granted > 0);
        self.running.set(granted as u32);
        self.left.set(polls - granted as u32);
        for next in waiting.drain(..granted) {
            match next.turn.get() {
                PlaceState::Left => self.end_poll(),
                _ => {
                    next.turn.set(PlaceState::Granted);
                    next.task.wake();
                }
            }
        }
    }

    /// Records the time of a poll.
    fn record(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let cost = self.cost.get();
        self.cost.set(cost - cost / 16 + time / 16);
    }

    /// Records that a poll is over. The last one of a turn wakes the pacer.
    fn end_poll(&self) {
        self.is_begun.set(true);
        let running = self.running.get().saturating_sub(1);
        self.running.set(running);
        if running == 0
            && let Some(pacer) = &*self.pacer.borrow()
        {
            pacer.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs new connections, each with `NEW_POLLS` short polls, and counts how many of their polls
    /// there are between two of another task.
    async fn most_in_between(connections: usize) -> usize {
        let newcomers = Newcomers::start();
        let polls = Rc::new(Cell::new(0));
        for _ in 0..connections {
            let (newcomers, polls) = (newcomers.clone(), polls.clone());
            actix_rt::spawn(async move {
                let task = async {
                    for _ in 0..NEW_POLLS {
                        polls.set(polls.get() + 1);
                        tokio::task::yield_now().await;
                    }
                };
                newcomers.take_turns(task).await;
            });
        }
        let (mut most, mut before) = (0, 0);
        while before < connections * NEW_POLLS as usize {
            tokio::task::yield_now().await;
            most = most.max(polls.get() - before);
            before = polls.get();
        }
        most
    }

    #[actix_rt::test]
    async fn between_two_turns_of_new_connections_others_run() {
        let most = most_in_between(10_000).await;
        assert!(most <= 2 * MAX_POLLS as usize, "{most}");
    }

    #[actix_rt::test]
    async fn a_connection_that_ends_while_it_waits_holds_up_no_other() {
        let newcomers = Newcomers::start();
        let waiting: Vec<_> = (0..3 * MAX_POLLS)
            .map(|_| {
                let newcomers = newcomers.clone();
                actix_rt::spawn(async move { newcomers.take_turns(std::future::ready(())).await })
            })
            .collect();
        let (ended, last) = waiting.split_at(waiting.len() - 1);
        tokio::task::yield_now().await;
        for task in ended {
            task.abort();
        }
        for task in last {
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }
}
