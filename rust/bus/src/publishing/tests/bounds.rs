//! Bounds of the queue, refusals at the call, and cancelled publishers.

use super::*;

fn narrow(max_events: usize, max_bytes: usize) -> PublishOptions {
    PublishOptions {
        max_events,
        max_bytes,
        ..options()
    }
}

#[tokio::test(start_paused = true)]
async fn publishers_wait_in_order_for_room() {
    for options in [narrow(2, 1000), narrow(1000, 29)] {
        let model = Arc::new(Model::new([Answer::Away]));
        let publisher = start(&model, &options).0;
        let publish = |id| publisher.publish(events("a", [id]), patiently()).unwrap();
        let all: Vec<_> = (1..=6).map(publish).collect();
        pass(5).await;
        let counts = publisher.counts();
        assert_eq!((counts.queue_events, counts.queue_bytes), (2, 20));
        assert_eq!(counts.waiting_events, 4);
        for (id, publishing) in (1..).zip(all) {
            assert_eq!(publishing.await, [at(id)]);
        }
        assert_eq!(model.batches(), ["1 2", "1 2", "3 4", "5 6"]);
        assert_eq!(publisher.counts().queue_bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_queue_goes_through_it() {
    let model = Arc::new(Model::new([]));
    let publisher = start(&model, &narrow(10, 1000)).0;
    let results = publisher
        .publish(events("a", 1..=35), patiently())
        .unwrap()
        .await;
    assert_eq!(results, (1..=35).map(at).collect::<Vec<_>>());
    assert_eq!(model.batch_sizes(), [10, 10, 10, 5]);
}

#[tokio::test(start_paused = true)]
async fn an_event_larger_than_the_queue_is_sent_alone() {
    let model = Arc::new(Model::new([]));
    let publisher = start(&model, &narrow(10, 5)).0;
    let results = publisher
        .publish(events("a", 1..=2), patiently())
        .unwrap()
        .await;
    assert_eq!(results, [at(1), at(2)]);
    assert_eq!(model.batch_sizes(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_stuck_does_not_stop_the_others() {
    let model = Arc::new(Model::new([]));
    let publisher = start(&model, &narrow(5, 1000)).0;
    model.stick("a1");
    let stuck = publisher
        .publish(events("a1", 1..=20), in_ms(1000))
        .unwrap();
    pass(50).await;
    assert_eq!(publisher.counts().queue_events, 5);
    let before = Instant::now();
    let other = publisher
        .publish(events("b1", 21..=25), patiently())
        .unwrap();
    assert_eq!(other.await, (1..=5).map(at).collect::<Vec<_>>());
    assert!(before.elapsed() < Duration::from_millis(100));
    // Admitted events may be in flight when the deadline passes.
    let results = stuck.await;
    assert!(results.iter().all(Result::is_err));
    assert_eq!(
        failures(&results[5..]),
        [Some((Outcome::NotSent, true)); 15]
    );
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_room_until_its_deadline() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Away);
    let publisher = start(&model, &narrow(1, 1000)).0;
    let _first = publisher.publish(events("a", [1]), patiently()).unwrap();
    let second = publisher.publish(events("a", [2]), in_ms(300)).unwrap();
    let (outcome, is_retryable, message) = only_failure(&second.await);
    assert_eq!((outcome, is_retryable), (Outcome::NotSent, true));
    assert!(message.contains("no room"), "{message}");
    assert_eq!(publisher.counts().waiting_events, 0);
}

#[tokio::test(start_paused = true)]
async fn events_that_can_never_be_published_are_refused_at_the_call() {
    let model = Arc::new(Model::new([]).with(|can| can.max_event_bytes = 10));
    let publisher = started(&model);
    let large = Outgoing {
        envelope: vec![0; 11].into(),
        ..event("a", 2)
    };
    let batch = vec![event("a", 1), large];
    let error = publisher.publish(batch, patiently()).err();
    let expected = PublishError::TooLarge {
        index: 1,
        bytes: 11,
        limit: 10,
    };
    assert_eq!(error, Some(expected.clone()));
    assert_eq!(
        (expected.outcome(), expected.is_retryable()),
        (Outcome::NotSent, false)
    );

    let source = Arc::new(Model::new([]).with(|can| can.is_read_only = true));
    let error = started(&source)
        .publish(events("a", [1]), patiently())
        .err();
    assert_eq!(error, Some(PublishError::ReadOnly));
    pass(100).await;
    assert_eq!(model.batches(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn unsent_events_of_a_cancelled_publisher_are_not_published() {
    let model = Arc::new(Model::new([]));
    let publisher = start(&model, &narrow(3, 1000)).0;
    let publish = |id| publisher.publish(events("a", [id]), patiently()).unwrap();
    let under_way = publish(1);
    pass(1).await;
    let queued = publish(2);
    let kept = publish(3);
    let waiting = publish(4);
    let last = publish(5);
    drop((under_way, queued, waiting));
    assert_eq!(publisher.counts().waiting_events, 0);
    assert_eq!(publisher.counts().queue_events, 3);
    assert_eq!((kept.await, last.await), (vec![at(2)], vec![at(3)]));
    assert_eq!(model.log("a"), ["1", "3", "5"]);
    let counts = publisher.counts();
    assert_eq!((counts.published, counts.cancelled), (3, 2));
    assert_eq!((counts.queue_events, counts.queue_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn events_in_flight_are_not_sent_again_for_a_cancelled_publisher() {
    let model = Arc::new(Model::new([Answer::Busy(0)]));
    let publisher = started(&model);
    let under_way = publisher.publish(events("a", [1]), patiently()).unwrap();
    pass(1).await;
    drop(under_way);
    let other = publisher.publish(events("a", [2]), patiently()).unwrap();
    assert_eq!(other.await, [at(1)]);
    assert_eq!(model.log("a"), ["2"]);
    assert_eq!(publisher.counts().queue_events, 0);
}

#[tokio::test(start_paused = true)]
async fn events_of_many_cancelled_publishers_are_removed() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Away);
    let publisher = start(&model, &narrow(100, 10_000)).0;
    let publish = |id| publisher.publish(events("a", [id]), patiently()).unwrap();
    let kept = publish(0);
    for round in 0..10 {
        let all: Vec<_> = (1..1000).map(|n| publish(round * 1000 + n)).collect();
        pass(150).await;
        drop(all);
        let counts = publisher.counts();
        assert_eq!((counts.queue_events, counts.waiting_events), (1, 0));
        let cancelled = publisher.shared.with(|queue| queue.cancelled());
        assert!(cancelled <= 2048, "{cancelled}");
    }
    model.then(Answer::Take);
    assert_eq!(kept.await, [at(1)]);
    let last = publish(1);
    assert_eq!(last.await, [at(2)]);
    assert_eq!(model.log("a"), ["0", "1"]);
    assert_eq!(publisher.shared.with(|queue| queue.cancelled()), 0);
}
