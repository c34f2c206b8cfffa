//! A valid schema with a subscription type, and the keys of its fields in values.

mod defaults;
mod directives;
mod enums;
mod keys;
mod options;
mod returned;
mod size;

use std::collections::HashMap;
use std::sync::Arc;

use apollo_compiler::ast::{
    Definition, DirectiveList, Document, FieldDefinition, OperationType, Type,
};
use apollo_compiler::collections::HashMap as ApolloMap;
use apollo_compiler::diagnostic::{Diagnostic, ToCliReport};
use apollo_compiler::parser::Parser;
use apollo_compiler::schema::{ExtendedType, Implementers};
use apollo_compiler::validation::{DiagnosticData, DiagnosticList, Valid};
use apollo_compiler::{Name, Schema as CompiledSchema, name};

use crate::error::{SchemaError, SchemaProblem};
use crate::source::Source;
use crate::value::shape::{Shape, ShapeMember};
use crate::value::{EnumType, Key};

use defaults::find_cycle;
use enums::enums;
use keys::{FieldKeys, field_keys};

pub use directives::FieldRequirement;
pub(crate) use keys::names_of;
pub use options::SchemaOptions;
pub use returned::{Returned, ReturnedKind};
pub(crate) use size::{Elements, SchemaSize};

/// Problems of one schema that its error lists (count). Past it further problems are left out.
const MAX_LISTED_PROBLEMS: usize = 5;

/// Introspection field that the compiler does not support.
pub(crate) const IS_ONE_OF: Name = name!("isOneOf");

/// One subscription field and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSignature {
    /// Name of the field.
    pub name: Arc<str>,
    /// Its type as written in the definition language: `Order!`.
    pub type_text: String,
    /// Its arguments in the order of the schema.
    pub arguments: Vec<ArgumentSignature>,
}

/// One argument of a subscription field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentSignature {
    /// Name of the argument.
    pub name: Arc<str>,
    /// Its type as written in the definition language: `[ID!]`.
    pub type_text: String,
    /// Whether a client has to send it.
    pub is_required: bool,
}

/// A valid schema, with a subscription type unless it may lack one.
#[derive(Debug)]
pub struct Schema {
    sdl: String,
    compiled: Valid<CompiledSchema>,
    implementers: ApolloMap<Name, Implementers>,
    signatures: Vec<FieldSignature>,
    requirements: Vec<FieldRequirement>,
    keys: Vec<Arc<str>>,
    field_keys: FieldKeys,
    /// Shapes of values of the types of interfaces and unions.
    shapes: HashMap<Arc<str>, Arc<Shape>>,
    enums: HashMap<Arc<str>, Arc<EnumType>>,
    scalar_kinds: HashMap<String, String>,
    size: SchemaSize,
}

impl Schema {
    /// Parses a schema. A schema without query type gets one with the single field `_empty`,
    /// because the specification requires a query type.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] says what is wrong, where, and what to do.
    pub fn parse(sdl: &str, options: SchemaOptions) -> Result<Self, SchemaError> {
        let ast = Parser::new()
            .parse_ast(sdl, "schema.graphql")
            .map_err(|failed| invalid(&failed.errors, sdl))?;
        let mut sdl = sdl.to_owned();
        sdl.push_str(&directives::missing_definitions(&sdl, &ast));
        // Errors of the build are reported by the validation below, with their locations.
        let partial = ast.to_schema().unwrap_or_else(|failed| failed.partial);
        if partial.root_operation(OperationType::Query).is_none() {
            add_query_type(&mut sdl, &partial, &ast);
        }
        let compiled = CompiledSchema::parse_and_validate(&sdl, "schema.graphql")
            .map_err(|failed| invalid(&failed.errors, &sdl))?;
        let compiled = with_one_of(compiled);
        let root = compiled.root_operation(OperationType::Subscription);
        if root.is_none() && !options.may_lack_subscription {
            return Err(SchemaError::MissingSubscription);
        }
        if let Some((type_name, field)) = find_cycle(&compiled) {
            return Err(SchemaError::DefaultCycle {
                type_name: type_name.to_string(),
                field: field.to_string(),
            });
        }
        let requirements = directives::requirements(&compiled)?;
        let signatures = root.map_or_else(Vec::new, |root| signatures(&compiled, root));
        check_sources(&compiled, &options)?;
        let (keys, field_keys) = field_keys(&compiled, &options);
        let implementers = compiled.implementers_map();
        let shapes = shapes(&compiled, &implementers, &field_keys, &options);
        Ok(Self {
            sdl,
            size: SchemaSize::new(&compiled, &implementers),
            implementers,
            signatures,
            requirements,
            keys,
            field_keys,
            shapes,
            enums: enums(&compiled, &options)?,
            scalar_kinds: options.scalar_kinds,
            compiled,
        })
    }

    /// Returns the served schema in its definition language.
    #[must_use]
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    /// Returns the fields of the subscription type, in the order of the schema.
    #[must_use]
    pub fn subscription_fields(&self) -> &[FieldSignature] {
        &self.signatures
    }

    /// Returns a field of the subscription type.
    #[must_use]
    pub fn subscription_field(&self, name: &str) -> Option<&FieldSignature> {
        self.signatures.iter().find(|field| *field.name == *name)
    }

    /// Returns the name of the subscription type.
    #[must_use]
    pub fn subscription_type(&self) -> &str {
        let root = self.compiled.root_operation(OperationType::Subscription);
        root.map_or("Subscription", Name::as_str)
    }

    /// Returns the permissions that directives require.
    #[must_use]
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Returns the object types for `type_name.field`: the type itself, or the types that implement
    /// the interface. Empty if there is no such field.
    #[must_use]
    pub fn types_with_field(&self, type_name: &str, field: &str) -> Vec<&str> {
        if self.compiled.type_field(type_name, field).is_err() {
            return Vec::new();
        }
        match self.compiled.types.get_key_value(type_name) {
            Some((name, ExtendedType::Object(_))) => vec![name.as_str()],
            Some((name, ExtendedType::Interface(_))) => {
                let implementers = self.implementers.get(name);
                let objects = implementers.into_iter().flat_map(|i| &i.objects);
                objects.map(Name::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns all keys of fields in values, for hosts that intern them.
    #[must_use]
    pub fn keys(&self) -> &[Arc<str>] {
        &self.keys
    }

    pub(crate) fn compiled(&self) -> &Valid<CompiledSchema> {
        &self.compiled
    }

    pub(crate) fn implementers(&self) -> &ApolloMap<Name, Implementers> {
        &self.implementers
    }

    pub(crate) fn size(&self) -> &SchemaSize {
        &self.size
    }

    pub(crate) fn enum_type(&self, name: &str) -> Option<&Arc<EnumType>> {
        self.enums.get(name)
    }

    /// Returns the scalar whose values a custom scalar has: itself unless the host named another.
    pub(crate) fn scalar_kind<'s>(&'s self, name: &'s str) -> &'s str {
        self.scalar_kinds.get(name).map_or(name, String::as_str)
    }

    /// Returns the keys of a field in values, in order.
    pub(crate) fn keys_of(&self, type_name: &str, field: &str) -> Arc<[Key]> {
        let keys = self
            .field_keys
            .get(type_name)
            .and_then(|fields| fields.get(field));
        keys.cloned().unwrap_or_default()
    }

    /// Returns the object types of interfaces and unions.
    pub fn abstract_members(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(|name| &**name)
    }

    /// Returns the names of all types.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        self.compiled
            .types
            .keys()
            .map(apollo_compiler::Name::as_str)
    }

    /// Returns the shape of values of an object type.
    pub(crate) fn shape_of(&self, type_name: &str) -> Arc<Shape> {
        let shape = self.shapes.get(type_name).cloned();
        // Each type of an interface or a union has one.
        shape.unwrap_or_else(|| {
            Arc::new(Shape {
                members: Box::default(),
            })
        })
    }

    /// Returns the object types that a value of this interface or union may have.
    pub(crate) fn possible_types(&self, abstract_type: &str) -> Vec<Name> {
        match self.compiled.types.get(abstract_type) {
            Some(ExtendedType::Interface(_)) => self
                .implementers
                .get(abstract_type)
                .map(|implementers| implementers.objects.iter().cloned().collect())
                .unwrap_or_default(),
            Some(ExtendedType::Union(union)) => union
                .members
                .iter()
                .map(|member| member.name.clone())
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn add_query_type(sdl: &mut String, schema: &CompiledSchema, ast: &Document) {
    if !schema.types.contains_key("Query") {
        sdl.push_str("\n\ntype Query {\n  _empty: Boolean\n}\n");
    }
    let names_roots =
        |definition: &Definition| matches!(definition, Definition::SchemaDefinition(_));
    if ast.definitions.iter().any(names_roots) {
        sdl.push_str("\nextend schema {\n  query: Query\n}\n");
    }
}

/// Adds to `__Type` the field `isOneOf` of the September 2025 specification, which clients select
/// and the compiler does not know. It is null, because such inputs are not supported.
fn with_one_of(compiled: Valid<CompiledSchema>) -> Valid<CompiledSchema> {
    let mut schema = compiled.into_inner();
    if let Some(ExtendedType::Object(object)) = schema.types.get_mut("__Type") {
        let field = FieldDefinition {
            description: None,
            name: IS_ONE_OF,
            arguments: Vec::new(),
            ty: Type::Named(name!("Boolean")),
            directives: DirectiveList::default(),
        };
        object.make_mut().fields.insert(IS_ONE_OF, field.into());
    }
    Valid::assume_valid(schema)
}

fn invalid(errors: &DiagnosticList, text: &str) -> SchemaError {
    let source = Source::new(text);
    let problem = |diagnostic: Diagnostic<'_, DiagnosticData>| SchemaProblem {
        message: diagnostic.error.to_string(),
        location: diagnostic
            .error
            .location()
            .map(|span| source.locate(span.offset())),
    };
    SchemaError::Invalid {
        problems: errors
            .iter()
            .take(MAX_LISTED_PROBLEMS)
            .map(problem)
            .collect(),
    }
}

fn signatures(schema: &CompiledSchema, root: &Name) -> Vec<FieldSignature> {
    let Some(root) = schema.get_object(root) else {
        return Vec::new();
    };
    let signature = |field: &apollo_compiler::schema::FieldDefinition| FieldSignature {
        name: field.name.as_str().into(),
        type_text: field.ty.to_string(),
        arguments: field
            .arguments
            .iter()
            .map(|argument| ArgumentSignature {
                name: argument.name.as_str().into(),
                type_text: argument.ty.to_string(),
                is_required: argument.is_required(),
            })
            .collect(),
    };
    root.fields.values().map(|field| signature(field)).collect()
}

fn check_sources(schema: &CompiledSchema, options: &SchemaOptions) -> Result<(), SchemaError> {
    for (type_name, field) in options.sources.keys() {
        if schema.type_field(type_name, field).is_err() {
            return Err(SchemaError::UnknownSourceField {
                type_name: type_name.clone(),
                field: field.clone(),
            });
        }
    }
    Ok(())
}

/// Returns the shapes of the types of interfaces and unions.
fn shapes(
    schema: &CompiledSchema,
    implementers: &ApolloMap<Name, Implementers>,
    field_keys: &FieldKeys,
    options: &SchemaOptions,
) -> HashMap<Arc<str>, Arc<Shape>> {
    let unions = schema.types.values().filter_map(|ty| ty.as_union());
    let members = unions.flat_map(|union| union.members.iter().map(|member| &member.name));
    let implementing = implementers.values().flat_map(|types| &types.objects);
    let names = members.chain(implementing);
    names
        .filter_map(|name| {
            let object = schema.get_object(name)?;
            let keys = field_keys.get(name.as_str())?;
            let members = object.fields.iter().filter_map(|(field, definition)| {
                let tags = options.tags.get(&(name.to_string(), field.to_string()));
                Some(ShapeMember {
                    keys: keys.get(field.as_str())?.clone(),
                    is_required: definition.ty.is_non_null(),
                    tags: tags.cloned().unwrap_or_default().into(),
                })
            });
            let shape = Shape {
                members: members.collect(),
            };
            Some((name.as_str().into(), Arc::new(shape)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_value_that_contains_itself_is_refused() {
        let parse = |input: &str| {
            let sdl = format!("type Subscription {{ tick(a: A): Int }} {input}");
            Schema::parse(&sdl, SchemaOptions::default())
        };
        for input in [
            "input A { b: A = {} }",
            "input A { b: [A] = [{b: [{}]}] }",
            "input A { b: B = {} } input B { a: A = {} }",
        ] {
            assert!(
                matches!(parse(input), Err(SchemaError::DefaultCycle { .. })),
                "{input}"
            );
        }
        for input in [
            "input A { b: A = {b: null} }",
            "input A { b: [A] = [] c: A }",
        ] {
            assert!(parse(input).is_ok(), "{input}");
        }
    }
}
