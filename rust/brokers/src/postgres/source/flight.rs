//! Events that are published, and how far all of them are accepted.
//!
//! Batches are answered in any order; marks count in the order in which they were read.

use std::future::Future;

use bus::StreamKey;
use bus::engine::Outgoing;
use bus::publishing::{PublishError, PublishResult, Publisher};
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::time::{Duration, Instant};

use super::state::Mark;

/// Limit of the envelopes that are published and not accepted (bytes): past it nothing is read.
const MAX_BYTES: usize = 8 << 20;
/// Limit of these events, and of marks (count).
const MAX_COUNT: usize = 8192;
/// There is no deadline: what the log has is published, however long it takes.
const NO_DEADLINE: Duration = Duration::from_hours(10 * 365 * 24);

/// Events that are published and not accepted.
pub(super) struct Flight {
    publisher: Publisher,
    batches: FuturesOrdered<Batch>,
    bytes: usize,
    count: usize,
}

type Batch = std::pin::Pin<Box<dyn Future<Output = Landed> + Send>>;

/// A batch that is answered.
pub(super) struct Landed {
    /// Up to where everything is answered.
    pub(super) mark: Mark,
    /// Accepted events (count).
    pub(super) accepted: usize,
    /// The streams of events that the engine refuses for good, and why.
    pub(super) refused: Vec<(StreamKey, String)>,
    bytes: usize,
    count: usize,
}

impl Flight {
    pub(super) fn new(publisher: Publisher) -> Self {
        Self {
            publisher,
            batches: FuturesOrdered::new(),
            bytes: 0,
            count: 0,
        }
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < MAX_BYTES && self.count < MAX_COUNT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Publishes events. `mark`: what is read with them.
    pub(super) fn publish(
        &mut self,
        events: Vec<Outgoing>,
        mark: Mark,
    ) -> Result<(), PublishError> {
        let bytes: usize = events.iter().map(|event| event.envelope.len()).sum();
        let count = events.len() + 1;
        let streams: Vec<StreamKey> = events.iter().map(|event| event.stream.clone()).collect();
        let published = (!events.is_empty())
            .then(|| self.publisher.publish(events, Instant::now() + NO_DEADLINE))
            .transpose()?;
        self.bytes += bytes;
        self.count += count;
        self.batches.push_back(Box::pin(async move {
            let results = match published {
                Some(published) => published.await,
                None => Vec::new(),
            };
            landed(mark, streams, results, bytes, count)
        }));
        Ok(())
    }

    /// Waits for the oldest batch to be answered. May be cancelled, and called again.
    pub(super) async fn next(&mut self) -> Option<Landed> {
        let landed = self.batches.next().await?;
        self.bytes -= landed.bytes;
        self.count -= landed.count;
        Some(landed)
    }
}

fn landed(
    mark: Mark,
    streams: Vec<StreamKey>,
    results: Vec<PublishResult>,
    bytes: usize,
    count: usize,
) -> Landed {
    let mut landed = Landed {
        mark,
        accepted: 0,
        refused: Vec::new(),
        bytes,
        count,
    };
    for (stream, result) in streams.into_iter().zip(results) {
        match result {
            Ok(_) => landed.accepted += 1,
            Err(error) => landed.refused.push((stream, error.to_string())),
        }
    }
    landed
}
