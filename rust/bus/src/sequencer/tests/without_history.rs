//! An engine without a history: missing events cannot be read, so they are reported as missed at once.

use super::*;
use Numbering::{Dense, Linked, Sparse};

#[test]
fn a_gap_is_missed_in_its_place() {
    let mut stream = Stream::ready_at(Dense, false, 4);
    stream.events(1, [5, 8, 7, 9]);
    assert_eq!(
        stream.out(),
        [deliver(1, [5]), missed(1, 7), deliver(1, [8, 9])].concat()
    );
    assert!(!stream.wants_read() && stream.is_live());

    let mut stream = Stream::ready_at(Linked, false, 40);
    stream.linked(at(1, 60), 50);
    assert_eq!(stream.out(), [missed(1, 50), deliver(1, [60])].concat());
}

#[test]
fn doubt_is_missed_at_once_only_where_offsets_cannot_show_it() {
    let mut stream = Stream::ready_at(Sparse, false, 4);
    stream.doubt();
    stream.event(at(1, 9));
    assert_eq!(stream.out(), [missed(1, 4), deliver(1, [9])].concat());

    let mut stream = Stream::ready_at(Dense, false, 4);
    stream.doubt();
    stream.event(at(1, 5));
    stream.doubt();
    stream.event(at(1, 7));
    assert_eq!(
        stream.out(),
        [deliver(1, [5]), missed(1, 6), deliver(1, [7])].concat()
    );

    let mut stream = Stream::ready_at(Linked, false, 40);
    stream.doubt();
    stream.linked(at(1, 50), 40);
    assert_eq!(stream.out(), deliver(1, [50]));
    stream.doubt();
    stream.linked(at(1, 60), 0);
    stream.linked(at(1, 70), 0);
    assert_eq!(stream.out(), [missed(1, 50), deliver(1, [60, 70])].concat());
}

#[test]
fn an_audit_or_a_head_that_is_newer_is_missed() {
    for numbering in [Dense, Linked, Sparse] {
        let mut stream = Stream::ready_at(numbering, false, 4);
        stream.audited(at(1, 4));
        stream.audited(at(1, 3));
        stream.audited(at(1, 6));
        stream.ready(at(1, 6));
        stream.ready(at(1, 8));
        assert_eq!(stream.out(), [missed(1, 6), missed(1, 8)].concat());
    }
}

#[test]
fn a_new_epoch_is_missed_once_and_the_old_one_does_not_come_back() {
    let mut stream = Stream::ready_at(Dense, false, 4);
    stream.sequencer.begin_audit();
    stream.event(at(2, 3));
    stream.events(1, [5, 6]);
    stream.answer_audit(at(1, 9));
    stream.event(at(2, 4));
    assert_eq!(stream.out(), [missed(2, 2), deliver(2, [3, 4])].concat());
    assert_eq!(stream.counters().stale, 2);
    stream.audited(at(3, 5));
    assert_eq!(stream.out(), missed(3, 5));
}

#[test]
fn events_before_ready_of_unknown_order_or_without_room_are_missed() {
    let mut stream = Stream::new(Sparse, false);
    stream.events(2, [9]);
    stream.events(1, [3, 5]);
    stream.ready(at(1, 4));
    stream.event(at(2, 10));
    assert_eq!(stream.out(), [deliver(1, [5]), missed(1, 5)].concat());

    let mut stream = Stream::new(Sparse, false);
    stream.events(1, 1..=9);
    stream.ready(at(1, 0));
    stream.event(at(1, 10));
    assert_eq!(
        stream.out(),
        [deliver(1, 1..=8), missed(1, 8), deliver(1, [10])].concat()
    );
}

#[test]
fn an_event_without_room_in_the_sink_is_missed_before_the_next_one() {
    for numbering in [Dense, Sparse] {
        let mut stream = Stream::ready_at(numbering, false, 4);
        stream.room = 0;
        stream.events(1, [5, 6]);
        assert!(!stream.is_live());
        stream.room = usize::MAX;
        stream.event(at(1, 7));
        assert_eq!(stream.out(), [missed(1, 6), deliver(1, [7])].concat());
        assert_eq!(stream.counters().missed, 1);
        // An audit also reports the loss of the last event.
        stream.room = 0;
        stream.event(at(1, 8));
        stream.room = usize::MAX;
        stream.audited(at(1, 8));
        assert_eq!(stream.out(), missed(1, 8));
        assert!(stream.is_live());
    }
}

#[test]
fn an_audit_whose_answer_may_be_outdated_is_ignored() {
    type Between = fn(&mut Stream);
    let cases: [(Between, Position); 3] = [
        // The stream has moved to an epoch after that of the answer.
        (|stream| stream.event(at(3, 1)), at(2, 0)),
        // The engine has lost its newest events, and uses their offsets again.
        (|stream| stream.doubt(), at(1, 9)),
        (|stream| stream.ready(at(1, 4)), at(1, 9)),
    ];
    for (between, answer) in cases {
        let mut stream = Stream::ready_at(Dense, false, 4);
        stream.sequencer.begin_audit();
        between(&mut stream);
        let before = stream.position();
        stream.out();
        stream.answer_audit(answer);
        assert_eq!((stream.out(), stream.position()), (vec![], before));
        stream.audited(at(4, 7));
        assert_eq!(stream.out(), missed(4, 7));
    }
}

#[test]
fn an_audit_returns_a_stream_to_an_epoch_that_was_considered_past() {
    let mut stream = Stream::new(Dense, false);
    // The engine has begun epoch 2 after it was asked for the head.
    stream.event(at(2, 1));
    stream.ready(at(1, 5));
    stream.event(at(2, 2));
    assert_eq!(stream.out(), missed(1, 5));
    stream.audited(at(2, 2));
    stream.event(at(2, 3));
    assert_eq!(stream.out(), [missed(2, 2), deliver(2, [3])].concat());
}
