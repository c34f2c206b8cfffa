//! What all threads of a manager share: schema, documents, definitions, limits, counters, bus.
//!
//! Immutable after construction but for the document cache, the intake and the counters.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bus::Intake;
use bytes::Bytes;
use graphql::{
    DocumentCache, DocumentLimits, GraphQLError, Operation, Schema, SubscriptionOperation,
};
use hashbrown::HashMap;
use protocol::Request;
use security::Origins;

use crate::config::{DOCUMENT_CACHE_CAPACITY, INTAKE_CAPACITY, Limits};
use crate::definition::Definition;
use crate::error::DefinitionError;
use crate::index::Route;
use crate::metrics::Metrics;
use crate::resolver::{Authenticator, Resolver};

/// What an engine is made of.
pub struct EngineConfig {
    /// The schema that is served.
    pub schema: Schema,
    /// The fields that are served.
    pub definitions: Vec<Definition>,
    /// Bounds of every queue and document.
    pub limits: Limits,
    /// Pages that may connect; `None`: any.
    pub origins: Option<Origins>,
    /// Calls the host's resolvers.
    pub resolver: Arc<dyn Resolver>,
    /// Asks the host who a client is; `None`: everyone may connect.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Prefix of generated event ids, unique for each manager.
    pub bus_name: String,
}

/// The shared state of one manager.
pub struct Engine {
    /// Validated documents, with the schema.
    pub documents: DocumentCache,
    /// Bounds of every queue and document.
    pub limits: Limits,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where events enter.
    pub intake: Arc<Intake>,
    /// Pages that may connect; `None`: any.
    pub origins: Option<Origins>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    definitions: HashMap<String, Arc<Definition>>,
}

/// What a client asked for, ready to run.
pub enum Prepared {
    /// A subscription, and where its events are found.
    Subscription {
        /// What was declared.
        definition: Arc<Definition>,
        /// What was asked.
        operation: Box<SubscriptionOperation>,
        /// Where its events are found.
        route: Route,
    },
    /// The whole response to a query.
    Response(Bytes),
}

impl Engine {
    /// Checks the definitions against the schema.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] when a definition does not fit the schema.
    pub fn new(config: EngineConfig) -> Result<Self, DefinitionError> {
        let mut definitions = HashMap::new();
        for definition in config.definitions {
            definition.check(&config.schema)?;
            let field = definition.field.clone();
            if definitions
                .insert(field.clone(), Arc::new(definition))
                .is_some()
            {
                return Err(DefinitionError::Duplicate(field));
            }
        }
        let document_limits = DocumentLimits {
            max_depth: config.limits.max_depth,
            max_complexity: config.limits.max_complexity,
        };
        let capacity = const { NonZeroUsize::new(DOCUMENT_CACHE_CAPACITY).unwrap() };
        Ok(Self {
            documents: DocumentCache::new(config.schema, document_limits, capacity),
            limits: config.limits,
            metrics: Arc::default(),
            intake: Arc::new(Intake::new(config.bus_name, INTAKE_CAPACITY)),
            origins: config.origins,
            resolver: config.resolver,
            authenticator: config.authenticator,
            definitions,
        })
    }

    /// Validates a request, coerces its variables and finds what serves it.
    ///
    /// # Errors
    ///
    /// The request errors of the GraphQL specification, section 7.1.2; nothing was started.
    pub fn prepare(&self, request: &Request) -> Result<Prepared, Vec<GraphQLError>> {
        let document = self.documents.get(&request.query)?;
        let operation =
            document.operation(request.operation_name.as_deref(), &request.variables)?;
        let operation = match operation {
            Operation::Subscription(operation) => operation,
            Operation::Query(query) => return Ok(Prepared::Response(query.execute().into())),
            Operation::Mutation => {
                return Err(vec![GraphQLError::new(
                    "mutations are not served here: send them to your GraphQL server",
                )]);
            }
        };
        let definition = self.definitions.get(&*operation.field_name).ok_or_else(|| {
            vec![GraphQLError::new(format!(
                "no resolver serves `Subscription.{}`: declare one with @subscription or passthrough",
                operation.field_name
            ))]
        })?;
        let route = definition
            .route(&operation.arguments)
            .map_err(|error| vec![GraphQLError::new(error.to_string())])?;
        Ok(Prepared::Subscription {
            definition: definition.clone(),
            operation: Box::new(operation),
            route,
        })
    }
}
