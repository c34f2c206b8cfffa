//! Restricts a plan for a client: lists the denied fields, and returns the plan in which they are
//! null.
//!
//! Not here: the decision about a field, which callers pass as a function of type and field.

use std::collections::HashMap;
use std::sync::Arc;

use super::{AbstractPlan, FieldPlan, Kind, Plan, SelectionPlan, TypePlan};
use crate::JsonMap;
use crate::error::{CODE_FORBIDDEN, GraphQLError, PathSegment, ResolverError};

/// Denied fields of one operation that its errors list (count). Past it further fields are left
/// out.
const MAX_LISTED_FIELDS: usize = 50;

/// Returns whether the client may not read a field of an object type.
type IsDenied<'f> = &'f dyn Fn(&str, &str) -> bool;

impl Plan {
    /// Returns the denied fields below the subscription field, each as an error with its path.
    #[must_use]
    pub fn denied_fields(&self, is_denied: IsDenied<'_>) -> Vec<GraphQLError> {
        let mut restriction = Restriction::new(is_denied);
        let mut path = vec![PathSegment::Key(self.root.response_key.clone())];
        let mut errors = Vec::new();
        restriction.list(&self.root.ty, &mut path, &mut errors);
        errors
    }

    /// Returns the plan in which denied fields are null, each with an error; `None` if none is
    /// denied.
    #[must_use]
    pub fn without(&self, is_denied: IsDenied<'_>) -> Option<Self> {
        let ty = Restriction::new(is_denied).restrict(&self.root.ty)?;
        let root = FieldPlan {
            ty,
            ..FieldPlan::clone(&self.root)
        };
        Some(Self {
            root: Arc::new(root),
            bytes: self.bytes,
        })
    }
}

/// Returns the error of a denied field.
pub(crate) fn forbidden(field: &FieldPlan) -> ResolverError {
    let mut extensions = JsonMap::new();
    extensions.insert("code".to_owned(), CODE_FORBIDDEN.into());
    ResolverError::new(format!(
        "not permitted to read `{}.{}`",
        field.type_name, field.name
    ))
    .with_extensions(extensions)
}

struct Restriction<'f> {
    is_denied: IsDenied<'f>,
    /// Restricted selections by address, as plans share parts. `None`: no field in it is denied.
    selections: HashMap<*const SelectionPlan, Option<Arc<SelectionPlan>>>,
}

impl<'f> Restriction<'f> {
    fn new(is_denied: IsDenied<'f>) -> Self {
        Self {
            is_denied,
            selections: HashMap::new(),
        }
    }

    fn denies(&self, field: &FieldPlan) -> bool {
        (self.is_denied)(&field.type_name, &field.name)
    }

    /// Returns the restricted type; `None` if no field in it is denied.
    fn restrict(&mut self, ty: &TypePlan) -> Option<TypePlan> {
        let kind = match &ty.kind {
            Kind::List(item) => Kind::List(Box::new(self.restrict(item)?)),
            Kind::Object(selection) => Kind::Object(self.selection(selection)?),
            Kind::Abstract(plan) => {
                let restricted: Vec<_> = plan.types.iter().map(|t| self.selection(t)).collect();
                if restricted.iter().all(Option::is_none) {
                    return None;
                }
                let types = restricted.into_iter().zip(&plan.types);
                let types = types.map(|(new, old)| new.unwrap_or_else(|| old.clone()));
                let plan =
                    AbstractPlan::new(plan.name.clone(), types.collect(), plan.shapes.clone());
                Kind::Abstract(Arc::new(plan))
            }
            Kind::Denied
            | Kind::TypeName(_)
            | Kind::BuiltIn(_)
            | Kind::Custom(_)
            | Kind::Enum(_) => return None,
        };
        Some(TypePlan {
            is_nullable: ty.is_nullable,
            kind,
        })
    }

    fn selection(&mut self, selection: &Arc<SelectionPlan>) -> Option<Arc<SelectionPlan>> {
        let address = Arc::as_ptr(selection);
        if let Some(known) = self.selections.get(&address) {
            return known.clone();
        }
        let mut changed = false;
        let fields = selection.fields.iter().map(|field| {
            let ty = if self.denies(field) {
                Some(TypePlan {
                    is_nullable: field.ty.is_nullable,
                    kind: Kind::Denied,
                })
            } else {
                self.restrict(&field.ty)
            };
            changed |= ty.is_some();
            FieldPlan {
                ty: ty.unwrap_or_else(|| field.ty.clone()),
                ..field.clone()
            }
        });
        let fields = fields.collect();
        let restricted = changed.then(|| {
            Arc::new(SelectionPlan::new(
                selection.type_name.clone(),
                fields,
                selection.failure.clone(),
            ))
        });
        self.selections.insert(address, restricted.clone());
        restricted
    }

    /// Lists denied fields. Visits only parts that contain some, so shared parts cost only what
    /// they add to the list.
    fn list(&mut self, ty: &TypePlan, path: &mut Vec<PathSegment>, errors: &mut Vec<GraphQLError>) {
        match &ty.kind {
            Kind::List(item) => self.list(item, path, errors),
            Kind::Object(selection) => self.list_selection(selection, path, errors),
            Kind::Abstract(plan) => {
                for selection in &plan.types {
                    self.list_selection(selection, path, errors);
                }
            }
            Kind::Denied
            | Kind::TypeName(_)
            | Kind::BuiltIn(_)
            | Kind::Custom(_)
            | Kind::Enum(_) => {}
        }
    }

    fn list_selection(
        &mut self,
        selection: &Arc<SelectionPlan>,
        path: &mut Vec<PathSegment>,
        errors: &mut Vec<GraphQLError>,
    ) {
        if self.selection(selection).is_none() {
            return;
        }
        for field in &selection.fields {
            if errors.len() >= MAX_LISTED_FIELDS {
                return;
            }
            path.push(PathSegment::Key(field.response_key.clone()));
            if self.denies(field) {
                let ResolverError {
                    message,
                    extensions,
                    ..
                } = forbidden(field);
                errors.push(GraphQLError {
                    message,
                    locations: field.locations.to_vec(),
                    path: path.clone(),
                    extensions,
                });
            } else {
                self.list(&field.ty, path, errors);
            }
            path.pop();
        }
    }
}
