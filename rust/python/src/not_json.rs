//! The error for a Python object without a JSON form: the reason, the path, and the exception.

use pyo3::prelude::*;

use crate::exit::is_exit;

/// The problem of text that cannot be encoded as UTF-8.
pub(crate) const LONE_SURROGATE: &str =
    "a text with a lone surrogate cannot be sent: it has no UTF-8";

/// Why a Python object has no JSON form, and the path of the fault.
#[derive(Debug)]
pub(crate) struct NotJson {
    /// The path, from the inside out.
    path: Vec<Segment>,
    problem: String,
    /// The exception that reading it raised.
    cause: Option<PyErr>,
}

#[derive(Debug)]
pub(crate) enum Segment {
    Field(String),
    Index(usize),
}

impl NotJson {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            problem: problem.into(),
            cause: None,
        }
    }

    pub(crate) fn raised(error: PyErr) -> Self {
        Self {
            problem: format!("reading it raised {error}"),
            path: Vec::new(),
            cause: Some(error),
        }
    }

    pub(crate) fn inside(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }

    /// As [`Self::inside`], of a member with this name.
    pub(crate) fn inside_of(self, key: &Bound<'_, PyAny>) -> Self {
        self.inside(Segment::Field(key.to_string()))
    }

    /// Returns the text of the error, with `root` as the name of the whole value.
    pub(crate) fn message(&self, root: &str) -> String {
        let mut message = String::from(root);
        for segment in self.path.iter().rev() {
            match segment {
                Segment::Field(name) => {
                    message.push('.');
                    message.push_str(name);
                }
                Segment::Index(index) => message.push_str(&format!("[{index}]")),
            }
        }
        message.push_str(": ");
        message.push_str(&self.problem);
        message
    }

    /// Returns the exception if it ends the program.
    pub(crate) fn into_exit(self, py: Python<'_>) -> Option<PyErr> {
        self.cause.filter(|error| is_exit(py, error))
    }

    /// Returns the exception for the caller, with `root` as the name of the value: `refuse` creates
    /// it from the message, unless the original exception ends the program.
    pub(crate) fn into_error(
        self,
        py: Python<'_>,
        root: &str,
        refuse: impl FnOnce(String) -> PyErr,
    ) -> PyErr {
        let message = self.message(root);
        match self.cause {
            Some(cause) if is_exit(py, &cause) => cause,
            cause => {
                let error = refuse(message);
                error.set_cause(py, cause);
                error
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_said_from_the_outside_in() {
        let error = NotJson::new("it is wrong")
            .inside(Segment::Field("price".to_owned()))
            .inside(Segment::Index(2))
            .inside(Segment::Field("items".to_owned()));
        assert_eq!(error.message("data"), "data.items[2].price: it is wrong");
    }

    #[test]
    fn a_fault_of_the_whole_value_has_the_name_of_it_alone() {
        let error = NotJson::new("it must be a mapping");
        assert_eq!(
            error.message("extensions"),
            "extensions: it must be a mapping"
        );
    }
}
