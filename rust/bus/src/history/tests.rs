//! The history never leaves out an event silently, for any order of publishing, ageing and reading.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Draft, Epoch, Gap, Offset, Position, Streams};

const AGE: Duration = Duration::from_secs(10);

/// Streams, and the history of their events.
struct Log {
    streams: Streams,
    history: History,
}

impl Log {
    fn new(events: usize, bytes: usize) -> Self {
        let age = AGE;
        Self {
            streams: Streams::new([1; 16], true),
            history: History::new(HistoryLimits { events, age, bytes }),
        }
    }

    fn stream(&self, channel: &str) -> Arc<Stream> {
        self.streams.of(channel, Some("t"))
    }

    fn event(&self, channel: &str, tenant: &str, data: Value) -> StreamItem {
        let draft = Draft {
            channel: channel.into(),
            event_type: None,
            tenant_id: Some(tenant.into()),
            id: None,
            data: data.into(),
            trace: None,
        };
        let stream = self.streams.of(channel, Some(tenant));
        let at = stream.advance();
        StreamItem::Event(Arc::new(Event::new(draft, stream, at)))
    }

    fn publish(&self, channel: &str, data: Value, now: Instant) {
        self.history.record(&[self.event(channel, "t", data)], now);
    }

    /// Returns the offsets of the events after one; `None`: one of them is not kept any more.
    fn after(&self, channel: &str, offset: u64, limit: usize, now: Instant) -> Option<Vec<u64>> {
        let stream = self.stream(channel);
        let since = self.history.after(&stream, offset, limit, now).ok()?;
        Some(since.events.iter().map(|event| event.at.sequence).collect())
    }
}

#[test]
fn a_busy_channel_takes_nothing_from_a_quiet_one() {
    let (log, now) = (Log::new(10, usize::MAX), Instant::now());
    log.publish("quiet", json!(1), now);
    for _ in 0..98 {
        log.publish("busy", json!(1), now);
    }
    assert_eq!(log.after("quiet", 0, 9, now), Some(vec![1]));
    assert_eq!(log.after("busy", 0, 99, now), None);
    let newest = log.after("busy", 88, 99, now).unwrap();
    assert_eq!(newest, (89..99).collect::<Vec<_>>());
    assert_eq!(log.history.size().0, 11);
}

#[test]
fn memory_is_bounded_and_the_channels_that_hold_most_pay() {
    let (log, now) = (Log::new(1_000, 100_000), Instant::now());
    log.publish("small", json!("x".repeat(100)), now);
    for n in 2..500 {
        let channel = ["large", "larger"][usize::from(n % 3 == 0)];
        log.publish(channel, json!("x".repeat(1_000)), now);
        assert!(log.history.size().1 <= 100_000);
    }
    assert_eq!(log.after("small", 0, 9, now), Some(vec![1]));
    for channel in ["large", "larger"] {
        assert_eq!(log.after(channel, 0, 9, now), None);
        let last = log.stream(channel).last().sequence;
        assert!(!log.after(channel, last - 9, 99, now).unwrap().is_empty());
    }
}

#[test]
fn an_event_larger_than_all_of_history_is_known_to_be_lost() {
    let (log, now) = (Log::new(10, 10_000), Instant::now());
    log.publish("a", json!("x".repeat(100_000)), now);
    let first = log.stream("a").last().position;
    assert_eq!(log.after("a", 0, 9, now), None);
    assert_eq!(log.after("a", 1, 9, now), Some(vec![]));
    assert_eq!(log.history.size(), (0, 0));
    // After the stream is removed, its ids are unknown.
    log.streams.sweep();
    assert_eq!(log.history.sequence_of(&log.stream("a"), first), None);
}

#[test]
fn many_channels_with_one_event_each_lose_the_oldest_and_not_all() {
    let (log, now) = (Log::new(10, 100_000), Instant::now());
    for n in 1..=1_000 {
        log.publish(&format!("user.{n:04}"), json!(1), now);
        assert!(log.history.size().1 <= 100_000);
    }
    assert!(log.history.size().0 > 100);
    assert_eq!(log.after("user.0001", 0, 9, now), None);
    assert_eq!(log.after("user.1000", 0, 9, now), Some(vec![1]));
}

#[test]
fn a_stream_that_something_refers_to_is_too_late_also_when_history_has_forgotten_it() {
    let (log, now) = (Log::new(10, 100_000), Instant::now());
    let held = log.stream("held.0000");
    log.publish("held.0000", json!(1), now);
    for n in 1..=1_000 {
        log.publish(&format!("user.{n:04}"), json!(1), now);
    }
    log.streams.sweep();
    assert_eq!(log.after("held.0000", 0, 9, now), None);
    log.publish("held.0000", json!(1), now);
    assert_eq!(log.after("held.0000", 1, 9, now), Some(vec![2]));
    assert_eq!(
        log.history.sequence_of(&held, held.last().position),
        Some(2)
    );
}

#[test]
fn a_channel_that_has_gone_quiet_still_knows_what_it_lost() {
    let (log, now) = (Log::new(10, usize::MAX), Instant::now());
    log.publish("a", json!(1), now);
    log.publish("b", json!(1), now);
    let later = now + AGE * 2;
    log.history.sweep(later);
    log.streams.sweep();
    assert_eq!(log.history.size().0, 0);
    log.publish("b", json!(1), later);
    assert_eq!(log.after("a", 0, 9, later), None);
    // A client that has received the last event has missed nothing, even after a long time.
    assert_eq!(log.after("a", 1, 9, later), Some(vec![]));
    assert_eq!(log.after("b", 1, 9, later), Some(vec![2]));
    assert_eq!(log.after("b", 0, 9, later), None);
    assert_eq!(log.after("never", 0, 9, later), Some(vec![]));
}

#[test]
fn the_newest_event_of_an_id_is_found() {
    let (log, now) = (Log::new(10, usize::MAX), Instant::now());
    log.publish("a", json!(7), now);
    log.publish("a", json!(8), now);
    let find = |channel| {
        let is_seven = |event: &Event| event.data == json!(7);
        log.history.find(&log.stream(channel), is_seven)
    };
    assert_eq!(find("a"), Some(1));
    assert_eq!(find("b"), None);
}

#[test]
fn a_busy_tenant_takes_nothing_from_others_on_its_channel() {
    let (log, now) = (Log::new(2, usize::MAX), Instant::now());
    for n in 1..10 {
        let tenant = if n == 1 { "quiet" } else { "busy" };
        log.history.record(&[log.event("a", tenant, json!(1))], now);
    }
    let of = |tenant| {
        let stream = log.streams.of("a", Some(tenant));
        let since = log.history.after(&stream, 0, 9, now).ok()?;
        Some(
            since
                .events
                .iter()
                .map(|e| e.at.sequence)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(of("quiet"), Some(vec![1]));
    assert_eq!(of("busy"), None);
    assert_eq!(of("never"), Some(vec![]));
    let busy = log.streams.of("a", Some("busy"));
    assert_eq!(log.history.find(&busy, |_| true), Some(8));
}

#[test]
fn a_gap_makes_what_was_kept_too_late_and_positions_go_on_after_it() {
    let (log, now) = (Log::new(10, usize::MAX), Instant::now());
    for _ in 0..3 {
        log.publish("a", json!(1), now);
    }
    log.publish("b", json!(1), now);
    let stream = log.stream("a");
    let before = stream.last().position;
    let position = Position::new(Epoch(9), 40);
    let at = stream.restart(position);
    let gap = Gap {
        stream: stream.clone(),
        at,
    };
    log.history.record(&[StreamItem::Gap(Arc::new(gap))], now);
    assert_eq!(log.history.size().0, 1);
    assert_eq!(log.after("a", 3, 9, now), None);
    assert_eq!(log.after("a", at.sequence, 9, now), Some(vec![]));
    assert_eq!(log.history.sequence_of(&stream, before), None);
    assert_eq!(
        log.history.sequence_of(&stream, position),
        Some(at.sequence)
    );
    let draft = Draft {
        channel: "a".into(),
        event_type: None,
        tenant_id: None,
        id: None,
        data: json!(1).into(),
        trace: None,
    };
    let next = stream.accept(Position::new(Epoch(9), 41));
    let event = Arc::new(Event::new(draft, stream.clone(), next));
    log.history.record(&[StreamItem::Event(event)], now);
    assert_eq!(
        log.after("a", at.sequence, 9, now),
        Some(vec![next.sequence])
    );
    assert_eq!(
        log.history
            .sequence_of(&stream, Position::new(Epoch(9), 39)),
        None
    );
    assert_eq!(
        log.history
            .sequence_of(&stream, Position::new(Epoch(9), 42)),
        None
    );
}

#[test]
fn a_position_is_not_known_while_events_before_it_may_not_be_recorded() {
    let (log, now) = (Log::new(9, usize::MAX), Instant::now());
    let stream = log.stream("a");
    let at = |major| Position::new(Epoch(9), major);
    let begin = stream.restart(at(100));
    let accepted: Vec<_> = [110, 120, 130].map(|major| stream.accept(at(major))).into();
    let known = |major| log.history.sequence_of(&stream, at(major));
    assert_eq!(known(100), Some(begin.sequence));
    assert_eq!(known(120), None);
    let draft = Draft {
        channel: "a".into(),
        event_type: None,
        tenant_id: None,
        id: None,
        data: json!(1).into(),
        trace: None,
    };
    let event = Arc::new(Event::new(draft, stream.clone(), accepted[0]));
    log.history.record(&[StreamItem::Event(event)], now);
    assert_eq!(known(105), Some(begin.sequence));
    assert_eq!(known(110), Some(accepted[0].sequence));
    assert_eq!(known(120), None);
    assert_eq!(known(130), Some(accepted[2].sequence));
}

#[test]
fn a_position_among_offsets_that_are_not_counted_is_that_of_the_last_event_up_to_it() {
    let (log, now) = (Log::new(3, usize::MAX), Instant::now());
    let stream = log.stream("a");
    let at = |major, minor| Position {
        epoch: Epoch(9),
        offset: Offset { major, minor },
    };
    let begin = stream.restart(at(100, 0));
    let known = |position| log.history.sequence_of(&stream, position);
    assert_eq!(known(at(100, 0)), Some(begin.sequence));
    let mut sequences = Vec::new();
    for position in [at(110, 0), at(110, 1), at(150, 0), at(151, 0)] {
        let next = stream.accept(position);
        sequences.push(next.sequence);
        let draft = Draft {
            channel: "a".into(),
            event_type: None,
            tenant_id: None,
            id: None,
            data: json!(1).into(),
            trace: None,
        };
        let event = Arc::new(Event::new(draft, stream.clone(), next));
        log.history.record(&[StreamItem::Event(event)], now);
    }
    for (position, expected) in [
        (at(99, 0), None),
        // The first event is not kept any more: what follows these cannot be told.
        (at(100, 0), Some(begin.sequence)),
        (at(109, 9), Some(begin.sequence)),
        (at(110, 0), Some(sequences[0])),
        (at(110, 1), Some(sequences[1])),
        (at(120, 0), Some(sequences[1])),
        (at(150, 0), Some(sequences[2])),
        (at(150, 5), Some(sequences[2])),
        (at(151, 0), Some(sequences[3])),
        (at(152, 0), None),
        (
            Position {
                epoch: Epoch(8),
                ..at(120, 0)
            },
            None,
        ),
    ] {
        assert_eq!(known(position), expected, "{position}");
    }
    assert_eq!(log.after("a", begin.sequence, 9, now), None);
    assert_eq!(
        log.after("a", sequences[0], 9, now),
        Some(sequences[1..].to_vec())
    );
}

#[derive(Debug, Clone)]
enum Step {
    Publish(Vec<(u8, u16)>),
    Wait(u64),
    Sweep,
    Ask(u8, prop::sample::Index, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let published = (0..4u8, 0..2_000u16);
    prop_oneof![
        4 => prop::collection::vec(published, 1..8).prop_map(Step::Publish),
        1 => (0..6u64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        4 => (0..5u8, any::<prop::sample::Index>(), 1..20usize).prop_map(|(c, i, n)| Step::Ask(c, i, n)),
    ]
}

proptest! {
    #[test]
    fn events_are_returned_whole_and_in_order_or_reported_as_lost(
        steps in prop::collection::vec(step(), 1..80),
        events in 1..12usize,
        bytes in prop::sample::select(vec![4_000, 20_000, usize::MAX]),
    ) {
        let log = Log::new(events, bytes);
        let mut now = Instant::now();
        // For each channel, the times of its events. The event with offset 1 comes first.
        let mut published: [Vec<Instant>; 5] = Default::default();
        for step in steps {
            match step {
                Step::Publish(batch) => {
                    let batch: Vec<_> = batch.into_iter().map(|(channel, size)| {
                        published[usize::from(channel)].push(now);
                        let data = json!("x".repeat(size.into()));
                        log.event(&channel.to_string(), "t", data)
                    }).collect();
                    log.history.record(&batch, now);
                    prop_assert!(log.history.size().1 <= bytes);
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Sweep => {
                    log.history.sweep(now);
                    log.streams.sweep();
                    if bytes == usize::MAX {
                        continue;
                    }
                    // A stream that was removed for lack of memory starts again, with other ids.
                    for (channel, published) in published.iter_mut().enumerate() {
                        if log.stream(&channel.to_string()).last().sequence == 0 {
                            published.clear();
                        }
                    }
                }
                Step::Ask(channel, place, limit) => {
                    let published = &published[usize::from(channel)];
                    let after = place.index(published.len() + 1);
                    let missed: Vec<_> = (after + 1..=published.len()).collect();
                    let is_young = missed.iter().all(|offset| now - published[offset - 1] <= AGE);
                    let stream = log.stream(&channel.to_string());
                    match log.history.after(&stream, after as u64, limit, now) {
                        Ok(since) => {
                            let found: Vec<_> = since.events.iter().map(|e| e.at.sequence as usize).collect();
                            let expected: Vec<_> = missed.iter().copied().take(limit).collect();
                            prop_assert_eq!(found, expected);
                            prop_assert_eq!(since.last, published.len() as u64);
                            prop_assert!(is_young);
                        }
                        // With enough memory, an event is lost only by its age or by count.
                        Err(TooLate) if bytes == usize::MAX => {
                            prop_assert!(missed.len() > events || !is_young);
                        }
                        Err(TooLate) => {}
                    }
                }
            }
        }
    }
}
