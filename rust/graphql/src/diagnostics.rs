//! What a client reads of the compiler's diagnostics.

use std::collections::HashSet;

use apollo_compiler::diagnostic::{Diagnostic, ToCliReport};
use apollo_compiler::validation::{DiagnosticData, DiagnosticList};

use crate::error::GraphQLError;
use crate::source::Source;

/// Errors of one document that are reported (count). Past it the rest is left out.
const MAX_ERRORS: usize = 20;

/// Rules of the newest drafts that are stricter than graphql-js 16. The root field is counted
/// with the variables of each request instead.
const RULES_LEFT_TO_REQUESTS: [&str; 2] = [
    "SubscriptionUsesConditionalSelection",
    "SubscriptionUsesMultipleFields",
];

/// Rules whose violations make the compiler leave out fields or fragments.
const RULES_THAT_LEAVE_GAPS: [&str; 5] = [
    "UndefinedField",
    "UndefinedTypeInInlineFragmentTypeCondition",
    "UndefinedTypeInNamedFragmentTypeCondition",
    "SubselectionOnScalarType",
    "SubselectionOnEnumType",
];

/// Which errors of a document its client reads.
pub(crate) struct Reported<'d> {
    text: &'d str,
    /// The compiler leaves out what it cannot type, and then misses it.
    has_gaps: bool,
    /// Where different fields have one response key; that their types differ follows.
    conflicts: HashSet<usize>,
}

impl<'d> Reported<'d> {
    pub(crate) fn new(errors: &DiagnosticList, text: &'d str) -> Self {
        let leaves_gap = |error: Diagnostic<'_, DiagnosticData>| {
            let rule = error.error.unstable_error_name();
            rule.is_some_and(|rule| RULES_THAT_LEAVE_GAPS.contains(&rule))
        };
        let is_conflict = |error: &Diagnostic<'_, DiagnosticData>| {
            error.error.unstable_error_name() == Some("ConflictingFieldName")
        };
        let conflicts = errors.iter().filter(is_conflict);
        Self {
            text,
            has_gaps: errors.iter().any(leaves_gap),
            conflicts: conflicts.filter_map(|error| offset(&error)).collect(),
        }
    }

    pub(crate) fn check(&self, error: &Diagnostic<'_, DiagnosticData>) -> bool {
        match error.error.unstable_error_name() {
            Some(rule) if RULES_LEFT_TO_REQUESTS.contains(&rule) => false,
            Some("UnusedVariable" | "UnusedFragment" | "UndefinedFragment") => !self.has_gaps,
            Some("ConflictingFieldType") => {
                !offset(error).is_some_and(|offset| self.conflicts.contains(&offset))
            }
            Some("MissingSubselection") if self.has_gaps => {
                // The selection is there when the text of the field ends with its brace.
                let span = error.error.location();
                let field = span.and_then(|span| self.text.get(span.offset()..span.end_offset()));
                !field.is_some_and(|field| field.trim_end().ends_with('}'))
            }
            _ => true,
        }
    }
}

fn offset(error: &Diagnostic<'_, DiagnosticData>) -> Option<usize> {
    error.error.location().map(|span| span.offset())
}

/// The first errors, with their places.
pub(crate) fn report<'d>(
    diagnostics: impl Iterator<Item = Diagnostic<'d, DiagnosticData>>,
    source: &Source,
    code: &str,
) -> Vec<GraphQLError> {
    let error = |diagnostic: Diagnostic<'_, DiagnosticData>| {
        let message = diagnostic.error.unstable_compat_message();
        let message = message.unwrap_or_else(|| diagnostic.error.to_string());
        let message = match message.strip_prefix("syntax error: ") {
            Some(problem) => format!("Syntax Error: {problem}"),
            None => message,
        };
        let place = diagnostic.error.location();
        let place = place.map(|span| source.locate(span.offset()));
        GraphQLError::new(message)
            .with_code(code)
            .with_locations(place.into_iter().collect::<Vec<_>>())
    };
    diagnostics.take(MAX_ERRORS).map(error).collect()
}
