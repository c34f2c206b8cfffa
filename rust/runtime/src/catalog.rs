//! What a manager serves: its schema, its documents, its definitions.
//!
//! Immutable but for the document cache, and shared by all threads. Outlives a restart.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use graphql::{
    Document, DocumentCache, DocumentLimits, DocumentReference, GraphQLError, JsonMap, Operation,
    Schema, SubscriptionOperation, TrustedDocuments,
};
use hashbrown::HashMap;
use protocol::{OperationKind, Request};
use serde_json::Value;

use crate::config::DOCUMENT_CACHE_CAPACITY;
use crate::definition::{Definition, ResolverKind};
use crate::error::DefinitionError;
use crate::index::Route;

/// The subscriptions that are served, and the documents that ask for them.
pub struct Catalog {
    documents: DocumentCache,
    definitions: HashMap<String, Arc<Definition>>,
    /// Answers what no definition serves: queries, mutations, other subscriptions.
    delegate: Option<Arc<Definition>>,
}

/// What a client asked for.
pub enum Prepared {
    /// Something to run.
    Operation(Box<PreparedOperation>),
    /// The whole response to a query.
    Response(Bytes),
}

/// What is to be done about a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Its operation may run.
    Valid,
    /// It is refused, by the host's executor, whose errors they are.
    JudgedElsewhere,
}

/// An operation that is ready to run.
#[derive(Debug)]
pub struct PreparedOperation {
    /// What was declared, or the host's executor.
    pub definition: Arc<Definition>,
    /// What was asked; `None` for a query or mutation, which only the host's executor knows.
    pub operation: Option<SubscriptionOperation>,
    /// Where its events are found; `None` for a source stream or the host's executor.
    pub route: Option<Route>,
    /// What the host's executor is asked, a JSON object:
    ///
    /// - `type`, `query`, `variables`, `operationName`, `extensions`: the request;
    /// - `name`: that of the operation;
    /// - `errors`: why the document is refused, if it is;
    /// - `introspection`: our answer, where the executor does not know the whole schema.
    pub delegated: Option<JsonMap>,
    /// Whether nothing but the schema can be read by it, or nothing at all: no rule about data
    /// has to be asked.
    pub tells_no_data: bool,
}

impl Catalog {
    /// Checks the definitions against the schema.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] when a definition does not fit the schema.
    pub fn new(
        schema: Schema,
        definitions: Vec<Definition>,
        limits: DocumentLimits,
        trusted: Option<TrustedDocuments>,
    ) -> Result<Self, DefinitionError> {
        let mut by_field = HashMap::new();
        let mut delegate = None;
        for mut definition in definitions {
            if definition.kind == ResolverKind::Delegate {
                delegate = Some(Arc::new(definition));
                continue;
            }
            definition.check(&schema)?;
            let field = definition.field.clone();
            if by_field
                .insert(field.clone(), Arc::new(definition))
                .is_some()
            {
                return Err(DefinitionError::Duplicate(field));
            }
        }
        let capacity = NonZeroUsize::new(DOCUMENT_CACHE_CAPACITY).unwrap_or(NonZeroUsize::MIN);
        let mut documents = DocumentCache::new(schema, limits, capacity);
        if let Some(trusted) = trusted {
            documents = documents.with_trusted(trusted);
        }
        Ok(Self {
            documents,
            definitions: by_field,
            delegate,
        })
    }

    pub(crate) fn documents(&self) -> &DocumentCache {
        &self.documents
    }

    pub(crate) fn definitions(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.values()
    }

    /// Whether anything of the host sees who asks: passthrough fields have no function.
    pub(crate) fn has_functions(&self) -> bool {
        let is_function = |definition: &Definition| {
            definition.kind != ResolverKind::Passthrough || definition.has_initial
        };
        self.delegate.is_some() || self.definitions().any(|found| is_function(found))
    }

    /// What kind of operation is asked for; `None` when [`Self::prepare`] would refuse it.
    #[must_use]
    pub fn kind(&self, request: &Request) -> Option<OperationKind> {
        let document = self.document(request).ok()?;
        let kind = document.kind(request.operation_name.as_deref())?;
        Some(match kind {
            graphql::OperationKind::Query => OperationKind::Query,
            graphql::OperationKind::Mutation => OperationKind::Mutation,
            graphql::OperationKind::Subscription => OperationKind::Subscription,
        })
    }

    /// Whether [`Self::prepare`] would describe the schema, which takes it long.
    #[must_use]
    pub(crate) fn describes_schema(&self, request: &Request) -> bool {
        // Spares the look-up of most documents.
        let may_describe = |text: &str| text.is_empty() || text.contains("__");
        request.query.as_deref().is_none_or(may_describe)
            && self
                .document(request)
                .is_ok_and(|found| found.describes_schema(request.operation_name.as_deref()))
    }

    /// Whether the document is valid and has the operation that is asked for.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, request: &Request) -> Result<Checked, Vec<GraphQLError>> {
        let name = request.operation_name.as_deref();
        let document = match self.document(request) {
            Ok(document) => document,
            Err(errors) => {
                let judged = self.judged_elsewhere(request, errors);
                return judged.map(|_| Checked::JudgedElsewhere);
            }
        };
        match document.kind(name) {
            Some(_) => Ok(Checked::Valid),
            None if self.delegate.is_some() => Ok(Checked::JudgedElsewhere),
            None => {
                let operation = document.operation(name, &request.variables);
                operation.map(|_| Checked::Valid)
            }
        }
    }

    fn document(&self, request: &Request) -> Result<Arc<Document>, Vec<GraphQLError>> {
        self.documents.find(reference(request))
    }

    /// What the host's executor is asked about a document that is refused here: it has errors and
    /// hooks of its own. It runs nothing. Documents past the limits do not reach it.
    fn judged_elsewhere(
        &self,
        request: &Request,
        errors: Vec<GraphQLError>,
    ) -> Result<Prepared, Vec<GraphQLError>> {
        if self.delegate.is_none() {
            return Err(errors);
        }
        match self.documents.judged_by_schema(reference(request)) {
            Some(text) => self.refused(&text, request, errors),
            None => Err(errors),
        }
    }

    fn refused(
        &self,
        text: &str,
        request: &Request,
        errors: Vec<GraphQLError>,
    ) -> Result<Prepared, Vec<GraphQLError>> {
        let name = request.operation_name.as_deref();
        let mut asked = delegated_request("refused", text, name, request);
        let told = serde_json::from_slice(&graphql::errors_to_json(&errors)).unwrap_or_default();
        asked.insert("errors".to_owned(), told);
        self.delegated(asked, None, true).ok_or(errors)
    }

    fn delegated(
        &self,
        asked: JsonMap,
        operation: Option<SubscriptionOperation>,
        tells_no_data: bool,
    ) -> Option<Prepared> {
        Some(Prepared::Operation(Box::new(PreparedOperation {
            definition: self.delegate.clone()?,
            operation,
            route: None,
            delegated: Some(asked),
            tells_no_data,
        })))
    }

    /// What the host's executor is asked; `None` without one.
    fn delegated_query(
        &self,
        document: &Arc<Document>,
        request: &Request,
    ) -> Result<Option<Prepared>, Vec<GraphQLError>> {
        let Some(delegate) = &self.delegate else {
            return Ok(None);
        };
        let name = request.operation_name.as_deref();
        let mut asked = delegated_request(
            "query",
            document.text(),
            document.operation_name(name),
            request,
        );
        let is_introspection = match document.operation(name, &request.variables) {
            Ok(Operation::Query(query)) if query.is_introspection() => {
                if delegate.is_partial {
                    let answer = serde_json::from_slice(&query.execute()).unwrap_or_default();
                    asked.insert("introspection".to_owned(), answer);
                }
                true
            }
            // Variables are the executor's to judge.
            Err(errors) if !is_of_variables(&errors) => return Err(errors),
            Ok(_) | Err(_) => false,
        };
        Ok(self.delegated(asked, None, is_introspection))
    }

    /// Validates a request, coerces its variables and finds what serves it.
    ///
    /// # Errors
    ///
    /// The request errors of the GraphQL specification, section 7.1.2; nothing was started.
    pub fn prepare(&self, request: &Request) -> Result<Prepared, Vec<GraphQLError>> {
        let document = match self.document(request) {
            Ok(document) => document,
            Err(errors) => return self.judged_elsewhere(request, errors),
        };
        let name = request.operation_name.as_deref();
        if document.kind(name) == Some(graphql::OperationKind::Query)
            && let Some(prepared) = self.delegated_query(&document, request)?
        {
            return Ok(prepared);
        }
        let operation = match document.operation(name, &request.variables) {
            Ok(operation) => operation,
            Err(errors) if self.delegate.is_some() => {
                return self.refused(document.text(), request, errors);
            }
            Err(errors) => return Err(errors),
        };
        let operation = match operation {
            Operation::Subscription(operation) => operation,
            Operation::Query(query) => return Ok(Prepared::Response(query.execute().into())),
            Operation::Mutation => {
                let asked = delegated_request(
                    "mutation",
                    document.text(),
                    document.operation_name(name),
                    request,
                );
                return self.delegated(asked, None, false).ok_or_else(|| {
                    vec![GraphQLError::new(
                        "mutations are not served here: send them to your GraphQL server",
                    )]
                });
            }
        };
        let Some(definition) = self.definitions.get(&*operation.field_name) else {
            let field = operation.field_name.clone();
            let asked = delegated_request(
                "subscription",
                document.text(),
                document.operation_name(name),
                request,
            );
            return self.delegated(asked, Some(operation), false).ok_or_else(|| {
                vec![GraphQLError::new(format!(
                    "no resolver serves `Subscription.{field}`: declare one with @subscription or passthrough"
                ))]
            });
        };
        let route = definition
            .route(&operation)
            .map_err(|error| vec![GraphQLError::new(error.to_string())])?;
        Ok(Prepared::Operation(Box::new(PreparedOperation {
            definition: definition.clone(),
            operation: Some(operation),
            route,
            delegated: None,
            tells_no_data: false,
        })))
    }
}

fn reference(request: &Request) -> DocumentReference<'_> {
    DocumentReference {
        // Clients of automatic persisted queries send an empty text with their hash.
        text: request.query.as_deref().filter(|text| !text.is_empty()),
        sha256: request.sha256(),
        id: request.document_id.as_deref(),
    }
}

fn is_of_variables(errors: &[GraphQLError]) -> bool {
    let is_of_variables = |error: &GraphQLError| {
        error.extensions.get("code").and_then(Value::as_str) == Some(graphql::CODE_BAD_USER_INPUT)
    };
    errors.iter().all(is_of_variables)
}

fn delegated_request(kind: &str, text: &str, name: Option<&str>, request: &Request) -> JsonMap {
    let variables = Value::Object(request.variables.clone());
    let asked_for = request.operation_name.as_deref();
    [
        ("type", Value::from(kind)),
        ("query", Value::from(text)),
        ("variables", variables),
        ("operationName", Value::from(asked_for)),
        ("name", Value::from(name)),
        ("extensions", Value::Object(request.extensions.clone())),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect()
}
