//! The keys of programs that publish over HTTP, for Python.
//!
//! Not here: what a key has to be (`fraiseql_subs._settings`), checks of requests (`security`).

use pyo3::prelude::*;

/// Digests of keys: Python keeps this in place of the keys.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct PublishKeys(security::PublishKeys);

impl PublishKeys {
    pub(crate) fn keys(&self) -> &security::PublishKeys {
        &self.0
    }
}

#[pymethods]
impl PublishKeys {
    #[new]
    fn new(keys: Vec<String>) -> Self {
        Self(security::PublishKeys::new(keys.iter().map(String::as_str)))
    }
}
