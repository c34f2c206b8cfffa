//! What a host tells of its schema beyond the definition language.

use std::collections::HashMap;

use serde_json::Value as Json;

/// What a host knows beyond the definition language.
#[derive(Debug, Clone, Default)]
pub struct SchemaOptions {
    /// By type and field: the key under which the field is read from the value.
    /// Other fields are read by their GraphQL name, then by its `snake_case` form.
    pub sources: HashMap<(String, String), String>,
    /// By type and field: an attribute from which the field is read before its names are tried.
    pub attributes: HashMap<(String, String), String>,
    /// By enum type: GraphQL names with the value that the host uses for each.
    pub enum_values: HashMap<String, Vec<(String, Json)>>,
    /// Enums of the host by their names: GraphQL names with the JSON in which the host publishes
    /// each. They are of the type of the same name, or else of the only one with the same values.
    pub published_enums: Vec<(String, Vec<(String, Json)>)>,
    /// By custom scalar: the scalar whose values it has, such as `Decimal`.
    pub scalar_kinds: HashMap<String, String>,
    /// By type and field: the only values that the field has. They tell the types of an interface
    /// or a union apart.
    pub tags: HashMap<(String, String), Vec<Json>>,
    /// Whether there may be no subscription type: the host serves queries and mutations as well.
    pub may_lack_subscription: bool,
}
