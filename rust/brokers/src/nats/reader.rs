//! Reads pages of kept events.
//!
//! Events come by Direct Get, which every server with a copy answers; from the leader if that server
//! lacks one. Events are deleted while a page is read, so what is kept is asked for again afterwards: an
//! event that is not there any more would be passed over without a trace.

use bus::engine::{Page, ReadError, Role};
use bus::{Epoch, Position, StreamKey};
use bytes::Bytes;

use super::fault::Fault;
use super::heads::newest;
use super::link::Link;
use super::messages::{NextOf, next, next_of_leader};
use super::shared::Shared;
use super::store::Store;

/// Limit of the envelopes of a page (bytes).
const PAGE_BYTES: usize = 4 << 20;
/// After how many events it is asked what is kept (count).
const CHECKED: usize = 64;

/// Reads events of a stream after a position.
pub(super) async fn read(
    shared: &Shared,
    stream: &StreamKey,
    after: Position,
    limit: usize,
) -> Result<Page, ReadError> {
    let partition = shared.names.partition(stream);
    let Some(store) = shared.stores.get(partition as usize) else {
        return Err(ReadError::Unavailable("the bus keeps no events".to_owned()));
    };
    let link = shared.link(Role::Reader)?;
    let state = store.refresh(&link).await?;
    let newest = newest(shared, &link, store, stream).await?;
    let head = |major| Position::new(state.epoch, major);
    if state.epoch != after.epoch {
        let head = head(newest.unwrap_or(state.last));
        return Err(ReadError::OtherEpoch { head });
    }
    let after = after.offset.major;
    if state.last < after {
        // The servers have lost the newest events.
        return Ok(Page {
            events: Vec::new(),
            head: head(state.last),
        });
    }
    let quiet_to = |after| {
        let wanted = shared.wants.get(&shared.names.delivered(stream));
        wanted.map_or(after, |wanted| wanted.quiet_to(state.epoch, after))
    };
    let too_late = || ReadError::TooLate {
        head: head(newest.unwrap_or(state.last).max(after)),
    };
    // Sequences count the events of all streams, so a quiet stream would otherwise seem to have lost
    // events when the oldest are deleted.
    if state.first > quiet_to(after) + 1 {
        return Err(too_late());
    }
    let stored = KeptEvents {
        link: &link,
        store,
        subject: shared.names.stored(stream),
        epoch: state.epoch,
    };
    let newest_known = newest.unwrap_or(after).max(after);
    let mut page = Page {
        events: Vec::new(),
        head: head(newest_known),
    };
    let mut bytes = 0;
    let mut end = after;
    loop {
        let room = limit.saturating_sub(page.events.len()).min(CHECKED);
        let events = stored.events(end, newest_known, room).await?;
        let now = store.refresh(&link).await?;
        if now.epoch != state.epoch {
            return Err(ReadError::Unavailable(
                "the numbering has changed".to_owned(),
            ));
        }
        if now.first > quiet_to(end) + 1 {
            // One of these events may have been deleted before it was asked for.
            return if page.events.is_empty() {
                Err(too_late())
            } else {
                Ok(page)
            };
        }
        bytes += events
            .iter()
            .map(|(_, envelope)| envelope.len())
            .sum::<usize>();
        let Some((last, _)) = events.last() else {
            return Ok(page);
        };
        end = last.offset.major;
        page.events.extend(events);
        if end >= newest_known || page.events.len() >= limit || bytes >= PAGE_BYTES {
            return Ok(page);
        }
    }
}

/// The stored events of a stream.
struct KeptEvents<'a> {
    link: &'a Link,
    store: &'a Store,
    subject: String,
    epoch: Epoch,
}

impl KeptEvents<'_> {
    /// Reads events after a sequence, up to another one.
    async fn events(
        &self,
        mut after: u64,
        newest: u64,
        limit: usize,
    ) -> Result<Vec<(Position, Bytes)>, Fault> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while after < newest && events.len() < limit && bytes < PAGE_BYTES {
            let from = NextOf {
                seq: after + 1,
                next_by_subj: &self.subject,
            };
            let next = match next(self.link, &self.store.name, &from).await? {
                Some(next) => Some(next),
                // The server that has answered is behind.
                None => next_of_leader(self.link, &self.store.name, &from).await?,
            };
            let Some((sequence, envelope)) = next else {
                break;
            };
            after = sequence;
            bytes += envelope.len();
            events.push((Position::new(self.epoch, sequence), envelope));
        }
        Ok(events)
    }
}
