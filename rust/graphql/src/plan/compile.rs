//! Compiles selection sets to a [`Plan`].
//!
//! Merged selection sets are compiled once for each object type that they apply to, so that nested
//! interfaces cost the sum of their types, not the product.

use std::sync::Arc;

use apollo_compiler::ast::Type;
use apollo_compiler::executable::{Field, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node};
use hashbrown::{HashMap, HashSet};

use super::collect::{Collected, Collector};
use super::{AbstractPlan, BuiltInScalar, FieldPlan, Kind, Plan, SelectionPlan, TypePlan};
use crate::error::{CODE_VALIDATION_FAILED, GraphQLError, Location, request_error};
use crate::source::Source;
use crate::write::write_string;

/// Fields of one plan for all its object types (count). Past it the operation is refused.
const MAX_PLAN_FIELDS: usize = 20_000;

/// Overhead of the allocator for the parts of one field, and for one name (bytes, estimated).
const FIELD_BYTES: usize = 48;
const NAME_BYTES: usize = 64;

/// Compiles one operation.
pub(crate) struct Compiler<'d> {
    collector: Collector<'d>,
    source: &'d Source,
    selections: HashMap<SelectionKey, Arc<SelectionPlan>>,
    field_count: usize,
    /// Size of the fields so far (bytes, estimated).
    bytes: usize,
    /// Names of types and fields, each once.
    names: HashSet<Arc<str>>,
}

/// Selection sets, by address, and the object type that they apply to.
type SelectionKey = (Vec<*const SelectionSet>, Name);

type Compiled<T> = Result<T, Vec<GraphQLError>>;

impl<'d> Compiler<'d> {
    pub(crate) fn new(collector: Collector<'d>, source: &'d Source) -> Self {
        Self {
            collector,
            source,
            selections: HashMap::new(),
            field_count: 0,
            bytes: 0,
            names: HashSet::new(),
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let shared: Arc<str> = name.into();
        self.bytes += name.len() + NAME_BYTES;
        self.names.insert(shared.clone());
        shared
    }

    /// Compiles the only field of a subscription.
    pub(crate) fn compile(
        mut self,
        root_type: &str,
        response_key: &str,
        nodes: &[&'d Node<Field>],
    ) -> Compiled<Plan> {
        let root = self.field(root_type, response_key, nodes, true)?;
        Ok(Plan {
            root: Arc::new(root),
            bytes: self.bytes,
        })
    }

    fn field(
        &mut self,
        type_name: &str,
        response_key: &str,
        nodes: &[&'d Node<Field>],
        is_first: bool,
    ) -> Compiled<FieldPlan> {
        self.field_count += 1;
        if self.field_count > MAX_PLAN_FIELDS {
            return Err(request_error(
                format!(
                    "the operation comes to more than {MAX_PLAN_FIELDS} fields over the types of its interfaces and unions: select fewer"
                ),
                CODE_VALIDATION_FAILED,
            ));
        }
        let mut prefix = Vec::with_capacity(response_key.len() + 3 + usize::from(!is_first));
        if !is_first {
            prefix.push(b',');
        }
        write_string(response_key, &mut prefix);
        prefix.push(b':');
        let name = nodes.first().map_or("", |node| node.name.as_str());
        let schema = self.collector.schema;
        let ty = if name == "__typename" {
            let mut json = Vec::new();
            write_string(type_name, &mut json);
            TypePlan {
                is_nullable: false,
                kind: Kind::TypeName(json.into()),
            }
        } else {
            let definition = schema
                .compiled()
                .type_field(type_name, name)
                .map_err(|_| unknown(&format!("{type_name}.{name}")))?;
            self.output_type(&definition.ty, nodes)?
        };
        let mut locations: Vec<Location> = Vec::with_capacity(nodes.len());
        let spans = nodes.iter().filter_map(|node| node.location());
        locations.extend(spans.map(|span| self.source.locate(span.offset())));
        self.bytes +=
            size_of::<FieldPlan>() + FIELD_BYTES + prefix.len() + size_of_val(locations.as_slice());
        Ok(FieldPlan {
            prefix: prefix.into(),
            response_key: self.name(response_key),
            type_name: self.name(type_name),
            name: self.name(name),
            keys: schema.keys_of(type_name, name),
            ty,
            locations: locations.into(),
        })
    }

    fn output_type(&mut self, ty: &Type, nodes: &[&'d Node<Field>]) -> Compiled<TypePlan> {
        let kind = match ty {
            Type::List(item) | Type::NonNullList(item) => {
                Kind::List(Box::new(self.output_type(item, nodes)?))
            }
            Type::Named(name) | Type::NonNullNamed(name) => self.named_type(name, nodes)?,
        };
        Ok(TypePlan {
            is_nullable: !ty.is_non_null(),
            kind,
        })
    }

    fn named_type(&mut self, name: &Name, nodes: &[&'d Node<Field>]) -> Compiled<Kind> {
        let schema = self.collector.schema;
        match schema.compiled().types.get(name) {
            Some(ExtendedType::Scalar(_)) => Ok(match name.as_str() {
                "Int" => Kind::BuiltIn(BuiltInScalar::Int),
                "Float" => Kind::BuiltIn(BuiltInScalar::Float),
                "String" => Kind::BuiltIn(BuiltInScalar::String),
                "Boolean" => Kind::BuiltIn(BuiltInScalar::Boolean),
                "ID" => Kind::BuiltIn(BuiltInScalar::Id),
                custom => Kind::Custom(custom.into()),
            }),
            Some(ExtendedType::Enum(_)) => {
                let enum_type = schema.enum_type(name).ok_or_else(|| unknown(name))?;
                Ok(Kind::Enum(enum_type.clone()))
            }
            Some(ExtendedType::Object(_)) => Ok(Kind::Object(self.selection(name, nodes)?)),
            Some(ExtendedType::Interface(_) | ExtendedType::Union(_)) => {
                let mut types = schema.possible_types(name);
                types.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
                let shapes = types.iter().map(|name| schema.shape_of(name)).collect();
                let types = types.iter().map(|name| self.selection(name, nodes));
                let types = types.collect::<Compiled<Vec<_>>>()?;
                let plan = AbstractPlan::new(name.as_str().into(), types.into(), shapes);
                Ok(Kind::Abstract(Arc::new(plan)))
            }
            Some(ExtendedType::InputObject(_)) | None => Err(unknown(name)),
        }
    }

    fn selection(
        &mut self,
        type_name: &Name,
        nodes: &[&'d Node<Field>],
    ) -> Compiled<Arc<SelectionPlan>> {
        let sets = nodes
            .iter()
            .map(|node| &raw const node.selection_set)
            .collect();
        let key: SelectionKey = (sets, type_name.clone());
        if let Some(selection) = self.selections.get(&key) {
            return Ok(selection.clone());
        }
        let sets = nodes.iter().map(|node| &node.selection_set);
        let (collected, failure) = match self.collector.collect(type_name, sets) {
            Ok(collected) => (collected, None),
            Err(error) => (Collected::default(), Some(error)),
        };
        let mut fields = Vec::with_capacity(collected.len());
        for (response_key, nodes) in &collected {
            fields.push(self.field(type_name, response_key, nodes, fields.is_empty())?);
        }
        let failure = failure.map(|error| {
            let place = error.place.map(|span| self.source.locate(span.offset()));
            let error = GraphQLError::of_document(error.message);
            error.with_locations(place.into_iter().collect::<Vec<_>>())
        });
        let selection = SelectionPlan::new(type_name.as_str().into(), fields.into(), failure);
        let selection = Arc::new(selection);
        self.selections.insert(key, selection.clone());
        Ok(selection)
    }
}

/// Returns the error for an unknown name, which the validation has excluded.
fn unknown(what: &str) -> Vec<GraphQLError> {
    request_error(
        format!("`{what}` cannot be selected: it is not an output of the schema"),
        CODE_VALIDATION_FAILED,
    )
}
