//! What a client receives for the value or the exception of a call.
//!
//! Not here: when a call is made (`resolver`).

use bus::Event;
use bytes::Bytes;
use graphql::{Fault, FieldFault, ResolverError};
use protocol::{Amendment, OperationId};
use pyo3::exceptions::PyGeneratorExit;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::prelude::*;
use runtime::{Lane, Outcome};

use super::Calls;
use crate::event::PyEvent;
use crate::failure::{FaultOwner, INTERNAL_ERROR, exception_of};
use crate::iterables::Drained;
use crate::json::to_json;
use crate::reply::{PyReply, refused};
use crate::value::PyValue;

/// Initial size of a response's buffer (bytes).
const RESPONSE_BYTES: usize = 512;

impl Calls {
    /// Returns what the client receives for a value.
    pub(super) fn outcome(
        &self,
        lane: &Lane,
        value: Bound<'_, PyAny>,
        event: Option<&Event>,
    ) -> Outcome {
        if value.is(&self.skip) {
            return Outcome::Skip;
        }
        let mut response = Vec::with_capacity(RESPONSE_BYTES);
        let Some(plan) = &lane.info.plan else {
            return self.whole_response(lane, &value, response, event);
        };
        let py = value.py();
        let faults = if let Ok(event) = value.cast_exact::<PyEvent>() {
            // The resolver returned the event itself, whose JSON is available.
            plan.project(event.get().event().data.root(), &mut response)
        } else {
            let drained = Drained::default();
            plan.project(PyValue::new(value, &self.names, &drained), &mut response)
        };
        self.report(py, lane, &faults, event);
        Outcome::Response(Bytes::from(response))
    }

    /// Converts the reply of an executor: JSON, except for values that its scalars did not
    /// serialise.
    fn whole_response(
        &self,
        lane: &Lane,
        value: &Bound<'_, PyAny>,
        mut response: Vec<u8>,
        event: Option<&Event>,
    ) -> Outcome {
        let reply: PyReply<'_> = match value.extract() {
            Ok(reply) => reply,
            Err(error) => {
                let exception = exception_of(value.py(), &error);
                return refused(self.describe(lane, &exception, event));
            }
        };
        let outcome = match to_json(&reply.response) {
            Ok(json) => {
                graphql::write_json(&json, &mut response);
                if reply.is_refusal {
                    Outcome::Refused(response.into())
                } else if reply.has_failed {
                    Outcome::Failed(response.into())
                } else {
                    Outcome::Response(response.into())
                }
            }
            Err(error) => {
                let fault = Fault {
                    problem: "the response of the schema's executor has no JSON".to_owned(),
                    detail: error.message("the response"),
                    cause: None,
                };
                if let Some(exit) = error.into_exit(value.py()) {
                    self.failures.pass_on(value.py(), exit);
                    return refused(ResolverError::new(INTERNAL_ERROR));
                }
                self.report(
                    value.py(),
                    lane,
                    &[FieldFault {
                        field: field_of(lane).to_owned(),
                        path: Vec::new(),
                        count: 1,
                        fault,
                    }],
                    event,
                );
                refused(ResolverError::new(INTERNAL_ERROR))
            }
        };
        if reply.status.is_none() && reply.headers.is_empty() {
            return outcome;
        }
        let amendment = Amendment {
            status: reply.status,
            headers: reply.headers,
        };
        Outcome::Headed(Box::new((amendment, outcome)))
    }

    fn report(&self, py: Python<'_>, lane: &Lane, faults: &[FieldFault], event: Option<&Event>) {
        if !faults.is_empty() {
            lane.count_field_errors(faults);
            self.failures.report(py, faults, owner(lane, event));
        }
    }

    /// Returns the client's error for an exception, which is logged if it is not meant for the
    /// client.
    pub(super) fn describe(
        &self,
        lane: &Lane,
        exception: &Bound<'_, PyAny>,
        event: Option<&Event>,
    ) -> ResolverError {
        let told = self.failures.told(exception);
        told.unwrap_or_else(|| self.masked(lane, exception, event))
    }

    /// Logs an exception that is not meant for the client, and returns the error that masks it.
    pub(super) fn masked(
        &self,
        lane: &Lane,
        exception: &Bound<'_, PyAny>,
        event: Option<&Event>,
    ) -> ResolverError {
        if self.bridge.is_closed() && is_end_of_call(exception) {
            // The event loop has ended, and with it the call.
            return ResolverError::new(INTERNAL_ERROR);
        }
        self.failures
            .unexpected(&place(lane), exception, owner(lane, event))
    }
}

/// Returns the outcome of a call that has failed: `outcome` with the response.
pub(super) fn failed(lane: &Lane, error: ResolverError, outcome: fn(Bytes) -> Outcome) -> Outcome {
    let Some(plan) = &lane.info.plan else {
        return refused(error);
    };
    let mut response = Vec::with_capacity(RESPONSE_BYTES);
    plan.project_error(error, &mut response);
    outcome(response.into())
}

/// The subscription field, for the log.
pub(super) fn field_of(lane: &Lane) -> &str {
    match &*lane.info.definition.field {
        // A delegate serves all operations without a definition.
        "" => "the given schema",
        field => field,
    }
}

/// Returns whose fault it is, if there is one.
pub(super) fn owner<'a>(lane: &'a Lane, event: Option<&'a Event>) -> FaultOwner<'a> {
    let info = &lane.info;
    FaultOwner {
        client: Some(&info.client),
        operation: info.operation.as_ref().map(OperationId::as_str),
        field: Some(&info.definition.field),
        event: event.map(|event| &event.id),
    }
}

/// Describes the function that raised, for the log.
pub(super) fn place(lane: &Lane) -> String {
    format!("the resolver of {} raised", field_of(lane))
}

/// Whether this exception cancels or closes a coroutine.
fn is_end_of_call(exception: &Bound<'_, PyAny>) -> bool {
    exception.is_instance_of::<CancelledError>() || exception.is_instance_of::<PyGeneratorExit>()
}
