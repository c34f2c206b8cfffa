//! Receives what an engine delivers, and hands on what is in order.
//!
//! One [`Sequencer`] for each wanted stream, behind one lock that is held for one step. Calls come
//! from the tasks of the engine, which never wait here: what finds no room in the intake is read
//! again later. Not here: when to read (`reads`), what is wanted (`interest`).

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::counters::{LinkCounters, count};
use super::decode::{Decoded, Decoder};
use super::without_tenant::WithoutTenant;
use crate::engine::{
    Arrival, Arrivals, Capabilities, EngineHealth, Health, Page, ReadError, Role, Scope,
};
use crate::sequencer::{HeldLimits, Output, Sequencer};
use crate::{Intake, Position, Stream, StreamKey};

/// What an engine delivers, stream by stream.
pub(super) struct Inbox {
    intake: Arc<Intake>,
    capabilities: Capabilities,
    counters: Arc<LinkCounters>,
    decoder: Decoder,
    state: Mutex<InboxState>,
    without_tenant: OnceLock<WithoutTenant>,
    health: watch::Sender<EngineHealth>,
    /// Woken when a stream has to be read.
    reads_changed: Notify,
}

#[derive(Default)]
struct InboxState {
    carried: HashMap<StreamKey, Carried>,
    /// Streams whose history has to be read, in the order in which that was noticed.
    reads: VecDeque<StreamKey>,
}

/// A stream whose events an engine delivers.
struct Carried {
    stream: Arc<Stream>,
    sequencer: Sequencer<Decoded>,
    is_ready: watch::Sender<bool>,
    /// Subscriptions that want it (count).
    wanted: usize,
    /// Since when none does.
    idle_since: Option<Instant>,
    /// When it was compared with the engine last.
    compared_at: Instant,
    /// Whether it is in `InboxState::reads`.
    is_in_line: bool,
    /// Whether it is being read, or a pause after a read has not ended.
    is_reading: bool,
}

/// A stream that is to be read after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadRequest {
    pub(super) key: StreamKey,
    pub(super) after: Position,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    pub(super) fn new(intake: Arc<Intake>, capabilities: Capabilities, decoder: Decoder) -> Self {
        Self {
            intake,
            capabilities,
            counters: decoder.counters.clone(),
            decoder,
            state: Mutex::default(),
            without_tenant: OnceLock::new(),
            health: watch::Sender::default(),
            reads_changed: Notify::new(),
        }
    }

    /// Looks for events without a tenant from now on. Counts once.
    pub(super) fn look_for(&self, without_tenant: WithoutTenant) {
        self.without_tenant.get_or_init(|| without_tenant);
    }

    pub(super) fn without_tenant(&self) -> Option<&WithoutTenant> {
        self.without_tenant.get()
    }

    /// Notes that one more subscription wants a stream; `want` tells the engine of a new one, under
    /// the lock, so that it is told in the right order. Returns when the stream is ready.
    pub(super) fn want(
        &self,
        stream: &Arc<Stream>,
        want: impl FnOnce(&StreamKey),
    ) -> watch::Receiver<bool> {
        let mut state = self.state.lock();
        let key = stream.key();
        let carried = state.carried.entry_ref(key).or_insert_with(|| {
            want(key);
            self.carried(stream.clone())
        });
        carried.wanted += 1;
        carried.idle_since = None;
        carried.is_ready.subscribe()
    }

    fn carried(&self, stream: Arc<Stream>) -> Carried {
        let (numbering, has_history) = (
            self.capabilities.numbering,
            self.capabilities.history.is_some(),
        );
        Carried {
            stream,
            sequencer: Sequencer::new(numbering, has_history, HeldLimits::default()),
            is_ready: watch::channel(false).0,
            wanted: 0,
            idle_since: None,
            compared_at: Instant::now(),
            is_in_line: false,
            is_reading: false,
        }
    }

    /// Notes that one subscription less wants a stream.
    pub(super) fn release(&self, key: &StreamKey) {
        let mut state = self.state.lock();
        if let Some(carried) = state.carried.get_mut(key) {
            carried.wanted -= 1;
            if carried.wanted == 0 {
                carried.idle_since = Some(Instant::now());
            }
        }
    }

    /// Forgets the streams that nothing has wanted for longer than `linger`; `unwant` tells the
    /// engine, under the lock.
    pub(super) fn expire(&self, now: Instant, linger: Duration, unwant: impl Fn(&StreamKey)) {
        self.state.lock().carried.retain(|key, carried| {
            let idle_for = carried
                .idle_since
                .map(|since| now.saturating_duration_since(since));
            let stays = idle_for.is_none_or(|idle_for| idle_for <= linger);
            if !stays {
                unwant(key);
            }
            stays
        });
    }

    /// Begins an audit of the streams that were not compared with the engine for `period`, at most
    /// `least` of them or one in `share` of all. They count as compared then.
    pub(super) fn begin_audit(
        &self,
        period: Duration,
        least: usize,
        share: usize,
        now: Instant,
    ) -> Vec<StreamKey> {
        let mut state = self.state.lock();
        let limit = least.max(state.carried.len() / share);
        let due = state.carried.iter_mut().filter(|(_, carried)| {
            *carried.is_ready.borrow()
                && now.saturating_duration_since(carried.compared_at) > period
        });
        due.take(limit)
            .map(|(key, carried)| {
                carried.compared_at = now;
                carried.sequencer.begin_audit();
                key.clone()
            })
            .collect()
    }

    /// Takes a stream whose history is to be read, if one is.
    pub(super) fn next_read(&self) -> Option<ReadRequest> {
        let mut state = self.state.lock();
        while let Some(key) = state.reads.pop_front() {
            if let Some(carried) = state.carried.get_mut(&key) {
                carried.is_in_line = false;
                if let Some(after) = carried.sequencer.begin_read() {
                    carried.is_reading = true;
                    return Some(ReadRequest { key, after });
                }
            }
        }
        None
    }

    /// Waits until there may be something for [`Self::next_read`].
    pub(super) async fn reads_changed(&self) {
        self.reads_changed.notified().await;
    }

    /// Takes what a read has found. Returns for how many reads in a row nothing was found; 0: it is
    /// not to be read again.
    pub(super) fn read(&self, key: &StreamKey, answer: Result<Page, ReadError>) -> u32 {
        let decoded = |(position, envelope)| {
            let decoded = self.decoder.decode(key, &envelope);
            (position, decoded)
        };
        let answer = answer.map(|page| {
            let events: Vec<_> = page.events.into_iter().map(decoded).collect();
            (events, page.head)
        });
        let mut state = self.state.lock();
        let Some(carried) = state.carried.get_mut(key) else {
            return 0;
        };
        self.advance(carried, |sequencer, mut sink| match answer {
            Ok((events, head)) => sequencer.page(events, head, &mut sink),
            Err(error) => sequencer.read_failed(&error, &mut sink),
        });
        match carried.sequencer.wants_read() {
            true => carried.sequencer.fruitless_reads(),
            false => 0,
        }
    }

    /// A read of a stream, and the pause after it, has ended: puts it in line if it is to be read again.
    pub(super) fn end_read(&self, key: &StreamKey) {
        let mut state = self.state.lock();
        let InboxState { carried, reads } = &mut *state;
        if let Some(carried) = carried.get_mut(key) {
            carried.is_reading = false;
            self.line_up(carried, reads);
        }
    }

    /// Puts a stream in line whose history is to be read, unless it is there or being read.
    fn line_up(&self, carried: &mut Carried, reads: &mut VecDeque<StreamKey>) {
        if carried.sequencer.wants_read() && !carried.is_in_line && !carried.is_reading {
            carried.is_in_line = true;
            reads.push_back(carried.stream.key().clone());
            self.reads_changed.notify_one();
        }
    }

    /// Takes the newest positions of streams, from a look at those that are silent.
    pub(super) fn audited(&self, heads: impl IntoIterator<Item = (StreamKey, Position)>) {
        for (key, head) in heads {
            self.step(&key, |sequencer, mut sink| {
                sequencer.audited(head, &mut sink);
            });
        }
    }

    /// Whether broadcasting does not keep up with what is delivered.
    pub(super) fn is_full(&self) -> bool {
        self.intake.is_full()
    }

    /// The number of streams that are delivered.
    pub(super) fn len(&self) -> usize {
        self.state.lock().carried.len()
    }

    /// The state of the links, and its changes.
    pub(super) fn health(&self) -> watch::Receiver<EngineHealth> {
        self.health.subscribe()
    }

    /// Has the sequencer of a stream take a step, hands on what is in order, and has its history read
    /// if that is needed.
    fn step(
        &self,
        key: &StreamKey,
        take: impl FnOnce(&mut Sequencer<Decoded>, &mut dyn FnMut(Output<Decoded>) -> bool),
    ) {
        let mut state = self.state.lock();
        let InboxState { carried, reads } = &mut *state;
        // Without it the stream is not wanted any more.
        if let Some(carried) = carried.get_mut(key) {
            self.advance(carried, take);
            self.line_up(carried, reads);
        }
    }

    /// Has the sequencer of a stream take a step, and hands on what is in order.
    fn advance(
        &self,
        carried: &mut Carried,
        take: impl FnOnce(&mut Sequencer<Decoded>, &mut dyn FnMut(Output<Decoded>) -> bool),
    ) {
        let stream = &carried.stream;
        take(&mut carried.sequencer, &mut |output| match output {
            Output::Deliver(position, decoded) => self.deliver(stream, position, decoded),
            // One for each event that finds no room would fill the intake with gaps.
            Output::Missed(_) if self.intake.is_full() => false,
            Output::Missed(position) => {
                self.intake.deliver_gap(stream, position);
                true
            }
        });
        self.counters.add(&carried.sequencer.take_counters());
    }

    /// Returns whether there was room.
    fn deliver(&self, stream: &Arc<Stream>, position: Position, decoded: Decoded) -> bool {
        let Some(draft) = decoded.draft else {
            stream.accept(position);
            return true;
        };
        let delivered = self.intake.deliver(stream, position, draft, decoded.bytes);
        if delivered.is_err() {
            count(&self.counters.refused);
        }
        delivered.is_ok()
    }
}

impl Arrivals for Inbox {
    fn ready(&self, key: &StreamKey, head: Position) {
        let mut state = self.state.lock();
        let Some(carried) = state.carried.get_mut(key) else {
            return;
        };
        carried.compared_at = Instant::now();
        let is_first = !*carried.is_ready.borrow();
        if is_first && carried.stream.last().position != head {
            // What was before it was wanted is not known here.
            self.intake.deliver_gap(&carried.stream, head);
        }
        drop(state);
        self.step(key, |sequencer, mut sink| {
            sequencer.ready(head, &mut sink);
        });
        if is_first && let Some(carried) = self.state.lock().carried.get(key) {
            carried.is_ready.send_replace(true);
        }
    }

    fn event(&self, arrival: Arrival) {
        if let Some(without_tenant) = self
            .without_tenant()
            .filter(|without_tenant| without_tenant.has(&arrival.stream))
        {
            return without_tenant.note(&arrival);
        }
        let Arrival {
            stream,
            position,
            before,
            envelope,
        } = arrival;
        let decoded = self.decoder.decode(&stream, &envelope);
        let bytes = decoded.bytes;
        self.step(&stream, |sequencer, mut sink| {
            sequencer.event(position, before, bytes, decoded, &mut sink);
        });
    }

    fn doubt(&self, scope: Scope) {
        let keys = match scope {
            Scope::Stream(key) => vec![key],
            Scope::All => self.state.lock().carried.keys().cloned().collect(),
        };
        for key in keys {
            self.step(&key, |sequencer, mut sink| {
                sequencer.doubt(&mut sink);
            });
        }
    }

    fn health(&self, role: Role, health: Health) {
        self.health.send_modify(|all| {
            let was_live = all.is_live();
            all.set(role, health);
            if was_live && !all.is_live() {
                count(&self.counters.links_lost);
            }
        });
    }
}
