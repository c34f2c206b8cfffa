//! Parses documents of clients with the compiler, as the specification reads them.

use std::borrow::Cow;

use apollo_compiler::ast;
use apollo_compiler::parser::Parser;
use apollo_parser::{Lexer, TokenKind};

use super::diagnostics::report;
use super::grammar;
use crate::error::{CODE_PARSE_FAILED, GraphQLError};
use crate::limits::{MAX_NESTING, MAX_TOKENS};
use crate::source::Source;

/// Why a text is not parsed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) errors: Vec<GraphQLError>,
    /// Whether it is nested too deeply, or has too many tokens.
    pub(crate) is_past_limits: bool,
}

/// Parses a text; places in the document are those of the text.
pub(crate) fn parse(text: &str, source: &Source) -> Result<ast::Document, Refused> {
    let mut parser = Parser::new()
        .recursion_limit(MAX_NESTING)
        .token_limit(MAX_TOKENS);
    // Only the first syntax error is reported; later ones are usually consequences.
    let parsed = parser.parse_ast(without_commas(text), "document");
    let parsed = parsed.map_err(|failed| {
        let mut errors = report(failed.errors.iter().take(1), source, CODE_PARSE_FAILED);
        for error in &mut errors {
            if error.locations.is_empty() {
                // A token is missing at the end of the text.
                error.locations.push(source.locate(text.len()));
            }
        }
        Refused {
            errors,
            is_past_limits: parser.recursion_reached() >= MAX_NESTING
                || parser.tokens_reached() >= MAX_TOKENS,
        }
    })?;
    grammar::check(text).map_err(|fault| {
        let error = GraphQLError::of_document(format!("Syntax Error: {}", fault.problem));
        let error = error.with_code(CODE_PARSE_FAILED);
        Refused {
            errors: vec![error.with_locations(vec![source.locate(fault.at)])],
            is_past_limits: false,
        }
    })?;
    Ok(parsed)
}

/// Returns the text with a blank in place of each comma. The compiler's parser refuses some commas,
/// which have no meaning (specification, section 2.1.7).
fn without_commas(text: &str) -> Cow<'_, str> {
    if !text.contains(',') {
        return Cow::Borrowed(text);
    }
    let mut changed = text.to_owned();
    for token in Lexer::new(text).filter_map(Result::ok) {
        if token.kind() == TokenKind::Comma {
            let at = token.index();
            changed.replace_range(at..=at, " ");
        }
    }
    Cow::Owned(changed)
}
