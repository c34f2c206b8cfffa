//! `fraiseql_subs.Snapshot`: an initial value, and the transactions that it contains.
//!
//! Not here: which events follow the value (`runtime`).

use std::sync::OnceLock;

use bus::{InvalidSnapshot, Snapshot};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use runtime::Lane;

/// The class.
pub(crate) struct SnapshotClass(pub(crate) Py<PyAny>);

/// The members of an instance.
pub(crate) struct SnapshotMembers<'py> {
    pub(crate) value: Bound<'py, PyAny>,
    /// The text of the snapshot.
    pub(crate) at: String,
}

impl SnapshotClass {
    /// Reads an instance; `None`: the value is none.
    pub(crate) fn read<'py>(
        &self,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<SnapshotMembers<'py>>> {
        let py = value.py();
        if !value.is_instance(self.0.bind(py))? {
            return Ok(None);
        }
        Ok(Some(SnapshotMembers {
            value: value.getattr(intern!(py, "value"))?,
            at: value.getattr(intern!(py, "at"))?.extract()?,
        }))
    }
}

/// The snapshot of the first value of an `initial`.
#[derive(Default)]
pub(crate) struct FirstSnapshot(OnceLock<String>);

impl FirstSnapshot {
    /// Notes the snapshot of a value, and with the first one which events follow.
    pub(crate) fn note(&self, at: &str, lane: &Lane) -> PyResult<()> {
        if let Some(first) = self.0.get() {
            return if first == at {
                Ok(())
            } else {
                Err(PyValueError::new_err(
                    "the values of one `initial` have different snapshots: read them in one transaction \
                     with REPEATABLE READ",
                ))
            };
        }
        let snapshot = at.parse().map_err(invalid)?;
        if !lane.initial_contains(snapshot) {
            return Err(PyTypeError::new_err(
                "the events of this bus have no transactions, so no Snapshot can say which follow: use \
                 PostgreSQL as the bus, or return the value alone",
            ));
        }
        // Only the event loop's thread sets it.
        self.0.set(at.to_owned()).ok();
        Ok(())
    }
}

/// The error of a resolver of events that returns a snapshot.
pub(crate) fn not_initial() -> PyErr {
    PyTypeError::new_err("a Snapshot is a value of `initial` alone: return what follows as it is")
}

fn invalid(error: InvalidSnapshot) -> PyErr {
    PyValueError::new_err(format!("Snapshot.at is wrong: {error}"))
}

/// Refuses a text that is no snapshot of PostgreSQL.
#[pyfunction]
pub(crate) fn check_snapshot(at: &str) -> PyResult<()> {
    let checked = at.parse::<Snapshot>();
    checked.map(|_| ()).map_err(invalid)
}
