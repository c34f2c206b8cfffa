//! `OverlappingFieldsCanBeMerged`: whether all fields with one response key can be merged.
//!
//! Conflicts are found between pairs, as in graphql-js: within a selection set, between it and each
//! fragment that it spreads, and between those fragments.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use apollo_compiler::ast::{
    Argument, Definition, Field, FieldDefinition, OperationType, Selection, Type, Value,
};
use apollo_compiler::collections::IndexMap;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node};

use super::Rules;
use crate::limits::MAX_ERRORS;

/// Pairs of fields and of fragments that are compared (count). Past it further pairs are left out:
/// the document is already refused.
const MAX_COMPARISONS: usize = 20_000;

/// Nested comparisons (count). A cycle of fragments nests as many as it has pairs. Past it further
/// comparisons are left out.
const MAX_LEVELS: usize = 512;

/// A field with its parent type.
#[derive(Clone, Copy)]
struct Selected<'d> {
    parent: Option<&'d str>,
    node: &'d Node<Field>,
    definition: Option<&'d FieldDefinition>,
}

/// The fields of one selection set, without those of its fragments.
#[derive(Default)]
struct Fields<'d> {
    by_key: IndexMap<&'d str, Vec<Selected<'d>>>,
    fragments: Vec<&'d str>,
}

/// The fields on both sides that cannot be merged.
struct Conflict {
    key: String,
    first: Vec<Option<SourceSpan>>,
    second: Vec<Option<SourceSpan>>,
}

struct Overlap<'r, 'd> {
    rules: &'r Rules<'d>,
    fields: HashMap<*const Selection, Rc<Fields<'d>>>,
    /// Compared pairs, with whether their parents excluded each other.
    with_fragment: HashMap<(*const Fields<'d>, &'d str), bool>,
    fragment_pairs: HashMap<(&'d str, &'d str), bool>,
    compared: usize,
    /// Comparisons around the current one (count).
    level: usize,
    conflicts: Vec<Conflict>,
}

impl Rules<'_> {
    pub(super) fn overlaps(&mut self) {
        let mut overlap = Overlap {
            rules: self,
            fields: HashMap::new(),
            with_fragment: HashMap::new(),
            fragment_pairs: HashMap::new(),
            compared: 0,
            level: 0,
            conflicts: Vec::new(),
        };
        overlap.document();
        for conflict in overlap.conflicts {
            self.report(
                format!(
                    "Fields \"{}\" conflict: they are not the same field. Use different aliases on the fields to fetch both if this was intentional.",
                    conflict.key
                ),
                conflict.first.into_iter().chain(conflict.second),
            );
        }
    }
}

impl<'d> Overlap<'_, 'd> {
    fn document(&mut self) {
        for definition in &self.rules.document.definitions {
            match definition {
                Definition::OperationDefinition(operation) => {
                    let parent = self.root(operation.operation_type);
                    self.every_set(&operation.selection_set, parent);
                }
                Definition::FragmentDefinition(fragment) => {
                    let parent = self.composite(&fragment.type_condition);
                    self.every_set(&fragment.selection_set, parent);
                }
                _ => {}
            }
        }
    }

    fn root(&self, operation: OperationType) -> Option<&'d str> {
        let root = self.rules.schema.compiled().root_operation(operation);
        root.map(Name::as_str)
    }

    fn composite(&self, name: &'d str) -> Option<&'d str> {
        self.rules.is_composite(name).then_some(name)
    }

    fn every_set(&mut self, selections: &'d [Selection], parent: Option<&'d str>) {
        if selections.is_empty() || self.conflicts.len() >= MAX_ERRORS {
            return;
        }
        let mut conflicts = Vec::new();
        self.within_set(&mut conflicts, selections, parent);
        self.conflicts.append(&mut conflicts);
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let definition = self.definition(parent, &field.name);
                    let inner =
                        definition.map(|definition| definition.ty.inner_named_type().as_str());
                    let inner = inner.and_then(|name| self.composite(name));
                    self.every_set(&field.selection_set, inner);
                }
                Selection::InlineFragment(fragment) => {
                    let inner = match &fragment.type_condition {
                        Some(condition) => self.composite(condition),
                        None => parent,
                    };
                    self.every_set(&fragment.selection_set, inner);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn definition(&self, parent: Option<&str>, field: &str) -> Option<&'d FieldDefinition> {
        self.rules.field_definition(parent?, field)
    }

    fn fields_of(&mut self, set: &'d [Selection], parent: Option<&'d str>) -> Rc<Fields<'d>> {
        if let Some(known) = self.fields.get(&set.as_ptr()) {
            return known.clone();
        }
        let mut fields = Fields::default();
        self.collect(set, parent, &mut fields);
        let fields = Rc::new(fields);
        self.fields.insert(set.as_ptr(), fields.clone());
        fields
    }

    fn fields_of_fragment(&mut self, name: &str) -> Option<Rc<Fields<'d>>> {
        let fragment = self.rules.fragments.get(name).copied()?;
        let parent = self.composite(&fragment.type_condition);
        Some(self.fields_of(&fragment.selection_set, parent))
    }

    fn collect(&self, set: &'d [Selection], parent: Option<&'d str>, fields: &mut Fields<'d>) {
        for selection in set {
            match selection {
                Selection::Field(node) => {
                    let key = node.alias.as_ref().unwrap_or(&node.name).as_str();
                    // Introspection fields have no definition here.
                    let is_meta = node.name.starts_with("__");
                    let parent_of_field = parent.filter(|_| !is_meta);
                    fields.by_key.entry(key).or_default().push(Selected {
                        parent,
                        node,
                        definition: self.definition(parent_of_field, &node.name),
                    });
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    if !fields.fragments.contains(&name) {
                        fields.fragments.push(name);
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let inner = match &fragment.type_condition {
                        Some(condition) => self.composite(condition),
                        None => parent,
                    };
                    self.collect(&fragment.selection_set, inner, fields);
                }
            }
        }
    }

    /// Counts a comparison; false if it is past the limit.
    fn may_compare(&mut self) -> bool {
        self.compared += 1;
        self.compared <= MAX_COMPARISONS && self.level < MAX_LEVELS
    }

    fn within_set(
        &mut self,
        conflicts: &mut Vec<Conflict>,
        set: &'d [Selection],
        parent: Option<&'d str>,
    ) {
        let fields = self.fields_of(set, parent);
        for (key, same) in &fields.by_key {
            for (index, first) in same.iter().enumerate() {
                for second in &same[index + 1..] {
                    if conflicts.len() >= MAX_ERRORS {
                        return;
                    }
                    conflicts.extend(self.conflict(false, key, *first, *second));
                }
            }
        }
        for (index, name) in fields.fragments.iter().enumerate() {
            self.with_fragment(conflicts, false, &fields, name);
            for other in &fields.fragments[index + 1..] {
                self.between_fragments(conflicts, false, name, other);
            }
        }
    }

    fn with_fragment(
        &mut self,
        conflicts: &mut Vec<Conflict>,
        excluded: bool,
        fields: &Rc<Fields<'d>>,
        name: &'d str,
    ) {
        if fields.by_key.is_empty() || !self.may_compare() {
            return;
        }
        let pair = (Rc::as_ptr(fields), name);
        match self.with_fragment.get(&pair) {
            Some(false) => return,
            Some(true) if excluded => return,
            _ => self.with_fragment.insert(pair, excluded),
        };
        let Some(others) = self.fields_of_fragment(name) else {
            return;
        };
        if Rc::ptr_eq(fields, &others) {
            return;
        }
        self.level += 1;
        self.between(conflicts, excluded, fields, &others);
        for name in &others.fragments {
            self.with_fragment(conflicts, excluded, fields, name);
        }
        self.level -= 1;
    }

    fn between_fragments(
        &mut self,
        conflicts: &mut Vec<Conflict>,
        excluded: bool,
        first: &'d str,
        second: &'d str,
    ) {
        if first == second || !self.may_compare() {
            return;
        }
        let pair = if first < second {
            (first, second)
        } else {
            (second, first)
        };
        match self.fragment_pairs.get(&pair) {
            Some(false) => return,
            Some(true) if excluded => return,
            _ => self.fragment_pairs.insert(pair, excluded),
        };
        let fields = self.fields_of_fragment(first);
        let (Some(fields), Some(others)) = (fields, self.fields_of_fragment(second)) else {
            return;
        };
        self.level += 1;
        self.between(conflicts, excluded, &fields, &others);
        for name in &others.fragments {
            self.between_fragments(conflicts, excluded, first, name);
        }
        for name in &fields.fragments {
            self.between_fragments(conflicts, excluded, name, second);
        }
        self.level -= 1;
    }

    fn between(
        &mut self,
        conflicts: &mut Vec<Conflict>,
        excluded: bool,
        fields: &Fields<'d>,
        others: &Fields<'d>,
    ) {
        for (key, firsts) in &fields.by_key {
            let Some(seconds) = others.by_key.get(key) else {
                continue;
            };
            for first in firsts {
                for second in seconds {
                    if conflicts.len() >= MAX_ERRORS {
                        return;
                    }
                    conflicts.extend(self.conflict(excluded, key, *first, *second));
                }
            }
        }
    }

    fn conflict(
        &mut self,
        parents_excluded: bool,
        key: &str,
        first: Selected<'d>,
        second: Selected<'d>,
    ) -> Option<Conflict> {
        if !self.may_compare() {
            return None;
        }
        let excluded = parents_excluded
            || (first.parent != second.parent
                && self.is_object(first.parent)
                && self.is_object(second.parent));
        let (a, b) = (first.node, second.node);
        let is_same = excluded || (a.name == b.name && same_arguments(&a.arguments, &b.arguments));
        let types = (first.definition, second.definition);
        let is_fit = match types {
            (Some(a), Some(b)) => !self.types_conflict(&a.ty, &b.ty),
            _ => true,
        };
        let conflict = || Conflict {
            key: key.to_owned(),
            first: vec![a.location()],
            second: vec![b.location()],
        };
        if !is_same || !is_fit {
            return Some(conflict());
        }
        if a.selection_set.is_empty() || b.selection_set.is_empty() {
            return None;
        }
        self.level += 1;
        let mut inner = Vec::new();
        let parent_of = |selected: Selected<'d>| {
            let definition = selected.definition?;
            self.composite(definition.ty.inner_named_type())
        };
        let (parent_a, parent_b) = (parent_of(first), parent_of(second));
        let fields = self.fields_of(&a.selection_set, parent_a);
        let others = self.fields_of(&b.selection_set, parent_b);
        self.between(&mut inner, excluded, &fields, &others);
        for name in &others.fragments {
            self.with_fragment(&mut inner, excluded, &fields, name);
        }
        for name in &fields.fragments {
            self.with_fragment(&mut inner, excluded, &others, name);
        }
        for name in &fields.fragments {
            for other in &others.fragments {
                self.between_fragments(&mut inner, excluded, name, other);
            }
        }
        self.level -= 1;
        if inner.is_empty() {
            return None;
        }
        let mut conflict = conflict();
        for part in inner {
            conflict.first.extend(part.first);
            conflict.second.extend(part.second);
        }
        Some(conflict)
    }

    fn is_object(&self, name: Option<&str>) -> bool {
        name.and_then(|name| self.rules.type_named(name))
            .is_some_and(ExtendedType::is_object)
    }

    /// Whether values of the types conflict: `doTypesConflict`.
    fn types_conflict(&self, a: &Type, b: &Type) -> bool {
        if a.is_non_null() != b.is_non_null() || a.is_list() != b.is_list() {
            return true;
        }
        if a.is_list() {
            return self.types_conflict(a.item_type(), b.item_type());
        }
        let (a, b) = (a.inner_named_type(), b.inner_named_type());
        let is_leaf = |name: &Name| {
            self.rules
                .type_named(name)
                .is_some_and(ExtendedType::is_leaf)
        };
        (is_leaf(a) || is_leaf(b)) && a != b
    }
}

pub(super) fn same_arguments(a: &[Node<Argument>], b: &[Node<Argument>]) -> bool {
    let same = |argument: &Node<Argument>| {
        let other = b.iter().find(|other| other.name == argument.name);
        other.is_some_and(|other| same_value(&argument.value, &other.value))
    };
    a.len() == b.len() && a.iter().all(same)
}

/// Whether literals are equal; the order of the members of an object is ignored.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let names: HashSet<_> = b.iter().map(|(name, _)| name).collect();
            a.len() == b.len()
                && names.len() == b.len()
                && a.iter().all(|(name, value)| {
                    let other = b.iter().find(|(other, _)| other == name);
                    other.is_some_and(|(_, other)| same_value(value, other))
                })
        }
        _ => a == b,
    }
}
