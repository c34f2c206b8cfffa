//! Which streams are told of a row, and what.
//!
//! A row that moves to another stream is a deleted row for the stream that it leaves, and a new one for
//! the other: who may read one of them may not read what the row was, or is, in the other.

use super::super::pgoutput::Value;
use super::Table;
use super::rows::{Defined, RowChange, Values};

/// What a stream is told of a row.
pub(super) struct Told<'a> {
    pub(super) place: Place,
    pub(super) change: RowChange,
    pub(super) current: &'a Values<'a>,
    /// The values before the change.
    pub(super) old: Option<&'a Values<'a>>,
}

/// Where an event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) channel: String,
    pub(super) tenant: Option<String>,
}

/// Why a row has no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// A column is NULL: the row is on no channel.
    Nowhere(String),
    /// The log does not have a column: the row may be on any channel of the table.
    Unknown(String),
}

impl Place {
    fn is_same_stream(&self, other: &Self, by_tenant: bool) -> bool {
        self.channel == other.channel && (!by_tenant || self.tenant == other.tenant)
    }
}

/// Returns what is told of a row: to one stream; of a row that moves, to two. `new`: `None` if it was deleted.
/// `by_tenant`: whether each tenant has a stream of its own.
pub(super) fn told<'a>(
    defined: &Defined,
    table: &Table,
    change: RowChange,
    (new, old): (Option<&'a Values<'a>>, Option<&'a Values<'a>>),
    by_tenant: bool,
) -> Result<Vec<Told<'a>>, NoPlace> {
    let Some(current) = new.or(old) else {
        return Ok(Vec::new());
    };
    let now = place(defined, table, current);
    let whole = |place, old| Told {
        place,
        change,
        current,
        old,
    };
    let Some(old) = new.and(old) else {
        return Ok(vec![whole(now?, None)]);
    };
    let before = match place(defined, table, old) {
        Ok(before) => Some(before),
        Err(NoPlace::Nowhere(_)) => None,
        Err(NoPlace::Unknown(_)) => {
            // The key before the change may be that of a row of another tenant.
            return Ok(vec![whole(now?, Some(old).filter(|_| !by_tenant))]);
        }
    };
    if let (Some(before), Ok(now)) = (&before, &now)
        && before.is_same_stream(now, by_tenant)
    {
        return Ok(vec![whole(now.clone(), Some(old))]);
    }
    let left = before.map(|place| Told {
        place,
        change: RowChange::Delete,
        current: old,
        old: None,
    });
    let come = match now {
        Ok(place) => Some(Told {
            place,
            change: RowChange::Insert,
            current,
            old: None,
        }),
        Err(NoPlace::Nowhere(_)) if left.is_some() => None,
        Err(no_place) => return Err(no_place),
    };
    Ok(left.into_iter().chain(come).collect())
}

fn place(defined: &Defined, table: &Table, values: &Values<'_>) -> Result<Place, NoPlace> {
    let text = |column: &str| {
        let what = || {
            format!(
                "the column {column:?} of a row of {table}, which decides where its event goes,"
            )
        };
        match defined.value(column, values) {
            Some(Value::Text(text)) => Ok(String::from_utf8_lossy(text).into_owned()),
            Some(Value::Null) => Err(NoPlace::Nowhere(format!("{} is NULL", what()))),
            Some(Value::Unchanged) | None => Err(NoPlace::Unknown(format!(
                "{} is not in the log: run ALTER TABLE {table} REPLICA IDENTITY FULL",
                what()
            ))),
        }
    };
    let channel = table.channel.render(text)?;
    if channel.is_empty() {
        let problem = format!("the channel of a row of {table} is empty");
        return Err(NoPlace::Nowhere(problem));
    }
    Ok(Place {
        channel,
        tenant: table.tenant.as_deref().map(text).transpose()?,
    })
}
