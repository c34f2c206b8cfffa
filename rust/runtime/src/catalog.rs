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

/// An operation that is ready to run.
#[derive(Debug)]
pub struct PreparedOperation {
    /// What was declared, or the host's executor.
    pub definition: Arc<Definition>,
    /// What was asked; `None` for a query or mutation, which only the host's executor knows.
    pub operation: Option<SubscriptionOperation>,
    /// Where its events are found; `None` for a source stream or the host's executor.
    pub route: Option<Route>,
    /// What the host's executor is asked, as JSON: `type`, `query`, `variables`, `operationName`.
    pub delegated: Option<JsonMap>,
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
        for definition in definitions {
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

    /// Whether the schema has this argument on a subscription field.
    #[must_use]
    pub fn has_argument(&self, field: &str, argument: &str) -> bool {
        let signature = self.documents.schema().subscription_field(field);
        signature.is_some_and(|field| field.arguments.iter().any(|a| *a.name == *argument))
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

    /// Whether the document is valid and has the operation that is asked for.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, request: &Request) -> Result<(), Vec<GraphQLError>> {
        let document = self.document(request)?;
        let name = request.operation_name.as_deref();
        match document.kind(name) {
            Some(_) => Ok(()),
            None => document.operation(name, &request.variables).map(drop),
        }
    }

    fn document(&self, request: &Request) -> Result<Arc<Document>, Vec<GraphQLError>> {
        self.documents.find(DocumentReference {
            // Clients of automatic persisted queries send an empty text with their hash.
            text: request.query.as_deref().filter(|text| !text.is_empty()),
            sha256: request.sha256(),
            id: request.document_id.as_deref(),
        })
    }

    /// Validates a request, coerces its variables and finds what serves it.
    ///
    /// # Errors
    ///
    /// The request errors of the GraphQL specification, section 7.1.2; nothing was started.
    pub fn prepare(&self, request: &Request) -> Result<Prepared, Vec<GraphQLError>> {
        let document = self.document(request)?;
        let delegated = |kind: &str, operation: Option<SubscriptionOperation>| {
            let definition = self.delegate.clone()?;
            Some(Prepared::Operation(Box::new(PreparedOperation {
                definition,
                operation,
                route: None,
                delegated: Some(delegated_request(kind, document.text(), request)),
            })))
        };
        let operation =
            document.operation(request.operation_name.as_deref(), &request.variables)?;
        let operation = match operation {
            Operation::Subscription(operation) => operation,
            Operation::Query(query) if query.is_introspection() => {
                return Ok(Prepared::Response(query.execute().into()));
            }
            Operation::Query(query) => {
                let answer = || Prepared::Response(query.execute().into());
                return Ok(delegated("query", None).unwrap_or_else(answer));
            }
            Operation::Mutation => {
                return delegated("mutation", None).ok_or_else(|| {
                    vec![GraphQLError::new(
                        "mutations are not served here: send them to your GraphQL server",
                    )]
                });
            }
        };
        let Some(definition) = self.definitions.get(&*operation.field_name) else {
            let field = operation.field_name.clone();
            return delegated("subscription", Some(operation)).ok_or_else(|| {
                vec![GraphQLError::new(format!(
                    "no resolver serves `Subscription.{field}`: declare one with @subscription or passthrough"
                ))]
            });
        };
        let route = definition
            .route(&operation.arguments)
            .map_err(|error| vec![GraphQLError::new(error.to_string())])?;
        Ok(Prepared::Operation(Box::new(PreparedOperation {
            definition: definition.clone(),
            operation: Some(operation),
            route,
            delegated: None,
        })))
    }
}

fn delegated_request(kind: &str, text: &str, request: &Request) -> JsonMap {
    let variables = Value::Object(request.variables.clone());
    let name = request.operation_name.as_deref();
    [
        ("type", Value::from(kind)),
        ("query", Value::from(text)),
        ("variables", variables),
        ("operationName", Value::from(name)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect()
}
