//! What is published while the engine cannot be reached.

use super::*;
use crate::engine::Role;

fn with(on_unavailable: OnUnavailable) -> PublishOptions {
    PublishOptions {
        on_unavailable,
        max_events: 10,
        ..options()
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_succeeds_when_the_engine_is_back() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Away);
    let publisher = start(&model, &with(OnUnavailable::Wait)).0;
    let waiting = publisher.publish(events("a", [1]), patiently()).unwrap();
    pass(3000).await;
    model.then(Answer::Take);
    assert_eq!(waiting.await, [at(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_does_not_wait_fails_at_once() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Away);
    let publisher = start(&model, &with(OnUnavailable::Fail)).0;
    let before = Instant::now();
    let results = publisher
        .publish(events("a", 1..=2), patiently())
        .unwrap()
        .await;
    assert_eq!(failures(&results), [Some((Outcome::NotSent, true)); 2]);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(publisher.counts().failed_not_sent, 2);
    model.then(Answer::Take);
    let results = publisher
        .publish(events("a", [3]), patiently())
        .unwrap()
        .await;
    assert_eq!(results, [at(1)]);
}

#[tokio::test(start_paused = true)]
async fn publishers_that_do_not_wait_fail_when_the_engine_goes_away() {
    let model = Arc::new(Model::new([Answer::Cut {
        taken: 1,
        answered: 0,
    }]));
    let publisher = start(&model, &with(OnUnavailable::Fail)).0;
    let sent = publisher.publish(events("a", [1]), in_ms(1000)).unwrap();
    pass(1).await;
    let queued = publisher.publish(events("a", 2..=20), in_ms(1000)).unwrap();
    let before = Instant::now();
    model.then(Answer::Away);
    assert_eq!(
        failures(&queued.await),
        [Some((Outcome::NotSent, true)); 19]
    );
    assert!(before.elapsed() < Duration::from_millis(150));
    // An event that may have been published is tried until its deadline.
    model.then(Answer::Take);
    assert_eq!(sent.await, [at(1)]);
    assert_eq!(model.log("a"), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn publishers_that_do_not_wait_fail_for_the_server_of_their_partition_only() {
    let model = Arc::new(Model::new([]));
    model.lose_partition("a");
    let publisher = start(&model, &with(OnUnavailable::Fail)).0;
    let before = Instant::now();
    let to_a = publisher.publish(events("a", [1]), patiently()).unwrap();
    assert_eq!(failures(&to_a.await), [Some((Outcome::NotSent, true))]);
    assert_eq!(before.elapsed(), Duration::ZERO);
    let to_b = publisher.publish(events("b", [2]), patiently()).unwrap();
    assert_eq!(to_b.await, [at(1)]);
    // If one event of a batch must fail at once, none is sent.
    let batch = [events("b", [3]), events("a", [4])].concat();
    let to_both = publisher.publish(batch, patiently()).unwrap().await;
    assert_eq!(failures(&to_both), [Some((Outcome::NotSent, true)); 2]);
    assert_eq!(model.log("b"), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn queued_events_are_published_when_the_engine_is_back() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Away);
    let publisher = start(&model, &with(OnUnavailable::Queue)).0;
    let before = Instant::now();
    let results = publisher
        .publish(events("a", 1..=10), in_ms(1))
        .unwrap()
        .await;
    assert_eq!(results, vec![Ok(Published::Queued); 10]);
    assert_eq!(before.elapsed(), Duration::ZERO);
    pass(59_000).await;
    model.then(Answer::Take);
    pass(500).await;
    assert_eq!(model.log("a").len(), 10);
    let counts = publisher.counts();
    assert_eq!(
        (counts.published, counts.lost, counts.queue_events),
        (10, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_the_rest_of_a_batch() {
    for (max_events, max_bytes) in [(10, 1000), (1000, 109)] {
        let model = Arc::new(Model::new([]));
        model.then(Answer::Away);
        let options = PublishOptions {
            max_events,
            max_bytes,
            ..with(OnUnavailable::Queue)
        };
        let publisher = start(&model, &options).0;
        let results = publisher
            .publish(events("a", 1..=12), patiently())
            .unwrap()
            .await;
        assert_eq!(results[..10], vec![Ok(Published::Queued); 10]);
        assert_eq!(
            failures(&results[10..]),
            [Some((Outcome::NotSent, true)); 2]
        );
        let results = publisher
            .publish(events("a", [13]), patiently())
            .unwrap()
            .await;
        assert_eq!(failures(&results), [Some((Outcome::NotSent, true))]);
        model.then(Answer::Take);
        pass(500).await;
        assert_eq!(
            model.log("a"),
            (1..=10).map(|id| id.to_string()).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn queued_events_that_are_lost_are_counted() {
    let model = Arc::new(Model::new([Answer::Cut {
        taken: 0,
        answered: 0,
    }]));
    model.then(Answer::Away);
    let publisher = start(&model, &with(OnUnavailable::Queue)).0;
    publisher
        .publish(events("a", [1]), patiently())
        .unwrap()
        .await;
    pass(50).await;
    publisher
        .publish(events("b", 2..=4), patiently())
        .unwrap()
        .await;
    pass(60_200).await;
    let counts = publisher.counts();
    assert_eq!(counts.lost, 4);
    assert_eq!((counts.failed_unknown, counts.failed_not_sent), (1, 3));
    assert_eq!((counts.queue_events, counts.queue_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_fails_for_the_publisher_link_only() {
    for role in [Role::Reader, Role::Subscriber] {
        let model = Arc::new(Model::new([]));
        let publisher = start(&model, &with(OnUnavailable::Fail)).0;
        model.lose(role);
        let results = publisher.publish(events("a", [1]), patiently()).unwrap();
        assert_eq!(results.await, [at(1)], "{role:?}");
    }
    let model = Arc::new(Model::new([]));
    let publisher = start(&model, &with(OnUnavailable::Fail)).0;
    model.lose(Role::Publisher);
    let results = publisher.publish(events("a", [1]), patiently()).unwrap();
    let (outcome, is_retryable, message) = only_failure(&results.await);
    assert_eq!((outcome, is_retryable), (Outcome::NotSent, true));
    assert!(message.contains("no route"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn publishers_wait_for_a_wrong_configuration_as_for_an_engine_that_is_away() {
    for on_unavailable in [OnUnavailable::Wait, OnUnavailable::Queue] {
        let model = Arc::new(Model::new([]));
        model.then(Answer::Deny);
        let publisher = start(&model, &with(on_unavailable)).0;
        let published = publisher.publish(events("a", 1..=3), patiently()).unwrap();
        pass(3000).await;
        model.then(Answer::Take);
        pass(500).await;
        assert_eq!(model.log("a"), ["1", "2", "3"], "{on_unavailable:?}");
        assert!(published.await.iter().all(Result::is_ok));
        assert_eq!(publisher.counts().lost, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_stays_wrong_is_the_reason_at_the_deadline() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Deny);
    let publisher = start(&model, &with(OnUnavailable::Wait)).0;
    let before = Instant::now();
    let results = publisher
        .publish(events("a", [1]), patiently())
        .unwrap()
        .await;
    assert!(before.elapsed() >= PATIENCE);
    let (outcome, is_retryable, message) = only_failure(&results);
    assert_eq!((outcome, is_retryable), (Outcome::NotSent, true));
    assert!(message.contains("wrong password"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_does_not_wait_fails_at_once_for_a_wrong_configuration() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Deny);
    let publisher = start(&model, &with(OnUnavailable::Fail)).0;
    let before = Instant::now();
    let results = publisher
        .publish(events("a", [1]), patiently())
        .unwrap()
        .await;
    assert!(before.elapsed() < Duration::from_millis(100));
    let (outcome, is_retryable, message) = only_failure(&results);
    assert_eq!((outcome, is_retryable), (Outcome::NotSent, false));
    assert!(message.contains("wrong password"), "{message}");
}
