//! What a document asks for, as Python is told: its size, and what its client needs.
//!
//! Not here: how it is counted (`graphql`), and how a client is checked (`runtime`).

use graphql::{GraphQLError, OperationKind, OperationSummary};
use pyo3::IntoPyObject;
use runtime::Catalog;
use security::{Policy, Rbac, Requirement};

/// `fraiseql_subs._core.DocumentSummary`.
#[derive(IntoPyObject)]
pub(crate) struct Summary {
    bytes: usize,
    tokens: usize,
    operations: Vec<Operation>,
}

/// `fraiseql_subs._core.OperationSummary`.
#[derive(IntoPyObject)]
struct Operation {
    kind: &'static str,
    name: Option<String>,
    depth: usize,
    fields: usize,
    aliases: usize,
    directives: usize,
    root_fields: usize,
    permissions: Vec<Needed>,
    scope: Vec<String>,
}

/// `fraiseql_subs._core.NeededPermissions`.
#[derive(IntoPyObject)]
struct Needed {
    field: String,
    any_of: Vec<Vec<String>>,
}

/// Checks a document as that of a client, and returns what it asks for.
pub(crate) fn check(
    catalog: &Catalog,
    policy: &Policy,
    document: &str,
) -> Result<Summary, Vec<GraphQLError>> {
    let found = catalog.summarize(document)?;
    let operations = found.operations.into_iter();
    Ok(Summary {
        bytes: found.bytes,
        tokens: found.tokens,
        operations: operations
            .map(|operation| summary(catalog, policy, operation))
            .collect(),
    })
}

fn summary(catalog: &Catalog, policy: &Policy, operation: OperationSummary) -> Operation {
    let (mut permissions, mut scope) = (Vec::new(), Vec::new());
    // Other operations are those of the host's own executor, which has its own checks.
    if operation.kind == OperationKind::Subscription {
        let root = catalog.subscription_type();
        for (type_name, field) in &operation.fields {
            let is_root = type_name == root;
            if let Some(rbac) = &policy.rbac {
                permissions.extend(needed(rbac, type_name, field, is_root));
            }
            if let Some(rule) = policy.scope.as_ref().filter(|_| is_root) {
                scope.extend(catalog.scoped_arguments(rule, field));
            }
        }
    }
    let size = operation.size;
    Operation {
        kind: match operation.kind {
            OperationKind::Query => "query",
            OperationKind::Mutation => "mutation",
            OperationKind::Subscription => "subscription",
        },
        name: operation.name,
        depth: size.depth,
        fields: size.fields,
        aliases: size.aliases,
        directives: size.directives,
        root_fields: operation.root_fields,
        permissions,
        scope,
    }
}

/// Returns what a field requires, all of which has to be met.
fn needed(rbac: &Rbac, type_name: &str, field: &str, is_root: bool) -> Vec<Needed> {
    let asked = if is_root {
        rbac.asked_of_subscription(field)
    } else {
        rbac.asked_of_field(type_name, field)
    };
    let asked = asked.iter().map(|Requirement(any_of)| Needed {
        field: format!("{type_name}.{field}"),
        any_of: any_of.clone(),
    });
    asked.collect()
}
