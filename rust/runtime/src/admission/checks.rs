//! Middleware actors: the checks that a subscription passes before it starts.
//!
//! There is one for each configured check on each worker, started with it, in a chain. Each decides
//! with `security`, adds its conditions for every event to the guard, and passes the subscription
//! on. They have no state, so a restart loses nothing. A worker without checks has no chain.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Recipient, ResponseFuture};
use graphql::{GraphQLError, PathSegment};
use security::{
    Check, Denied, Federation, Guard, Identity, OnDenied, Policy, Rbac, RowFilter, Scope,
    TenantIsolation,
};

use super::Subscribe;
use crate::audit;
use crate::catalog::{Catalog, PlannedOperation};
use crate::client::Client;
use crate::error::shutting_down;
use crate::metrics::Metrics;
use crate::routing::Route;

/// A subscription that passes the checks.
#[derive(Debug)]
pub(crate) struct Subscribing {
    pub(crate) client: Arc<Client>,
    pub(crate) planned: Box<PlannedOperation>,
    /// The subgraph that the request names.
    pub(crate) subgraph: Option<String>,
    pub(crate) guard: Guard,
}

impl Subscribing {
    fn identity(&self) -> Option<&Identity> {
        self.client.identity.as_deref()
    }

    fn channel(&self) -> Option<&str> {
        self.planned.route.as_ref().map(Route::channel)
    }
}

/// The errors for the client.
#[derive(Debug)]
pub(crate) struct Refusal {
    check: Check,
    errors: Vec<GraphQLError>,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let error = GraphQLError::new(denied.to_string()).with_code(denied.code());
        Self {
            check: denied.check(),
            errors: vec![error],
        }
    }
}

/// One check.
trait Middleware: Unpin + 'static {
    fn check(&self, subscribing: &mut Subscribing) -> Result<(), Refusal>;
}

struct CheckActor<M> {
    middleware: M,
    next: Option<Recipient<Subscribe>>,
    metrics: Arc<Metrics>,
}

impl<M: Middleware> Actor for CheckActor<M> {
    type Context = Context<Self>;
}

impl<M: Middleware> Handler<Subscribe> for CheckActor<M> {
    type Result = ResponseFuture<Result<Box<Subscribing>, Vec<GraphQLError>>>;

    fn handle(
        &mut self,
        Subscribe(mut subscribing): Subscribe,
        _: &mut Context<Self>,
    ) -> Self::Result {
        // The checks apply only to operations that return data.
        let checked = if subscribing.planned.tells_no_data {
            Ok(())
        } else {
            self.middleware.check(&mut subscribing)
        };
        if let Err(refusal) = checked {
            self.metrics.denied(refusal.check);
            let operation = subscribing.planned.operation.as_ref();
            let subscription = operation.map(|operation| &*operation.field_name);
            audit::subscription_denied(
                refusal.check,
                subscribing.identity(),
                &subscribing.client.connection_id,
                subscription,
            );
            return Box::pin(std::future::ready(Err(refusal.errors)));
        }
        match self.next.clone() {
            None => Box::pin(std::future::ready(Ok(subscribing))),
            Some(next) => Box::pin(async move {
                let answer = next.send(Subscribe(subscribing)).await;
                answer.unwrap_or_else(|_| Err(shutting_down()))
            }),
        }
    }
}

/// The configuration of the chain of checks.
pub(crate) struct Checks<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) catalog: &'a Arc<Catalog>,
    pub(crate) metrics: &'a Arc<Metrics>,
}

/// Starts the actors of the configured checks and returns the first.
pub(crate) fn start_chain(checks: Checks<'_>) -> Option<Recipient<Subscribe>> {
    let Policy {
        scope,
        rbac,
        tenant,
        rows,
        federation,
        // Rates are checked before a document is read, because a refused document counts too.
        rates: _,
        origins: _,
        hosts: _,
        status_hosts: _,
    } = checks.policy.clone();
    let mut chain = Chain {
        first: None,
        metrics: checks.metrics.clone(),
    };
    // Built from the last to the first; the cheapest check, which denies most, is the first.
    if !rows.is_empty() {
        let catalog = checks.catalog.clone();
        chain.prepend(Rows {
            filters: rows,
            catalog,
        });
    }
    if let Some(rbac) = rbac.filter(|rbac| !rbac.is_empty()) {
        chain.prepend(rbac);
    }
    if let Some(scope) = scope {
        let catalog = checks.catalog.clone();
        chain.prepend(ScopeCheck { scope, catalog });
    }
    if let Some(tenant) = tenant {
        chain.prepend(tenant);
    }
    if let Some(federation) = federation {
        chain.prepend(Subgraph(federation));
    }
    chain.first
}

struct Chain {
    first: Option<Recipient<Subscribe>>,
    metrics: Arc<Metrics>,
}

impl Chain {
    fn prepend(&mut self, middleware: impl Middleware) {
        let actor = CheckActor {
            middleware,
            next: self.first.take(),
            metrics: self.metrics.clone(),
        };
        self.first = Some(actor.start().recipient());
    }
}

struct Subgraph(Arc<Federation>);

impl Middleware for Subgraph {
    fn check(&self, subscribing: &mut Subscribing) -> Result<(), Refusal> {
        let asked = subscribing.subgraph.as_deref();
        self.0.check(subscribing.channel(), asked)?;
        subscribing.guard.bind_federation(self.0.clone());
        Ok(())
    }
}

impl Middleware for TenantIsolation {
    fn check(&self, subscribing: &mut Subscribing) -> Result<(), Refusal> {
        let tenant = self.tenant_of(subscribing.identity())?;
        subscribing.guard.bind_tenant(tenant);
        Ok(())
    }
}

struct ScopeCheck {
    scope: Scope,
    catalog: Arc<Catalog>,
}

impl Middleware for ScopeCheck {
    fn check(&self, subscribing: &mut Subscribing) -> Result<(), Refusal> {
        let operation = subscribing.planned.operation.as_ref();
        let operation = operation.ok_or(Denied::Undecided(Check::Scope))?;
        let schema = self.catalog.schema();
        let argument = |name: &str| schema.argument_comparison(&operation.field_name, name);
        let identity = subscribing.identity();
        let arguments = subscribing.planned.arguments.select(|_| true);
        Ok(self.scope.check(identity, argument, &arguments)?)
    }
}

impl Middleware for Rbac {
    fn check(&self, subscribing: &mut Subscribing) -> Result<(), Refusal> {
        let identity = subscribing.client.identity.as_deref();
        let operation = subscribing.planned.operation.as_mut();
        let operation = operation.ok_or(Denied::Undecided(Check::Rbac))?;
        self.check_subscription(identity, &operation.field_name)
            .map_err(|denied| {
                let mut refusal = Refusal::from(denied);
                for error in &mut refusal.errors {
                    error.path = vec![PathSegment::Key(operation.response_key.clone())];
                }
                refusal
            })?;
        let is_denied =
            |type_name: &str, field: &str| self.denies_field(identity, type_name, field);
        // The host's own executor returns whole responses, in which denied fields cannot be set to
        // null.
        let is_whole = subscribing.planned.delegated.is_some();
        if self.on_denied == OnDenied::Error || is_whole {
            let errors = operation.plan.denied_fields(&is_denied);
            return match errors.is_empty() {
                true => Ok(()),
                false => Err(Refusal {
                    check: Check::Rbac,
                    errors,
                }),
            };
        }
        if let Some(plan) = operation.plan.without(&is_denied) {
            operation.plan = Arc::new(plan);
        }
        Ok(())
    }
}

struct Rows {
    filters: Vec<RowFilter>,
    catalog: Arc<Catalog>,
}

impl Middleware for Rows {
    fn check(&self, subscribing: &mut Subscribing) -> Result<(), Refusal> {
        let Some(route) = &subscribing.planned.route else {
            return Ok(());
        };
        let schema = self.catalog.schema();
        let definition = &subscribing.planned.definition;
        let comparison = |path: &[Box<str>]| definition.data_comparison(schema, path);
        let covering = self
            .filters
            .iter()
            .filter(|filter| filter.covers(route.channel()));
        for filter in covering {
            let identity = subscribing.client.identity.as_deref();
            let identity = identity.ok_or(Denied::Anonymous(Check::Rows))?;
            if let Some(rule) = filter.rule(route.channel(), identity, comparison) {
                subscribing.guard.add_rows(rule);
            }
        }
        Ok(())
    }
}
