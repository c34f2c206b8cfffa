//! Reads the Python configuration of a manager.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bus::HistoryLimits;
use graphql::{
    Comparison, DocumentLimits, EnumType, GraphQLError, Returned, ReturnedKind, Schema,
    SchemaOptions, TrustedDocuments,
};
use protocol::Transports;
use pyo3::exceptions::PyOSError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use runtime::{
    Authenticator, Catalog, ChannelTemplate, Condition, Definition, FilterValue, Limits, Page,
    Parameter, ResolverKind, Runtime, RuntimeConfig, RuntimeState, SlowConsumer, TokenVerifier,
    field_path, random_key,
};
use security::Policy;
use serde_json::Value;

use crate::bridge::{Bridge, Steps};
use crate::bus::{BusConfig, PyBusOptions};
use crate::classes::Classes;
use crate::error::{config_error, definition_error, exceptions, runtime_error, schema_error};
use crate::failure::Failures;
use crate::hook::PyAuthenticator;
use crate::json::to_json;
use crate::log;
use crate::nodes;
use crate::policy::PySecurity;
use crate::resolver::{Calls, Function, LoopResolver};
use crate::running::Running;
use crate::spans::Spans;
use crate::summary::{self, Summary};
use crate::tasks::Tasks;
use crate::value::{Names, Serializers};

/// Names of the members of an enum, with their Python values.
type EnumMembers<'py> = Vec<(String, Bound<'py, PyAny>)>;

/// `fraiseql_subs.schema.SchemaSource`.
#[derive(FromPyObject)]
pub(crate) struct PySchemaSource<'py> {
    sdl: String,
    sources: HashMap<(String, String), String>,
    attributes: HashMap<(String, String), String>,
    enum_values: HashMap<String, EnumMembers<'py>>,
    published_enums: Vec<(String, EnumMembers<'py>)>,
    scalar_kinds: HashMap<String, String>,
    serializers: Serializers,
    classes: Py<PyDict>,
    guarded: HashSet<(String, String)>,
    deprecated: HashSet<String>,
    tags: HashMap<(String, String), Vec<Bound<'py, PyAny>>>,
}

/// `fraiseql_subs.Limits`.
#[derive(FromPyObject)]
pub(crate) struct PyLimits {
    connection_init_timeout: f64,
    max_connections: Option<usize>,
    max_subscriptions_per_connection: usize,
    max_message_bytes: usize,
    max_head_bytes: usize,
    request_timeout: f64,
    send_timeout: f64,
    max_depth: Option<usize>,
    max_complexity: Option<usize>,
    max_aliases: Option<usize>,
    max_directives: Option<usize>,
    max_tokens: Option<usize>,
    max_pending_bytes: usize,
    max_retained_bytes: usize,
    slow_consumer: String,
    keepalive: Option<f64>,
}

/// `fraiseql_subs.History`.
#[derive(FromPyObject)]
pub(crate) struct PyHistory {
    events: usize,
    seconds: f64,
    max_bytes: usize,
}

impl PyHistory {
    pub(crate) fn read(&self) -> PyResult<HistoryLimits> {
        Ok(HistoryLimits {
            events: self.events,
            age: seconds("History.seconds", self.seconds)?,
            bytes: self.max_bytes,
        })
    }
}

/// `fraiseql_subs.definition.Definition`.
#[derive(FromPyObject)]
pub(crate) struct PyDefinition<'py> {
    field: String,
    kind: String,
    channel: Option<String>,
    event_types: Option<Vec<String>>,
    filter: Vec<(String, bool, Bound<'py, PyAny>)>,
    filter_types: HashMap<String, PyConstantType<'py>>,
    concurrency: usize,
    timeout: Option<f64>,
    bind: Py<PyAny>,
    is_async: bool,
    initial: Option<Py<PyAny>>,
    is_initial_async: bool,
    is_initial_stream: bool,
    takes_context: bool,
    shared: bool,
    batch: bool,
    partial: bool,
    returned: Option<(usize, String, String, String)>,
    parameters: Vec<(String, String)>,
}

/// The type of a constant in a filter: the name of a scalar, or name and values of an enum.
#[derive(FromPyObject)]
enum PyConstantType<'py> {
    Scalar(String),
    Enum(String, EnumMembers<'py>),
}

impl PyConstantType<'_> {
    fn comparison(&self) -> PyResult<Comparison> {
        Ok(match self {
            Self::Scalar(name) => Comparison::of_scalar(name),
            Self::Enum(name, values) => {
                Comparison::Enum(Arc::new(EnumType::new(name, published(values)?)))
            }
        })
    }
}

/// Returns the JSON of enum members; members without a JSON form cannot be published, and are left
/// out.
fn published(values: &[(String, Bound<'_, PyAny>)]) -> PyResult<Vec<(String, Value)>> {
    let json = |(name, value): &(String, Bound<'_, PyAny>)| match to_json(value) {
        Ok(json) => Some(Ok((name.clone(), json))),
        Err(error) => error.into_exit(value.py()).map(Err),
    };
    values.iter().filter_map(json).collect()
}

/// The checked configuration, from which a manager can be started several times.
pub(crate) struct Setup {
    sdl: String,
    keys: Vec<Arc<str>>,
    serializers: Arc<Serializers>,
    classes: Arc<Classes>,
    deprecated: HashSet<String>,
    catalog: Arc<Catalog>,
    functions: Arc<[Function]>,
    limits: Limits,
    history: Option<HistoryLimits>,
    bus: Option<BusConfig>,
    authenticate: Option<Arc<Py<PyAny>>>,
    policy: Policy,
    transports: Transports,
    tokens: Option<Arc<TokenVerifier>>,
    debug: bool,
    page: Option<Page>,
    workers: usize,
    node_name: Option<String>,
    unready_after: Option<Duration>,
    tracing: Option<Py<PyAny>>,
}

/// The parameters of `Core` except schema, definitions and limits.
pub(crate) struct Options<'py> {
    pub(crate) security: PySecurity<'py>,
    pub(crate) bus: PyBusOptions,
    pub(crate) history: Option<PyHistory>,
    pub(crate) trusted_documents: Option<Vec<(String, String)>>,
    pub(crate) introspection: bool,
    pub(crate) transports: Vec<String>,
    pub(crate) debug: bool,
    pub(crate) page: Option<Page>,
    pub(crate) workers: usize,
    pub(crate) node_name: Option<String>,
    pub(crate) unready_after: Option<f64>,
    /// Returns what makes spans; `None`: nothing does.
    pub(crate) tracing: Option<Py<PyAny>>,
}

impl Setup {
    /// Reads and checks the configuration.
    pub(crate) fn read(
        schema: PySchemaSource<'_>,
        definitions: Vec<PyDefinition<'_>>,
        limits: &PyLimits,
        options: Options<'_>,
    ) -> PyResult<Self> {
        let (deprecated, guarded) = (schema.deprecated.clone(), schema.guarded.clone());
        let has_executor = definitions
            .iter()
            .any(|definition| definition.kind == "delegate");
        let (schema, serializers, classes) = read_schema(schema, has_executor)?;
        let (sdl, keys) = (schema.sdl().to_owned(), schema.keys().to_vec());
        let mut functions = Vec::with_capacity(definitions.len());
        let mut declared = Vec::with_capacity(definitions.len());
        for (index, definition) in definitions.into_iter().enumerate() {
            declared.push(read_definition(index, &definition)?);
            functions.push(Function {
                bind: Python::attach(|py| bind(py, &definition, &schema))?,
                is_async: definition.is_async,
                is_batch: definition.batch,
                is_initial_async: definition.is_initial_async,
                is_initial_stream: definition.is_initial_stream,
                takes_context: definition.takes_context,
            });
        }
        let document_limits = DocumentLimits {
            max_depth: limits.max_depth,
            max_complexity: limits.max_complexity,
            max_aliases: limits.max_aliases,
            max_directives: limits.max_directives,
            max_tokens: limits.max_tokens,
            no_introspection: !options.introspection,
        };
        let trusted = options.trusted_documents.map(TrustedDocuments::new);
        let catalog = Catalog::new(schema, declared, document_limits, trusted)
            .map_err(|error| definition_error(&error))?
            .with_max_message_bytes(limits.max_message_bytes)
            .with_guarded(guarded);
        check_trusted(&catalog)?;
        let policy = options.security.read(&catalog)?;
        let tokens = options.security.read_tokens()?;
        let history = options.history.map(|history| history.read());
        let history = history.transpose()?;
        let bus = options.bus.read()?;
        if let Some(bus) = &bus {
            // A fault in it shows where the manager is made.
            bus.engine(history.as_ref(), policy.tenant.is_some())?;
        }
        Ok(Self {
            sdl,
            keys,
            serializers: Arc::new(serializers),
            classes: Arc::new(classes),
            deprecated,
            catalog: Arc::new(catalog),
            functions: functions.into(),
            limits: read_limits(limits)?,
            history,
            bus,
            authenticate: options.security.authenticate.map(Arc::new),
            policy,
            transports: read_transports(&options.transports),
            tokens,
            debug: options.debug,
            page: options.page,
            workers: options.workers,
            node_name: options.node_name,
            unready_after: options
                .unready_after
                .map(|time| seconds("unready_after", time))
                .transpose()?,
            tracing: options.tracing,
        })
    }

    /// Visits the objects of the application that only this object refers to.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if Arc::strong_count(&self.functions) == 1 {
            for function in self.functions.iter() {
                visit.call(&function.bind)?;
            }
        }
        if let Some(hook) = self
            .authenticate
            .as_ref()
            .filter(|hook| Arc::strong_count(hook) == 1)
        {
            visit.call(&**hook)?;
        }
        visit.call(&self.tracing)?;
        if let Some(bus) = &self.bus {
            bus.traverse(visit)?;
        }
        if Arc::strong_count(&self.serializers) == 1 {
            for serializer in self.serializers.values() {
                visit.call(serializer)?;
            }
        }
        Ok(())
    }

    /// Returns the types of published objects.
    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Returns the served schema as SDL.
    pub(crate) fn sdl(&self) -> &str {
        &self.sdl
    }

    /// Checks a document as that of a client, and returns what it asks for.
    pub(crate) fn validate(&self, document: &str) -> Result<Summary, Vec<GraphQLError>> {
        summary::check(&self.catalog, &self.policy, document)
    }

    /// Returns the enabled transports.
    pub(crate) fn transports(&self) -> Transports {
        self.transports
    }

    /// Returns the number of threads that host connections.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Starts the actors and attaches them to the event loop; must be called on its thread.
    pub(crate) fn start(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<Running> {
        let py = event_loop.py();
        // Imported now, because a later record may report that no file can be opened.
        py.import("fraiseql_subs._logging")?;
        let engine = self.bus.as_ref();
        let engine =
            engine.map(|bus| bus.engine(self.history.as_ref(), self.policy.tenant.is_some()));
        let engine = engine.transpose()?;
        let key = random_key().map_err(|error| PyOSError::new_err(error.to_string()))?;
        let bridge = Bridge::attach(event_loop)?;
        let failures = Arc::new(Failures::new(py, bridge.clone(), self.debug)?);
        let names = Names::new(
            py,
            &self.keys,
            self.serializers.clone(),
            self.classes.clone(),
            &self.deprecated,
            failures.clone(),
        );
        log::attach(py, &bridge)?;
        let functions = self.functions.clone();
        let tasks = Arc::new(Tasks::new(py)?);
        let spans = Spans::start(py, self.tracing.as_ref())?;
        let calls = Arc::new(Calls::new(
            bridge.clone(),
            functions,
            names,
            tasks.clone(),
            failures.clone(),
            spans.clone(),
            py,
        )?);
        let steps: Arc<dyn Steps> = calls.clone();
        bridge.set_steps(Arc::downgrade(&steps));
        let hook = match (&self.authenticate, &spans) {
            (Some(hook), Some(spans)) => Some(Arc::new(spans.hook(py, "authenticate", hook)?)),
            (hook, _) => hook.clone(),
        };
        let authenticator = hook.map(|hook| {
            let (bridge, tasks) = (bridge.clone(), tasks.clone());
            Arc::new(PyAuthenticator {
                hook,
                spans: spans.clone(),
                tasks,
                bridge,
                failures,
            }) as Arc<dyn Authenticator>
        });
        let state = RuntimeState::new(RuntimeConfig {
            catalog: self.catalog.clone(),
            limits: self.limits.clone(),
            policy: self.policy.clone(),
            transports: self.transports,
            resolver: Arc::new(LoopResolver(calls.clone())),
            tokens: self.tokens.clone(),
            authenticator,
            page: self.page.clone(),
            engine,
            history: self.history.clone(),
            node: nodes::identity(py, self.node_name.as_deref())?,
            unready_after: self.unready_after,
            timings: spans.as_ref().map(|spans| spans.timings().clone()),
            key,
        });
        match py.detach(|| Runtime::start(state, self.workers)) {
            Ok(runtime) => {
                runtime.spawn(log::watch_levels(&bridge));
                Ok(Running::new(runtime, bridge, calls, tasks, spans))
            }
            Err(error) => {
                bridge.detach(py);
                Err(runtime_error(&error))
            }
        }
    }
}

/// Trusted documents that one error lists (count).
const MAX_TOLD: usize = 5;

/// Refuses trusted documents that would be refused for every client.
fn check_trusted(catalog: &Catalog) -> PyResult<()> {
    let refused = catalog.refused_trusted();
    if refused.is_empty() {
        return Ok(());
    }
    let told = |(id, errors): &(&str, Vec<GraphQLError>)| {
        let told = errors.iter().map(|error| match error.locations.first() {
            Some(at) => format!("{} (line {}, column {})", error.message, at.line, at.column),
            None => error.message.clone(),
        });
        format!("{id:?}: {}", told.collect::<Vec<_>>().join("; "))
    };
    let mut documents: Vec<_> = refused.iter().take(MAX_TOLD).map(told).collect();
    if refused.len() > MAX_TOLD {
        documents.push(format!("and {} more", refused.len() - MAX_TOLD));
    }
    Err(config_error(format!(
        "trusted_documents holds documents that no client could run: correct or remove them: {}",
        documents.join(", ")
    )))
}

/// Returns a `SchemaError`.
fn refused(problem: String) -> PyErr {
    exceptions::SchemaError::new_err(problem)
}

/// Reads the schema. `has_executor`: queries and mutations are served, so subscriptions are
/// optional.
fn read_schema(
    source: PySchemaSource<'_>,
    has_executor: bool,
) -> PyResult<(Schema, Serializers, Classes)> {
    let json = |value: &Bound<'_, PyAny>, place: &str| {
        to_json(value).map_err(|error| error.into_error(value.py(), place, refused))
    };
    let mut enum_values = HashMap::new();
    for (name, values) in source.enum_values {
        let values = values.into_iter().map(|(value_name, value)| {
            let value = json(&value, &format!("{name}.{value_name}"))?;
            Ok((value_name, value))
        });
        let values = values.collect::<PyResult<Vec<_>>>()?;
        enum_values.insert(name, values);
    }
    let mut tags = HashMap::new();
    for ((type_name, field), values) in source.tags {
        let place = format!("{type_name}.{field}");
        let values = values.iter().map(|value| json(value, &place));
        tags.insert((type_name, field), values.collect::<PyResult<Vec<_>>>()?);
    }
    let published_enums = source.published_enums.iter();
    let published_enums =
        published_enums.map(|(name, values)| Ok((name.clone(), published(values)?)));
    let options = SchemaOptions {
        sources: source.sources,
        attributes: source.attributes,
        enum_values,
        published_enums: published_enums.collect::<PyResult<_>>()?,
        scalar_kinds: source.scalar_kinds,
        tags,
        may_lack_subscription: has_executor,
    };
    let schema = Schema::parse(&source.sdl, options).map_err(|error| schema_error(&error))?;
    let classes = Classes::new(source.classes, &schema);
    Ok((schema, source.serializers, classes))
}

/// Returns `Definition.bind`, which for a batch knows the arguments of the field.
fn bind(py: Python<'_>, definition: &PyDefinition<'_>, schema: &Schema) -> PyResult<Py<PyAny>> {
    let field = schema.subscription_field(&definition.field);
    let Some(field) = field.filter(|_| definition.batch) else {
        return Ok(definition.bind.clone_ref(py));
    };
    let names: Vec<&str> = field.arguments.iter().map(|a| &*a.name).collect();
    let options = [("names", names)].into_py_dict(py)?;
    let partial = py.import("functools")?.getattr("partial")?;
    let bind = partial.call((&definition.bind,), Some(&options))?;
    Ok(bind.unbind())
}

fn read_definition(index: usize, definition: &PyDefinition<'_>) -> PyResult<Definition> {
    let kind = match definition.kind.as_str() {
        "passthrough" => ResolverKind::Passthrough,
        "stream" => ResolverKind::Stream,
        "delegate" => ResolverKind::Delegate,
        _ => ResolverKind::Call,
    };
    let mut filter = Vec::with_capacity(definition.filter.len());
    for (path, is_argument, value) in &definition.filter {
        let value = if *is_argument {
            FilterValue::Argument(value.extract()?)
        } else {
            let value = to_json(value).map_err(|error| {
                let place = format!("filter of `{}`, {path}", definition.field);
                error.into_error(value.py(), &place, refused)
            })?;
            FilterValue::Literal(value)
        };
        let constant = definition.filter_types.get(path).filter(|_| !*is_argument);
        filter.push(Condition {
            path: field_path(path),
            value,
            comparison: constant.map_or(Ok(Comparison::Any), PyConstantType::comparison)?,
        });
    }
    Ok(Definition {
        index,
        field: definition.field.clone(),
        kind,
        channel: definition
            .channel
            .as_deref()
            .map(ChannelTemplate::parse)
            .transpose()
            .map_err(|error| definition_error(&error))?,
        event_types: definition.event_types.clone(),
        filter,
        concurrency: definition.concurrency,
        timeout: definition
            .timeout
            .map(|time| seconds("timeout", time))
            .transpose()?,
        has_initial: definition.initial.is_some(),
        takes_client: definition.takes_context,
        is_shared: definition.shared,
        is_partial: definition.partial,
        returned: definition
            .returned
            .as_ref()
            .map(|(lists, kind, name, text)| Returned {
                lists: *lists,
                kind: match kind.as_str() {
                    "object" => ReturnedKind::Object,
                    "any" => ReturnedKind::Any,
                    _ => ReturnedKind::Leaf(name.clone()),
                },
                text: text.clone(),
            }),
        parameters: definition
            .parameters
            .iter()
            .map(|(name, graphql_name)| Parameter {
                name: name.clone(),
                graphql_name: graphql_name.clone(),
            })
            .collect(),
    })
}

/// Reads the names of `config.Transport`, which are checked in Python.
fn read_transports(names: &[String]) -> Transports {
    let has = |name: &str| names.iter().any(|known| known == name);
    Transports {
        transport_ws: has("graphql-transport-ws"),
        legacy_ws: has("graphql-ws"),
        get: has("get"),
        post: has("post"),
        sse: has("sse"),
        multipart: has("multipart"),
    }
}

fn read_limits(limits: &PyLimits) -> PyResult<Limits> {
    let slow_consumer = match limits.slow_consumer.as_str() {
        "drop_oldest" => SlowConsumer::DropOldest,
        "latest" => SlowConsumer::Latest,
        _ => SlowConsumer::Disconnect,
    };
    Ok(Limits {
        connection_init_timeout: seconds(
            "connection_init_timeout",
            limits.connection_init_timeout,
        )?,
        max_connections: limits.max_connections,
        max_subscriptions_per_connection: limits.max_subscriptions_per_connection,
        max_message_bytes: limits.max_message_bytes,
        max_head_bytes: limits.max_head_bytes,
        request_timeout: seconds("request_timeout", limits.request_timeout)?,
        send_timeout: seconds("send_timeout", limits.send_timeout)?,
        max_retained_bytes: limits.max_retained_bytes,
        max_pending_bytes: limits.max_pending_bytes,
        slow_consumer,
        keepalive: limits
            .keepalive
            .map(|time| seconds("keepalive", time))
            .transpose()?,
    })
}

pub(crate) fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| {
        exceptions::ConfigurationError::new_err(format!(
            "{name}={value} is not a time: pass a number of seconds of at least 0"
        ))
    })
}
