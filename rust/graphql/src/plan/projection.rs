//! Writes a value as the bytes of a response: `ExecuteSelectionSet()` and `CompleteValue()` of the
//! specification, along a [`Plan`].
//!
//! A field error truncates the output to the nearest nullable position, as in graphql-js; errors
//! are listed in the order in which they occur.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::restrict::forbidden;
use super::scalar::write_built_in;
use super::{AbstractPlan, FieldPlan, Kind, Plan, SelectionPlan, TypePlan};
use crate::error::{FieldFault, GraphQLError, PathSegment, ResolverError, write_errors};
use crate::value::{TypeName, Value};
use crate::write::write_string;

const DATA: &[u8] = b"{\"data\":";

impl Plan {
    /// Appends the response for one value of the subscription field: `{"data":{…}}`, or
    /// `{"errors":[…],"data":…}` if fields failed.
    ///
    /// Returns the faults of the host, one for each field: values that do not fit the schema, and
    /// values that could not be read.
    pub fn project<V: Value>(&self, value: V, out: &mut Vec<u8>) -> Vec<FieldFault> {
        self.respond(Ok(Some(value)), out)
    }

    /// Appends the response for a failed resolver of the subscription field.
    pub fn project_error(&self, error: ResolverError, out: &mut Vec<u8>) {
        self.respond::<&serde_json::Value>(Err(error), out);
    }

    fn respond<V: Value>(
        &self,
        value: Result<Option<V>, ResolverError>,
        out: &mut Vec<u8>,
    ) -> Vec<FieldFault> {
        let start = out.len();
        out.extend_from_slice(DATA);
        let mut projection = Projection {
            out,
            errors: Vec::new(),
            faults: Vec::new(),
        };
        projection.out.push(b'{');
        projection.out.extend_from_slice(&self.root.prefix);
        let path = Path {
            parent: None,
            step: Step::Field(&self.root.response_key),
        };
        let result = projection.complete(&self.root, &self.root.ty, value, &path);
        let (mut errors, faults) = (projection.errors, projection.faults);
        match result {
            Ok(()) => out.extend_from_slice(b"}}"),
            Err(Thrown(error)) => {
                errors.push(*error);
                out.truncate(start + DATA.len());
                out.extend_from_slice(b"null}");
            }
        }
        if !errors.is_empty() {
            put_errors_first(start, &errors, out);
        }
        faults
    }
}

/// Converts `{"data":…}` from `start` on to `{"errors":[…],"data":…}`.
fn put_errors_first(start: usize, errors: &[GraphQLError], out: &mut Vec<u8>) {
    let after_brace = out.split_off(start + 1);
    out.extend_from_slice(b"\"errors\":");
    write_errors(errors, out);
    out.push(b',');
    out.extend_from_slice(&after_brace);
}

/// An error that propagates to the nearest nullable position.
struct Thrown(Box<GraphQLError>);

/// The current path of the projection, from the innermost step to the root.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a Arc<str>),
    Index(usize),
}

impl Path<'_> {
    fn segments(&self) -> Vec<PathSegment> {
        let mut segments = Vec::new();
        let mut place = Some(self);
        while let Some(path) = place {
            segments.push(match path.step {
                Step::Field(key) => PathSegment::Key(key.clone()),
                Step::Index(index) => PathSegment::Index(index),
            });
            place = path.parent;
        }
        segments.reverse();
        segments
    }
}

struct Projection<'o> {
    out: &'o mut Vec<u8>,
    errors: Vec<GraphQLError>,
    faults: Vec<FieldFault>,
}

impl Projection<'_> {
    fn locate(&mut self, error: ResolverError, field: &FieldPlan, path: &Path<'_>) -> Thrown {
        let path = path.segments();
        if let Some(fault) = error.fault {
            let field = format!("{}.{}", field.type_name, field.name);
            match self.faults.iter_mut().find(|known| known.field == field) {
                Some(known) => known.count += 1,
                None => self.faults.push(FieldFault {
                    field,
                    path: path.clone(),
                    count: 1,
                    fault: *fault,
                }),
            }
        }
        Thrown(Box::new(GraphQLError {
            message: error.message,
            locations: field.locations.to_vec(),
            path,
            extensions: error.extensions,
        }))
    }

    /// Completes a field or list item; an error does not propagate further if the type is nullable.
    fn complete<V: Value>(
        &mut self,
        field: &FieldPlan,
        ty: &TypePlan,
        value: Result<Option<V>, ResolverError>,
        path: &Path<'_>,
    ) -> Result<(), Thrown> {
        let mark = self.out.len();
        let result = match value {
            Ok(Some(value)) if !value.is_null() => self.complete_kind(field, ty, &value, path),
            Ok(_) if ty.is_nullable => {
                self.out.extend_from_slice(b"null");
                return Ok(());
            }
            Ok(_) => Err(self.locate(null_in_non_null(field), field, path)),
            Err(error) => Err(self.locate(error, field, path)),
        };
        match result {
            Err(Thrown(error)) if ty.is_nullable => {
                self.out.truncate(mark);
                self.out.extend_from_slice(b"null");
                self.errors.push(*error);
                Ok(())
            }
            result => result,
        }
    }

    fn complete_kind<V: Value>(
        &mut self,
        field: &FieldPlan,
        ty: &TypePlan,
        value: &V,
        path: &Path<'_>,
    ) -> Result<(), Thrown> {
        let written = match &ty.kind {
            Kind::Object(selection) if value.has_members() => {
                return self.object(selection, value, path);
            }
            Kind::Object(_) => Err(no_object(field, value)),
            Kind::List(item) => return self.list(field, item, value, path),
            Kind::Abstract(plan) => {
                let type_name = value.type_name(&|name| plan.of_type(name).is_some());
                let selection = match &type_name {
                    TypeName::Named(name) => plan.of_type(name),
                    TypeName::Unnamed(_) => plan.of_shape(value),
                    TypeName::Invalid => None,
                };
                match selection {
                    Some(selection) => return self.object(selection, value, path),
                    None => Err(unknown_type(field, plan, &type_name, value)),
                }
            }
            Kind::BuiltIn(scalar) => write_built_in(*scalar, value, self.out),
            Kind::Custom(name) => value.write_scalar(name, self.out),
            Kind::Enum(enum_type) => match value.enum_name(enum_type) {
                Some(name) => {
                    write_string(name, self.out);
                    Ok(())
                }
                None => Err(value.misfit(
                    format!("Enum \"{}\" cannot represent this value", enum_type.name()),
                    value.describe(),
                )),
            },
            Kind::TypeName(json) => {
                self.out.extend_from_slice(json);
                Ok(())
            }
            Kind::Denied => Err(forbidden(field)),
        };
        written.map_err(|error| self.locate(error, field, path))
    }

    /// `ExecuteSelectionSet()` of the specification.
    fn object<V: Value>(
        &mut self,
        selection: &SelectionPlan,
        value: &V,
        path: &Path<'_>,
    ) -> Result<(), Thrown> {
        if let Some(failure) = &selection.failure {
            let failure = failure.clone().with_path(path.segments());
            return Err(Thrown(Box::new(failure)));
        }
        let mut has_none = true;
        self.out.push(b'{');
        for field in &selection.fields {
            self.out.extend_from_slice(&field.prefix);
            if let Kind::TypeName(json) = &field.ty.kind {
                self.out.extend_from_slice(json);
                continue;
            }
            let path = Path {
                parent: Some(path),
                step: Step::Field(&field.response_key),
            };
            let child = match &field.ty.kind {
                Kind::Denied => Err(forbidden(field)),
                _ => read(field, value),
            };
            has_none &= matches!(child, Ok(None));
            let child = match child {
                Ok(None) if !field.ty.is_nullable => Err(missing(field, value)),
                child => child,
            };
            self.complete(field, &field.ty, child, &path)?;
        }
        if has_none {
            self.note_misspelt(selection, value, path);
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Records a value that has none of the fields, but one of them in another spelling.
    fn note_misspelt<V: Value>(&mut self, selection: &SelectionPlan, value: &V, path: &Path<'_>) {
        let mut fields = selection.fields.iter();
        let misspelling = fields.find_map(|field| Some((field, misspelt(field, value)?)));
        if let Some((field, detail)) = misspelling {
            let path = Path {
                parent: Some(path),
                step: Step::Field(&field.response_key),
            };
            let error = ResolverError::new("none of its keys is that of a field");
            self.locate(error.with_detail(detail), field, &path);
        }
    }

    fn list<V: Value>(
        &mut self,
        field: &FieldPlan,
        item_type: &TypePlan,
        value: &V,
        path: &Path<'_>,
    ) -> Result<(), Thrown> {
        if !value.is_list() {
            let message = format!("expected a list for `{}.{}`", field.type_name, field.name);
            let error = value.misfit(message, value.describe());
            return Err(self.locate(error, field, path));
        }
        self.out.push(b'[');
        let mut index = 0;
        let mut result = Ok(());
        let iterated = value.for_each(|item| {
            if index > 0 {
                self.out.push(b',');
            }
            let path = Path {
                parent: Some(path),
                step: Step::Index(index),
            };
            index += 1;
            result = self.complete(field, item_type, Ok(Some(item)), &path);
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        result?;
        iterated.map_err(|error| self.locate(error, field, path))?;
        self.out.push(b']');
        Ok(())
    }
}

/// `ResolveFieldValue()` of the specification: the first key that the value has.
fn read<V: Value>(field: &FieldPlan, value: &V) -> Result<Option<V>, ResolverError> {
    for key in &*field.keys {
        if let Some(member) = value.field(key)? {
            return Ok(Some(member));
        }
    }
    Ok(None)
}

/// Returns the error for a missing member whose field is non-null.
fn missing<V: Value>(field: &FieldPlan, value: &V) -> ResolverError {
    let detail = misspelt(field, value).unwrap_or_default();
    null_in_non_null(field).with_detail(detail)
}

/// Returns the text about a missing member that the value has in another spelling.
fn misspelt<V: Value>(field: &FieldPlan, value: &V) -> Option<String> {
    let key = field.keys.last()?;
    let spelling = value.alike(&key.name)?;
    let name = &key.name;
    Some(format!(
        "it has `{spelling}`, but the field is read from `{name}`"
    ))
}

fn no_object<V: Value>(field: &FieldPlan, value: &V) -> ResolverError {
    value.misfit(
        format!(
            "expected an object for `{}.{}`",
            field.type_name, field.name
        ),
        format!(
            "{}; an object is a dict, another mapping, a dataclass, a model or the like",
            value.describe()
        ),
    )
}

fn null_in_non_null(field: &FieldPlan) -> ResolverError {
    ResolverError::new(format!(
        "Cannot return null for non-nullable field {}.{}.",
        field.type_name, field.name
    ))
    .with_detail("")
}

fn unknown_type<V: Value>(
    field: &FieldPlan,
    plan: &AbstractPlan,
    type_name: &TypeName<'_>,
    value: &V,
) -> ResolverError {
    let detail = match type_name {
        TypeName::Named(name) => format!("its type is `{name}`"),
        TypeName::Unnamed(_) => format!(
            "{} has no `__typename`, and its fields do not tell which it is",
            value.describe()
        ),
        TypeName::Invalid => format!("{} has no `__typename`", value.describe()),
    };
    let abstract_type = &plan.name;
    value.misfit(format!(
        "Abstract type \"{abstract_type}\" must resolve to an Object type at runtime for field \"{}.{}\"",
        field.type_name, field.name
    ), detail)
}
