//! Converts `fraiseql_subs.Security` to the rules of the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use runtime::{Catalog, TokenSource, TokenVerifier};
use security::{
    ClaimNames, Federation, Hosts, JwtConfigError, KeySet, OnDenied, Origins, Path, Policy, Rate,
    RateBy, Rates, Rbac, Requirement, RowFilter, RuleError, Scope, TenantIsolation, TokenRules,
};
use serde_json::{Map, Value};

use crate::error::{config_error, exceptions, jwt_error, rule_error};
use crate::json::to_json_map;

/// `fraiseql_subs.Security`.
#[derive(FromPyObject)]
pub(crate) struct PySecurity<'py> {
    pub(crate) authenticate: Option<Py<PyAny>>,
    origins: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    status_hosts: Option<Vec<String>>,
    tenant: Option<PyTenantIsolation>,
    rows: Vec<PyRowFilter<'py>>,
    scope: Option<PyScope<'py>>,
    rbac: Option<PyRbac>,
    federation: Option<PyFederation>,
    rates: Option<PyRates>,
    jwt: Option<PyJwt>,
}

#[derive(FromPyObject)]
struct PyJwt {
    key: Option<PyKey>,
    jwks: Option<String>,
    jwks_url: Option<String>,
    algorithms: Vec<String>,
    audience: Vec<String>,
    issuer: Vec<String>,
    leeway: f64,
    user_claim: String,
    tenant_claim: String,
    roles_claim: String,
    permissions_claim: String,
    parameters: Vec<String>,
    header: Option<String>,
    query: Option<String>,
    cookie: Option<String>,
}

#[derive(FromPyObject)]
enum PyKey {
    Text(String),
    Bytes(Vec<u8>),
}

impl PyJwt {
    /// Returns the rules for tokens, and the configured keys.
    fn read_rules(&self) -> Result<(TokenRules, Option<KeySet>), JwtConfigError> {
        let claims = ClaimNames {
            user: self.user_claim.clone(),
            tenant: self.tenant_claim.clone(),
            roles: self.roles_claim.clone(),
            permissions: self.permissions_claim.clone(),
        };
        let mut rules = TokenRules::new(&self.algorithms, claims)?;
        rules.audience.clone_from(&self.audience);
        rules.issuer.clone_from(&self.issuer);
        rules.leeway = self.leeway;
        let keys = match (&self.key, &self.jwks) {
            (Some(PyKey::Text(key)), _) => Some(rules.key(key.as_bytes())?),
            (Some(PyKey::Bytes(key)), _) => Some(rules.key(key)?),
            (None, Some(jwks)) => Some(KeySet::from_jwks(jwks)?),
            (None, None) => None,
        };
        Ok((rules, keys))
    }

    fn read(&self) -> Result<TokenVerifier, JwtConfigError> {
        let (rules, keys) = self.read_rules()?;
        let source = TokenSource {
            parameters: self.parameters.clone(),
            header: self.header.clone(),
            query: self.query.clone(),
            cookie: self.cookie.clone(),
        };
        Ok(match (keys, &self.jwks_url) {
            (None, Some(url)) => TokenVerifier::fetching(source, rules, url),
            (keys, _) => TokenVerifier::new(source, rules, keys.unwrap_or_default()),
        })
    }
}

/// `fraiseql_subs.TenantIsolation`.
#[derive(FromPyObject)]
pub(crate) struct PyTenantIsolation {
    event_field: Option<String>,
}

impl PyTenantIsolation {
    pub(crate) fn read(&self) -> PyResult<TenantIsolation> {
        let event_field = self.event_field.as_deref().map(Path::parse).transpose();
        Ok(TenantIsolation {
            event_field: event_field.map_err(|error| rule_error(&error))?,
        })
    }
}

#[derive(FromPyObject)]
struct PyRowFilter<'py> {
    channel: String,
    r#where: Bound<'py, PyDict>,
    unless: Vec<String>,
}

#[derive(FromPyObject)]
struct PyScope<'py> {
    arguments: Bound<'py, PyDict>,
    unless: Vec<String>,
}

#[derive(FromPyObject)]
struct PyRbac {
    fields: BTreeMap<String, String>,
    subscriptions: BTreeMap<String, String>,
    on_denied: String,
}

#[derive(FromPyObject)]
struct PyFederation {
    subgraph: String,
    channels: Option<Vec<String>>,
}

#[derive(FromPyObject)]
struct PyRates {
    subscribes: Option<String>,
    messages: Option<String>,
    events: Option<String>,
    refusals: Option<String>,
    per: String,
}

impl PySecurity<'_> {
    /// Reads the configuration of tokens.
    pub(crate) fn read_tokens(&self) -> PyResult<Option<Arc<TokenVerifier>>> {
        let tokens = self.jwt.as_ref().map(PyJwt::read).transpose();
        let tokens = tokens.map_err(|error| jwt_error(&error))?;
        Ok(tokens.map(Arc::new))
    }

    /// Reads the rules and checks them against the schema.
    pub(crate) fn read(&self, catalog: &Catalog) -> PyResult<Policy> {
        let refuse = |error: RuleError| rule_error(&error);
        let hosts = self.hosts.clone().map(Hosts::new).transpose();
        let status_hosts = self.status_hosts.clone().map(Hosts::with_any).transpose();
        let origins = self.origins.clone().map(Origins::new).transpose();
        let rows = self.rows.iter().map(PyRowFilter::read);
        let rows = rows.collect::<PyResult<Vec<_>>>()?;
        catalog.check_rows(&rows).map_err(refuse)?;
        let federation = self.federation.as_ref().map(PyFederation::read);
        let federation = federation.transpose().map_err(refuse)?;
        if let Some(federation) = &federation {
            catalog.check_channels(federation).map_err(refuse)?;
        }
        let scope = self.scope.as_ref().map(PyScope::read).transpose()?;
        if let Some(scope) = &scope {
            catalog.check_scope(scope).map_err(refuse)?;
        }
        Ok(Policy {
            origins: origins.map_err(|error| config_error(error.to_string()))?,
            hosts: hosts.map_err(|error| config_error(error.to_string()))?,
            status_hosts: status_hosts.map_err(|error| config_error(error.to_string()))?,
            scope,
            rbac: self.read_rbac(catalog).map_err(refuse)?,
            tenant: self
                .tenant
                .as_ref()
                .map(PyTenantIsolation::read)
                .transpose()?,
            rows,
            federation: federation.map(Arc::new),
            rates: self
                .rates
                .as_ref()
                .map(PyRates::read)
                .transpose()
                .map_err(refuse)?,
        })
    }

    /// Reads the configured permissions and those of the schema's directives.
    fn read_rbac(&self, catalog: &Catalog) -> Result<Option<Rbac>, RuleError> {
        let mut rbac = Rbac::default();
        catalog.protect_declared(&mut rbac);
        if let Some(configured) = &self.rbac {
            for (field, permission) in &configured.subscriptions {
                let requirement = Requirement::permission(permission);
                catalog.protect_subscription(&mut rbac, field, requirement)?;
            }
            for (field, permission) in &configured.fields {
                catalog.protect_field(&mut rbac, field, &Requirement::permission(permission))?;
            }
            if configured.on_denied == "null" {
                rbac.on_denied = OnDenied::Null;
            }
        }
        catalog.check_shared_channels(&rbac)?;
        Ok((!rbac.is_empty()).then_some(rbac))
    }
}

/// Refuses an invalid rule at its creation. Checks that need a schema run when the manager is
/// created.
#[pyfunction]
pub(crate) fn check_rule(rule: &Bound<'_, PyAny>, kind: &str) -> PyResult<()> {
    match kind {
        "JWT" => {
            let jwt: PyJwt = rule.extract()?;
            jwt.read_rules()
                .map(drop)
                .map_err(|error| jwt_error(&error))
        }
        "RowFilter" => rule.extract::<PyRowFilter<'_>>()?.read().map(drop),
        "Scope" => rule.extract::<PyScope<'_>>()?.read().map(drop),
        "Federation" => {
            let federation: PyFederation = rule.extract()?;
            federation
                .read()
                .map(drop)
                .map_err(|error| rule_error(&error))
        }
        _ => Ok(()),
    }
}

/// Refuses a rate that cannot be parsed.
#[pyfunction]
pub(crate) fn check_rate(rate: &str) -> PyResult<()> {
    Rate::parse(rate)
        .map(drop)
        .map_err(|error| rule_error(&error))
}

/// Refuses an invalid dotted path.
#[pyfunction]
pub(crate) fn check_path(path: &str) -> PyResult<()> {
    Path::parse(path)
        .map(drop)
        .map_err(|error| rule_error(&error))
}

/// Refuses names that are not host names; `with_any`: `*` is allowed and matches any.
#[pyfunction]
pub(crate) fn check_hosts(hosts: Vec<String>, with_any: bool) -> PyResult<()> {
    let checked = if with_any {
        Hosts::with_any(hosts)
    } else {
        Hosts::new(hosts)
    };
    let checked = checked.map_err(|error| error.to_string());
    checked
        .map(drop)
        .map_err(exceptions::ConfigurationError::new_err)
}

/// Refuses values that are not origins of pages.
#[pyfunction]
pub(crate) fn check_origins(origins: Vec<String>) -> PyResult<()> {
    let checked = Origins::new(origins).map_err(|error| error.to_string());
    checked
        .map(drop)
        .map_err(exceptions::ConfigurationError::new_err)
}

fn rules(rules: &Bound<'_, PyDict>, place: &str) -> PyResult<Map<String, Value>> {
    to_json_map(Some(rules)).map_err(|error| error.into_error(rules.py(), place, config_error))
}

fn pairs(rules: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    rules.iter().map(|(path, value)| (path.as_str(), value))
}

impl PyRowFilter<'_> {
    fn read(&self) -> PyResult<RowFilter> {
        let conditions = rules(&self.r#where, "RowFilter.where")?;
        RowFilter::new(&self.channel, pairs(&conditions), self.unless.clone())
            .map_err(|error| rule_error(&error))
    }
}

impl PyScope<'_> {
    fn read(&self) -> PyResult<Scope> {
        let arguments = rules(&self.arguments, "Scope")?;
        Scope::new(pairs(&arguments), self.unless.clone()).map_err(|error| rule_error(&error))
    }
}

impl PyFederation {
    fn read(&self) -> Result<Federation, RuleError> {
        let channels = self.channels.as_ref();
        Federation::new(
            &self.subgraph,
            channels.map(|channels| channels.iter().map(String::as_str)),
        )
    }
}

impl PyRates {
    fn read(&self) -> Result<Rates, RuleError> {
        let rate = |text: &Option<String>| text.as_deref().map(Rate::parse).transpose();
        Ok(Rates {
            subscribes: rate(&self.subscribes)?,
            messages: rate(&self.messages)?,
            events: rate(&self.events)?,
            refusals: rate(&self.refusals)?,
            by: match self.per.as_str() {
                "connection" => RateBy::Connection,
                "address" => RateBy::Address,
                _ => RateBy::Identity,
            },
        })
    }
}
