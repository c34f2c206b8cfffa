//! One document of a client: parsed, within the limits, valid, and its plans.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use apollo_compiler::ast::OperationType;
use apollo_compiler::executable::{ExecutableDocument, Operation as Definition};
use apollo_compiler::parser::{Parser, SourceSpan};
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Node};
use lru::LruCache;
use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::JsonMap;
use crate::coercion::{coerce_arguments, coerce_variables};
use crate::collect::{Collected, Collector, condition_variables};
use crate::compile::Compiler;
use crate::diagnostics::{self, report};
use crate::error::{
    CODE_BAD_USER_INPUT, CODE_OPERATION_RESOLUTION_FAILED, CODE_PARSE_FAILED,
    CODE_VALIDATION_FAILED, GraphQLError, Location, PathSegment, request_error,
};
use crate::introspection::QueryOperation;
use crate::limits::{self, DocumentLimits, MAX_DOCUMENT_BYTES, MAX_NESTING, MAX_TOKENS};
use crate::operation::{Operation, OperationKind, SubscriptionOperation};
use crate::plan::Plan;
use crate::rules;
use crate::schema::Schema;
use crate::source::Source;

/// Plans of one document that are kept (count): one for each operation and each combination of
/// its `@skip` and `@include` variables. Past it the one used longest ago is compiled anew.
const PLANS_KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// A valid document.
#[derive(Debug)]
pub struct Document {
    schema: Arc<Schema>,
    text: Box<str>,
    source: Source,
    executable: Valid<ExecutableDocument>,
    /// By operation: the variables that its `@skip` and `@include` depend on.
    conditions: HashMap<Option<Name>, Vec<Name>>,
    plans: Mutex<LruCache<PlanKey, Arc<Plan>>>,
}

/// Operation name, and the values of the variables that its `@skip` and `@include` depend on.
type PlanKey = (Option<Name>, Vec<Option<bool>>);

impl Document {
    /// Parses and validates a document.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with places and `extensions.code`.
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
        limits::check_tokens(text, limits)?;
        let source = Source::new(text);
        let mut parser = Parser::new()
            .recursion_limit(MAX_NESTING)
            .token_limit(MAX_TOKENS);
        // The first syntax error says what is wrong; those after it follow from it.
        let ast = parser.parse_ast(text, "document").map_err(|failed| {
            let mut errors = report(failed.errors.iter().take(1), &source, CODE_PARSE_FAILED);
            for error in &mut errors {
                if error.locations.is_empty() {
                    // Something is missing at the end.
                    error.locations.push(source.locate(text.len()));
                }
            }
            errors
        })?;
        limits::check(&ast, limits, &source)?;
        let executable = match ast.to_executable_validate(schema.compiled()) {
            Ok(executable) => {
                let errors = rules::recheck(&schema, &ast, text, &source);
                if !errors.is_empty() {
                    return Err(errors);
                }
                executable
            }
            Err(failed) => {
                let mut errors = rules::explain(&schema, &ast, text, &source);
                if errors.is_empty() {
                    let reported = failed.errors.iter().filter(diagnostics::is_reported);
                    errors = report(reported, &source, CODE_VALIDATION_FAILED);
                }
                if !errors.is_empty() {
                    return Err(errors);
                }
                Valid::assume_valid(failed.partial)
            }
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
            plans: Mutex::new(LruCache::new(PLANS_KEPT)),
        })
    }

    /// Whether a text is within the limits, whatever a schema says of it. What has no syntax has
    /// neither depth nor fields.
    pub(crate) fn is_within(limits: DocumentLimits, text: &str) -> bool {
        if text.len() > MAX_DOCUMENT_BYTES || limits::check_tokens(text, limits).is_err() {
            return false;
        }
        let mut parser = Parser::new()
            .recursion_limit(MAX_NESTING)
            .token_limit(MAX_TOKENS);
        match parser.parse_ast(text, "document") {
            Ok(ast) => limits::check(&ast, limits, &Source::new(text)).is_ok(),
            Err(_) => {
                parser.recursion_reached() < MAX_NESTING && parser.tokens_reached() < MAX_TOKENS
            }
        }
    }

    /// Chooses the operation, coerces variables and arguments, and finds the plan.
    ///
    /// # Errors
    ///
    /// The request errors of the specification, section 7.1.2.
    pub fn operation(
        self: &Arc<Self>,
        name: Option<&str>,
        variables: JsonMap,
    ) -> Result<Operation, Vec<GraphQLError>> {
        let definition = self.select(name)?;
        if definition.operation_type == OperationType::Mutation {
            return Ok(Operation::Mutation);
        }
        let variables = coerce_variables(&self.schema, definition, variables, &self.source)?;
        if definition.operation_type == OperationType::Query {
            self.check_conditions(definition, &variables)?;
        }
        match definition.operation_type {
            OperationType::Subscription => self
                .subscription(definition, &variables)
                .map(Operation::Subscription),
            _ => QueryOperation::new(self.clone(), definition.clone(), variables)
                .map(Operation::Query),
        }
    }

    /// The kind of the operation of this name; `None` when there is no such operation.
    #[must_use]
    pub fn kind(&self, name: Option<&str>) -> Option<OperationKind> {
        let definition = self.select(name).ok()?;
        Some(match definition.operation_type {
            OperationType::Query => OperationKind::Query,
            OperationType::Mutation => OperationKind::Mutation,
            OperationType::Subscription => OperationKind::Subscription,
        })
    }

    /// Whether the operation of this name asks for the schema, which takes long to describe.
    #[must_use]
    pub fn describes_schema(&self, name: Option<&str>) -> bool {
        let Ok(definition) = self.select(name) else {
            return false;
        };
        let mut fields = definition.root_fields(&self.executable);
        definition.operation_type == OperationType::Query
            && fields.any(|field| field.name == "__schema" || field.name == "__type")
    }

    /// The name of the operation that a request with this `operationName` asks for.
    #[must_use]
    pub fn operation_name(&self, name: Option<&str>) -> Option<&str> {
        self.select(name).ok()?.name.as_deref()
    }

    /// Whether that operation declares a variable of this name.
    #[must_use]
    pub fn declares(&self, name: Option<&str>, variable: &str) -> bool {
        let declared = |definition: &Node<Definition>| {
            let mut variables = definition.variables.iter();
            variables.any(|known| known.name == variable)
        };
        self.select(name).is_ok_and(declared)
    }

    /// Its text.
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

    /// GetOperation() of the specification.
    fn select(&self, name: Option<&str>) -> Result<&Node<Definition>, Vec<GraphQLError>> {
        let operations = &self.executable.operations;
        let mut all = operations.iter();
        let found = match name {
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
        found.map_err(|message| request_error(message, CODE_OPERATION_RESOLUTION_FAILED))
    }

    fn conditions(&self, definition: &Definition) -> &[Name] {
        self.conditions
            .get(&definition.name)
            .map_or(&[], Vec::as_slice)
    }

    /// A variable of `@skip` or `@include` may be declared nullable if it has a default, and be
    /// null all the same.
    fn check_conditions(
        &self,
        definition: &Definition,
        variables: &JsonMap,
    ) -> Result<(), Vec<GraphQLError>> {
        for name in self.conditions(definition) {
            if variables.get(name.as_str()).is_some_and(Json::is_null) {
                return Err(request_error(
                    format!(
                        "Variable \"${name}\" decides about @skip or @include and must not be null."
                    ),
                    CODE_BAD_USER_INPUT,
                ));
            }
        }
        Ok(())
    }

    fn subscription(
        &self,
        definition: &Node<Definition>,
        variables: &JsonMap,
    ) -> Result<SubscriptionOperation, Vec<GraphQLError>> {
        let root_type = definition.object_type();
        let collector = self.collector(variables);
        let collected = collector
            .collect(root_type, [&definition.selection_set])
            .map_err(|error| {
                vec![self.refuse(error.message, CODE_BAD_USER_INPUT, [error.place])]
            })?;
        self.check_root_fields(definition, &collected)?;
        let first = collected.first();
        let Some((response_key, nodes, field)) =
            first.and_then(|(key, nodes)| Some((key, nodes, nodes.first()?)))
        else {
            let message =
                "The subscription selects no field: all are left out by @skip or @include.";
            let place = definition.location();
            return Err(vec![self.refuse(message, CODE_VALIDATION_FAILED, [place])]);
        };
        let (arguments, left_out) =
            coerce_arguments(&self.schema, field, variables).map_err(|(message, place)| {
                let places = [place.or_else(|| field.location())];
                let error = self.refuse(message, CODE_BAD_USER_INPUT, places);
                vec![error.with_path(vec![PathSegment::Key((*response_key).into())])]
            })?;
        let conditions = self.conditions(definition);
        let values = conditions
            .iter()
            .map(|name| variables.get(name.as_str())?.as_bool());
        let key: PlanKey = (definition.name.clone(), values.collect());
        let kept = self.plans.lock().get(&key).cloned();
        let plan = match kept {
            Some(plan) => plan,
            None => {
                let compiler = Compiler::new(collector, &self.source);
                let plan = Arc::new(compiler.compile(root_type, response_key, nodes)?);
                self.plans.lock().put(key, plan.clone());
                plan
            }
        };
        Ok(SubscriptionOperation {
            name: definition.name.as_ref().map(|name| name.as_str().into()),
            field_name: field.name.as_str().into(),
            response_key: (*response_key).into(),
            arguments,
            left_out: left_out.iter().map(|name| name.as_str().into()).collect(),
            plan,
        })
    }

    /// A subscription has one root field, which is none of introspection.
    fn check_root_fields(
        &self,
        definition: &Definition,
        collected: &Collected<'_>,
    ) -> Result<(), Vec<GraphQLError>> {
        let fields: Vec<_> = collected
            .values()
            .map(|nodes| {
                let name = nodes.first().map_or("", |node| node.name.as_str());
                (name, nodes.iter().map(|node| node.location()).collect())
            })
            .collect();
        let errors: Vec<_> = rules::root_field_errors(definition.name.as_deref(), &fields)
            .into_iter()
            .map(|(message, places)| self.refuse(message, CODE_VALIDATION_FAILED, places))
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn refuse(
        &self,
        message: impl Into<String>,
        code: &str,
        places: impl IntoIterator<Item = Option<SourceSpan>>,
    ) -> GraphQLError {
        let places = places.into_iter().flatten().map(|span| self.locate(span));
        let error = GraphQLError::new(message).with_code(code);
        error.with_locations(places.collect::<Vec<_>>())
    }
}
