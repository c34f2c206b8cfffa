//! The open connections of this process, for Python. Not here: those of other nodes (`nodes`).

use pyo3::prelude::*;
use runtime::RuntimeState;

use crate::client::identity_of;

/// One line of the list.
pub(crate) type Listed = (
    String,
    Option<Py<PyAny>>,
    Option<String>,
    &'static str,
    usize,
    f64,
);

/// Lists the connections, in the order in which they were opened.
pub(crate) fn list(py: Python<'_>, state: &RuntimeState) -> Vec<Listed> {
    let listed = state.roster.list().into_iter();
    listed
        .map(|connected| {
            (
                connected.id.clone(),
                connected
                    .client()
                    .and_then(|client| identity_of(client))
                    .map(|identity| identity.clone_ref(py)),
                connected.peer.clone(),
                connected.protocol,
                connected.operations(),
                connected.since,
            )
        })
        .collect()
}
