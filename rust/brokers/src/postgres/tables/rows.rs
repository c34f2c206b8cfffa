//! Rows that have changed, as events.

use std::collections::HashMap;
use std::sync::Arc;

use bus::{Draft, Envelope, StreamKey};
use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::super::pgoutput::{Column, Old, Relation, Value};
use super::super::wants::StreamName;
use super::types::{Kind, Types};
use super::{Changes, Table, json};

/// A row that has changed.
#[derive(Debug)]
pub(in super::super) struct Row {
    pub(in super::super) change: RowChange,
    /// The values after the change; `None` for a row that was deleted.
    pub(in super::super) new: Option<Vec<Value>>,
    /// The values before the change, where the log has them.
    pub(in super::super) old: Option<Old>,
}

/// What has happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum RowChange {
    Insert,
    Update,
    Delete,
}

/// The tables, and what the log has said of them.
pub(in super::super) struct Tables {
    tables: Arc<[Table]>,
    types: Types,
    /// By their ids; only those whose changes are events.
    defined: HashMap<u32, Defined>,
    has_unknown_types: bool,
}

/// A table as the log defines it.
struct Defined {
    relation: Relation,
    /// The kind of each column.
    kinds: Vec<Kind>,
    /// Indexes in [`Tables::tables`].
    tables: Vec<usize>,
}

/// The values of a row, by column; `None` where the log does not have it.
type Values<'a> = Vec<Option<&'a Value>>;

/// An event of a row: its stream and its envelope; or why there is none.
pub(in super::super) type RowEvent = Result<(StreamKey, Bytes), RowFault>;

/// Why a row is no event.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct RowFault {
    /// The stream that lacks the event; `None`: the row has no channel.
    pub(in super::super) stream: Option<StreamKey>,
    pub(in super::super) problem: String,
}

impl RowChange {
    /// The type of the event.
    fn event_type(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    fn is_of(self, changes: Changes) -> bool {
        match self {
            Self::Insert => changes.insert,
            Self::Update => changes.update,
            Self::Delete => changes.delete,
        }
    }
}

impl Tables {
    pub(in super::super) fn new(tables: &[Table], types: Types) -> Self {
        Self {
            tables: tables.into(),
            types,
            defined: HashMap::new(),
            has_unknown_types: false,
        }
    }

    /// Notes the definition of a table, also when it has changed.
    pub(in super::super) fn define(&mut self, relation: Relation) {
        self.defined.remove(&relation.id);
        let meant = self
            .tables
            .iter()
            .enumerate()
            .filter(|(_, table)| table.is_of(&relation));
        let tables: Vec<usize> = meant.map(|(index, _)| index).collect();
        if !tables.is_empty() {
            self.has_unknown_types |= relation.columns.iter().any(|of| !self.types.has(of.kind));
            let kinds = relation
                .columns
                .iter()
                .map(|of| self.types.kind(of.kind))
                .collect();
            self.defined.insert(
                relation.id,
                Defined {
                    relation,
                    kinds,
                    tables,
                },
            );
        }
    }

    /// Whether a column has a type that was made later than the types that are known.
    pub(in super::super) fn has_unknown_types(&self) -> bool {
        self.has_unknown_types
    }

    /// Notes the types that there are now.
    pub(in super::super) fn learn(&mut self, types: Types) {
        self.has_unknown_types = false;
        self.types.add(types);
        for defined in self.defined.values_mut() {
            let columns = defined.relation.columns.iter();
            defined.kinds = columns.map(|of| self.types.kind(of.kind)).collect();
        }
    }

    /// Whether changes of a table are events.
    pub(in super::super) fn has(&self, table: u32) -> bool {
        self.defined.contains_key(&table)
    }

    /// Whether a channel may have events of a table.
    pub(in super::super) fn may_be_on(&self, table: u32, channel: &str) -> bool {
        let defined = self.defined.get(&table);
        let mut tables = defined.into_iter().flat_map(|defined| &defined.tables);
        tables.any(|index| self.tables[*index].channel.may_be(channel))
    }

    /// The events of a row, for the streams that `find` returns.
    pub(in super::super) fn events(
        &self,
        table: u32,
        row: &Row,
        by_tenant: bool,
        find: impl Fn(StreamName<'_>) -> Option<StreamKey>,
    ) -> Vec<RowEvent> {
        let Some(defined) = self.defined.get(&table) else {
            return Vec::new();
        };
        let old = row.old.as_ref().map(|old| defined.old(old));
        let new = row.new.as_ref().map(|new| after(new, old.as_ref()));
        let Some(current) = new.as_ref().or(old.as_ref()) else {
            return Vec::new();
        };
        let mut events = Vec::new();
        let mut data = None;
        for table in defined.tables.iter().map(|index| &self.tables[*index]) {
            if !row.change.is_of(table.changes) {
                continue;
            }
            let place = match defined.place(table, current) {
                Ok(place) => place,
                Err(problem) => {
                    let stream = None;
                    events.push(Err(RowFault { stream, problem }));
                    continue;
                }
            };
            // A row that moves to another channel leaves the one where it was.
            let left = new.as_ref().and(old.as_ref());
            let left = left.and_then(|old| defined.place(table, old).ok());
            let left = left.filter(|left| *left != place);
            for Place { channel, tenant } in left.into_iter().chain([place]) {
                let isolated = tenant.as_deref().filter(|_| by_tenant);
                let name = StreamName {
                    tenant: isolated,
                    channel: &channel,
                };
                let Some(stream) = find(name) else {
                    continue;
                };
                let data = data
                    .get_or_insert_with(|| defined.data(current, new.as_ref().and(old.as_ref())));
                let draft = Draft {
                    channel: channel.into(),
                    event_type: Some(row.change.event_type().into()),
                    tenant_id: tenant.map(Into::into),
                    id: None,
                    data: data.clone(),
                };
                events.push(match Envelope::write(&draft, 0, 0) {
                    Ok(envelope) => Ok((stream, envelope)),
                    Err(error) => Err(RowFault {
                        stream: Some(stream),
                        problem: format!("a row of {table} is no event: {error}"),
                    }),
                });
            }
        }
        events
    }
}

/// The values after a change. What is stored apart and was not changed has the value that it had.
fn after<'a>(new: &'a [Value], old: Option<&Values<'a>>) -> Values<'a> {
    let value = |(index, new): (usize, &'a Value)| match new {
        Value::Unchanged => old.and_then(|old| *old.get(index)?).or(Some(new)),
        _ => Some(new),
    };
    new.iter().enumerate().map(value).collect()
}

/// Where an event goes.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    channel: String,
    tenant: Option<String>,
}

impl Defined {
    /// The values before a change. A key has no other columns.
    fn old<'a>(&'a self, old: &'a Old) -> Values<'a> {
        let columns = self.relation.columns.iter().zip(&old.values);
        columns
            .map(|(of, value)| (of.is_identity || !old.is_key).then_some(value))
            .collect()
    }

    fn place(&self, table: &Table, values: &Values<'_>) -> Result<Place, String> {
        let text = |column: &str| {
            let index = self
                .relation
                .columns
                .iter()
                .position(|of| of.name == column);
            let why = match index.and_then(|index| *values.get(index)?) {
                Some(Value::Text(text)) => return Ok(String::from_utf8_lossy(text).into_owned()),
                Some(Value::Null) => "is NULL",
                Some(Value::Unchanged) | None => "is not in the log",
            };
            Err(format!(
                "the column {column:?} of a row of {table}, which decides where its event goes, {why}"
            ))
        };
        Ok(Place {
            channel: table.channel.render(text)?,
            tenant: table.tenant.as_deref().map(text).transpose()?,
        })
    }

    /// The row as the data of an event.
    fn data(&self, current: &Values<'_>, old: Option<&Values<'_>>) -> Json {
        let mut data = self.object(current);
        let unchanged = |(of, value): (&Column, Option<&Value>)| {
            matches!(value, Some(Value::Unchanged)).then(|| Json::from(&*of.name))
        };
        let columns = self.relation.columns.iter().zip(current.iter().copied());
        let unchanged: Vec<Json> = columns.filter_map(unchanged).collect();
        // A column of that name has precedence.
        if let Some(old) = old {
            data.entry("_old")
                .or_insert_with(|| self.object(old).into());
        }
        if !unchanged.is_empty() {
            data.entry("_unchanged").or_insert_with(|| unchanged.into());
        }
        data.into()
    }

    fn object(&self, values: &Values<'_>) -> Map<String, Json> {
        let mut object = Map::with_capacity(values.len());
        for ((of, kind), value) in self.relation.columns.iter().zip(&self.kinds).zip(values) {
            let value = match value {
                None | Some(Value::Unchanged) => continue,
                Some(Value::Null) => Json::Null,
                Some(Value::Text(text)) => json::value(kind, &String::from_utf8_lossy(text)),
            };
            object.insert(of.name.clone(), value);
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn relation() -> Relation {
        let column = |name: &str, kind, is_identity| Column {
            name: name.to_owned(),
            is_identity,
            kind,
        };
        Relation {
            id: 7,
            schema: "public".to_owned(),
            name: "orders".to_owned(),
            columns: vec![
                column("id", 23, true),
                column("customer", 25, false),
                column("body", 25, false),
            ],
        }
    }

    fn tables(tenant: Option<&str>) -> Tables {
        let changes = Changes {
            insert: true,
            update: true,
            delete: true,
        };
        let table = Table::new(
            "orders",
            "orders.{customer}",
            changes,
            tenant.map(str::to_owned),
        );
        let mut tables = Tables::new(&[table.unwrap()], Types::default());
        tables.define(relation());
        tables
    }

    fn text(text: &'static str) -> Value {
        Value::Text(text.into())
    }

    fn events(
        tables: &Tables,
        row: &Row,
        wanted: &[StreamKey],
    ) -> Vec<Result<(StreamKey, Json), RowFault>> {
        let by_tenant = wanted.iter().any(|stream| stream.tenant.is_some());
        let data = |envelope: Bytes| Envelope::read(&envelope, false).unwrap().json().unwrap();
        let find = |name: StreamName<'_>| wanted.iter().find(|key| **key == name.key()).cloned();
        let events = tables.events(7, row, by_tenant, find);
        events
            .into_iter()
            .map(|event| event.map(|(stream, bytes)| (stream, data(bytes))))
            .collect()
    }

    #[test]
    fn a_row_is_the_data_of_its_event() {
        let new = Some(vec![text("1"), text("ann"), Value::Null]);
        let row = Row {
            change: RowChange::Insert,
            new,
            old: None,
        };
        let stream = StreamKey::of_channel("orders.ann");
        let expected = json!({"id": 1, "customer": "ann", "body": null});
        assert_eq!(
            events(&tables(None), &row, std::slice::from_ref(&stream)),
            [Ok((stream, expected))]
        );
        assert_eq!(
            events(&tables(None), &row, &[StreamKey::of_channel("orders.bob")]),
            []
        );
    }

    #[test]
    fn a_row_that_moves_is_told_to_both_channels() {
        let row = Row {
            change: RowChange::Update,
            new: Some(vec![text("1"), text("bob"), Value::Unchanged]),
            old: Some(Old {
                is_key: false,
                values: vec![text("1"), text("ann"), text("long")],
            }),
        };
        let (ann, bob) = (
            StreamKey::of_channel("orders.ann"),
            StreamKey::of_channel("orders.bob"),
        );
        let data = json!({
            "id": 1, "customer": "bob", "body": "long",
            "_old": {"id": 1, "customer": "ann", "body": "long"},
        });
        let expected = [Ok((ann.clone(), data.clone())), Ok((bob.clone(), data))];
        assert_eq!(events(&tables(None), &row, &[ann, bob]), expected);
    }

    #[test]
    fn what_the_log_does_not_have_is_marked_and_left_out() {
        let new = Some(vec![text("1"), text("ann"), Value::Unchanged]);
        let row = Row {
            change: RowChange::Update,
            new,
            old: None,
        };
        let stream = StreamKey::of_channel("orders.ann");
        let expected = json!({"id": 1, "customer": "ann", "_unchanged": ["body"]});
        assert_eq!(
            events(&tables(None), &row, std::slice::from_ref(&stream)),
            [Ok((stream, expected))]
        );
    }

    #[test]
    fn a_key_has_no_other_columns_and_no_channel() {
        let old = Some(Old {
            is_key: true,
            values: vec![text("1"), Value::Null, Value::Null],
        });
        let row = Row {
            change: RowChange::Delete,
            new: None,
            old,
        };
        let [
            Err(RowFault {
                stream: None,
                problem,
            }),
        ] = &events(&tables(None), &row, &[])[..]
        else {
            panic!("it has a channel");
        };
        assert!(
            problem.contains("\"customer\"") && problem.contains("not in the log"),
            "{problem}"
        );
    }

    #[test]
    fn a_row_that_no_envelope_can_have_names_the_stream_that_lacks_it() {
        let long: &'static str = Box::leak("x".repeat(300).into_boxed_str());
        let row = Row {
            change: RowChange::Insert,
            new: Some(vec![text("1"), text(long), Value::Null]),
            old: None,
        };
        let stream = StreamKey::of_channel(format!("orders.{long}"));
        let [Err(fault)] = &events(&tables(None), &row, std::slice::from_ref(&stream))[..] else {
            panic!("it is an event");
        };
        assert_eq!(fault.stream.as_ref(), Some(&stream));
    }

    #[test]
    fn a_row_belongs_to_the_tenant_in_its_column() {
        let new = Some(vec![text("1"), text("ann"), text("acme")]);
        let row = Row {
            change: RowChange::Insert,
            new,
            old: None,
        };
        let acme = StreamKey::of_tenant("orders.ann", "acme");
        let other = StreamKey::of_tenant("orders.ann", "other");
        let events = events(&tables(Some("body")), &row, &[acme.clone(), other]);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].as_ref().unwrap().0, acme);
    }
}
