//! Counts the elements of each kind in a schema, which introspection can return.

use apollo_compiler::Name;
use apollo_compiler::collections::HashMap;
use apollo_compiler::schema::{ExtendedType, Implementers, Schema as CompiledSchema};

/// Elements of one kind (count).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Elements {
    /// In the whole schema.
    pub(crate) all: usize,
    /// The maximum that one parent has.
    pub(crate) most: usize,
}

impl Elements {
    fn add(&mut self, count: usize) {
        self.all += count;
        self.most = self.most.max(count);
    }
}

/// The numbers of elements of a schema.
#[derive(Debug, Default)]
pub(crate) struct SchemaSize {
    pub(crate) types: usize,
    pub(crate) directives: usize,
    pub(crate) fields: Elements,
    /// Arguments of fields.
    pub(crate) arguments: Elements,
    pub(crate) arguments_of_directives: Elements,
    pub(crate) input_fields: Elements,
    pub(crate) enum_values: Elements,
    pub(crate) interfaces: Elements,
    pub(crate) possible_types: Elements,
}

impl SchemaSize {
    pub(crate) fn new(schema: &CompiledSchema, implementers: &HashMap<Name, Implementers>) -> Self {
        let mut size = Self {
            types: schema.types.len(),
            directives: schema.directive_definitions.len(),
            ..Self::default()
        };
        for directive in schema.directive_definitions.values() {
            size.arguments_of_directives.add(directive.arguments.len());
        }
        for (name, definition) in &schema.types {
            let fields = match definition {
                ExtendedType::Object(object) => {
                    size.interfaces.add(object.implements_interfaces.len());
                    &object.fields
                }
                ExtendedType::Interface(interface) => {
                    size.interfaces.add(interface.implements_interfaces.len());
                    let objects = implementers.get(name).map(|types| types.objects.len());
                    size.possible_types.add(objects.unwrap_or_default());
                    &interface.fields
                }
                ExtendedType::Union(union) => {
                    size.possible_types.add(union.members.len());
                    continue;
                }
                ExtendedType::Enum(definition) => {
                    size.enum_values.add(definition.values.len());
                    continue;
                }
                ExtendedType::InputObject(input) => {
                    size.input_fields.add(input.fields.len());
                    continue;
                }
                ExtendedType::Scalar(_) => continue,
            };
            size.fields.add(fields.len());
            for field in fields.values() {
                size.arguments.add(field.arguments.len());
            }
        }
        size
    }
}
