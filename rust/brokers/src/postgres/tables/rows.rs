//! Rows that have changed, as events.

use std::collections::HashMap;
use std::sync::Arc;

use bus::{Draft, Envelope, StreamKey, TraceContext};
use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::super::pgoutput::{Column, Old, Relation, Value};
use super::super::wants::StreamName;
use super::places::{self, NoPlace};
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
    /// The span that changes rows, if the transaction has said it.
    trace: Option<TraceContext>,
}

/// A table as the log defines it.
pub(super) struct Defined {
    relation: Relation,
    /// The kind of each column.
    kinds: Vec<Kind>,
    /// Indexes in [`Tables::tables`].
    tables: Vec<usize>,
}

/// The values of a row, by column; `None` where the log does not have it.
pub(super) type Values<'a> = Vec<Option<&'a Value>>;

/// An event of a row: its stream and its envelope; or why there is none.
pub(in super::super) type RowEvent = Result<(StreamKey, Bytes), RowFault>;

/// Why a row is no event.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct RowFault {
    pub(in super::super) lacking: Lacking,
    pub(in super::super) problem: String,
}

/// Who lacks the event of a row.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Lacking {
    /// Nobody: the row is on no channel.
    Nobody,
    /// A stream.
    Stream(StreamKey),
    /// Any stream of the table.
    AnyOfTable,
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
            trace: None,
        }
    }

    /// Begins a transaction.
    pub(in super::super) fn begin(&mut self) {
        self.trace = None;
    }

    /// Reads the `traceparent` of what changes the rows that follow in the transaction.
    pub(in super::super) fn traced(&mut self, content: &[u8]) {
        let parent = std::str::from_utf8(content).ok();
        self.trace = parent.and_then(|parent| TraceContext::parse(parent, None));
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
        tables.any(|index| self.tables[*index].may_be_on(channel))
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
        let mut events = Vec::new();
        for table in defined.tables.iter().map(|index| &self.tables[*index]) {
            // A row that moves is updated, whatever its streams are told.
            if !row.change.is_of(table.changes) {
                continue;
            }
            let values = (new.as_ref(), old.as_ref());
            let told = match places::told(defined, table, row.change, values, by_tenant) {
                Ok(told) => told,
                Err(no_place) => {
                    events.push(Err(no_place.into()));
                    continue;
                }
            };
            for told in told {
                let place = told.place;
                let name = StreamName {
                    tenant: place.tenant.as_deref().filter(|_| by_tenant),
                    channel: &place.channel,
                };
                let Some(stream) = find(name) else {
                    continue;
                };
                let draft = Draft {
                    channel: place.channel.into(),
                    event_type: Some(told.change.event_type().into()),
                    tenant_id: place.tenant.map(Into::into),
                    id: None,
                    data: defined.data(told.current, told.old).into(),
                    trace: self.trace.clone().map(Box::new),
                };
                events.push(match Envelope::write(&draft, 0, 0) {
                    Ok(envelope) => Ok((stream, envelope)),
                    Err(error) => Err(RowFault {
                        lacking: Lacking::Stream(stream),
                        problem: format!("a row of {table} is no event: {error}"),
                    }),
                });
            }
        }
        events
    }

    /// The name of a table whose changes are events.
    pub(in super::super) fn name(&self, table: u32) -> Option<String> {
        let relation = &self.defined.get(&table)?.relation;
        Some(format!("{}.{}", relation.schema, relation.name))
    }
}

impl From<NoPlace> for RowFault {
    fn from(no_place: NoPlace) -> Self {
        let (lacking, problem) = match no_place {
            NoPlace::Nowhere(problem) => (Lacking::Nobody, problem),
            NoPlace::Unknown(problem) => (Lacking::AnyOfTable, problem),
        };
        Self { lacking, problem }
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

impl Defined {
    /// The values before a change. A key has no other columns.
    fn old<'a>(&'a self, old: &'a Old) -> Values<'a> {
        let columns = self.relation.columns.iter().zip(&old.values);
        columns
            .map(|(of, value)| (of.is_identity || !old.is_key).then_some(value))
            .collect()
    }

    /// The value of a column; `None`: the log does not have it.
    pub(super) fn value<'a>(&self, column: &str, values: &Values<'a>) -> Option<&'a Value> {
        let mut columns = self.relation.columns.iter();
        let index = columns.position(|of| of.name == column)?;
        *values.get(index)?
    }

    /// The row as the data of an event.
    fn data(&self, current: &Values<'_>, old: Option<&Values<'_>>) -> Json {
        let mut data = self.object(current);
        let unchanged = |(of, value): (&Column, Option<&Value>)| {
            matches!(value, Some(Value::Unchanged)).then(|| Json::from(&*of.name))
        };
        let columns = self.relation.columns.iter().zip(current.iter().copied());
        let unchanged: Vec<Json> = columns.filter_map(unchanged).collect();
        // A column of that name, which may be added later, has precedence.
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
        let data = |envelope: Bytes| {
            Envelope::read(&envelope, false)
                .unwrap()
                .json()
                .unwrap()
                .root()
                .to_value()
        };
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

    /// A row whose customer changes, and whose tenant, in the column `body`, does as well.
    fn moved(old: [Value; 2], new: [Value; 2]) -> Row {
        let row = |[customer, body]: [Value; 2]| vec![text("1"), customer, body];
        Row {
            change: RowChange::Update,
            new: Some(row(new)),
            old: Some(Old {
                is_key: false,
                values: row(old),
            }),
        }
    }

    /// The type and the data of each event of a row.
    fn told(tables: &Tables, row: &Row, by_tenant: bool) -> Vec<(StreamKey, String, Json)> {
        let events = tables.events(7, row, by_tenant, |name| Some(name.key()));
        let read = |event: RowEvent| {
            let (stream, bytes) = event.unwrap();
            let envelope = Envelope::read(&bytes, false).unwrap();
            let kind = envelope.event_type.unwrap().to_owned();
            (stream, kind, envelope.json().unwrap().root().to_value())
        };
        events.into_iter().map(read).collect()
    }

    #[test]
    fn a_row_that_moves_is_deleted_in_one_channel_and_new_in_the_other() {
        let row = moved([text("ann"), text("long")], [text("bob"), Value::Unchanged]);
        let of =
            |channel, kind: &str, data| (StreamKey::of_channel(channel), kind.to_owned(), data);
        let left = json!({"id": 1, "customer": "ann", "body": "long"});
        let come = json!({"id": 1, "customer": "bob", "body": "long"});
        let expected = [
            of("orders.ann", "DELETE", left),
            of("orders.bob", "INSERT", come),
        ];
        assert_eq!(told(&tables(None), &row, false), expected);
    }

    #[test]
    fn a_row_that_changes_its_tenant_is_told_to_each_in_its_own_half() {
        let row = moved([text("ann"), text("acme")], [text("ann"), text("rival")]);
        let of = |tenant, kind: &str, data| {
            let stream = StreamKey::of_tenant("orders.ann", tenant);
            (stream, kind.to_owned(), data)
        };
        let left = json!({"id": 1, "customer": "ann", "body": "acme"});
        let come = json!({"id": 1, "customer": "ann", "body": "rival"});
        let expected = [of("acme", "DELETE", left), of("rival", "INSERT", come)];
        let tables = tables(Some("body"));
        assert_eq!(told(&tables, &row, true), expected);
        // Where tenants are not isolated, it stays in one stream.
        let [(stream, kind, data)] = &told(&tables, &row, false)[..] else {
            panic!("there is not one event");
        };
        assert_eq!(
            (stream, &**kind),
            (&StreamKey::of_channel("orders.ann"), "UPDATE")
        );
        assert_eq!(
            (&data["body"], &data["_old"]["body"]),
            (&json!("rival"), &json!("acme"))
        );
    }

    #[test]
    fn a_row_that_leaves_for_nowhere_is_deleted_and_one_that_comes_from_there_is_new() {
        let (here, nowhere) = ([text("ann"), text("a")], [Value::Null, text("a")]);
        let tables = tables(None);
        for (row, expected) in [
            (moved(here.clone(), nowhere.clone()), "DELETE"),
            (moved(nowhere, here), "INSERT"),
        ] {
            let [(stream, kind, data)] = &told(&tables, &row, false)[..] else {
                panic!("there is not one event");
            };
            assert_eq!(
                (stream, &**kind),
                (&StreamKey::of_channel("orders.ann"), expected)
            );
            assert_eq!(data, &json!({"id": 1, "customer": "ann", "body": "a"}));
        }
    }

    #[test]
    fn the_key_before_a_change_is_not_told_to_a_tenant_who_may_not_have_had_the_row() {
        let row = Row {
            change: RowChange::Update,
            new: Some(vec![text("2"), text("ann"), text("rival")]),
            old: Some(Old {
                is_key: true,
                values: vec![text("1"), Value::Null, Value::Null],
            }),
        };
        let tables = tables(Some("body"));
        let old = |by_tenant| told(&tables, &row, by_tenant)[0].2.get("_old").cloned();
        assert_eq!(old(true), None);
        assert_eq!(old(false), Some(json!({"id": 1})));
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
                lacking: Lacking::AnyOfTable,
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
        assert_eq!(fault.lacking, Lacking::Stream(stream));
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
