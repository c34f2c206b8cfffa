//! Property tests: whatever the engine and the publishers do, each stream has its events in order and
//! once, and publishers receive the true outcome.

use proptest::prelude::*;

use super::*;

/// One call of a publisher.
#[derive(Debug, Clone)]
struct Call {
    /// The stream of each event.
    streams: Vec<&'static str>,
    /// The pause of the publisher before the call (ms).
    after: u64,
    timeout: u64,
    then: Then,
}

/// What a publisher does with the future of a call.
#[derive(Debug, Clone)]
enum Then {
    Wait,
    /// Reads its result at the end.
    Later,
    /// Drops it after this time (ms).
    Cancel(u64),
}

#[derive(Debug, Clone)]
struct Case {
    script: Vec<Answer>,
    callers: Vec<Vec<Call>>,
    on_unavailable: OnUnavailable,
    max_events: usize,
    round_trip: u64,
    knows_ids: bool,
    drain: u64,
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => Just(Answer::Take),
        2 => Just(Answer::Away),
        2 => (0..4_usize).prop_map(Answer::Busy),
        3 => (0..6_usize, 0..6_usize).prop_map(|(taken, answered)| {
            Answer::Cut { taken, answered: answered.min(taken) }
        }),
        1 => prop::collection::vec(0..5_usize, 1..3).prop_map(Answer::Refuse),
        1 => Just(Answer::Panic),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    let streams = prop::sample::select(vec!["a1", "a2", "b1"]);
    let then = prop_oneof![
        2 => Just(Then::Wait),
        3 => Just(Then::Later),
        1 => (0..60_u64).prop_map(Then::Cancel),
    ];
    let after = prop_oneof![3 => Just(0), 2 => 0..30_u64];
    let timeout = prop_oneof![3 => Just(5000), 1 => 0..300_u64];
    (prop::collection::vec(streams, 1..5), after, timeout, then).prop_map(
        |(streams, after, timeout, then)| Call {
            streams,
            after,
            timeout,
            then,
        },
    )
}

fn cases() -> impl Strategy<Value = Case> {
    let policies = vec![
        OnUnavailable::Wait,
        OnUnavailable::Fail,
        OnUnavailable::Queue,
    ];
    (
        prop::collection::vec(answers(), 0..25),
        prop::collection::vec(prop::collection::vec(calls(), 1..12), 1..4),
        prop::sample::select(policies),
        prop::sample::select(vec![1, 3, 10, 1000]),
        prop::sample::select(vec![0, 1, 10, 100]),
        prop::bool::weighted(0.8),
        prop_oneof![3 => Just(60_000), 1 => 0..200_u64],
    )
        .prop_map(
            |(script, callers, on_unavailable, max_events, round_trip, knows_ids, drain)| Case {
                script,
                callers,
                on_unavailable,
                max_events,
                round_trip,
                knows_ids,
                drain,
            },
        )
}

/// The outcome of each event, as its publisher has received it.
type Outcomes = Vec<(Outgoing, PublishResult)>;

async fn run_caller(
    publisher: Publisher,
    caller: usize,
    calls: Vec<Call>,
    max_events: usize,
) -> Outcomes {
    let mut outcomes = Vec::new();
    let mut later = Vec::new();
    let mut count = 0;
    for call in calls {
        pass(call.after).await;
        let mut batch = Vec::new();
        for stream in call.streams {
            // The numbers have the same width, so their texts have the same order.
            batch.push(event(stream, format!("{caller}.{count:04}")));
            count += 1;
        }
        let Ok(publishing) = publisher.publish(batch.clone(), in_ms(call.timeout)) else {
            break;
        };
        // There are two partitions, and an empty one always accepts an event.
        assert!(publisher.counts().queue_events <= max_events + 1);
        match call.then {
            Then::Wait => outcomes.extend(batch.into_iter().zip(publishing.await)),
            Then::Later => later.push((batch, publishing)),
            Then::Cancel(ms) => _ = tokio::time::timeout_at(in_ms(ms), publishing).await,
        }
    }
    for (batch, publishing) in later {
        outcomes.extend(batch.into_iter().zip(publishing.await));
    }
    outcomes
}

async fn run(case: Case) {
    let idempotency = case.knows_ids.then_some(Duration::from_mins(2));
    let mut model = Model::new(case.script).with(|can| can.idempotency = idempotency);
    model.round_trip = Duration::from_millis(case.round_trip);
    let model = Arc::new(model);
    let options = PublishOptions {
        on_unavailable: case.on_unavailable,
        max_events: case.max_events,
        pause: Arc::new(|attempt| Duration::from_millis(u64::from(attempt) * 20)),
        ..options()
    };
    let (publisher, driver) = start(&model, &options);
    let callers: Vec<_> = (0..)
        .zip(case.callers)
        .map(|(caller, calls)| {
            tokio::spawn(run_caller(
                publisher.clone(),
                caller,
                calls,
                case.max_events,
            ))
        })
        .collect();
    if case.drain < 1000 {
        pass(100).await;
        publisher.close(Duration::from_millis(case.drain)).await;
    }
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.extend(caller.await.unwrap());
    }
    publisher.close(Duration::from_millis(case.drain)).await;
    driver.await.unwrap();

    for stream in ["a1", "a2", "b1"] {
        let log = model.log(stream);
        for caller in 0..4 {
            let prefix = format!("{caller}.");
            let events: Vec<_> = log.iter().filter(|id| id.starts_with(&prefix)).collect();
            assert!(events.is_sorted_by(|a, b| a < b), "{stream}: {log:?}");
        }
        for (event, result) in outcomes
            .iter()
            .filter(|(event, _)| *event.stream.channel == *stream)
        {
            let place = log.iter().position(|id| **id == *event.id);
            match result {
                Ok(Published::At(position)) => {
                    let place = place.map(|place| place as u64 + 1);
                    assert_eq!(Some(position.offset.major), place, "{}: {log:?}", event.id);
                }
                Ok(Published::Queued) => {}
                Err(error) if error.outcome() == Outcome::Unknown => {}
                Err(_) => assert_eq!(place, None, "{}: {log:?}", event.id),
            }
        }
    }
    let counts = publisher.counts();
    assert_eq!((counts.queue_events, counts.queue_bytes), (0, 0));
    assert_eq!((counts.waiting_events, counts.in_flight), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn streams_keep_the_order_of_publishers_and_publishers_receive_true_outcomes(case in cases()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(case));
    }
}
