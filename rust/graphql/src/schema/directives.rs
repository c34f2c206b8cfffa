//! Directives that a schema may use without defining them: those of Apollo Federation 2. Reads the
//! permissions that some of them, and `@requires(permission:)`, require.
//!
//! Not here: checks of permissions (`security`), `@skip` and `@include` (`collect`).

use std::collections::HashSet;

use apollo_compiler::ast::{Definition, Directive, DirectiveList, Document, Value};
use apollo_compiler::schema::{ExtendedType, ObjectType};
use apollo_compiler::{Name, Node, Schema};

use crate::error::SchemaError;

/// Permissions that a field requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// An object type.
    pub type_name: String,
    /// Its field.
    pub field: String,
    /// Groups of permissions; a client needs all permissions of one group. No group: no client is
    /// permitted.
    pub any_of: Vec<Vec<String>>,
}

/// Name and definition of a directive, with the scalars of its arguments.
type Known = (&'static str, &'static str, &'static [&'static str]);

/// Source: Apollo Federation 2, subgraph specification. `@requires` has a second argument here.
const KNOWN: &[Known] = &[
    (
        "link",
        "(url: String!, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA",
        &["link__Import", "link__Purpose"],
    ),
    (
        "key",
        "(fields: federation__FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE",
        &["federation__FieldSet"],
    ),
    (
        "requires",
        "(fields: federation__FieldSet, permission: String) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE",
        &["federation__FieldSet"],
    ),
    (
        "provides",
        "(fields: federation__FieldSet!) on FIELD_DEFINITION",
        &["federation__FieldSet"],
    ),
    (
        "external",
        "(reason: String) on OBJECT | FIELD_DEFINITION",
        &[],
    ),
    ("extends", " on OBJECT | INTERFACE", &[]),
    ("shareable", " repeatable on OBJECT | FIELD_DEFINITION", &[]),
    (
        "inaccessible",
        " on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION",
        &[],
    ),
    (
        "tag",
        "(name: String!) repeatable on FIELD_DEFINITION | INTERFACE | OBJECT | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION | SCHEMA",
        &[],
    ),
    (
        "override",
        "(from: String!, label: String) on FIELD_DEFINITION",
        &[],
    ),
    (
        "composeDirective",
        "(name: String!) repeatable on SCHEMA",
        &[],
    ),
    ("interfaceObject", " on OBJECT", &[]),
    (
        "authenticated",
        " on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM",
        &[],
    ),
    (
        "requiresScopes",
        "(scopes: [[federation__Scope!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM",
        &["federation__Scope"],
    ),
    (
        "policy",
        "(policies: [[federation__Policy!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM",
        &["federation__Policy"],
    ),
];

/// Returns definitions of the known directives that the text uses but does not define.
pub(crate) fn missing_definitions(sdl: &str, ast: &Document) -> String {
    let mut defined = HashSet::new();
    for definition in &ast.definitions {
        if let Some(name) = definition.name() {
            let is_directive = matches!(definition, Definition::DirectiveDefinition(_));
            defined.insert((is_directive, name.as_str()));
        }
    }
    let mut missing = String::new();
    for (name, signature, types) in KNOWN {
        // An `@name` inside a description adds an unused definition, which is harmless.
        if !applies(sdl, name) || !defined.insert((true, name)) {
            continue;
        }
        missing.push_str(&format!("\n\ndirective @{name}{signature}"));
        for name in *types {
            if defined.insert((false, name)) {
                match *name {
                    "link__Purpose" => {
                        missing.push_str("\n\nenum link__Purpose { SECURITY EXECUTION }");
                    }
                    scalar => missing.push_str(&format!("\n\nscalar {scalar}")),
                }
            }
        }
    }
    if !missing.is_empty() {
        missing.push('\n');
    }
    missing
}

fn applies(sdl: &str, name: &str) -> bool {
    sdl.match_indices('@').any(|(at, _)| {
        sdl[at + 1..]
            .strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

/// Returns the permissions that the directives of a schema require, by object type and field.
///
/// # Errors
///
/// [`SchemaError::EmptyRequires`].
pub(crate) fn requirements(schema: &Schema) -> Result<Vec<FieldRequirement>, SchemaError> {
    let mut requirements = Vec::new();
    for (type_name, definition) in &schema.types {
        match definition {
            ExtendedType::Object(object) => {
                of_object(schema, type_name, object, &mut requirements)?;
            }
            ExtendedType::Interface(interface) => {
                // Requirements of interfaces are those of their objects; this only reports faults.
                read(
                    definition.directives().iter().map(|d| &**d),
                    type_name,
                    &mut Vec::new(),
                )?;
                for (name, field) in &interface.fields {
                    of_list(
                        &field.directives,
                        &format!("{type_name}.{name}"),
                        &mut Vec::new(),
                    )?;
                }
            }
            _ => {}
        }
    }
    Ok(requirements)
}

type Groups = Vec<Vec<String>>;

fn of_object(
    schema: &Schema,
    type_name: &Name,
    object: &ObjectType,
    requirements: &mut Vec<FieldRequirement>,
) -> Result<(), SchemaError> {
    let interfaces = object.implements_interfaces.iter();
    let interfaces: Vec<_> = interfaces
        .filter_map(|name| Some((&name.name, schema.get_interface(&name.name)?)))
        .collect();
    let mut of_type = Vec::new();
    read(
        object.directives.iter().map(|d| &**d),
        type_name,
        &mut of_type,
    )?;
    for (name, interface) in &interfaces {
        read(
            interface.directives.iter().map(|d| &**d),
            name,
            &mut of_type,
        )?;
    }
    for (name, field) in &object.fields {
        let place = format!("{type_name}.{name}");
        let mut asked = of_type.clone();
        of_list(&field.directives, &place, &mut asked)?;
        for (_, interface) in &interfaces {
            if let Some(field) = interface.fields.get(name) {
                of_list(&field.directives, &place, &mut asked)?;
            }
        }
        let leaf = schema.types.get(field.ty.inner_named_type());
        if let Some(leaf @ (ExtendedType::Scalar(_) | ExtendedType::Enum(_))) = leaf {
            read(leaf.directives().iter().map(|d| &**d), &place, &mut asked)?;
        }
        requirements.extend(asked.into_iter().map(|any_of| FieldRequirement {
            type_name: type_name.to_string(),
            field: name.to_string(),
            any_of,
        }));
    }
    Ok(())
}

fn of_list(
    directives: &DirectiveList,
    place: &str,
    asked: &mut Vec<Groups>,
) -> Result<(), SchemaError> {
    read(directives.iter(), place, asked)
}

/// Adds the requirements of directives, all of which have to be met.
fn read<'d>(
    directives: impl Iterator<Item = &'d Node<Directive>>,
    place: &str,
    asked: &mut Vec<Groups>,
) -> Result<(), SchemaError> {
    for directive in directives {
        let argument = |name: &str| directive.specified_argument_by_name(name);
        match directive.name.as_str() {
            "requires" => match (argument("permission"), argument("fields")) {
                (Some(permission), _) if permission.as_str().is_some_and(|p| !p.is_empty()) => {
                    let permission = permission.as_str().unwrap_or_default();
                    asked.push(vec![vec![permission.to_owned()]]);
                }
                (None, Some(_)) => {}
                _ => return Err(SchemaError::EmptyRequires(place.to_owned())),
            },
            "authenticated" => asked.push(vec![Vec::new()]),
            "requiresScopes" => {
                asked.push(argument("scopes").map_or_else(Vec::new, |scopes| groups(scopes)));
            }
            // Only a service of the router could decide this, so it is denied.
            "policy" => asked.push(Vec::new()),
            _ => {}
        }
    }
    Ok(())
}

fn groups(value: &Value) -> Groups {
    let list = |value: &Value| -> Vec<_> {
        let items = value.as_list().unwrap_or_default();
        items.iter().map(|item| (**item).clone()).collect()
    };
    let names = |group: &Value| -> Vec<String> {
        let names = list(group).into_iter();
        names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    };
    list(value).iter().map(names).collect()
}
