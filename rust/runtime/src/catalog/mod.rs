//! The catalog of a manager: its schema, its documents, its definitions.
//!
//! Immutable except for the document cache, and shared by all threads. It is kept across restarts.

mod channels;

mod definition;
mod filter;
mod prepared;
mod protection;
mod publish_notices;

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use graphql::{
    Document, DocumentCache, DocumentLimits, DocumentReference, DocumentSummary, GraphQLError,
    JsonMap, Operation, Plan, Schema, SubscriptionOperation, TrustedDocuments,
};
use hashbrown::{HashMap, HashSet};
use protocol::{JsonObject, OperationKind, Request};
use serde_json::Value;

use crate::config::{DOCUMENT_CACHE_CAPACITY, MAX_VARIABLES_BYTES, MAX_VARIABLES_FACTOR};
use crate::error::DefinitionError;
use crate::routing::Route;
use crate::timings::Selected;

pub use definition::{ChannelTemplate, Definition, Parameter, ResolverKind};
pub use filter::{Condition, FilterValue};
pub use prepared::PreparedRequest;
pub(crate) use publish_notices::{PublishNotices, TenantNotices};

/// The served subscriptions, and the documents of clients.
pub struct Catalog {
    documents: DocumentCache,
    definitions: HashMap<String, Arc<Definition>>,
    /// Serves operations without a definition: queries, mutations, other subscriptions.
    delegate: Option<Arc<Definition>>,
    /// Memory limit of the decoded variables of one request (bytes).
    max_variables_bytes: usize,
    /// By type: fields with resolvers or permissions that only the host's executor runs.
    guarded: HashMap<String, HashSet<String>>,
}

/// The plan for a request.
pub enum Planned {
    /// An operation to run.
    Operation(Box<PlannedOperation>),
    /// The whole response to a query.
    Response(Bytes),
}

/// The result of checking a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Its operation may run.
    Valid,
    /// The host's executor refuses it, with its own errors.
    JudgedElsewhere,
}

/// An operation that is ready to run.
#[derive(Debug)]
pub struct PlannedOperation {
    /// The declared definition, or the host's executor.
    pub definition: Arc<Definition>,
    /// The subscription; `None` for a query or mutation, which only the host's executor knows. Its
    /// arguments were moved to [`Self::arguments`].
    pub operation: Option<SubscriptionOperation>,
    /// The coerced arguments, as text.
    pub arguments: JsonObject,
    /// What it is; `None`: its document was refused, so this is not known.
    pub kind: Option<OperationKind>,
    /// Name of the operation in the document.
    pub name: Option<Arc<str>>,
    /// The route of its events; `None` for a source stream or the host's executor.
    pub route: Option<Route>,
    /// The request for the host's executor, a JSON object:
    ///
    /// - `type`, `query`, `variables`, `operationName`, `extensions`: the request;
    /// - `name`: the name of the operation;
    /// - `errors`: why the document is refused, if it is;
    /// - `introspection`: our introspection result, if the executor does not know the whole schema.
    pub delegated: Option<JsonObject>,
    /// Whether it returns only introspection results or no data, so that no rule about data has to
    /// be checked.
    pub tells_no_data: bool,
}

impl PlannedOperation {
    /// Returns the memory that it keeps for its request while it runs (bytes, estimated).
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let given = self.delegated.as_ref().unwrap_or(&self.arguments);
        let text = given.kept_bytes();
        let has_function =
            self.definition.kind != ResolverKind::Passthrough || self.definition.has_initial;
        let given = if has_function {
            // The host converts it to objects, and the text is dropped.
            text.max(given.footprint().objects)
        } else {
            text
        };
        let route = self.route.as_ref().map_or(0, Route::kept_bytes);
        let plan = self
            .operation
            .as_ref()
            .map_or(0, |operation| operation.plan.bytes());
        plan + given + route + self.name.as_deref().map_or(0, str::len)
    }
}

impl Catalog {
    /// Checks the definitions against the schema.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] if a definition does not fit the schema.
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
            max_variables_bytes: MAX_VARIABLES_BYTES,
            guarded: HashMap::new(),
        })
    }

    /// Refuses operations of declared subscriptions that select these fields, by type and field,
    /// because only the host's executor runs their resolvers or permissions.
    #[must_use]
    pub fn with_guarded(mut self, fields: impl IntoIterator<Item = (String, String)>) -> Self {
        for (type_name, field) in fields {
            self.guarded.entry(type_name).or_default().insert(field);
        }
        self
    }

    fn check_guarded(&self, plan: &Plan) -> Result<(), Vec<GraphQLError>> {
        if self.guarded.is_empty() {
            return Ok(());
        }
        let is_guarded = |type_name: &str, field: &str| {
            let fields = self.guarded.get(type_name);
            fields.is_some_and(|fields| fields.contains(field))
        };
        let mut errors = plan.denied_fields(&is_guarded);
        for error in &mut errors {
            error.message = format!(
                "{}: its resolver or permissions in the given schema are not run for a declared subscription",
                error.message
            );
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Sets the memory limit of variables from the largest message that clients may send.
    #[must_use]
    pub fn with_max_message_bytes(mut self, limit: usize) -> Self {
        let bytes = limit.saturating_mul(MAX_VARIABLES_FACTOR);
        self.max_variables_bytes = bytes.max(MAX_VARIABLES_BYTES);
        self
    }

    /// Returns the ids of trusted documents that would be refused, each with its errors.
    #[must_use]
    pub fn refused_trusted(&self) -> Vec<(&str, Vec<GraphQLError>)> {
        self.documents.refused_trusted()
    }

    /// Checks a document as that of a client, also where only trusted documents are served, and
    /// returns what it asks for.
    ///
    /// # Errors
    ///
    /// The errors of the document.
    pub fn summarize(&self, document: &str) -> Result<DocumentSummary, Vec<GraphQLError>> {
        Ok(self.documents.get(document)?.summary())
    }

    pub(crate) fn documents(&self) -> &DocumentCache {
        &self.documents
    }

    pub(crate) fn definitions(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.values()
    }

    /// Names of the fields, in the order of their declaration.
    pub(crate) fn fields(&self) -> Vec<String> {
        let mut definitions: Vec<_> = self.definitions().collect();
        definitions.sort_by_key(|definition| definition.index);
        let fields = definitions.into_iter();
        fields.map(|definition| definition.field.clone()).collect()
    }

    /// Whether the host has a function that receives the client.
    pub(crate) fn takes_clients(&self) -> bool {
        self.delegate.is_some() || self.definitions().any(|definition| definition.takes_client)
    }

    /// Returns the kind of the requested operation; `None` if [`Self::plan`] would refuse it.
    #[must_use]
    pub fn kind(&self, prepared: &PreparedRequest) -> Option<OperationKind> {
        let document = self.document(prepared).ok()?;
        let kind = document.kind(prepared.request.operation_name.as_deref())?;
        Some(match kind {
            graphql::OperationKind::Query => OperationKind::Query,
            graphql::OperationKind::Mutation => OperationKind::Mutation,
            graphql::OperationKind::Subscription => OperationKind::Subscription,
        })
    }

    /// Returns the kind and the name of the requested operation, as [`Self::kind`] does.
    #[must_use]
    pub(crate) fn selected(&self, prepared: &PreparedRequest) -> Option<Selected> {
        let kind = self.kind(prepared)?;
        let document = self.document(prepared).ok()?;
        let name = document.operation_name(prepared.request.operation_name.as_deref());
        let name = name.map(str::to_owned);
        Some(Selected { kind, name })
    }

    /// Whether [`Self::plan`] would run an introspection query, which takes long.
    #[must_use]
    pub(crate) fn describes_schema(&self, prepared: &PreparedRequest) -> bool {
        let request = &prepared.request;
        // Avoids the look-up for most documents.
        let may_describe = |text: &str| text.is_empty() || text.contains("__");
        request.query.as_deref().is_none_or(may_describe)
            && self
                .document(prepared)
                .is_ok_and(|document| document.describes_schema(request.operation_name.as_deref()))
    }

    /// Checks whether the document is valid and has the requested operation.
    ///
    /// # Errors
    ///
    /// The errors of the document.
    pub fn check(&self, prepared: &PreparedRequest) -> Result<Checked, Vec<GraphQLError>> {
        let request = &prepared.request;
        let name = request.operation_name.as_deref();
        let document = match self.document(prepared) {
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
                // It returns errors of the document before it reads variables.
                let operation = document.operation(name, JsonMap::new());
                operation.map(|_| Checked::Valid)
            }
        }
    }

    fn document(&self, prepared: &PreparedRequest) -> Result<Arc<Document>, Vec<GraphQLError>> {
        let find = || self.documents.find(reference(&prepared.request));
        prepared.document.get_or_init(find).clone()
    }

    /// Returns the request to the host's executor for a document that is refused here: the executor
    /// has its own errors and hooks, and does not run the document. Documents past the limits do
    /// not reach it.
    fn judged_elsewhere(
        &self,
        request: &Request,
        errors: Vec<GraphQLError>,
    ) -> Result<Planned, Vec<GraphQLError>> {
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
    ) -> Result<Planned, Vec<GraphQLError>> {
        let name = request.operation_name.as_deref();
        let errors_text = graphql::errors_to_json(&errors);
        let asked = delegated_request("refused", text, name, request, [("errors", &errors_text)])?;
        self.delegated(asked, None, name, None, true).ok_or(errors)
    }

    fn delegated(
        &self,
        asked: JsonObject,
        kind: Option<OperationKind>,
        name: Option<&str>,
        subscription: Option<(SubscriptionOperation, JsonObject)>,
        tells_no_data: bool,
    ) -> Option<Planned> {
        let (operation, arguments) = subscription.unzip();
        Some(Planned::Operation(Box::new(PlannedOperation {
            definition: self.delegate.clone()?,
            operation,
            arguments: arguments.unwrap_or_default(),
            kind,
            name: name.map(Into::into),
            route: None,
            delegated: Some(asked),
            tells_no_data,
        })))
    }

    /// Returns the request for the host's executor; `None` without one.
    fn delegated_query(
        &self,
        document: &Arc<Document>,
        request: &Request,
    ) -> Result<Option<Planned>, Vec<GraphQLError>> {
        let Some(delegate) = &self.delegate else {
            return Ok(None);
        };
        let name = request.operation_name.as_deref();
        let mut introspection = None;
        let is_introspection = match self.operation(document, request) {
            Ok(Operation::Query(query)) if query.is_introspection() => {
                introspection = delegate.is_partial.then(|| query.execute());
                true
            }
            // The executor checks the variables.
            Err(errors) if !is_of_variables(&errors) => return Err(errors),
            Ok(_) | Err(_) => false,
        };
        let introspection = introspection.iter().map(|answer| ("introspection", answer));
        let name = document.operation_name(name);
        let asked = delegated_request("query", document.text(), name, request, introspection)?;
        let kind = Some(OperationKind::Query);
        Ok(self.delegated(asked, kind, name, None, is_introspection))
    }

    /// Selects the operation and coerces its variables. Only declared variables are decoded, up to
    /// the memory limit.
    fn operation(
        &self,
        document: &Arc<Document>,
        request: &Request,
    ) -> Result<Operation, Vec<GraphQLError>> {
        let name = request.operation_name.as_deref();
        let is_declared = |variable: &str| document.declares(name, variable);
        let limit = self.max_variables_bytes;
        // Usually all variables together are within the limit, so that no further check is needed.
        if request.variables.footprint().tree > limit
            && request.variables.footprint_of(is_declared).tree > limit
        {
            let error = GraphQLError::new(format!(
                "the variables have too many values: they would take more than {limit} bytes of memory"
            ));
            return Err(vec![error.with_code(graphql::CODE_BAD_USER_INPUT)]);
        }
        document.operation(name, request.variables.select(is_declared))
    }

    /// Validates a request, coerces its variables and finds its definition.
    ///
    /// # Errors
    ///
    /// The request errors of the GraphQL specification, section 7.1.2; nothing was started.
    pub fn plan(&self, prepared: &PreparedRequest) -> Result<Planned, Vec<GraphQLError>> {
        let request = &prepared.request;
        let document = match self.document(prepared) {
            Ok(document) => document,
            Err(errors) => return self.judged_elsewhere(request, errors),
        };
        let name = request.operation_name.as_deref();
        if document.kind(name) == Some(graphql::OperationKind::Query)
            && let Some(planned) = self.delegated_query(&document, request)?
        {
            return Ok(planned);
        }
        let operation = match self.operation(&document, request) {
            Ok(operation) => operation,
            Err(errors) if self.delegate.is_some() => {
                return self.refused(document.text(), request, errors);
            }
            Err(errors) => return Err(errors),
        };
        let mut operation = match operation {
            Operation::Subscription(operation) => operation,
            Operation::Query(query) => return Ok(Planned::Response(query.execute().into())),
            Operation::Mutation => {
                let name = document.operation_name(name);
                let asked = delegated_request("mutation", document.text(), name, request, [])?;
                let kind = Some(OperationKind::Mutation);
                return self
                    .delegated(asked, kind, name, None, false)
                    .ok_or_else(|| {
                        vec![GraphQLError::new(
                            "mutations are not served here: send them to your GraphQL server",
                        )]
                    });
            }
        };
        let Some(definition) = self.definitions.get(&*operation.field_name) else {
            let field = operation.field_name.clone();
            let arguments = take_arguments(&mut operation)?;
            let name = document.operation_name(name);
            let asked = delegated_request("subscription", document.text(), name, request, [])?;
            let (kind, found) = (OperationKind::Subscription, (operation, arguments));
            let delegated = self.delegated(asked, Some(kind), name, Some(found), false);
            return delegated.ok_or_else(|| {
                vec![GraphQLError::new(format!(
                    "no resolver serves `Subscription.{field}`: declare one with @subscription or passthrough"
                ))]
            });
        };
        self.check_guarded(&operation.plan)?;
        let route = definition
            .route(&operation)
            .map_err(|error| vec![GraphQLError::new(error.to_string())])?;
        Ok(Planned::Operation(Box::new(PlannedOperation {
            definition: definition.clone(),
            arguments: take_arguments(&mut operation)?,
            kind: Some(OperationKind::Subscription),
            name: operation.name.clone(),
            operation: Some(operation),
            route,
            delegated: None,
            tells_no_data: false,
        })))
    }
}

/// Converts the arguments to text, because a tree of many small values is many times larger.
fn take_arguments(operation: &mut SubscriptionOperation) -> Result<JsonObject, Vec<GraphQLError>> {
    let arguments = std::mem::take(&mut operation.arguments);
    JsonObject::parse(Value::Object(arguments).to_string()).map_err(|_| {
        // Variables are nested deeper in the document than in the request.
        let error =
            GraphQLError::new("the arguments are nested too deeply: the limit is 127 levels");
        vec![error.with_code(graphql::CODE_BAD_USER_INPUT)]
    })
}

fn reference(request: &Request) -> DocumentReference<'_> {
    DocumentReference {
        // Clients of automatic persisted queries may send an empty text with the hash.
        text: request.query.as_deref().filter(|text| !text.is_empty()),
        sha256: request.extensions.sha256(),
        id: request.document_id.as_deref(),
    }
}

fn is_of_variables(errors: &[GraphQLError]) -> bool {
    let is_of_variables = |error: &GraphQLError| {
        error.extensions.get("code").and_then(Value::as_str) == Some(graphql::CODE_BAD_USER_INPUT)
    };
    errors.iter().all(is_of_variables)
}

/// Returns the request for the host's executor, with `more` members.
fn delegated_request<'m>(
    kind: &str,
    text: &str,
    name: Option<&str>,
    request: &Request,
    more: impl IntoIterator<Item = (&'m str, &'m Vec<u8>)>,
) -> Result<JsonObject, Vec<GraphQLError>> {
    let mut asked = format!(
        r#"{{"type":"{kind}","query":{},"variables":{},"operationName":{},"name":{},"extensions":{}"#,
        Value::from(text),
        request.variables,
        Value::from(request.operation_name.as_deref()),
        Value::from(name),
        request.extensions,
    );
    for (name, json) in more {
        asked.push_str(&format!(r#","{name}":{}"#, String::from_utf8_lossy(json)));
    }
    asked.push('}');
    // Its members are nested one level deeper than the client sent them.
    JsonObject::parse(asked).map_err(|error| {
        let message = format!("the request cannot be handed to your GraphQL server: {error}");
        vec![GraphQLError::new(message).with_code(graphql::CODE_BAD_USER_INPUT)]
    })
}
