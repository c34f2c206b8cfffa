//! Records of events, and the counts of events that are too frequent.

use std::sync::Mutex;

use tracing::{error, warn};

use super::kinds::Kinds;
use super::*;

/// Calls a function with each event of a thread.
struct Each<F>(F);

impl<F: Fn(&Event<'_>) + 'static> Subscriber for Each<F> {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        (self.0)(event);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Returns the records of the events that `act` writes.
fn records(act: impl FnOnce()) -> Vec<Record> {
    let records = Arc::new(Mutex::new(Vec::new()));
    let kept = records.clone();
    let keep = move |event: &Event<'_>| kept.lock().unwrap().push(Record::of(event));
    tracing::subscriber::with_default(Each(keep), act);
    std::mem::take(&mut records.lock().unwrap())
}

/// Returns the number of records for the events of `act`.
fn written(kinds: &Arc<Kinds>, act: impl FnOnce()) -> u64 {
    let (kinds, count) = (kinds.clone(), Arc::new(Mutex::new(0)));
    let counted = count.clone();
    let take = move |event: &Event<'_>| {
        let is_written = kinds.take(event, Check::of(event).as_ref(), None);
        *counted.lock().unwrap() += u64::from(is_written);
    };
    tracing::subscriber::with_default(Each(take), act);
    *count.lock().unwrap()
}

#[test]
fn a_record_has_the_level_the_target_and_the_fields_of_its_event() {
    let records = records(|| {
        warn!(target: "fraiseql_subs", channel = "orders", count = 3, "it is {}", "slow");
    });
    let record = &records[0];
    assert_eq!(
        (record.level, record.target),
        (Level::WARN, "fraiseql_subs")
    );
    assert_eq!(record.message, "it is slow");
    let expected = [("channel", "orders".to_owned()), ("count", "3".to_owned())];
    assert_eq!(record.fields, expected);
}

#[test]
fn long_texts_are_cut_between_characters() {
    let records = records(|| {
        let text = "é".repeat(10_000);
        warn!(value = text, as_debug = ?text, "{text}");
    });
    let record = &records[0];
    assert!(record.message.len() <= 1024 && record.message.ends_with("é…"));
    for (name, value) in &record.fields {
        assert!(value.len() <= 256 && value.ends_with("é…"), "{name}");
    }
}

#[test]
fn a_message_of_a_library_becomes_a_detail_of_ours() {
    let mut record = records(|| error!("os error 24")).remove(0);
    record.rename("the listener met a fault");
    assert_eq!(record.message, "the listener met a fault");
    assert_eq!(record.fields, [("detail", "os error 24".to_owned())]);
    assert_eq!((record.name, record.level), ("library.failed", Level::WARN));
}

#[test]
fn records_of_libraries_have_messages_of_ours() {
    assert_eq!(
        foreign::text("actix_http::h1"),
        Some("a connection of HTTP met a fault")
    );
    assert_eq!(foreign::text("someone_else"), Some("a library met a fault"));
    for ours in [
        "fraiseql_subs",
        "fraiseql_subs.audit",
        "runtime::worker",
        "_core",
    ] {
        assert_eq!(foreign::text(ours), None, "{ours}");
    }
}

#[test]
fn records_past_the_limit_are_counted() {
    let (kinds, total) = (Arc::new(Kinds::default()), 2_000);
    let written = written(&kinds, || {
        (0..total).for_each(|number| warn!("flood {number}"));
    });
    assert!(written >= u64::from(RECORDS_AT_ONCE.get()));
    assert!(kinds.has_suppressed());
    let told = kinds.take_suppressed(usize::MAX);
    assert_eq!(written + told[0].suppressed, total);
    assert_eq!(told[0].message, "flood 0");
    assert!(!kinds.has_suppressed());
}

#[test]
fn a_flood_of_one_kind_hides_no_other() {
    let kinds = Arc::new(Kinds::default());
    let deny = |check: &str| warn!(check, "denied");
    written(&kinds, || (0..2_000).for_each(|_| deny("rate")));
    assert_eq!(written(&kinds, || deny("origin")), 1);
    assert_eq!(written(&kinds, || warn!("another place")), 1);
    let told = kinds.take_suppressed(usize::MAX);
    let checks: Vec<_> = told.iter().map(|kind| kind.check.as_deref()).collect();
    assert_eq!(checks, [Some("rate")]);
}

#[test]
fn counts_are_told_of_some_kinds_at_a_time() {
    let kinds = Arc::new(Kinds::default());
    written(&kinds, || {
        (0..2_000).for_each(|_| {
            warn!("one place");
            warn!("another place");
        });
    });
    assert_eq!(kinds.take_suppressed(1).len(), 1);
    assert!(kinds.has_suppressed());
    assert_eq!(kinds.take_suppressed(1).len(), 1);
    assert!(!kinds.has_suppressed());
}
