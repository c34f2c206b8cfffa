//! Reads the history and the newest positions of streams.

use std::collections::HashMap;
use std::sync::Arc;

use bus::engine::{Page, ReadError, Role};
use bus::{Position, StreamKey};
use futures_util::future::{join_all, try_join_all};

use super::fault::Fault;
use super::link::Link;
use super::master::Master;
use super::script::{Calls, Script, page, positions};
use super::shared::Shared;

/// Limit of the streams of one call (count).
const STREAMS: usize = 512;

/// Reads the events of a stream after a position.
pub(super) async fn read(
    shared: &Shared,
    stream: &StreamKey,
    after: Position,
    limit: usize,
) -> Result<Page, ReadError> {
    let unavailable = |fault: Fault| ReadError::Unavailable(fault.reason);
    let partition = shared.names.partition(stream);
    let (master, link) = shared.link(partition, Role::Reader).map_err(unavailable)?;
    let calls = calls(shared, &master, &link);
    let answer = link
        .call(Script::Read, |digest| {
            calls.read(digest, stream, after, limit)
        })
        .await
        .map_err(unavailable)?;
    page(answer, after).map_err(unavailable)?
}

/// Returns the newest position of each stream. Asks on the subscriber link, so that the answer arrives
/// after the events that were published before. Only the streams of a master that is away have no
/// position.
pub(super) async fn heads(
    shared: &Shared,
    streams: &[StreamKey],
) -> Vec<Result<Position, ReadError>> {
    let unavailable = |fault: Fault| ReadError::Unavailable(fault.reason);
    let asked: Vec<&StreamKey> = streams.iter().collect();
    let parts = by_partition(shared, &asked);
    let answers = join_all(parts.iter().map(|(partition, places, streams)| async move {
        let heads = match shared.link(*partition, Role::Subscriber) {
            Ok((master, link)) => heads_on(shared, &master, &link, streams).await,
            Err(fault) => Err(fault),
        };
        (places, heads)
    }));
    let mut heads = vec![Ok(Position::default()); streams.len()];
    for (places, found) in answers.await {
        let found = found.unwrap_or_else(|fault| vec![Err(fault); places.len()]);
        for (place, head) in places.iter().zip(found) {
            heads[*place] = head.map_err(unavailable);
        }
    }
    heads
}

/// The index of a stream in the request, and its newest position.
type Head = (usize, Result<Position, Fault>);

/// Returns the newest position of each stream, asked on a link. A stream may have a fault in place of a
/// position.
///
/// # Errors
///
/// A fault of the link or of the user: no stream has a position.
pub(super) async fn heads_on(
    shared: &Shared,
    master: &Arc<Master>,
    link: &Arc<Link>,
    streams: &[&StreamKey],
) -> Result<Vec<Result<Position, Fault>>, Fault> {
    let calls = calls(shared, master, link);
    let parts = by_partition(shared, streams);
    let asked = parts
        .iter()
        .flat_map(|(_, places, streams)| places.chunks(STREAMS).zip(streams.chunks(STREAMS)));
    let calls = &calls;
    let answers = try_join_all(
        asked.map(|(places, streams)| heads_of_partition(link, calls, places, streams)),
    )
    .await?;
    let mut heads = vec![Ok(Position::default()); streams.len()];
    for (place, head) in answers.into_iter().flatten() {
        heads[place] = head;
    }
    Ok(heads)
}

/// Asks for the streams of one partition. Divides a call that is refused into halves, to isolate the
/// stream that is the cause.
async fn heads_of_partition(
    link: &Link,
    calls: &Calls<'_>,
    places: &[usize],
    streams: &[&StreamKey],
) -> Result<Vec<Head>, Fault> {
    let mut heads = Vec::with_capacity(places.len());
    let mut rest = vec![(places, streams)];
    while let Some((places, streams)) = rest.pop() {
        match heads_of_call(link, calls, streams).await {
            Ok(found) => heads.extend(places.iter().copied().zip(found)),
            Err(fault) if fault.ends_link() || fault.is_of_program() => return Err(fault),
            Err(fault) if places.len() > 1 && fault.may_be_of_one_stream() => {
                let (first, second) = places.split_at(places.len() / 2);
                rest.push((second, &streams[first.len()..]));
                rest.push((first, &streams[..first.len()]));
            }
            Err(fault) => heads.extend(places.iter().map(|place| (*place, Err(fault.clone())))),
        }
    }
    Ok(heads)
}

async fn heads_of_call(
    link: &Link,
    calls: &Calls<'_>,
    streams: &[&StreamKey],
) -> Result<Vec<Result<Position, Fault>>, Fault> {
    let answer = link
        .call(Script::Heads, |digest| calls.heads(digest, streams))
        .await?;
    let found = positions(answer)?;
    if found.len() != streams.len() {
        return Err(Fault::away(
            "Redis has sent answers for another number of streams",
        ));
    }
    let head = |position: Result<_, String>| position.map_err(|error| link.fault_of(&error));
    Ok(found.into_iter().map(head).collect())
}

/// Returns the builder of script calls for a link.
pub(super) fn calls<'a>(shared: &'a Shared, master: &'a Master, link: &'a Link) -> Calls<'a> {
    Calls {
        config: &shared.config,
        names: &shared.names,
        master,
        run: &link.server.run,
    }
}

/// Streams of one partition, and their indexes in the request.
type Part<'a> = (u32, Vec<usize>, Vec<&'a StreamKey>);

/// Splits streams by partition.
fn by_partition<'a>(shared: &Shared, streams: &[&'a StreamKey]) -> Vec<Part<'a>> {
    let mut parts: HashMap<u32, Part> = HashMap::new();
    for (place, stream) in streams.iter().enumerate() {
        let partition = shared.names.partition(stream);
        let part = parts.entry(partition);
        let (_, places, streams) = part.or_insert_with(|| (partition, Vec::new(), Vec::new()));
        places.push(place);
        streams.push(*stream);
    }
    parts.into_values().collect()
}
