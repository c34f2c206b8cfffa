//! A compiled selection: the fields that are read from a value, and the form in which they are
//! written.
//!
//! Plans are trees with shared parts. Two plans are equal if they produce equal data for every
//! value; the locations of their fields in the documents are not compared.

mod collect;
mod compile;
mod projection;
mod restrict;
mod scalar;

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{GraphQLError, Location};
use crate::value::shape::{Shape, best_fit};
use crate::value::{EnumType, Key, Value};

pub(crate) use collect::{Collected, Collector, condition_variables};
pub(crate) use compile::Compiler;

/// The compiled selection of one subscription: cheap to clone, equal by structure.
#[derive(Clone)]
pub struct Plan {
    pub(crate) root: Arc<FieldPlan>,
    /// Its size (bytes, estimated).
    pub(crate) bytes: usize,
}

/// One field of a response object.
#[derive(Clone)]
pub(crate) struct FieldPlan {
    /// `"key":`, with a comma before all fields except the first.
    pub(crate) prefix: Box<[u8]>,
    pub(crate) response_key: Arc<str>,
    /// Object type and name of the field, for error texts.
    pub(crate) type_name: Arc<str>,
    pub(crate) name: Arc<str>,
    /// Keys of the field in the value, in this order; empty for `__typename`.
    pub(crate) keys: Arc<[Key]>,
    pub(crate) ty: TypePlan,
    /// Locations of all nodes that are merged into this field.
    pub(crate) locations: Box<[Location]>,
}

/// An output type with its selection.
#[derive(Clone)]
pub(crate) struct TypePlan {
    pub(crate) is_nullable: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    /// The client may not read it; see [`Plan::without`].
    Denied,
    /// `__typename`: the JSON of the name.
    TypeName(Box<[u8]>),
    BuiltIn(BuiltInScalar),
    Custom(Arc<str>),
    Enum(Arc<EnumType>),
    List(Box<TypePlan>),
    Object(Arc<SelectionPlan>),
    Abstract(Arc<AbstractPlan>),
}

/// The scalars of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BuiltInScalar {
    Int,
    Float,
    String,
    Boolean,
    Id,
}

/// The selection from an object type.
pub(crate) struct SelectionPlan {
    pub(crate) type_name: Arc<str>,
    pub(crate) fields: Box<[FieldPlan]>,
    /// Why the selection fails: a condition has no value.
    pub(crate) failure: Option<GraphQLError>,
    /// Hash of the structure, stored because a walk through shared parts could take exponential
    /// time.
    pub(crate) fingerprint: u64,
}

/// The selection from an interface or a union.
pub(crate) struct AbstractPlan {
    pub(crate) name: Arc<str>,
    /// Sorted by type name.
    pub(crate) types: Box<[Arc<SelectionPlan>]>,
    /// The shapes of values of these types, in the same order.
    pub(crate) shapes: Arc<[Arc<Shape>]>,
    pub(crate) fingerprint: u64,
}

impl SelectionPlan {
    pub(crate) fn new(
        type_name: Arc<str>,
        fields: Box<[FieldPlan]>,
        failure: Option<GraphQLError>,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        type_name.hash(&mut hasher);
        for field in &fields {
            field.hash_structure(&mut hasher);
        }
        failure
            .as_ref()
            .map(|error| &error.message)
            .hash(&mut hasher);
        Self {
            type_name,
            fields,
            failure,
            fingerprint: hasher.finish(),
        }
    }
}

impl AbstractPlan {
    /// `types` are sorted by name.
    pub(crate) fn new(
        name: Arc<str>,
        types: Box<[Arc<SelectionPlan>]>,
        shapes: Arc<[Arc<Shape>]>,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        for selection in &types {
            selection.fingerprint.hash(&mut hasher);
        }
        Self {
            name,
            types,
            shapes,
            fingerprint: hasher.finish(),
        }
    }

    pub(crate) fn of_type(&self, type_name: &str) -> Option<&Arc<SelectionPlan>> {
        let index = self
            .types
            .binary_search_by(|selection| (*selection.type_name).cmp(type_name));
        self.types.get(index.ok()?)
    }

    /// Returns the selection for a value without a type name, if its members determine the type.
    pub(crate) fn of_shape<V: Value>(&self, value: &V) -> Option<&Arc<SelectionPlan>> {
        self.types.get(best_fit(&self.shapes, value)?)
    }
}

impl Plan {
    /// Returns its size in memory (bytes, estimated).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the name of the subscription field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.root.name
    }

    /// Returns the response key of the subscription field.
    #[must_use]
    pub fn response_key(&self) -> &str {
        &self.root.response_key
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("type_name", &self.root.type_name)
            .field("field", &self.root.name)
            .field("response_key", &self.root.response_key)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
            || PlanComparison::default().fields(&self.root, &other.root)
    }
}

impl Eq for Plan {}

impl Hash for Plan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.root.hash_structure(state);
    }
}

impl FieldPlan {
    /// Hashes the structure. Keys are determined by type and name, so they are not hashed.
    pub(crate) fn hash_structure<H: Hasher>(&self, state: &mut H) {
        self.response_key.hash(state);
        self.type_name.hash(state);
        self.name.hash(state);
        self.ty.hash_structure(state);
    }
}

impl TypePlan {
    fn hash_structure<H: Hasher>(&self, state: &mut H) {
        self.is_nullable.hash(state);
        std::mem::discriminant(&self.kind).hash(state);
        match &self.kind {
            Kind::Denied => {}
            Kind::TypeName(json) => json.hash(state),
            Kind::BuiltIn(scalar) => scalar.hash(state),
            Kind::Custom(name) => name.hash(state),
            Kind::Enum(enum_type) => enum_type.name().hash(state),
            Kind::List(item) => item.hash_structure(state),
            Kind::Object(selection) => selection.fingerprint.hash(state),
            Kind::Abstract(plan) => plan.fingerprint.hash(state),
        }
    }
}

/// One comparison of two plans. Pairs of shared parts are compared once. The comparison ends at the
/// first difference, so a pair that was compared before is equal, or its comparison is still
/// running.
#[derive(Default)]
struct PlanComparison {
    met: HashSet<(*const SelectionPlan, *const SelectionPlan)>,
}

impl PlanComparison {
    fn fields(&mut self, a: &FieldPlan, b: &FieldPlan) -> bool {
        a.response_key == b.response_key
            && a.type_name == b.type_name
            && a.name == b.name
            && self.types(&a.ty, &b.ty)
    }

    fn types(&mut self, a: &TypePlan, b: &TypePlan) -> bool {
        a.is_nullable == b.is_nullable
            && match (&a.kind, &b.kind) {
                (Kind::Denied, Kind::Denied) => true,
                (Kind::TypeName(a), Kind::TypeName(b)) => a == b,
                (Kind::BuiltIn(a), Kind::BuiltIn(b)) => a == b,
                (Kind::Custom(a), Kind::Custom(b)) => a == b,
                (Kind::Enum(a), Kind::Enum(b)) => a.name() == b.name(),
                (Kind::List(a), Kind::List(b)) => self.types(a, b),
                (Kind::Object(a), Kind::Object(b)) => self.selections(a, b),
                (Kind::Abstract(a), Kind::Abstract(b)) => self.abstract_types(a, b),
                _ => false,
            }
    }

    fn abstract_types(&mut self, a: &AbstractPlan, b: &AbstractPlan) -> bool {
        a.name == b.name
            && a.fingerprint == b.fingerprint
            && a.types.len() == b.types.len()
            && a.types
                .iter()
                .zip(&b.types)
                .all(|(a, b)| self.selections(a, b))
    }

    fn selections(&mut self, a: &Arc<SelectionPlan>, b: &Arc<SelectionPlan>) -> bool {
        Arc::ptr_eq(a, b)
            || (a.fingerprint == b.fingerprint
                && a.type_name == b.type_name
                && a.fields.len() == b.fields.len()
                && a.failure.is_some() == b.failure.is_some()
                && (!self.met.insert((Arc::as_ptr(a), Arc::as_ptr(b)))
                    || a.fields
                        .iter()
                        .zip(&b.fields)
                        .all(|(a, b)| self.fields(a, b))))
    }
}
