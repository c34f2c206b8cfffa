//! Operations and fragments as a whole: names, use, cycles, root fields of subscriptions.

use apollo_compiler::Node;
use apollo_compiler::ast::{
    Definition, Field, FragmentDefinition, FragmentSpread, OperationDefinition, Selection,
};
use apollo_compiler::parser::SourceSpan;
use hashbrown::{HashMap, HashSet};

use super::{Rules, directives, spreads};

impl<'d> Rules<'d> {
    pub(super) fn definitions(&mut self) {
        let definitions = &self.document.definitions;
        let mut operations = Vec::new();
        let mut fragments = Vec::new();
        for definition in definitions {
            match definition {
                Definition::OperationDefinition(operation) => operations.push(operation),
                Definition::FragmentDefinition(fragment) => fragments.push(fragment),
                other => self.report(
                    "Only operations and fragments can be executed, not definitions of a schema."
                        .to_owned(),
                    [other.location()],
                ),
            }
        }
        self.operation_names(&operations);
        self.fragment_names(&fragments, &operations);
        self.fragment_cycles(&fragments);
        for operation in operations {
            self.root_fields(operation);
        }
    }

    /// `UniqueOperationNames` and `LoneAnonymousOperation`.
    fn operation_names(&mut self, operations: &[&'d Node<OperationDefinition>]) {
        let mut known = HashMap::new();
        for operation in operations {
            match &operation.name {
                Some(name) => {
                    let first = *known.entry(name.as_str()).or_insert(name);
                    if !std::ptr::eq(first, name) {
                        self.report(
                            format!("There can be only one operation named \"{name}\"."),
                            [first.location(), name.location()],
                        );
                    }
                }
                None if operations.len() > 1 => self.report(
                    "This anonymous operation must be the only defined operation.".to_owned(),
                    [operation.location()],
                ),
                None => {}
            }
        }
    }

    /// `UniqueFragmentNames` and `NoUnusedFragments`.
    fn fragment_names(
        &mut self,
        fragments: &[&'d Node<FragmentDefinition>],
        operations: &[&'d Node<OperationDefinition>],
    ) {
        let mut used = HashSet::new();
        for operation in operations {
            used.extend(self.fragments_of(&operation.selection_set));
        }
        let mut known = HashMap::new();
        for fragment in fragments {
            let name = &fragment.name;
            let first = *known.entry(name.as_str()).or_insert(name);
            if !std::ptr::eq(first, name) {
                self.report(
                    format!("There can be only one fragment named \"{name}\"."),
                    [first.location(), name.location()],
                );
            }
            if !used.contains(name.as_str()) {
                self.report(
                    format!("Fragment \"{name}\" is never used."),
                    [fragment.location()],
                );
            }
        }
    }

    /// Returns the names of the fragments that a selection set spreads, directly or through
    /// fragments.
    pub(super) fn fragments_of(&self, selections: &'d [Selection]) -> Vec<&'d str> {
        let mut names: Vec<&str> = Vec::new();
        let mut known = HashSet::new();
        let mut left = vec![selections];
        while let Some(set) = left.pop() {
            for spread in spreads(set) {
                let name = spread.fragment_name.as_str();
                if known.insert(name)
                    && let Some(fragment) = self.fragments.get(name)
                {
                    names.push(name);
                    left.push(&fragment.selection_set);
                }
            }
        }
        names
    }

    /// `NoFragmentCycles`.
    fn fragment_cycles(&mut self, fragments: &[&'d Node<FragmentDefinition>]) {
        let mut cycles = Cycles::default();
        for fragment in fragments {
            self.cycles_from(fragment, &mut cycles);
        }
    }

    fn cycles_from(&mut self, fragment: &'d FragmentDefinition, cycles: &mut Cycles<'d>) {
        let name = fragment.name.as_str();
        if !cycles.visited.insert(name) {
            return;
        }
        cycles.starts.insert(name, cycles.path.len());
        for spread in spreads(&fragment.selection_set) {
            cycles.path.push(spread);
            let spread_name = spread.fragment_name.as_str();
            match cycles.starts.get(spread_name) {
                Some(start) => {
                    let places: Vec<_> = cycles.path[*start..]
                        .iter()
                        .map(|spread| spread.location())
                        .collect();
                    self.report(
                        format!("Cannot spread fragment \"{spread_name}\" within itself."),
                        places,
                    );
                }
                None => {
                    if let Some(next) = self.fragments.get(spread_name).copied() {
                        self.cycles_from(next, cycles);
                    }
                }
            }
            cycles.path.pop();
        }
        cycles.starts.remove(name);
    }

    /// `SingleFieldSubscriptions`, if no variable decides about a root field.
    fn root_fields(&mut self, operation: &'d Node<OperationDefinition>) {
        if !operation.operation_type.is_subscription() {
            return;
        }
        let mut roots = RootFields::default();
        let Some(root_type) = self
            .schema
            .compiled()
            .schema_definition
            .subscription
            .as_ref()
        else {
            return;
        };
        if !self.collect_roots(
            root_type.name.as_str(),
            &operation.selection_set,
            &mut roots,
        ) {
            return;
        }
        for (message, places) in root_field_errors(operation.name.as_deref(), &roots.fields) {
            self.report(message, places);
        }
    }

    /// Returns `false` if a variable decides.
    fn collect_roots(
        &self,
        root_type: &str,
        selections: &'d [Selection],
        roots: &mut RootFields<'d>,
    ) -> bool {
        let applies = |condition: &str| {
            condition == root_type || self.schema.compiled().is_subtype(condition, root_type)
        };
        selections.iter().all(|selection| {
            let mut is_included = true;
            for (name, leaves_out) in [("skip", true), ("include", false)] {
                let condition = directives(selection).get(name);
                match condition.and_then(|directive| directive.specified_argument_by_name("if")) {
                    Some(value) if value.as_variable().is_some() => return false,
                    Some(value) => is_included &= value.to_bool() != Some(leaves_out),
                    None => {}
                }
            }
            match selection {
                _ if !is_included => true,
                Selection::Field(field) => {
                    roots.add(field);
                    true
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_ref();
                    condition.is_some_and(|condition| !applies(condition))
                        || self.collect_roots(root_type, &fragment.selection_set, roots)
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.fragments.get(spread.fragment_name.as_str());
                    fragment.is_none_or(|fragment| {
                        !roots.spread.insert(fragment.name.as_str())
                            || !applies(&fragment.type_condition)
                            || self.collect_roots(root_type, &fragment.selection_set, roots)
                    })
                }
            }
        })
    }
}

#[derive(Default)]
struct Cycles<'d> {
    visited: HashSet<&'d str>,
    path: Vec<&'d Node<FragmentSpread>>,
    /// For each open fragment: the position of its first spread in the path.
    starts: HashMap<&'d str, usize>,
}

/// The name of each root field and the locations of its nodes, by response key.
#[derive(Default)]
struct RootFields<'d> {
    keys: Vec<&'d str>,
    fields: Vec<(&'d str, Vec<Option<SourceSpan>>)>,
    spread: HashSet<&'d str>,
}

impl<'d> RootFields<'d> {
    fn add(&mut self, field: &'d Node<Field>) {
        let key = field.alias.as_ref().unwrap_or(&field.name).as_str();
        let index = self.keys.iter().position(|known| *known == key);
        let index = index.unwrap_or_else(|| {
            self.keys.push(key);
            self.fields.push((field.name.as_str(), Vec::new()));
            self.fields.len() - 1
        });
        self.fields[index].1.push(field.location());
    }
}

/// Returns the errors of the root fields of a subscription, each with its name and locations.
pub(crate) fn root_field_errors(
    operation: Option<&str>,
    fields: &[(&str, Vec<Option<SourceSpan>>)],
) -> Vec<(String, Vec<Option<SourceSpan>>)> {
    let what = match operation {
        Some(name) => format!("Subscription \"{name}\""),
        None => "Anonymous Subscription".to_owned(),
    };
    let mut errors = Vec::new();
    if fields.len() > 1 {
        let extra = fields[1..].iter().flat_map(|(_, places)| places.clone());
        errors.push((
            format!("{what} must select exactly one top level field."),
            extra.collect(),
        ));
    }
    for (name, places) in fields {
        if name.starts_with("__") {
            errors.push((
                format!("{what} must not select an introspection top level field."),
                places.clone(),
            ));
        }
    }
    errors
}
