//! Options of a schema that the definition language cannot express.

use std::collections::HashMap;

use serde_json::Value as Json;

/// Options of a schema that the definition language cannot express.
#[derive(Debug, Clone, Default)]
pub struct SchemaOptions {
    /// By type and field: the key of the field in the value. Other fields are read by their GraphQL
    /// name, then by its `snake_case` form.
    pub sources: HashMap<(String, String), String>,
    /// By type and field: an attribute from which the field is read before its names are tried.
    pub attributes: HashMap<(String, String), String>,
    /// By enum type: GraphQL names with the value that the host uses for each.
    pub enum_values: HashMap<String, Vec<(String, Json)>>,
    /// Enums of the host by their names: GraphQL names with the JSON in which the host publishes
    /// each. They belong to the type with the same name, otherwise to the only one with the same
    /// values.
    pub published_enums: Vec<(String, Vec<(String, Json)>)>,
    /// By custom scalar: the scalar whose values it has, such as `Decimal`.
    pub scalar_kinds: HashMap<String, String>,
    /// By type and field: the allowed values of the field. They distinguish the types of an
    /// interface or a union.
    pub tags: HashMap<(String, String), Vec<Json>>,
    /// Whether the subscription type is optional: the host also serves queries and mutations.
    pub may_lack_subscription: bool,
}
