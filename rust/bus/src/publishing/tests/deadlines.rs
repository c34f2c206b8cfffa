//! Deadlines: the error that the publisher receives, and what happens to the event.

use super::*;

/// Waits for a publication that begins now. Returns its result, and the time it took (ms).
async fn timed(publishing: Publishing) -> (Vec<PublishResult>, u128) {
    let start = Instant::now();
    let results = publishing.await;
    (results, start.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_never_accepted_fails_as_not_sent() {
    for failure in [Answer::Away, Answer::Busy(0)] {
        let model = Arc::new(Model::new([]));
        model.then(failure.clone());
        let publisher = started(&model);
        let publishing = publisher.publish(events("a", 1..=2), in_ms(500)).unwrap();
        let (results, waited) = timed(publishing).await;
        assert_eq!(
            failures(&results),
            [Some((Outcome::NotSent, true)); 2],
            "{failure:?}"
        );
        assert!((500..520).contains(&waited), "{failure:?} {waited}");
        let (_, _, message) = only_failure(&results[..1]);
        assert!(
            message.contains("no link") || message.contains("no memory"),
            "{message}"
        );
        model.then(Answer::Take);
        pass(1000).await;
        assert_eq!(model.log("a"), [""; 0]);
        assert_eq!(publisher.counts().failed_not_sent, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_sent_and_has_no_answer_may_have_been_published() {
    let model = Arc::new(Model::new([Answer::Cut {
        taken: 1,
        answered: 0,
    }]));
    model.then(Answer::Away);
    let publisher = started(&model);
    let results = publisher
        .publish(events("a", [1]), in_ms(500))
        .unwrap()
        .await;
    assert_eq!(failures(&results), [Some((Outcome::Unknown, true))]);
    assert_eq!(publisher.counts().failed_unknown, 1);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_receives_an_error_at_its_deadline_while_its_event_is_in_flight() {
    let mut model = Model::new([]);
    model.round_trip = Duration::from_secs(2);
    let model = Arc::new(model);
    let publisher = started(&model);
    let mut batch = vec![publisher.publish(events("a", [1]), in_ms(3000)).unwrap()];
    batch.push(publisher.publish(events("a", [2]), in_ms(300)).unwrap());
    batch.push(publisher.publish(events("a", [3]), in_ms(3000)).unwrap());
    let last = batch.pop().unwrap();
    let (results, waited) = timed(batch.pop().unwrap()).await;
    assert_eq!(failures(&results), [Some((Outcome::Unknown, true))]);
    assert!((300..310).contains(&waited), "{waited}");
    assert_eq!(batch.pop().unwrap().await, [at(1)]);
    assert_eq!(last.await, [at(3)]);
    assert_eq!(model.log("a"), ["1", "2", "3"]);
    let counts = publisher.counts();
    assert_eq!((counts.published, counts.failed_unknown), (3, 1));
    assert_eq!((counts.queue_events, counts.in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_publisher_received_an_error_is_not_sent_again() {
    let mut model = Model::new([Answer::Cut {
        taken: 0,
        answered: 0,
    }]);
    model.round_trip = Duration::from_secs(1);
    let model = Arc::new(model);
    let publisher = started(&model);
    let impatient = publisher.publish(events("a", [1]), in_ms(300)).unwrap();
    let patient = publisher.publish(events("a", [2]), patiently()).unwrap();
    assert_eq!(failures(&impatient.await), [Some((Outcome::Unknown, true))]);
    assert_eq!(patient.await, [at(1)]);
    assert_eq!(model.batches(), ["1 2", "2"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_past_its_deadline_is_not_sent() {
    let model = Arc::new(Model::new([]));
    let publisher = started(&model);
    let results = publisher
        .publish(events("a", [1]), Instant::now())
        .unwrap()
        .await;
    assert_eq!(failures(&results), [Some((Outcome::NotSent, true))]);
    assert_eq!(model.batches(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn deadlines_of_many_publishers_are_kept_in_any_order() {
    let model = Arc::new(Model::new([]));
    model.then(Answer::Away);
    let publisher = started(&model);
    let mut waiting = Vec::new();
    for n in 0..200_u64 {
        let deadline = n * 37 % 1000;
        let publishing = publisher
            .publish(events("abc", [1]), in_ms(deadline))
            .unwrap();
        waiting.push((deadline, tokio::spawn(timed(publishing))));
    }
    for (deadline, task) in waiting {
        let (results, waited) = task.await.unwrap();
        assert_eq!(failures(&results), [Some((Outcome::NotSent, true))]);
        let late = waited - u128::from(deadline);
        assert!(late <= 10, "{deadline}: {late}");
    }
}
