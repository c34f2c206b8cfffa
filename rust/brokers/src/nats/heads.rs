//! Asks for the newest positions of streams.
//!
//! They come from the leader of the store, so they are never older than an event that has arrived.

use std::sync::Arc;

use bus::engine::{ReadError, Role};
use bus::{Position, StreamKey};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use hashbrown::HashMap;

use super::fault::Fault;
use super::link::Link;
use super::messages::{LastOf, get};
use super::shared::Shared;
use super::store::{Store, StoreState};
use super::wants::Quiet;

/// Requests for the streams of a partition that are in flight at once (count).
const AT_ONCE: usize = 32;

type Head = Result<Position, Fault>;

/// Asks on the link that delivers for the newest position of each stream.
pub(super) async fn heads(
    shared: &Arc<Shared>,
    streams: &[StreamKey],
) -> Vec<Result<Position, ReadError>> {
    if !shared.has_history() {
        let counted = streams.iter().map(|stream| Ok(counted(shared, stream)));
        return counted.collect();
    }
    let link = match shared.link(Role::Subscriber) {
        Ok(link) => link,
        Err(fault) => return vec![Err(fault.into()); streams.len()],
    };
    let mut partitions: HashMap<u32, Vec<usize>> = HashMap::new();
    for (index, stream) in streams.iter().enumerate() {
        let partition = shared.names.partition(stream);
        partitions.entry(partition).or_default().push(index);
    }
    let asked = partitions.into_iter().map(|(partition, indices)| {
        let link = &link;
        async move {
            let of_partition: Vec<_> = indices
                .iter()
                .map(|index| streams[*index].clone())
                .collect();
            let heads = match shared.stores.get(partition as usize) {
                Some(store) => match store.refresh(link).await {
                    Ok(state) => heads_in(shared, link, store, &state, &of_partition).await,
                    Err(fault) => Err(fault),
                },
                None => Err(Fault::away("the partition is not known")),
            };
            let heads = heads.unwrap_or_else(|fault| vec![Err(fault); indices.len()]);
            indices.into_iter().zip(heads)
        }
    });
    let mut heads: Vec<(usize, Head)> = join_all(asked).await.into_iter().flatten().collect();
    heads.sort_unstable_by_key(|(index, _)| *index);
    heads.into_iter().map(|(_, head)| Ok(head?)).collect()
}

/// Without history: the newest position that this engine has assigned.
pub(super) fn counted(shared: &Shared, stream: &StreamKey) -> Position {
    let wanted = shared.wants.get(&shared.names.delivered(stream));
    let newest = wanted.and_then(|wanted| wanted.newest);
    newest.unwrap_or_else(|| Position::new(shared.epoch, shared.count()))
}

/// Returns the newest position of each stream of a partition. `before`: the state of the store, as it
/// has just been asked for.
pub(super) async fn heads_in(
    shared: &Shared,
    link: &Link,
    store: &Store,
    before: &StoreState,
    streams: &[StreamKey],
) -> Result<Vec<Head>, Fault> {
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let found = streams
        .iter()
        .cloned()
        .map(|stream| async move { newest(shared, link, store, &stream).await });
    let found: Vec<_> = stream::iter(found).buffered(AT_ONCE).collect().await;
    // Which events are kept is asked for afterwards: the newest event of a stream may have been deleted
    // before it was asked for.
    let after = store.refresh(link).await?;
    if after.epoch != before.epoch {
        return Err(Fault::busy("the numbering has just changed"));
    }
    let kept = StoreState {
        last: before.last,
        ..after
    };
    let heads = streams.iter().zip(found);
    Ok(heads
        .map(|(stream, found)| Ok(head_of(shared, &kept, stream, found?)))
        .collect())
}

/// `kept.last` was read before `found`, `kept.first` after it.
fn head_of(shared: &Shared, kept: &StoreState, stream: &StreamKey, found: Option<u64>) -> Position {
    let subject = shared.names.delivered(stream);
    let wanted = shared.wants.get(&subject);
    let before = wanted.as_ref().and_then(|wanted| wanted.newest);
    let before = before
        .filter(|before| before.epoch == kept.epoch && before.offset.major <= kept.last)
        .map(|before| before.offset.major);
    let quiet_to = |before| {
        wanted
            .as_ref()
            .map_or(before, |wanted| wanted.quiet_to(kept.epoch, before))
    };
    let head = match (found, before) {
        // No event is kept. Nothing was published since if all that came since is still kept.
        (None, Some(before)) if kept.first <= quiet_to(before) + 1 => before,
        (None, _) => kept.last,
        (Some(found), Some(before)) => found.max(before),
        (Some(found), None) => found,
    };
    let quiet = Quiet {
        epoch: kept.epoch,
        from: head,
        to: kept.last,
    };
    shared.wants.note_quiet(&subject, quiet);
    Position::new(kept.epoch, head)
}

/// Returns the sequence of the newest kept event of a stream.
pub(super) async fn newest(
    shared: &Shared,
    link: &Link,
    store: &Store,
    stream: &StreamKey,
) -> Result<Option<u64>, Fault> {
    let stored = shared.names.stored(stream);
    let question = LastOf {
        last_by_subj: &stored,
    };
    let found = get(link, &store.name, &question).await?;
    Ok(found.map(|found| found.seq))
}
