//! What documents ask for: their sizes, as the limits count them, and the fields that they select.
//!
//! Not here: the limits; which permissions a field requires.

use std::collections::{BTreeSet, HashSet};

use apollo_compiler::Name;
use apollo_compiler::executable::{Selection, SelectionSet};
use apollo_compiler::schema::ExtendedType;

use super::{Document, OperationKind, syntax};
use crate::limits::{self, OperationSize};

/// What a document asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSummary {
    /// Its text (bytes).
    pub bytes: usize,
    /// Its lexical tokens (count), which `max_tokens` limits.
    pub tokens: usize,
    /// Its operations, in the order of the text.
    pub operations: Vec<OperationSummary>,
}

/// What one operation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationSummary {
    /// Its name.
    pub name: Option<String>,
    /// Its kind.
    pub kind: OperationKind,
    /// Its size.
    pub size: OperationSize,
    /// Its root fields (count), one for each name in the response.
    pub root_fields: usize,
    /// The object types and fields that it selects, also those that `@skip` or `@include` may
    /// leave out.
    pub fields: BTreeSet<(String, String)>,
}

impl Document {
    /// Returns what it asks for.
    #[must_use]
    pub fn summary(&self) -> DocumentSummary {
        let sizes = match syntax::parse(self.text(), &self.source) {
            Ok(ast) => limits::sizes(&ast),
            // A valid document is parsed.
            Err(_) => Vec::new(),
        };
        let of = |(name, size)| self.operation_summary(name, size);
        DocumentSummary {
            bytes: self.text().len(),
            tokens: limits::tokens(self.text()),
            operations: sizes.into_iter().filter_map(of).collect(),
        }
    }

    fn operation_summary(
        &self,
        name: Option<Name>,
        size: OperationSize,
    ) -> Option<OperationSummary> {
        let operation = self.executable.operations.get(name.as_deref()).ok()?;
        let roots = operation.root_fields(&self.executable);
        let root_fields = roots
            .map(|field| field.response_key())
            .collect::<HashSet<_>>()
            .len();
        let mut fields = BTreeSet::new();
        let set = &operation.selection_set;
        self.add_fields(set, std::slice::from_ref(&set.ty), &mut fields);
        Some(OperationSummary {
            kind: operation.operation_type.into(),
            name: name.map(|name| name.to_string()),
            size,
            root_fields,
            fields,
        })
    }

    /// Adds the fields that are selected of objects of certain types.
    fn add_fields(
        &self,
        set: &SelectionSet,
        objects: &[Name],
        fields: &mut BTreeSet<(String, String)>,
    ) {
        for selection in &set.selections {
            match selection {
                Selection::Field(field) => {
                    let names = objects
                        .iter()
                        .map(|object| (object.to_string(), field.name.to_string()));
                    fields.extend(names);
                    let inside = self.objects(&field.selection_set.ty);
                    self.add_fields(&field.selection_set, &inside, fields);
                }
                Selection::InlineFragment(fragment) => {
                    let set = &fragment.selection_set;
                    self.add_fields(set, &self.narrowed(objects, &set.ty), fields);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.executable.fragments.get(&spread.fragment_name) {
                        let set = &fragment.selection_set;
                        self.add_fields(set, &self.narrowed(objects, &set.ty), fields);
                    }
                }
            }
        }
    }

    fn narrowed(&self, objects: &[Name], condition: &Name) -> Vec<Name> {
        let admitted = self.objects(condition);
        let both = objects.iter().filter(|object| admitted.contains(object));
        both.cloned().collect()
    }

    /// Returns the object types that a value of a type may have.
    fn objects(&self, type_name: &Name) -> Vec<Name> {
        match self.schema.compiled().types.get(type_name) {
            Some(ExtendedType::Object(_)) => vec![type_name.clone()],
            _ => self.schema.possible_types(type_name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{DocumentLimits, Schema, SchemaOptions};

    const SDL: &str = "type Query { a: Int } type Subscription { node: Node! either: Either }
        interface Node { id: ID! } union Either = Order | Refund
        type Order implements Node { id: ID! total: Int next: Order }
        type Refund implements Node { id: ID! }";

    fn summary(text: &str) -> DocumentSummary {
        let schema = Schema::parse(SDL, SchemaOptions::default()).unwrap();
        let document = Document::parse(Arc::new(schema), DocumentLimits::default(), text).unwrap();
        document.summary()
    }

    fn only(text: &str) -> OperationSummary {
        let [one] = summary(text).operations.try_into().unwrap();
        one
    }

    fn places(summary: &OperationSummary) -> Vec<String> {
        let places = summary.fields.iter();
        places.map(|(of, field)| format!("{of}.{field}")).collect()
    }

    #[test]
    fn an_operation_has_the_size_that_limits_count() {
        let text = "query A { a, b: a @skip(if: true) } subscription B { node { id ...F } }
            fragment F on Order { next { next { total } } }";
        let told = summary(text);
        assert_eq!((told.bytes, told.tokens), (text.len(), 38));
        let [a, b] = told.operations.try_into().unwrap();
        assert_eq!(
            (a.name.as_deref(), a.kind),
            (Some("A"), OperationKind::Query)
        );
        let of_a = OperationSize {
            depth: 1,
            fields: 2,
            aliases: 1,
            directives: 1,
        };
        assert_eq!((a.size, a.root_fields), (of_a, 2));
        assert_eq!(
            (b.name.as_deref(), b.kind),
            (Some("B"), OperationKind::Subscription)
        );
        assert_eq!((b.size.depth, b.size.fields, b.root_fields), (4, 5, 1));
    }

    #[test]
    fn the_tokens_are_those_that_the_limit_counts() {
        let text = "subscription { node { id, } } # a comment";
        let tokens = summary(text).tokens;
        let schema = Arc::new(Schema::parse(SDL, SchemaOptions::default()).unwrap());
        let within = |max_tokens| {
            let limits = DocumentLimits {
                max_tokens: Some(max_tokens),
                ..DocumentLimits::default()
            };
            Document::parse(schema.clone(), limits, text).is_ok()
        };
        assert!(within(tokens) && !within(tokens - 1));
    }

    #[test]
    fn fields_are_those_of_the_objects_that_a_fragment_admits() {
        let one = only("subscription { node { id } }");
        assert_eq!(places(&one), ["Order.id", "Refund.id", "Subscription.node"]);
        let one = only("subscription { either { ... on Refund { ... on Node { id } } } }");
        assert_eq!(places(&one), ["Refund.id", "Subscription.either"]);
    }
}
