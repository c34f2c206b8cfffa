//! Batches, and events that are sent again.

use super::*;

#[tokio::test(start_paused = true)]
async fn each_event_is_answered_with_its_position() {
    let model = Arc::new(Model::new([]));
    let publisher = started(&model);
    let mut batch = events("a", 1..=2);
    batch.push(event("b", 3));
    batch.push(event("a", 4));
    let results = publisher.publish(batch, patiently()).unwrap().await;
    assert_eq!(results, [at(1), at(2), at(1), at(3)]);
    assert_eq!(model.log("a"), ["1", "2", "4"]);
    let none = publisher.publish(Vec::new(), patiently()).unwrap().await;
    assert_eq!(none, []);
    assert_eq!(publisher.counts().published, 4);
}

#[tokio::test(start_paused = true)]
async fn events_published_during_a_round_trip_are_the_next_batch() {
    let model = Arc::new(Model::new([]));
    let publisher = started(&model);
    let first = publisher.publish(events("a", [0]), patiently()).unwrap();
    pass(1).await;
    assert_eq!(publisher.counts().in_flight, 1);
    let publish = |id| publisher.publish(events("a", [id]), patiently()).unwrap();
    let others: Vec<_> = (1..=100).map(publish).collect();
    assert_eq!(first.await, [at(1)]);
    for (id, other) in (1..=100).zip(others) {
        assert_eq!(other.await, [at(id + 1)]);
    }
    assert_eq!(model.batch_sizes(), [1, 64, 36]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_megabyte_at_most() {
    let model = Model::new([]).with(|can| can.max_event_bytes = 1 << 20);
    let model = Arc::new(model);
    let publisher = started(&model);
    let large = |id| Outgoing {
        envelope: vec![b'1'; 400 << 10].into(),
        ..event("a", id)
    };
    let batch = (1..=5).map(large).collect();
    publisher.publish(batch, patiently()).unwrap().await;
    assert_eq!(model.batch_sizes(), [2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn partitions_do_not_wait_for_each_other() {
    let model = Arc::new(Model::new([Answer::Busy(0), Answer::Busy(0)]));
    let publisher = started(&model);
    let busy = publisher.publish(events("a", [1]), patiently()).unwrap();
    pass(15).await;
    let started = Instant::now();
    let other = publisher.publish(events("b", [2]), patiently()).unwrap();
    pass(50).await;
    assert_eq!(busy.await, [at(1)]);
    assert_eq!(other.await, [at(1)]);
    assert!(started.elapsed() < Duration::from_millis(250));
    assert_eq!(model.batches(), ["1", "2", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn events_that_were_not_accepted_are_sent_again_before_queued_ones() {
    for failure in [
        Answer::Away,
        Answer::Busy(0),
        Answer::Busy(1),
        Answer::Cut {
            taken: 0,
            answered: 0,
        },
        Answer::Cut {
            taken: 1,
            answered: 0,
        },
        Answer::Cut {
            taken: 2,
            answered: 1,
        },
        Answer::Cut {
            taken: 3,
            answered: 0,
        },
    ] {
        let model = Arc::new(Model::new([failure.clone()]));
        let publisher = started(&model);
        let first = publisher.publish(events("a", 1..=3), patiently()).unwrap();
        pass(20).await;
        let second = publisher.publish(events("a", 4..=5), patiently()).unwrap();
        assert_eq!(first.await, [at(1), at(2), at(3)], "{failure:?}");
        assert_eq!(second.await, [at(4), at(5)], "{failure:?}");
        assert_eq!(model.log("a"), ["1", "2", "3", "4", "5"], "{failure:?}");
        assert!(publisher.counts().retried > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_fails_alone() {
    let model = Arc::new(Model::new([Answer::Refuse(vec![1])]));
    let publisher = started(&model);
    let results = publisher
        .publish(events("a", 1..=3), patiently())
        .unwrap()
        .await;
    assert_eq!(results[0], at(1));
    let (outcome, is_retryable, message) = only_failure(&results[1..2]);
    assert_eq!((outcome, is_retryable), (Outcome::NotSent, false));
    assert!(message.contains("no permission"), "{message}");
    assert_eq!(results[2], at(2));
    assert_eq!(model.batches().len(), 1);
    assert_eq!(publisher.counts().failed_not_sent, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_lost_answer_says_that_the_event_may_have_been_published() {
    let script = [
        Answer::Cut {
            taken: 1,
            answered: 0,
        },
        Answer::Refuse(vec![0]),
    ];
    let model = Arc::new(Model::new(script));
    let publisher = started(&model);
    let results = publisher
        .publish(events("a", [1]), patiently())
        .unwrap()
        .await;
    assert_eq!(failures(&results), [Some((Outcome::Unknown, false))]);
    assert_eq!(model.log("a"), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_may_have_been_published_is_not_sent_again_without_idempotency() {
    let script = [
        Answer::Cut {
            taken: 1,
            answered: 0,
        },
        Answer::Away,
    ];
    let model = Model::new(script).with(|can| can.idempotency = None);
    let model = Arc::new(model);
    let publisher = started(&model);
    let results = publisher
        .publish(events("a", 1..=2), patiently())
        .unwrap()
        .await;
    assert_eq!(failures(&results), [Some((Outcome::Unknown, false)); 2]);
    // The events that were not sent are sent now.
    let results = publisher
        .publish(events("a", [3]), patiently())
        .unwrap()
        .await;
    assert_eq!(results, [at(2)]);
    assert_eq!(model.batches(), ["1 2", "3", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_may_have_been_published_is_not_sent_again_late_in_the_idempotency_window() {
    let model = Model::new([Answer::Cut {
        taken: 1,
        answered: 0,
    }])
    .with(|can| can.idempotency = Some(Duration::from_secs(2)));
    let model = Arc::new(model);
    model.then(Answer::Away);
    let publisher = started(&model);
    let started = Instant::now();
    let results = publisher
        .publish(events("a", [1]), patiently())
        .unwrap()
        .await;
    assert_eq!(failures(&results), [Some((Outcome::Unknown, false))]);
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_secs(1) && waited < Duration::from_secs(2),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn pauses_are_a_function_of_the_attempts_that_have_failed() {
    let script = [
        Answer::Away,
        Answer::Busy(0),
        Answer::Busy(1),
        Answer::Busy(0),
    ];
    let model = Arc::new(Model::new(script));
    let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let options = PublishOptions {
        pause: Arc::new({
            let asked = asked.clone();
            move |attempt| {
                asked.lock().push(attempt);
                Duration::from_millis(u64::from(attempt) * 100)
            }
        }),
        ..options()
    };
    let publisher = start(&model, &options).0;
    publisher
        .publish(events("a", 1..=2), patiently())
        .unwrap()
        .await;
    publisher
        .publish(events("a", [3]), patiently())
        .unwrap()
        .await;
    // An answer to one event resets the count of failures.
    assert_eq!(*asked.lock(), [1, 2, 1, 2]);
    for attempt in [1, 2, 7, u32::MAX] {
        let longest = Duration::from_millis(50 << (attempt - 1).min(5)).min(Duration::from_secs(1));
        assert!((0..100).all(|_| full_jitter(attempt) <= longest));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_the_engine_can_be_reached_again() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Away);
    let options = PublishOptions {
        pause: Arc::new(|_| Duration::from_secs(4)),
        ..options()
    };
    let publisher = start(&model, &options).0;
    let waiting = publisher.publish(events("a", [1]), patiently()).unwrap();
    pass(100).await;
    model.then(Answer::Take);
    publisher.try_now();
    let before = Instant::now();
    assert_eq!(waiting.await, [at(1)]);
    assert!(before.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_panics_is_called_again() {
    let model = Arc::new(Model::new([Answer::Panic]));
    let publisher = started(&model);
    let first = publisher.publish(events("a", [1]), patiently()).unwrap();
    assert_eq!(first.await, [at(1)]);
    assert_eq!(publisher.counts().in_flight, 0);
}
