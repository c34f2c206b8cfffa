//! One document of a client: parsed, within the limits, valid, and its plans.

mod cache;
mod diagnostics;
mod grammar;
mod introspection;
mod kept;
mod operation;
mod plan_cache;
mod reference;
mod summary;
pub(crate) mod syntax;
mod weight;

use std::collections::HashMap;
use std::sync::Arc;

use apollo_compiler::ast::OperationType;
use apollo_compiler::executable::{ExecutableDocument, Operation as Definition};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Node};

use crate::JsonMap;
use crate::error::{
    CODE_OPERATION_RESOLUTION_FAILED, CODE_VALIDATION_FAILED, GraphQLError, Location, request_error,
};
use crate::limits::{self, DocumentLimits, MAX_DOCUMENT_BYTES};
use crate::plan::{Collector, condition_variables};
use crate::reader;
use crate::rules;
use crate::schema::Schema;
use crate::source::Source;

use diagnostics::report;
use plan_cache::{DocumentId, PlanCache};

pub use cache::DocumentCache;
pub use introspection::QueryOperation;
pub use operation::{Operation, SubscriptionOperation};
pub use reference::{
    CODE_DOCUMENT_NOT_TRUSTED, CODE_PERSISTED_QUERY_NOT_FOUND, DocumentReference, TrustedDocuments,
};
pub use summary::{DocumentSummary, OperationSummary};

/// A valid document.
#[derive(Debug)]
pub struct Document {
    schema: Arc<Schema>,
    text: Arc<str>,
    source: Source,
    executable: Valid<ExecutableDocument>,
    /// The variables of `@skip` and `@include`, by operation.
    conditions: HashMap<Option<Name>, Vec<Name>>,
    id: DocumentId,
    plans: Arc<PlanCache>,
}

/// The kinds of operations of the specification, section 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// A query.
    Query,
    /// A mutation.
    Mutation,
    /// A subscription.
    Subscription,
}

impl From<OperationType> for OperationKind {
    fn from(operation_type: OperationType) -> Self {
        match operation_type {
            OperationType::Query => Self::Query,
            OperationType::Mutation => Self::Mutation,
            OperationType::Subscription => Self::Subscription,
        }
    }
}

impl Document {
    /// Parses and validates a document.
    ///
    /// # Errors
    ///
    /// The errors of the document, with locations and `extensions.code`.
    pub fn parse(
        schema: Arc<Schema>,
        limits: DocumentLimits,
        text: &str,
    ) -> Result<Self, Vec<GraphQLError>> {
        if text.len() > MAX_DOCUMENT_BYTES {
            let message = format!(
                "the document has {} bytes, over the limit of {MAX_DOCUMENT_BYTES}",
                text.len()
            );
            return Err(request_error(message, CODE_VALIDATION_FAILED));
        }
        let source = Source::new(text);
        let executable = match accept(&schema, limits, text, &source) {
            Some(executable) => {
                debug_assert!(judge(&schema, limits, text, &source).is_ok(), "{text:?}");
                executable
            }
            None => judge(&schema, limits, text, &source)?,
        };
        let conditions = executable.operations.iter().map(|operation| {
            let selections = &operation.selection_set;
            let variables = condition_variables(selections, &executable.fragments);
            (operation.name.clone(), variables)
        });
        Ok(Self {
            conditions: conditions.collect(),
            schema,
            text: text.into(),
            source,
            executable,
            id: DocumentId::next(),
            plans: Arc::default(),
        })
    }

    /// Stores its plans in a cache that is shared with other documents.
    pub(crate) fn with_plans(mut self, plans: Arc<PlanCache>) -> Self {
        self.plans = plans;
        self
    }

    /// Whether a text is within the limits, independent of a schema. A text with syntax errors has
    /// no depth and no fields.
    pub(crate) fn is_within(limits: DocumentLimits, text: &str) -> bool {
        if text.len() > MAX_DOCUMENT_BYTES || limits::check_tokens(text, limits).is_err() {
            return false;
        }
        let source = Source::new(text);
        match syntax::parse(text, &source) {
            Ok(ast) => limits::check(&ast, limits, &source).is_ok(),
            Err(refused) => !refused.is_past_limits,
        }
    }

    /// Returns the kind of the operation with this name; `None` if there is no such operation.
    #[must_use]
    pub fn kind(&self, name: Option<&str>) -> Option<OperationKind> {
        Some(self.select(name).ok()?.operation_type.into())
    }

    /// Whether the operation with this name is an introspection query, which takes long to answer.
    #[must_use]
    pub fn describes_schema(&self, name: Option<&str>) -> bool {
        let Ok(definition) = self.select(name) else {
            return false;
        };
        let mut fields = definition.root_fields(&self.executable);
        definition.operation_type == OperationType::Query
            && fields.any(|field| field.name == "__schema" || field.name == "__type")
    }

    /// Returns the name of the operation that a request with this `operationName` selects.
    #[must_use]
    pub fn operation_name(&self, name: Option<&str>) -> Option<&str> {
        self.select(name).ok()?.name.as_deref()
    }

    /// Whether that operation declares a variable with this name.
    #[must_use]
    pub fn declares(&self, name: Option<&str>, variable: &str) -> bool {
        let declared = |definition: &Node<Definition>| {
            let mut variables = definition.variables.iter();
            variables.any(|known| known.name == variable)
        };
        self.select(name).is_ok_and(declared)
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn executable(&self) -> &Valid<ExecutableDocument> {
        &self.executable
    }

    pub(crate) fn locate(&self, span: SourceSpan) -> Location {
        self.source.locate(span.offset())
    }

    pub(crate) fn collector<'d>(&'d self, variables: &'d JsonMap) -> Collector<'d> {
        Collector {
            schema: &self.schema,
            fragments: &self.executable.fragments,
            variables,
        }
    }

    /// `GetOperation()` of the specification.
    fn select(&self, name: Option<&str>) -> Result<&Node<Definition>, Vec<GraphQLError>> {
        let operations = &self.executable.operations;
        let mut all = operations.iter();
        let operation = match name {
            Some(name) => operations
                .named
                .get(name)
                .ok_or_else(|| format!("Unknown operation named {name:?}.")),
            None => match (all.next(), all.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err("Must provide an operation.".to_owned()),
                _ => Err(
                    "Must provide operation name if query contains multiple operations.".to_owned(),
                ),
            },
        };
        operation.map_err(|message| request_error(message, CODE_OPERATION_RESOLUTION_FAILED))
    }
}

/// Returns a usual valid document at a small cost; `None`: [`judge`] has to decide.
fn accept(
    schema: &Schema,
    limits: DocumentLimits,
    text: &str,
    source: &Source,
) -> Option<Valid<ExecutableDocument>> {
    let ast = reader::read(text, limits::most_tokens(limits))?;
    limits::check(&ast, limits, source).ok()?;
    if !rules::accept(schema, &ast, text, source) {
        return None;
    }
    let executable = ast.to_executable(schema.compiled()).ok()?;
    Some(Valid::assume_valid(executable))
}

/// Returns a document that the compiler and the rules accept.
fn judge(
    schema: &Schema,
    limits: DocumentLimits,
    text: &str,
    source: &Source,
) -> Result<Valid<ExecutableDocument>, Vec<GraphQLError>> {
    limits::check_tokens(text, limits)?;
    let ast = syntax::parse(text, source).map_err(|refused| refused.errors)?;
    limits::check(&ast, limits, source)?;
    match ast.to_executable_validate(schema.compiled()) {
        Ok(executable) => {
            let errors = rules::recheck(schema, &ast, text, source);
            if !errors.is_empty() {
                return Err(errors);
            }
            Ok(executable)
        }
        Err(failed) => {
            let mut errors = rules::explain(schema, &ast, text, source);
            if errors.is_empty() {
                let reported = failed.errors.iter().filter(diagnostics::is_reported);
                errors = report(reported, source, CODE_VALIDATION_FAILED);
            }
            if !errors.is_empty() {
                return Err(errors);
            }
            Ok(Valid::assume_valid(failed.partial))
        }
    }
}
