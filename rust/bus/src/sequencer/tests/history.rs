//! Reads of the history: pages, failures, and past epochs.

use super::*;
use Numbering::{Dense, Linked, Sparse};

/// A stream whose last event is 4, with a read in progress.
fn reading(numbering: Numbering) -> Stream {
    let mut stream = Stream::ready_at(numbering, true, 4);
    stream.doubt();
    assert_eq!(stream.begin_read(), 4);
    stream
}

#[test]
fn a_page_that_ends_before_the_head_is_followed_by_another_read() {
    for numbering in [Dense, Linked, Sparse] {
        let mut stream = reading(numbering);
        stream.page(1, [5, 6], 8);
        assert_eq!(stream.begin_read(), 6);
        stream.page(1, [7, 8], 8);
        assert_eq!(stream.out(), deliver(1, 5..=8));
        assert!(stream.is_live());
    }
}

#[test]
fn held_events_are_not_delivered_before_the_page_is_complete() {
    let mut stream = reading(Sparse);
    stream.event(at(1, 9));
    stream.page(1, [5, 6], 8);
    assert_eq!(stream.out(), deliver(1, [5, 6]));
    stream.begin_read();
    stream.page(1, [8], 8);
    assert_eq!(stream.out(), deliver(1, [8, 9]));
}

#[test]
fn events_of_a_page_that_are_held_too_are_delivered_once() {
    for numbering in [Dense, Sparse] {
        let mut stream = reading(numbering);
        stream.events(1, [6, 7, 8]);
        stream.page(1, [5, 6, 7], 7);
        assert_eq!(stream.out(), deliver(1, 5..=8));
        assert_eq!(stream.counters().duplicates, 2);
    }
}

#[test]
fn held_events_past_the_bounds_are_read_again() {
    // Offsets show that nothing is missing, so the events that had room are delivered.
    for (numbering, last) in [(Dense, 13), (Sparse, 5)] {
        let mut stream = reading(numbering);
        stream.events(1, 6..=20);
        stream.page(1, [5], 5);
        assert_eq!(stream.out(), deliver(1, 5..=last));
        assert_eq!(stream.begin_read(), last);
        stream.page(1, last + 1..=20, 20);
        assert_eq!(stream.out(), deliver(1, last + 1..=20));
        assert!(stream.is_live());
        let counters = stream.counters();
        assert_eq!((counters.most_held, counters.most_held_bytes), (8, 8));
    }
    let mut stream = reading(Dense);
    stream.large_event(at(1, 6), 60);
    stream.large_event(at(1, 7), 60);
    stream.page(1, [5], 5);
    assert_eq!(stream.out(), deliver(1, [5, 6]));
    assert!(stream.wants_read());
    assert_eq!(stream.counters().most_held_bytes, 60);
}

#[test]
fn a_failed_read_is_wanted_again_and_counted() {
    for numbering in [Dense, Sparse] {
        let mut stream = reading(numbering);
        stream.event(at(1, 6));
        stream.read_failed(unavailable());
        assert_eq!(stream.sequencer.fruitless_reads(), 1);
        stream.begin_read();
        stream.read_failed(unavailable());
        assert_eq!(stream.sequencer.fruitless_reads(), 2);
        stream.event(at(1, 7));
        stream.begin_read();
        stream.page(1, [5, 6], 6);
        assert_eq!(stream.out(), deliver(1, [5, 6, 7]));
        assert_eq!(stream.sequencer.fruitless_reads(), 0);
        assert!(stream.is_live());
    }
}

#[test]
fn events_that_are_not_kept_any_more_are_missed_once() {
    for numbering in [Dense, Sparse] {
        let mut stream = reading(numbering);
        stream.events(1, [8, 9, 10]);
        stream.read_failed(ReadError::TooLate { head: at(1, 9) });
        stream.event(at(1, 11));
        assert_eq!(stream.out(), [missed(1, 9), deliver(1, [10, 11])].concat());
        assert!(stream.is_live());
        assert_eq!(stream.counters().missed, 1);
    }
}

#[test]
fn a_read_that_is_too_late_is_not_missed_when_no_event_is_missing() {
    let mut stream = reading(Dense);
    stream.events(1, [5, 6]);
    stream.read_failed(ReadError::TooLate { head: at(1, 5) });
    assert_eq!(stream.out(), deliver(1, [5, 6]));
    assert!(stream.is_live());
}

#[test]
fn an_event_of_a_new_epoch_leads_to_a_read_and_missed_once() {
    for numbering in [Dense, Sparse] {
        let mut stream = Stream::ready_at(numbering, true, 4);
        stream.events(2, [1, 2]);
        assert_eq!(stream.out(), vec![]);
        assert_eq!(stream.begin_read(), 4);
        stream.event(at(2, 3));
        stream.read_failed(ReadError::OtherEpoch { head: at(2, 2) });
        if numbering == Sparse {
            assert_eq!(stream.begin_read(), 0);
            stream.page(2, [1, 2], 2);
        }
        stream.event(at(2, 4));
        assert_eq!(
            stream.out(),
            [missed(2, 0), deliver(2, [1, 2, 3, 4])].concat()
        );
        assert!(stream.is_live());
        assert_eq!(stream.counters().gaps, 1);
    }
}

#[test]
fn late_events_of_an_old_epoch_are_dropped_without_a_read() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.events(2, [1]);
    stream.events(1, [6]);
    stream.begin_read();
    stream.read_failed(ReadError::OtherEpoch { head: at(2, 1) });
    stream.events(1, [5, 6, 7]);
    assert_eq!(stream.out(), [missed(2, 0), deliver(2, [1])].concat());
    assert!(stream.is_live());
    assert_eq!(stream.counters().stale, 4);
}

#[test]
fn an_event_of_another_epoch_is_dropped_when_a_later_read_shows_the_same_epoch() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.event(at(9, 1));
    stream.begin_read();
    // The read does not decide about an event that arrives after the read has started.
    stream.event(at(9, 2));
    stream.page(1, [5], 5);
    assert_eq!(stream.out(), deliver(1, [5]));
    assert_eq!(stream.begin_read(), 5);
    stream.read_failed(ReadError::OtherEpoch { head: at(9, 1) });
    assert_eq!(stream.begin_read(), 0);
    stream.page(9, [1], 1);
    assert_eq!(stream.out(), [missed(9, 0), deliver(9, [1, 2])].concat());
}

#[test]
fn trimmed_events_of_a_new_epoch_are_missed() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.doubt();
    stream.ready(at(9, 50));
    assert_eq!(stream.begin_read(), 0);
    stream.read_failed(ReadError::TooLate { head: at(9, 50) });
    stream.event(at(9, 51));
    assert_eq!(
        stream.out(),
        [missed(9, 0), missed(9, 50), deliver(9, [51])].concat()
    );
    assert!(stream.is_live());
}

#[test]
fn the_engine_may_return_to_an_epoch() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.doubt();
    stream.ready(at(2, 1));
    stream.doubt();
    stream.ready(at(1, 4));
    stream.event(at(1, 5));
    assert_eq!(
        stream.out(),
        [missed(2, 0), missed(1, 4), deliver(1, [5])].concat()
    );
}

#[test]
fn a_gap_that_the_history_never_fills_is_missed_in_the_end() {
    for numbering in [Dense, Linked] {
        let mut stream = Stream::ready_at(numbering, true, 4);
        stream.linked(at(1, 7), 6);
        for n in 1..=5 {
            assert_eq!(stream.out(), vec![]);
            stream.begin_read();
            stream.page(1, [], 4);
            assert_eq!(stream.sequencer.fruitless_reads(), n % 5);
        }
        assert_eq!(stream.out(), [missed(1, 6), deliver(1, [7])].concat());
        assert!(stream.is_live());
    }
}

#[test]
fn a_history_that_does_not_reach_its_own_head_is_missed_in_the_end() {
    let mut stream = Stream::ready_at(Sparse, true, 4);
    stream.doubt();
    for _ in 0..5 {
        stream.begin_read();
        stream.page(1, [], 9);
    }
    assert_eq!(stream.out(), missed(1, 9));
    assert!(stream.is_live());
}

#[test]
fn a_gap_in_a_page_is_missed_in_its_place() {
    let mut stream = reading(Dense);
    stream.page(1, [5, 8], 8);
    assert_eq!(
        stream.out(),
        [deliver(1, [5]), missed(1, 7), deliver(1, [8])].concat()
    );
}

#[test]
fn an_answer_without_a_read_is_ignored() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.page(1, [5], 5);
    stream.read_failed(ReadError::TooLate { head: at(1, 9) });
    assert_eq!(stream.out(), vec![]);
    assert!(stream.is_live());
}

#[test]
fn an_event_without_room_in_the_sink_is_read_again() {
    for numbering in [Dense, Sparse] {
        let mut stream = Stream::ready_at(numbering, true, 4);
        stream.room = 1;
        stream.events(1, [5, 6, 7]);
        assert_eq!(stream.position(), at(1, 5));
        stream.room = 2;
        assert_eq!(stream.begin_read(), 5);
        stream.page(1, [6, 7, 8, 9], 9);
        stream.room = usize::MAX;
        assert_eq!(stream.begin_read(), 7);
        stream.page(1, [8, 9], 9);
        assert_eq!(stream.out(), deliver(1, 5..=9));
        assert!(stream.is_live());
    }
}

#[test]
fn missed_without_room_in_the_sink_is_repeated_before_anything_else() {
    let mut stream = reading(Dense);
    stream.room = 0;
    stream.read_failed(ReadError::TooLate { head: at(1, 9) });
    stream.event(at(1, 10));
    assert_eq!(stream.out(), vec![]);
    assert!(stream.wants_read());
    stream.room = usize::MAX;
    stream.begin_read();
    stream.page(1, [10], 10);
    assert_eq!(stream.out(), [missed(1, 9), deliver(1, [10])].concat());
    assert!(stream.is_live());
    assert_eq!(stream.counters().missed, 1);
}
