//! Converts the compiler's diagnostics to errors for the client.

use apollo_compiler::diagnostic::{Diagnostic, ToCliReport};
use apollo_compiler::validation::DiagnosticData;

use crate::error::GraphQLError;
use crate::source::Source;

/// Errors of one document that are reported (count). Past it further errors are left out.
const MAX_ERRORS: usize = 20;

/// Rules of the newest drafts that are stricter than graphql-js 16. The number of root fields is
/// checked with the variables of each request instead.
const RULES_LEFT_TO_REQUESTS: [&str; 2] = [
    "SubscriptionUsesConditionalSelection",
    "SubscriptionUsesMultipleFields",
];

/// Whether an error of the compiler that `rules` does not explain is reported to the client.
pub(crate) fn is_reported(error: &Diagnostic<'_, DiagnosticData>) -> bool {
    let rule = error.error.unstable_error_name();
    !rule.is_some_and(|rule| RULES_LEFT_TO_REQUESTS.contains(&rule))
}

/// Returns the first errors, with their locations.
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
        GraphQLError::of_document(message)
            .with_code(code)
            .with_locations(place.into_iter().collect::<Vec<_>>())
    };
    diagnostics.take(MAX_ERRORS).map(error).collect()
}
