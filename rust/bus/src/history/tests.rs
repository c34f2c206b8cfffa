//! Nothing is lost silently, whatever is published, aged and asked for in which order.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Draft;

const AGE: Duration = Duration::from_secs(10);

fn event(channel: &str, offset: u64, data: Value) -> Arc<Event> {
    let draft = Draft {
        channel: channel.into(),
        event_type: None,
        tenant_id: None,
        id: None,
        data,
    };
    Arc::new(Event::new(draft, offset, "run"))
}

fn history(events: usize, bytes: usize) -> History {
    let (age, by_tenant) = (AGE, false);
    let limits = HistoryLimits {
        events,
        age,
        bytes,
        by_tenant,
    };
    History::new("run", limits)
}

fn offsets(since: Result<Since, TooLate>) -> Option<Vec<u64>> {
    let since = since.ok()?;
    Some(since.events.iter().map(|event| event.offset).collect())
}

#[test]
fn a_busy_channel_takes_nothing_from_a_quiet_one() {
    let (history, now) = (history(10, usize::MAX), Instant::now());
    history.record(&[event("quiet", 1, json!(1))], now);
    for offset in 2..100 {
        history.record(&[event("busy", offset, json!(1))], now);
    }
    assert_eq!(
        offsets(history.after(("quiet", None), 0, 9, now)),
        Some(vec![1])
    );
    assert_eq!(offsets(history.after(("busy", None), 0, 99, now)), None);
    let newest = offsets(history.after(("busy", None), 89, 99, now)).unwrap();
    assert_eq!(newest, (90..100).collect::<Vec<_>>());
    assert_eq!(history.size().0, 11);
}

#[test]
fn memory_is_bounded_and_the_channels_that_hold_most_pay() {
    let (history, now) = (history(1_000, 100_000), Instant::now());
    history.record(&[event("small", 1, json!("x".repeat(100)))], now);
    for offset in 2..500 {
        let channel = ["large", "larger"][usize::from(offset % 3 == 0)];
        history.record(&[event(channel, offset, json!("x".repeat(1_000)))], now);
        assert!(history.size().1 <= 100_000);
    }
    assert_eq!(
        offsets(history.after(("small", None), 0, 9, now)),
        Some(vec![1])
    );
    for channel in ["large", "larger"] {
        assert_eq!(offsets(history.after((channel, None), 0, 9, now)), None);
        assert!(
            !offsets(history.after((channel, None), 480, 99, now))
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn an_event_larger_than_all_of_history_is_known_to_be_lost() {
    let (history, now) = (history(10, 10_000), Instant::now());
    history.record(&[event("a", 1, json!("x".repeat(100_000)))], now);
    assert_eq!(offsets(history.after(("a", None), 0, 9, now)), None);
    assert_eq!(offsets(history.after(("a", None), 1, 9, now)), Some(vec![]));
    assert_eq!(history.size(), (0, 0));
}

#[test]
fn many_channels_with_one_event_each_lose_the_oldest_and_not_all() {
    let (history, now) = (history(10, 100_000), Instant::now());
    for offset in 1..=1_000 {
        history.record(&[event(&format!("user.{offset}"), offset, json!(1))], now);
        assert!(history.size().1 <= 100_000);
    }
    assert!(history.size().0 > 100);
    assert_eq!(offsets(history.after(("user.1000", None), 0, 9, now)), None);
    assert_eq!(
        offsets(history.after(("user.1000", None), 999, 9, now)),
        Some(vec![1_000])
    );
}

#[test]
fn a_channel_that_has_gone_quiet_still_knows_what_it_lost() {
    let (history, now) = (history(10, usize::MAX), Instant::now());
    history.record(&[event("a", 1, json!(1)), event("b", 2, json!(1))], now);
    history.sweep(now + AGE * 2);
    assert_eq!(history.size().0, 0);
    let later = now + AGE * 2;
    history.record(&[event("b", 3, json!(1))], later);
    assert_eq!(offsets(history.after(("a", None), 0, 9, later)), None);
    // Whoever has seen its last event has missed nothing, however long that was ago.
    assert_eq!(
        offsets(history.after(("a", None), 1, 9, later)),
        Some(vec![])
    );
    assert_eq!(
        offsets(history.after(("b", None), 2, 9, later)),
        Some(vec![3])
    );
    assert_eq!(offsets(history.after(("b", None), 1, 9, later)), None);
    assert_eq!(
        offsets(history.after(("never", None), 0, 9, later)),
        Some(vec![])
    );
}

#[test]
fn the_newest_event_of_an_id_is_found() {
    let (history, now) = (history(10, usize::MAX), Instant::now());
    history.record(&[event("a", 1, json!(7)), event("a", 2, json!(8))], now);
    assert_eq!(history.find(("a", None), |event| event.data == 7), Some(1));
    assert_eq!(history.find(("b", None), |event| event.data == 7), None);
}

#[test]
fn a_busy_tenant_takes_nothing_from_others_on_its_channel() {
    let limits = HistoryLimits {
        events: 2,
        age: AGE,
        bytes: usize::MAX,
        by_tenant: true,
    };
    let (history, now) = (History::new("run", limits), Instant::now());
    for offset in 1..10 {
        let tenant = if offset == 1 { "quiet" } else { "busy" };
        let draft = Draft {
            channel: "a".into(),
            event_type: None,
            tenant_id: Some(tenant.into()),
            id: None,
            data: json!(1),
        };
        history.record(&[Arc::new(Event::new(draft, offset, "run"))], now);
    }
    let of = |tenant| offsets(history.after(("a", Some(tenant)), 0, 9, now));
    assert_eq!(of("quiet"), Some(vec![1]));
    assert_eq!(of("busy"), None);
    assert_eq!(of("never"), Some(vec![]));
    assert_eq!(history.find(("a", Some("busy")), |_| true), Some(9));
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
    fn what_is_asked_for_comes_whole_and_in_order_or_is_said_to_be_lost(
        steps in prop::collection::vec(step(), 1..80),
        events in 1..12usize,
        bytes in prop::sample::select(vec![4_000, 20_000, usize::MAX]),
    ) {
        let history = history(events, bytes);
        let mut now = Instant::now();
        // Channel and time of each event; its offset is its place, counted from 1.
        let mut published: Vec<(u8, Instant)> = Vec::new();
        for step in steps {
            match step {
                Step::Publish(batch) => {
                    let batch: Vec<_> = batch.into_iter().map(|(channel, size)| {
                        published.push((channel, now));
                        let data = json!("x".repeat(size.into()));
                        event(&channel.to_string(), published.len() as u64, data)
                    }).collect();
                    history.record(&batch, now);
                    prop_assert!(history.size().1 <= bytes);
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Sweep => {
                    history.sweep(now);
                }
                Step::Ask(channel, place, limit) => {
                    let after = place.index(published.len() + 1);
                    let missed: Vec<_> = (after + 1..=published.len())
                        .filter(|offset| published[offset - 1].0 == channel)
                        .collect();
                    let is_young = missed.iter().all(|offset| now - published[offset - 1].1 <= AGE);
                    match history.after((&channel.to_string(), None), after as u64, limit, now) {
                        Ok(since) => {
                            let found: Vec<_> = since.events.iter().map(|e| e.offset as usize).collect();
                            let expected: Vec<_> = missed.iter().copied().take(limit).collect();
                            prop_assert_eq!(found, expected);
                            prop_assert_eq!(since.last_offset, published.len() as u64);
                            prop_assert!(is_young);
                        }
                        // Without want of room, only what is too old or too much is lost.
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
