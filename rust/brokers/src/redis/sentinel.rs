//! Asks sentinels for the address of the master.

use futures_util::future::join_all;
use redis::Value;

use super::config::{Address, Config};
use super::fault::{Fault, FaultKind};
use super::link::Link;

/// Returns the addresses that the sentinels name, sorted by how many of them name each, most first. The
/// caller asks these servers which one is the master: a sentinel that was cut off names the old one.
pub(super) async fn masters(
    config: &Config,
    sentinels: &[Address],
    name: &str,
) -> Result<Vec<Address>, Fault> {
    let share = config.times.connect / 2;
    let answers = join_all(sentinels.iter().map(|sentinel| async move {
        tokio::time::timeout(share, ask(config, sentinel, name))
            .await
            .unwrap_or_else(|_| {
                Err(Fault::away(format!(
                    "the sentinel {sentinel} does not answer"
                )))
            })
    }))
    .await;
    let mut named: Vec<(Address, usize)> = Vec::new();
    let mut fault = None;
    for answer in answers {
        match answer {
            Ok(address) => match named.iter_mut().find(|(known, _)| *known == address) {
                Some((_, count)) => *count += 1,
                None => named.push((address, 1)),
            },
            // What has to be corrected is told, not that another sentinel is away.
            Err(why) => {
                if fault
                    .as_ref()
                    .is_none_or(|fault: &Fault| !fault.is_configuration())
                {
                    fault = Some(why);
                }
            }
        }
    }
    if named.is_empty() {
        return Err(fault.unwrap_or_else(|| Fault::configuration("there are no sentinels")));
    }
    named.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(named.into_iter().map(|(address, _)| address).collect())
}

async fn ask(config: &Config, sentinel: &Address, name: &str) -> Result<Address, Fault> {
    let credentials = config.sentinel_credentials.as_ref();
    let of_sentinel = |fault: Fault| of_sentinel(&fault, sentinel);
    let link = Link::connect(config, sentinel, credentials, None);
    let link = link.await.map_err(of_sentinel)?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    match link.ask(&command).await.map_err(of_sentinel)? {
        Value::Array(parts) => {
            let mut parts = parts.into_iter().map(|part| match part {
                Value::BulkString(text) => String::from_utf8(text).ok(),
                _ => None,
            });
            let host = parts.next().flatten();
            let port = parts.next().flatten().and_then(|port| port.parse().ok());
            match (host, port) {
                (Some(host), Some(port)) => Ok(Address::Tcp(host, port)),
                _ => Err(Fault::away(format!(
                    "the sentinel {sentinel} names no address"
                ))),
            }
        }
        _ => Err(Fault::configuration(format!(
            "the sentinel {sentinel} knows no master of that name: correct the name in the URL"
        ))),
    }
}

/// Returns the fault of a sentinel, whose settings are others than those of Redis.
fn of_sentinel(fault: &Fault, sentinel: &Address) -> Fault {
    let reason = &fault.reason;
    let text = match fault.kind {
        FaultKind::Login => format!(
            "the sentinel {sentinel} refuses the password: set sentinel_password to that of the \
             sentinels, which is not the password of Redis ({reason})"
        ),
        FaultKind::NoCommand => format!(
            "{sentinel} is no sentinel: write redis:// for a Redis without sentinels, or the address of \
             a sentinel ({reason})"
        ),
        _ => format!("the sentinel {sentinel}: {reason}"),
    };
    Fault::new(fault.kind, text)
}
