//! `ready`: the first call, and the ones after a link was lost.

use super::*;
use Numbering::{Dense, Linked, Sparse};

#[test]
fn events_up_to_the_first_head_are_not_delivered_and_those_after_it_are() {
    for numbering in [Dense, Sparse] {
        let mut stream = Stream::new(numbering, true);
        stream.events(1, [3, 4, 5]);
        assert_eq!((stream.out(), stream.wants_read()), (vec![], false));
        stream.ready(at(1, 4));
        stream.events(1, [4, 6]);
        assert_eq!(stream.out(), deliver(1, [5, 6]));
        assert!(stream.is_live());
    }
}

#[test]
fn events_that_arrived_out_of_order_before_ready_are_delivered_in_order() {
    let mut stream = Stream::new(Dense, true);
    stream.events(1, [7, 5, 6, 5]);
    stream.ready(at(1, 4));
    assert_eq!(stream.out(), deliver(1, [5, 6, 7]));
}

#[test]
fn a_gap_among_events_that_arrived_before_ready_is_read() {
    let mut stream = Stream::new(Dense, true);
    stream.events(1, [5, 7]);
    stream.ready(at(1, 4));
    assert_eq!(stream.out(), deliver(1, [5]));
    assert_eq!(stream.begin_read(), 5);
    stream.page(1, [6, 7], 7);
    assert_eq!(stream.out(), deliver(1, [6, 7]));
    assert_eq!(stream.counters().gaps, 1);
}

#[test]
fn events_that_had_no_room_before_ready_are_read() {
    for numbering in [Dense, Sparse] {
        let mut stream = Stream::new(numbering, true);
        stream.events(1, 1..=10);
        stream.ready(at(1, 0));
        while stream.wants_read() {
            let after = stream.begin_read();
            stream.page(1, after + 1..=10, 10);
        }
        assert_eq!(stream.out(), deliver(1, 1..=10));
    }
}

#[test]
fn a_read_decides_about_events_of_another_epoch_before_ready() {
    // The epoch of the event has ended.
    let mut stream = Stream::new(Dense, true);
    stream.event(at(9, 5));
    stream.ready(at(1, 4));
    assert_eq!(stream.begin_read(), 4);
    stream.page(1, [], 4);
    assert!(stream.is_live());
    assert_eq!((stream.out(), stream.counters().stale), (vec![], 1));
    // That epoch has begun since then.
    let mut stream = Stream::new(Dense, true);
    stream.event(at(9, 5));
    stream.ready(at(1, 4));
    stream.begin_read();
    stream.read_failed(ReadError::OtherEpoch { head: at(9, 4) });
    assert_eq!(stream.begin_read(), 0);
    stream.page(9, [1, 2, 3, 4], 4);
    assert_eq!(
        stream.out(),
        [missed(9, 0), deliver(9, [1, 2, 3, 4, 5])].concat()
    );
    assert!(stream.is_live());
}

#[test]
fn doubt_before_the_first_ready_has_no_effect() {
    for has_history in [true, false] {
        let mut stream = Stream::new(Sparse, has_history);
        stream.doubt();
        stream.ready(at(1, 4));
        assert!(stream.is_live());
        assert_eq!(stream.out(), vec![]);
    }
}

#[test]
fn ready_again_at_the_last_position_ends_the_doubt_without_a_read() {
    for numbering in [Dense, Linked, Sparse] {
        let mut stream = Stream::ready_at(numbering, true, 4);
        stream.doubt();
        assert!(stream.wants_read() && !stream.is_live());
        stream.ready(at(1, 4));
        assert!(stream.is_live());
        assert_eq!(stream.out(), vec![]);
    }
}

#[test]
fn ready_again_does_not_end_a_doubt_about_dropped_events_after_a_failed_read() {
    let mut stream = Stream::ready_at(Sparse, true, 4);
    stream.doubt();
    stream.large_event(at(1, 5), 101);
    stream.begin_read();
    stream.read_failed(unavailable());
    // The engine read its head before it published the event.
    stream.ready(at(1, 4));
    assert!(stream.wants_read());
}

#[test]
fn ready_again_with_a_newer_head_leads_to_a_read() {
    let mut stream = Stream::ready_at(Sparse, true, 4);
    stream.ready(at(1, 6));
    stream.event(at(1, 7));
    assert_eq!(stream.begin_read(), 4);
    stream.page(1, [5, 6], 6);
    assert_eq!(stream.out(), deliver(1, [5, 6, 7]));
}

#[test]
fn ready_again_with_another_epoch_is_missed_once() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.doubt();
    stream.ready(at(2, 3));
    stream.ready(at(2, 3));
    stream.events(2, [3, 4]);
    assert_eq!(stream.begin_read(), 0);
    stream.page(2, [1, 2, 3], 3);
    assert_eq!(
        stream.out(),
        [missed(2, 0), deliver(2, [1, 2, 3, 4])].concat()
    );
    assert!(stream.is_live());
}

#[test]
fn a_head_behind_the_last_event_before_the_link_was_lost_is_a_new_history() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.events(1, [5, 6]);
    stream.doubt();
    stream.ready(at(1, 5));
    // Offset 6 is used again, for another event.
    stream.event(at(1, 6));
    let expected = [deliver(1, [5, 6]), missed(1, 5), deliver(1, [6])].concat();
    assert_eq!(stream.out(), expected);
}

#[test]
fn a_head_behind_events_that_arrived_after_the_link_was_lost_is_only_late() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.doubt();
    stream.event(at(1, 5));
    stream.ready(at(1, 4));
    stream.event(at(1, 6));
    assert_eq!(stream.out(), deliver(1, [5, 6]));
    assert!(stream.is_live());
}

#[test]
fn events_held_or_read_over_a_lost_link_are_read_again() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.event(at(1, 7));
    stream.begin_read();
    stream.doubt();
    stream.ready(at(1, 6));
    // The engine that answers has lost events 5 to 7, and has published others.
    stream.page(1, [5, 6, 7], 7);
    assert_eq!(stream.out(), vec![]);
    assert_eq!(stream.begin_read(), 4);
    stream.page(1, [5, 6], 6);
    assert_eq!(stream.out(), deliver(1, [5, 6]));
    assert!(stream.is_live());
}

#[test]
fn an_answer_from_before_another_epoch_is_ignored() {
    let mut stream = Stream::ready_at(Dense, true, 4);
    stream.doubt();
    stream.begin_read();
    stream.ready(at(2, 1));
    stream.read_failed(ReadError::TooLate { head: at(1, 90) });
    stream.event(at(2, 2));
    assert_eq!(stream.begin_read(), 0);
    stream.page(2, [1], 1);
    assert_eq!(stream.out(), [missed(2, 0), deliver(2, [1, 2])].concat());
    assert!(stream.is_live());
}
