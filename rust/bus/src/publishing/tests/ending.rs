//! Closing, and publishers on other threads.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::*;

#[tokio::test(start_paused = true)]
async fn waiting_events_are_published_before_the_end() {
    let model = Arc::new(Model::new([Answer::Busy(0)]));
    let options = PublishOptions {
        max_events: 5,
        ..options()
    };
    let (publisher, driver) = start(&model, &options);
    let waiting = publisher.publish(events("a", 1..=20), patiently()).unwrap();
    let closed = publisher.close(Duration::from_secs(3));
    let error = publisher.publish(events("a", [21]), patiently()).err();
    assert_eq!(error, Some(PublishError::Closed));
    closed.await;
    assert_eq!(waiting.await, (1..=20).map(at).collect::<Vec<_>>());
    driver.await.unwrap();
    publisher.close(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn events_left_after_the_drain_fail() {
    let mut model = Model::new([]);
    model.round_trip = Duration::from_secs(10);
    let model = Arc::new(model);
    let options = PublishOptions {
        max_events: 2,
        ..options()
    };
    let (publisher, driver) = start(&model, &options);
    let until = in_ms(60_000);
    let under_way = publisher.publish(events("a", [1]), until).unwrap();
    pass(1).await;
    let queued = publisher.publish(events("a", [2]), until).unwrap();
    let waiting = publisher.publish(events("a", [3]), until).unwrap();
    drop(publisher.publish(events("a", [4]), until).unwrap());
    let before = Instant::now();
    publisher.close(Duration::from_secs(2)).await;
    assert_eq!(before.elapsed().as_secs(), 2);
    assert_eq!(
        failures(&under_way.await),
        [Some((Outcome::Unknown, false))]
    );
    assert_eq!(failures(&queued.await), [Some((Outcome::NotSent, false))]);
    assert_eq!(failures(&waiting.await), [Some((Outcome::NotSent, false))]);
    driver.await.unwrap();
    let counts = publisher.counts();
    assert_eq!(
        (counts.queue_events, counts.in_flight, counts.queue_bytes),
        (0, 0, 0)
    );
    assert_eq!(model.batches(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_at_once_when_nothing_waits() {
    let model = Arc::new(Model::new([]));
    let publisher = started(&model);
    publisher
        .publish(events("a", [1]), patiently())
        .unwrap()
        .await;
    let before = Instant::now();
    publisher.close(Duration::MAX).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_driver_that_has_ended() {
    let model = Arc::new(Model::new([]));
    for was_run in [false, true] {
        let (publisher, driver) = Publisher::new(Arc::new(Handle(model.clone())), &options());
        let waiting = publisher.publish(events("a", [1]), patiently()).unwrap();
        if was_run {
            let task = tokio::spawn(driver.run());
            pass(1).await;
            task.abort();
            assert_eq!(failures(&waiting.await), [Some((Outcome::Unknown, false))]);
        } else {
            drop(driver);
            assert_eq!(failures(&waiting.await), [Some((Outcome::NotSent, false))]);
        }
        let error = publisher.publish(events("a", [2]), patiently()).err();
        assert_eq!(error, Some(PublishError::Closed));
        publisher.close(Duration::from_secs(1)).await;
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait_on_thread<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[tokio::test]
async fn threads_without_a_runtime_publish() {
    let model = Arc::new(Model::new([
        Answer::Busy(1),
        Answer::Cut {
            taken: 2,
            answered: 1,
        },
    ]));
    let publisher = started(&model);
    let publish = |thread: u32| {
        let publisher = publisher.clone();
        tokio::task::spawn_blocking(move || {
            let until = Instant::now() + Duration::from_mins(1);
            for n in 0..50 {
                let batch = vec![event("a", format!("{thread}.{n}"))];
                let results = wait_on_thread(publisher.publish(batch, until).unwrap());
                assert!(results[0].is_ok(), "{results:?}");
            }
        })
    };
    let threads: Vec<_> = (0..4).map(publish).collect();
    for thread in threads {
        thread.await.unwrap();
    }
    let log = model.log("a");
    assert_eq!(log.len(), 200);
    for thread in 0..4 {
        let of_thread: Vec<_> = log
            .iter()
            .filter(|id| id.starts_with(&format!("{thread}.")))
            .collect();
        let expected: Vec<_> = (0..50).map(|n| format!("{thread}.{n}")).collect();
        assert_eq!(of_thread, expected.iter().collect::<Vec<_>>());
    }
}
