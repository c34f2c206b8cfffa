//! Tests of publishing with a model of an engine. They run on the paused clock of tokio.

mod bounds;
mod deadlines;
mod ending;
mod model;
mod order;
mod policies;
mod repeating;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::engine::Outgoing;
use crate::{Position, StreamKey};
use model::{Answer, Handle, Model};

const PATIENCE: Duration = Duration::from_secs(5);

fn event(stream: &str, id: impl ToString) -> Outgoing {
    Outgoing {
        stream: StreamKey::of_channel(stream),
        id: id.to_string().into(),
        envelope: Bytes::from_static(b"0123456789"),
    }
}

fn events(stream: &str, ids: impl IntoIterator<Item = u32>) -> Vec<Outgoing> {
    ids.into_iter().map(|id| event(stream, id)).collect()
}

/// The pause before each attempt is 100 ms.
fn options() -> PublishOptions {
    PublishOptions {
        pause: Arc::new(|_| Duration::from_millis(100)),
        ..PublishOptions::default()
    }
}

fn start(model: &Arc<Model>, options: &PublishOptions) -> (Publisher, JoinHandle<()>) {
    let (publisher, driver) = Publisher::new(Arc::new(Handle(model.clone())), options);
    (publisher, tokio::spawn(driver.run()))
}

fn started(model: &Arc<Model>) -> Publisher {
    start(model, &options()).0
}

fn patiently() -> Instant {
    Instant::now() + PATIENCE
}

fn in_ms(time: u64) -> Instant {
    Instant::now() + Duration::from_millis(time)
}

/// Runs all tasks that are ready, then advances the time.
async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with results")]
fn at(offset: u64) -> PublishResult {
    Ok(Published::At(Position::new(model::EPOCH, offset)))
}

/// The outcomes of failed events, and whether to try again; `None` for the others.
fn failures(results: &[PublishResult]) -> Vec<Option<(Outcome, bool)>> {
    let failure = |result: &PublishResult| {
        let error = result.as_ref().err()?;
        Some((error.outcome(), error.is_retryable()))
    };
    results.iter().map(failure).collect()
}

fn only_failure(results: &[PublishResult]) -> (Outcome, bool, String) {
    match results {
        [Err(error)] => (error.outcome(), error.is_retryable(), error.to_string()),
        other => panic!("not one failure: {other:?}"),
    }
}
