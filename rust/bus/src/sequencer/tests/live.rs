//! Events that arrive in order, and the ways in which a gap is found.

use super::*;
use Numbering::{Dense, Linked, Sparse};

#[test]
fn events_in_order_are_delivered_and_duplicates_are_not() {
    for numbering in [Dense, Sparse] {
        let mut stream = Stream::ready_at(numbering, true, 4);
        stream.events(1, [5, 5, 4, 6, 5, 6]);
        assert_eq!(stream.out(), deliver(1, [5, 6]));
        assert_eq!(stream.counters().duplicates, 4);
        assert_eq!(stream.position(), at(1, 6));
    }
}

#[test]
fn a_gap_leads_to_one_read_however_much_arrives() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.events(1, [6, 7]);
    assert_eq!(stream.begin_read(), 4);
    stream.events(1, [9, 8]);
    assert!(!stream.wants_read());
    assert_eq!(stream.sequencer.begin_read(), None);
    stream.page(1, [5, 6, 7], 7);
    assert_eq!(stream.out(), deliver(1, 5..=9));
    assert!(stream.is_live());
    let counters = stream.counters();
    assert_eq!(
        (counters.gaps, counters.reads, counters.gap_events),
        (1, 1, 3)
    );
}

#[test]
fn a_late_event_closes_a_gap_without_a_read() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.events(1, [6, 7]);
    assert!(stream.wants_read());
    stream.event(at(1, 5));
    assert_eq!(stream.out(), deliver(1, [5, 6, 7]));
    assert!(stream.is_live());
    // Also when the read is in progress.
    stream.event(at(1, 9));
    stream.begin_read();
    stream.event(at(1, 8));
    assert_eq!(stream.out(), deliver(1, [8, 9]));
    stream.page(1, [8, 9], 9);
    assert_eq!(stream.out(), vec![]);
    assert!(stream.is_live());
}

#[test]
fn a_predecessor_after_the_last_event_is_a_gap() {
    let mut stream = Stream::ready_at(Linked, true, 40);
    stream.linked(at(1, 50), 40);
    stream.linked(at(1, 50), 40);
    assert_eq!(
        (stream.out(), stream.counters().duplicates),
        (deliver(1, [50]), 1)
    );
    stream.linked(at(1, 70), 60);
    assert_eq!(stream.begin_read(), 50);
    stream.page(1, [60, 70], 70);
    assert_eq!(stream.out(), deliver(1, [60, 70]));
    assert!(stream.is_live());
}

#[test]
fn a_predecessor_before_the_last_position_is_not_a_gap() {
    // The position of a stream without events may be one of the log that holds it.
    let mut stream = Stream::ready_at(Linked, true, 40);
    stream.linked(at(1, 50), 30);
    assert_eq!(stream.out(), deliver(1, [50]));
}

#[test]
fn an_event_whose_predecessor_is_not_kept_is_in_order_unless_there_is_doubt() {
    let mut stream = Stream::ready_at(Linked, true, 40);
    stream.linked(at(1, 50), 0);
    assert_eq!(stream.out(), deliver(1, [50]));
    stream.doubt();
    stream.linked(at(1, 60), 0);
    assert_eq!(stream.out(), vec![]);
    assert_eq!(stream.begin_read(), 50);
    stream.page(1, [55, 60], 60);
    assert_eq!(stream.out(), deliver(1, [55, 60]));
    // It is not delivered during a gap either, also when a late event fills that gap.
    stream.linked(at(1, 80), 70);
    stream.linked(at(1, 75), 0);
    stream.linked(at(1, 65), 60);
    assert_eq!(stream.out(), deliver(1, [65]));
    assert!(stream.wants_read());
}

#[test]
fn sparse_offsets_do_not_show_gaps() {
    let mut stream = Stream::ready_at(Sparse, true, 4);
    stream.events(1, [10, 500]);
    let within = Offset {
        major: 500,
        minor: 1,
    };
    let position = Position {
        offset: within,
        ..at(1, 0)
    };
    stream.event(position);
    let last = vec![Output::Deliver(position, 500)];
    assert_eq!(stream.out(), [deliver(1, [10, 500]), last].concat());
    assert!(stream.is_live());
}

#[test]
fn doubt_holds_events_with_sparse_offsets_and_not_those_with_dense_ones() {
    for (numbering, at_once) in [(Dense, vec![5, 6]), (Sparse, vec![])] {
        let mut stream = Stream::ready_at(numbering, true, 4);
        stream.doubt();
        stream.events(1, [5, 6]);
        assert_eq!(stream.out(), deliver(1, at_once.clone()));
        let after = stream.begin_read();
        stream.page(1, after + 1..=6, 6);
        assert_eq!(
            stream.out(),
            deliver(1, (5..=6).filter(|n| !at_once.contains(n)))
        );
        assert!(stream.is_live());
    }
}

#[test]
fn doubt_during_a_read_leads_to_another_one() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.doubt();
    stream.begin_read();
    stream.doubt();
    assert!(!stream.wants_read());
    stream.page(1, [], 4);
    assert_eq!(stream.begin_read(), 4);
    stream.page(1, [5], 5);
    assert_eq!(stream.out(), deliver(1, [5]));
    assert!(stream.is_live());
}

#[test]
fn an_audit_detects_the_loss_of_the_last_events() {
    for numbering in [Dense, Linked, Sparse] {
        let mut stream = Stream::ready_at(numbering, true, 4);
        stream.audited(at(1, 4));
        assert!(stream.is_live());
        stream.audited(at(1, 6));
        assert_eq!(stream.begin_read(), 4);
        stream.page(1, [5, 6], 6);
        assert_eq!(stream.out(), deliver(1, [5, 6]));
    }
}

#[test]
fn an_audit_that_is_older_than_the_last_event_changes_nothing() {
    for old in [at(1, 4), at(9, 2)] {
        let mut stream = Stream::ready_at(Dense, true, 4);
        stream.event(at(1, 5));
        stream.audited(old);
        stream.begin_read();
        stream.page(1, [], 5);
        assert_eq!(stream.out(), deliver(1, [5]));
        assert!(stream.is_live());
    }
}

#[test]
fn an_audit_after_events_were_lost_by_the_engine_leads_to_missed() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.event(at(1, 5));
    stream.audited(at(1, 4));
    stream.begin_read();
    stream.page(1, [], 4);
    stream.event(at(1, 5));
    assert_eq!(
        stream.out(),
        [deliver(1, [5]), missed(1, 4), deliver(1, [5])].concat()
    );
}
