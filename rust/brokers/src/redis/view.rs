//! Which master has which slots, according to one server of a cluster.

use std::ops::RangeInclusive;

use redis::Value;

use super::config::Address;
use super::fault::Fault;

/// Which master has which slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View(Vec<(Address, RangeInclusive<u16>)>);

impl View {
    #[cfg(test)]
    pub(super) fn new(parts: impl IntoIterator<Item = (Address, RangeInclusive<u16>)>) -> Self {
        Self(parts.into_iter().collect())
    }

    /// The master that has a slot.
    pub(super) fn master_of(&self, slot: u16) -> Option<&Address> {
        let (address, _) = self.0.iter().find(|(_, slots)| slots.contains(&slot))?;
        Some(address)
    }

    /// Whether a server is a master that has slots.
    pub(super) fn has_slots(&self, address: &Address) -> bool {
        self.0.iter().any(|(one, _)| one == address)
    }

    /// Parses the answer to `CLUSTER SHARDS`. A server without an address of its own is the one that
    /// was asked.
    pub(super) fn of_shards(answer: &Value, asked: &Address, has_tls: bool) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        for shard in list(Some(answer))? {
            let slots = list(field(shard, "slots"))?;
            // A replaced master is listed until the cluster forgets it, and before the new one.
            let is_master = |node: &&Value| {
                let is_online = text(field(node, "health")).is_none_or(|health| health == "online");
                is_online && text(field(node, "role")) == Some("master")
            };
            let Some(master) = list(field(shard, "nodes"))?.iter().find(is_master) else {
                continue;
            };
            let names = if has_tls {
                ["tls-port", "port"]
            } else {
                ["port", "tls-port"]
            };
            let port = names.iter().find_map(|name| number(field(master, name)));
            let address = address(field(master, "endpoint"), port, asked)?;
            for range in slots.chunks(2) {
                let (first, last) = (number(range.first()), number(range.get(1)));
                let (Some(first), Some(last)) = (first, last) else {
                    return Err(unreadable());
                };
                parts.push((address.clone(), first..=last));
            }
        }
        Ok(Self(parts))
    }

    /// Parses the answer to `CLUSTER SLOTS`, for older servers.
    pub(super) fn of_slots(answer: &Value, asked: &Address) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        for part in list(Some(answer))? {
            let part = list(Some(part))?;
            let (first, last) = (number(part.first()), number(part.get(1)));
            let (Some(first), Some(last)) = (first, last) else {
                return Err(unreadable());
            };
            let master = list(part.get(2))?;
            let address = address(master.first(), number(master.get(1)), asked)?;
            parts.push((address, first..=last));
        }
        Ok(Self(parts))
    }
}

/// Returns a field of a map. Older protocols write a map as a list of names and values.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Map(fields) => {
            let found = fields.iter().find(|(key, _)| text(Some(key)) == Some(name));
            found.map(|(_, value)| value)
        }
        Value::Array(parts) => {
            let mut fields = parts.chunks_exact(2);
            let found = fields.find(|field| text(field.first()) == Some(name));
            found.and_then(|field| field.get(1))
        }
        _ => None,
    }
}

fn list(value: Option<&Value>) -> Result<&[Value], Fault> {
    match value {
        Some(Value::Array(parts)) => Ok(parts),
        _ => Err(unreadable()),
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    match value? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

fn number(value: Option<&Value>) -> Option<u16> {
    match value? {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

fn address(host: Option<&Value>, port: Option<u16>, asked: &Address) -> Result<Address, Fault> {
    let Some(port) = port.filter(|port| *port > 0) else {
        return Err(unreadable());
    };
    match (text(host), asked) {
        (None | Some("" | "?"), Address::Tcp(host, _)) => Ok(Address::Tcp(host.clone(), port)),
        (Some(host), _) => Ok(Address::Tcp(host.to_owned(), port)),
        (None, Address::Unix(_)) => Err(unreadable()),
    }
}

fn unreadable() -> Fault {
    Fault::away("the cluster has listed its servers in a form that cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn map(fields: Vec<(&str, Value)>) -> Value {
        let fields = fields.into_iter();
        Value::Map(fields.map(|(name, value)| (word(name), value)).collect())
    }

    fn node(role: &str, endpoint: Value, ports: Vec<(&str, i64)>) -> Value {
        let mut fields = vec![("endpoint", endpoint), ("role", word(role))];
        fields.extend(
            ports
                .into_iter()
                .map(|(name, port)| (name, Value::Int(port))),
        );
        map(fields)
    }

    fn shard(slots: &[i64], nodes: Vec<Value>) -> Value {
        let slots = slots.iter().copied().map(Value::Int).collect();
        map(vec![
            ("slots", Value::Array(slots)),
            ("nodes", Value::Array(nodes)),
        ])
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.to_owned(), port)
    }

    #[test]
    fn a_replaced_master_is_ignored() {
        let told = |host: &str, health: &str| {
            let Value::Map(mut fields) = node("master", word(host), vec![("port", 1)]) else {
                unreachable!()
            };
            fields.push((word("health"), word(health)));
            Value::Map(fields)
        };
        // The answer of valkey, and of Redis from 7.2 on.
        let replaced = vec![told("old", "fail"), told("new", "online")];
        let answer = Value::Array(vec![
            shard(&[0, 10], replaced),
            shard(&[11, 20], vec![told("alone", "fail")]),
        ]);
        let view = View::of_shards(&answer, &tcp("asked", 7), false).unwrap();
        assert_eq!(view.master_of(5), Some(&tcp("new", 1)));
        // The caller then uses `CLUSTER SLOTS`.
        assert_eq!(view.master_of(15), None);
    }

    #[test]
    fn shards_name_masters_and_their_slots() {
        let answer = Value::Array(vec![
            shard(
                &[0, 10, 20, 20],
                vec![
                    node("replica", word("10.0.0.9"), vec![("port", 9)]),
                    node(
                        "master",
                        word("10.0.0.1"),
                        vec![("port", 1), ("tls-port", 2)],
                    ),
                ],
            ),
            shard(&[11, 19], vec![node("master", word(""), vec![("port", 3)])]),
            shard(
                &[21, 29],
                vec![node("master", word("?"), vec![("port", 4)])],
            ),
            shard(
                &[30, 39],
                vec![node("master", Value::Nil, vec![("port", 5)])],
            ),
            shard(&[], vec![node("master", word("empty"), vec![("port", 6)])]),
        ]);
        let asked = tcp("asked", 7);
        let view = View::of_shards(&answer, &asked, false).unwrap();
        assert_eq!(view.master_of(20), Some(&tcp("10.0.0.1", 1)));
        assert_eq!(view.master_of(15), Some(&tcp("asked", 3)));
        assert_eq!(view.master_of(25), Some(&tcp("asked", 4)));
        assert_eq!(view.master_of(35), Some(&tcp("asked", 5)));
        assert_eq!(view.master_of(40), None);
        assert!(view.has_slots(&tcp("asked", 3)) && !view.has_slots(&tcp("empty", 6)));
        let secure = View::of_shards(&answer, &asked, true).unwrap();
        assert_eq!(secure.master_of(0), Some(&tcp("10.0.0.1", 2)));
    }

    #[test]
    fn slots_name_masters_and_their_slots() {
        let server = |host: Value, port| Value::Array(vec![host, Value::Int(port), word("id")]);
        let range = |first, last, nodes: Vec<Value>| {
            let mut part = vec![Value::Int(first), Value::Int(last)];
            part.extend(nodes);
            Value::Array(part)
        };
        let answer = Value::Array(vec![
            range(0, 9, vec![server(word("a"), 1), server(word("replica"), 2)]),
            range(10, 19, vec![server(Value::Nil, 3)]),
        ]);
        let view = View::of_slots(&answer, &tcp("asked", 7)).unwrap();
        assert_eq!(view.master_of(9), Some(&tcp("a", 1)));
        assert_eq!(view.master_of(10), Some(&tcp("asked", 3)));
    }

    #[test]
    fn an_answer_of_another_form_is_refused() {
        let asked = tcp("asked", 7);
        for answer in [
            Value::Nil,
            Value::Int(1),
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![shard(
                &[1],
                vec![node("master", word("a"), vec![("port", 1)])],
            )]),
            Value::Array(vec![shard(
                &[1, 99999],
                vec![node("master", word("a"), vec![("port", 1)])],
            )]),
            Value::Array(vec![shard(
                &[1, 2],
                vec![node("master", word("a"), vec![])],
            )]),
        ] {
            assert!(
                View::of_shards(&answer, &asked, false).is_err(),
                "{answer:?}"
            );
            assert!(View::of_slots(&answer, &asked).is_err(), "{answer:?}");
        }
    }
}
