//! Reads history and the newest positions.

use std::collections::HashMap;
use std::sync::Arc;

use bus::engine::{Page, ReadError};
use bus::{Position, StreamKey};
use futures_util::future::try_join_all;

use super::fault::Fault;
use super::link::Link;
use super::script::{Calls, Script, page, positions};
use super::shared::Shared;
use super::slot::Role;

/// The most streams of one call.
const STREAMS: usize = 512;

/// Reads the events of a stream after a position.
pub(super) async fn read(
    shared: &Shared,
    stream: &StreamKey,
    after: Position,
    limit: usize,
) -> Result<Page, ReadError> {
    let unavailable = |fault: Fault| ReadError::Unavailable(fault.reason);
    let link = link(shared).map_err(unavailable)?;
    let calls = calls(shared, &link);
    let answer = link
        .call(Script::Read, |digest| {
            calls.read(digest, stream, after, limit)
        })
        .await
        .map_err(unavailable)?;
    page(answer, after).map_err(unavailable)?
}

/// Returns the newest position of each stream.
pub(super) async fn heads(
    shared: &Shared,
    streams: &[StreamKey],
) -> Result<Vec<Position>, ReadError> {
    let unavailable = |fault: Fault| ReadError::Unavailable(fault.reason);
    let link = link(shared).map_err(unavailable)?;
    let streams: Vec<&StreamKey> = streams.iter().collect();
    let heads = heads_on(shared, &link, &streams).await;
    let heads = heads.and_then(|heads| heads.into_iter().collect());
    heads.map_err(unavailable)
}

/// Returns the newest position of each stream, asked on a link. An error of its own is one that the others
/// do not have.
pub(super) async fn heads_on(
    shared: &Shared,
    link: &Arc<Link>,
    streams: &[&StreamKey],
) -> Result<Vec<Result<Position, Fault>>, Fault> {
    let calls = calls(shared, link);
    let parts = by_partition(shared, streams);
    let asked = parts
        .iter()
        .flat_map(|(places, streams)| places.chunks(STREAMS).zip(streams.chunks(STREAMS)));
    let calls = &calls;
    let answers = try_join_all(asked.map(|(places, streams)| async move {
        let answer = link
            .call(Script::Heads, |digest| calls.heads(digest, streams))
            .await?;
        let found = positions(answer)?;
        if found.len() != places.len() {
            return Err(Fault::away(
                "Redis has answered for another number of streams",
            ));
        }
        Ok((places, found))
    }))
    .await?;
    let mut heads = vec![Ok(Position::default()); streams.len()];
    for (places, found) in answers {
        for (place, position) in places.iter().zip(found) {
            heads[*place] = position.map_err(|error| Fault::of_text(&error));
        }
    }
    Ok(heads)
}

fn link(shared: &Shared) -> Result<Arc<Link>, Fault> {
    shared
        .slot(Role::Reader)
        .current()
        .ok_or_else(|| shared.health.fault())
}

/// Returns what writes the script calls of a link.
pub(super) fn calls<'a>(shared: &'a Shared, link: &'a Link) -> Calls<'a> {
    Calls {
        config: &shared.config,
        names: &shared.names,
        run: &link.server.run,
    }
}

/// Splits streams by partition, with their places.
fn by_partition<'a>(
    shared: &Shared,
    streams: &[&'a StreamKey],
) -> Vec<(Vec<usize>, Vec<&'a StreamKey>)> {
    let mut parts: HashMap<u32, (Vec<usize>, Vec<&StreamKey>)> = HashMap::new();
    for (place, stream) in streams.iter().enumerate() {
        let part = parts.entry(shared.names.partition(stream)).or_default();
        part.0.push(place);
        part.1.push(*stream);
    }
    parts.into_values().collect()
}
