//! Receives what an engine delivers, and passes it to the intake in order.
//!
//! Has one [`Sequencer`] for each wanted stream, behind one lock that is held for one step. The
//! engine's tasks call it and never wait here: an event for which the intake has no room is read again
//! later. Not here: when to read (`tasks`), interest in streams (`interest`).

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
    Arrival, Arrivals, Capabilities, EngineHealth, Health, HistoryKind, Page, ReadError, Role,
    Scope, Transactions,
};
use crate::sequencer::{HeldLimits, Output, Sequencer};
use crate::{Intake, Position, Stream, StreamKey};

/// Receives the events of all wanted streams.
pub(super) struct Inbox {
    intake: Arc<Intake>,
    capabilities: Capabilities,
    counters: Arc<LinkCounters>,
    decoder: Decoder,
    state: Mutex<InboxState>,
    without_tenant: OnceLock<WithoutTenant>,
    health: watch::Sender<EngineHealth>,
    /// Notified when a stream needs a read of its history.
    reads_changed: Notify,
    /// Until when a position may be from before a loss that the engine's history does not show.
    lossy_until: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct InboxState {
    streams: HashMap<StreamKey, InboxStream>,
    /// Streams that need a read of their history, the longest waiting first.
    reads: VecDeque<StreamKey>,
}

/// A stream whose events the engine delivers.
struct InboxStream {
    stream: Arc<Stream>,
    sequencer: Sequencer<Decoded>,
    is_ready: watch::Sender<bool>,
    /// Subscriptions that want the stream (count).
    wanted: usize,
    /// Since when no subscription wants the stream; `None` if one does.
    idle_since: Option<Instant>,
    /// When the stream was last compared with the engine.
    compared_at: Instant,
    /// Whether the stream is in `InboxState::reads`.
    is_queued: bool,
    /// Whether a read of the stream, or the pause after it, has not ended.
    is_reading: bool,
}

/// A request to read the events of a stream after a position.
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
            lossy_until: Mutex::default(),
        }
    }

    /// As [`Intake::pass_on`].
    pub(super) async fn pass_on(&self) {
        self.intake.pass_on().await;
    }

    /// Watches for events without a tenant from now on. Only the first call has an effect.
    pub(super) fn watch_without_tenant(&self, without_tenant: WithoutTenant) {
        self.without_tenant.get_or_init(|| without_tenant);
    }

    pub(super) fn without_tenant(&self) -> Option<&WithoutTenant> {
        self.without_tenant.get()
    }

    /// Counts one more subscription of a stream, and returns when the stream is ready. Calls `want` for
    /// a stream that is new. The call is made under the lock, so that the engine receives `want` and
    /// `unwant` in the right order.
    pub(super) fn want(
        &self,
        stream: &Arc<Stream>,
        want: impl FnOnce(&StreamKey),
    ) -> watch::Receiver<bool> {
        let mut state = self.state.lock();
        let key = stream.key();
        let entry = state.streams.entry_ref(key).or_insert_with(|| {
            want(key);
            self.new_entry(stream.clone())
        });
        entry.wanted += 1;
        entry.idle_since = None;
        entry.is_ready.subscribe()
    }

    fn new_entry(&self, stream: Arc<Stream>) -> InboxStream {
        // What each process keeps has nothing that this process has not received.
        let has_history = self.capabilities.history == Some(HistoryKind::Shared);
        let numbering = self.capabilities.numbering;
        InboxStream {
            stream,
            sequencer: Sequencer::new(numbering, has_history, HeldLimits::default()),
            is_ready: watch::channel(false).0,
            wanted: 0,
            idle_since: None,
            compared_at: Instant::now(),
            is_queued: false,
            is_reading: false,
        }
    }

    /// Counts one subscription of a stream less.
    pub(super) fn release(&self, key: &StreamKey) {
        let mut state = self.state.lock();
        if let Some(entry) = state.streams.get_mut(key) {
            entry.wanted -= 1;
            if entry.wanted == 0 {
                entry.idle_since = Some(Instant::now());
            }
        }
    }

    /// Removes the streams that no subscription has wanted for longer than `linger`. Calls `unwant` for
    /// each, under the lock as in [`Self::want`].
    pub(super) fn expire(&self, now: Instant, linger: Duration, unwant: impl Fn(&StreamKey)) {
        self.state.lock().streams.retain(|key, entry| {
            let idle_for = entry
                .idle_since
                .map(|since| now.saturating_duration_since(since));
            let stays = idle_for.is_none_or(|idle_for| idle_for <= linger);
            if !stays {
                unwant(key);
            }
            stays
        });
    }

    /// Begins an audit of the streams that were not compared with the engine for `period`: at most one
    /// in `share` of all streams, or `least` of them if that is more. They count as compared from now
    /// on.
    pub(super) fn begin_audit(
        &self,
        period: Duration,
        least: usize,
        share: usize,
        now: Instant,
    ) -> Vec<StreamKey> {
        let mut state = self.state.lock();
        let limit = least.max(state.streams.len() / share);
        let due = state.streams.iter_mut().filter(|(_, entry)| {
            *entry.is_ready.borrow() && now.saturating_duration_since(entry.compared_at) > period
        });
        due.take(limit)
            .map(|(key, entry)| {
                entry.compared_at = now;
                entry.sequencer.begin_audit();
                key.clone()
            })
            .collect()
    }

    /// Returns the next stream that needs a read of its history, and marks it as being read.
    pub(super) fn next_read(&self) -> Option<ReadRequest> {
        let mut state = self.state.lock();
        while let Some(key) = state.reads.pop_front() {
            if let Some(entry) = state.streams.get_mut(&key) {
                entry.is_queued = false;
                if let Some(after) = entry.sequencer.begin_read() {
                    entry.is_reading = true;
                    return Some(ReadRequest { key, after });
                }
            }
        }
        None
    }

    /// Waits until [`Self::next_read`] may have a stream.
    pub(super) async fn reads_changed(&self) {
        self.reads_changed.notified().await;
    }

    /// Handles the result of a read. Returns how many reads in a row have found no event; 0 if no
    /// further read is needed.
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
        let Some(entry) = state.streams.get_mut(key) else {
            return 0;
        };
        self.advance(entry, |sequencer, mut sink| match answer {
            Ok((events, head)) => sequencer.page(events, head, &mut sink),
            Err(error) => sequencer.read_failed(&error, &mut sink),
        });
        match entry.sequencer.wants_read() {
            true => entry.sequencer.fruitless_reads(),
            false => 0,
        }
    }

    /// Ends a read of a stream and the pause after it. Queues the stream again if it needs another
    /// read.
    pub(super) fn end_read(&self, key: &StreamKey) {
        let mut state = self.state.lock();
        let InboxState { streams, reads } = &mut *state;
        if let Some(entry) = streams.get_mut(key) {
            entry.is_reading = false;
            self.queue_read(entry, reads);
        }
    }

    /// Queues a stream for a read, unless it is queued or being read.
    fn queue_read(&self, entry: &mut InboxStream, reads: &mut VecDeque<StreamKey>) {
        if entry.sequencer.wants_read() && !entry.is_queued && !entry.is_reading {
            entry.is_queued = true;
            reads.push_back(entry.stream.key().clone());
            self.reads_changed.notify_one();
        }
    }

    /// Handles the newest positions of streams, the result of an audit.
    pub(super) fn audited(&self, heads: impl IntoIterator<Item = (StreamKey, Position)>) {
        for (key, head) in heads {
            self.step(&key, |sequencer, mut sink| {
                sequencer.audited(head, &mut sink);
            });
        }
    }

    /// Reports to the subscribers of one stream, or of all, that events are missing now, which no
    /// history has.
    pub(super) fn lose(&self, lost: Option<&StreamKey>) {
        let state = self.state.lock();
        let is_lost = |key: &&StreamKey| lost.is_none_or(|lost| lost == *key);
        for key in state.streams.keys().filter(is_lost) {
            if let Some(entry) = state.streams.get(key) {
                self.intake.deliver_loss(&entry.stream);
                count(&self.counters.missed);
            }
        }
    }

    /// Positions may be from before a loss that the engine's history does not show, until then.
    pub(super) fn distrust_history(&self, until: Instant) {
        let mut lossy_until = self.lossy_until.lock();
        *lossy_until = Some(lossy_until.map_or(until, |before| before.max(until)));
    }

    /// Whether a position may be from before a loss that the engine's history does not show.
    pub(super) fn is_history_lossy(&self) -> bool {
        let until = *self.lossy_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether all events of a stream that have arrived were passed on, and none is known to be missing.
    pub(super) fn is_live(&self, key: &StreamKey) -> bool {
        let state = self.state.lock();
        let entry = state.streams.get(key);
        entry.is_some_and(|entry| entry.sequencer.is_live())
    }

    /// The number of streams that the engine delivers.
    pub(super) fn len(&self) -> usize {
        self.state.lock().streams.len()
    }

    /// Watches the state of the links.
    pub(super) fn health(&self) -> watch::Receiver<EngineHealth> {
        self.health.subscribe()
    }

    /// Advances the sequencer of a stream, delivers what is in order, and queues a read if one is
    /// needed.
    fn step(
        &self,
        key: &StreamKey,
        take: impl FnOnce(&mut Sequencer<Decoded>, &mut dyn FnMut(Output<Decoded>) -> bool),
    ) {
        let mut state = self.state.lock();
        let InboxState { streams, reads } = &mut *state;
        // A stream that is not found is no longer wanted.
        if let Some(entry) = streams.get_mut(key) {
            self.advance(entry, take);
            self.queue_read(entry, reads);
        }
    }

    /// Advances the sequencer of a stream, and delivers what is in order.
    fn advance(
        &self,
        entry: &mut InboxStream,
        take: impl FnOnce(&mut Sequencer<Decoded>, &mut dyn FnMut(Output<Decoded>) -> bool),
    ) {
        let stream = &entry.stream;
        take(&mut entry.sequencer, &mut |output| match output {
            Output::Deliver(position, decoded) => self.deliver(stream, position, decoded),
            // The intake is full: a gap for each event that does not fit would fill it further.
            Output::Missed(_) if self.intake.is_full() => false,
            Output::Missed(position) => {
                self.intake.deliver_gap(stream, position);
                true
            }
        });
        self.counters.add(&entry.sequencer.take_counters());
    }

    /// Returns whether the intake had room.
    fn deliver(&self, stream: &Arc<Stream>, position: Position, decoded: Decoded) -> bool {
        let Some(draft) = decoded.draft else {
            stream.accept(position);
            return true;
        };
        let transaction = match self.capabilities.transactions {
            Some(Transactions::InOffset) => Some(position.offset.major),
            Some(Transactions::Named) => decoded.transaction,
            None => None,
        };
        let delivered = self
            .intake
            .deliver(stream, position, draft, decoded.bytes, transaction);
        match delivered {
            Ok(()) => self.counters.arrived(decoded.published_at),
            Err(_) => count(&self.counters.refused),
        }
        delivered.is_ok()
    }
}

impl Arrivals for Inbox {
    fn ready(&self, key: &StreamKey, head: Position) {
        let mut state = self.state.lock();
        let Some(entry) = state.streams.get_mut(key) else {
            return;
        };
        entry.compared_at = Instant::now();
        let is_first = !*entry.is_ready.borrow();
        if is_first && entry.stream.last().position != head {
            // This node has not received the events up to `head`, so its own history records a gap.
            self.intake.deliver_gap(&entry.stream, head);
        }
        if is_first && self.is_history_lossy() {
            // Whoever knows the head may know it from before the loss.
            self.intake.deliver_loss(&entry.stream);
        }
        drop(state);
        self.step(key, |sequencer, mut sink| {
            sequencer.ready(head, &mut sink);
        });
        if is_first && let Some(entry) = self.state.lock().streams.get(key) {
            entry.is_ready.send_replace(true);
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
            transaction,
            envelope,
        } = arrival;
        let decoded = Decoded {
            transaction,
            ..self.decoder.decode(&stream, &envelope)
        };
        let bytes = decoded.bytes;
        self.step(&stream, |sequencer, mut sink| {
            sequencer.event(position, before, bytes, decoded, &mut sink);
        });
    }

    fn doubt(&self, scope: Scope) {
        let keys = match scope {
            Scope::Stream(key) => vec![key],
            Scope::All => self.state.lock().streams.keys().cloned().collect(),
        };
        for key in keys {
            self.step(&key, |sequencer, mut sink| {
                sequencer.doubt(&mut sink);
            });
        }
    }

    fn unreadable(&self) {
        count(&self.counters.unreadable);
    }

    fn is_full(&self) -> bool {
        self.intake.is_full()
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
