//! Fields, fragments and directives in their parent types.

use apollo_compiler::ast::{
    Definition, DirectiveList, DirectiveLocation, Field, FieldDefinition, FragmentSpread,
    OperationType, Selection,
};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name, Node};
use apollo_parser::{Lexer, TokenKind};

use super::Rules;

impl<'d> Rules<'d> {
    pub(super) fn selections(&mut self) {
        for definition in &self.document.definitions {
            match definition {
                Definition::OperationDefinition(operation) => {
                    let location = match operation.operation_type {
                        OperationType::Query => DirectiveLocation::Query,
                        OperationType::Mutation => DirectiveLocation::Mutation,
                        OperationType::Subscription => DirectiveLocation::Subscription,
                    };
                    let root = self
                        .schema
                        .compiled()
                        .root_operation(operation.operation_type);
                    self.variable_definitions(&operation.variables);
                    self.directives(&operation.directives, location);
                    self.selection_set(&operation.selection_set, root.map(Name::as_str));
                }
                Definition::FragmentDefinition(fragment) => {
                    let condition = &fragment.type_condition;
                    self.known_type(condition);
                    self.composite_condition(condition, Some(fragment.name.as_str()));
                    self.directives(&fragment.directives, DirectiveLocation::FragmentDefinition);
                    let parent = self.composite(condition);
                    self.selection_set(&fragment.selection_set, parent);
                }
                _ => {}
            }
        }
    }

    fn composite(&self, name: &'d str) -> Option<&'d str> {
        self.is_composite(name).then_some(name)
    }

    /// `KnownTypeNames`.
    pub(super) fn known_type(&mut self, name: &'d Name) {
        let is_defined = |definition: &Definition| {
            !definition.is_executable_definition() && definition.name() == Some(name)
        };
        if self.type_named(name).is_none() && !self.document.definitions.iter().any(is_defined) {
            self.report(format!("Unknown type \"{name}\"."), [name.location()]);
        }
    }

    /// `FragmentsOnCompositeTypes`.
    fn composite_condition(&mut self, condition: &Name, fragment: Option<&str>) {
        if self.type_named(condition).is_none() || self.is_composite(condition) {
            return;
        }
        let what = match fragment {
            Some(name) => format!("Fragment \"{name}\""),
            None => "Fragment".to_owned(),
        };
        self.report(
            format!("{what} cannot condition on non composite type \"{condition}\"."),
            [condition.location()],
        );
    }

    fn selection_set(&mut self, selections: &'d [Selection], parent: Option<&'d str>) {
        for selection in selections {
            match selection {
                Selection::Field(field) => self.field(field, parent),
                Selection::FragmentSpread(spread) => self.spread(spread, parent),
                Selection::InlineFragment(fragment) => {
                    let mut inner = parent;
                    if let Some(condition) = &fragment.type_condition {
                        self.known_type(condition);
                        self.composite_condition(condition, None);
                        inner = self.composite(condition);
                    }
                    self.possible(inner, parent, None, fragment.location());
                    self.directives(&fragment.directives, DirectiveLocation::InlineFragment);
                    self.selection_set(&fragment.selection_set, inner);
                }
            }
        }
    }

    /// `PossibleFragmentSpreads`.
    fn possible(
        &mut self,
        inner: Option<&str>,
        parent: Option<&str>,
        fragment: Option<&str>,
        place: Option<SourceSpan>,
    ) {
        let (Some(inner), Some(parent)) = (inner, parent) else {
            return;
        };
        if self.overlap(inner, parent) {
            return;
        }
        let what = fragment.map_or_else(String::new, |name| format!("\"{name}\" "));
        self.report(
            format!(
                "Fragment {what}cannot be spread here as objects of type \"{parent}\" can never be of type \"{inner}\"."
            ),
            [place],
        );
    }

    fn spread(&mut self, spread: &'d Node<FragmentSpread>, parent: Option<&'d str>) {
        let name = &spread.fragment_name;
        self.directives(&spread.directives, DirectiveLocation::FragmentSpread);
        match self.fragments.get(name.as_str()).copied() {
            Some(fragment) => {
                let inner = self.composite(&fragment.type_condition);
                self.possible(inner, parent, Some(name), spread.location());
            }
            None => self.report(format!("Unknown fragment \"{name}\"."), [name.location()]),
        }
    }

    fn field(&mut self, field: &'d Node<Field>, parent: Option<&'d str>) {
        let definition = parent.and_then(|parent| self.field_definition(parent, &field.name));
        match (definition, parent) {
            (None, Some(parent)) => self.report(
                format!(
                    "Cannot query field \"{}\" on type \"{parent}\".",
                    field.name
                ),
                [field.location()],
            ),
            (Some(definition), _) => self.leaf(field, definition),
            (None, None) => {}
        }
        self.field_arguments(field, definition, parent);
        self.directives(&field.directives, DirectiveLocation::Field);
        let inner = definition.map(|definition| definition.ty.inner_named_type().as_str());
        let inner = inner.and_then(|name| self.composite(name));
        self.selection_set(&field.selection_set, inner);
    }

    /// `ScalarLeafs`.
    fn leaf(&mut self, field: &'d Node<Field>, definition: &FieldDefinition) {
        let (name, ty) = (&field.name, &definition.ty);
        let is_leaf = self
            .type_named(ty.inner_named_type())
            .is_some_and(ExtendedType::is_leaf);
        match field.selection_set.first() {
            Some(first) if is_leaf => {
                let place = self.brace_before(field.location(), selection_location(first));
                self.report_at(
                    format!(
                        "Field \"{name}\" must not have a selection since type \"{ty}\" has no subfields."
                    ),
                    &place.into_iter().collect::<Vec<_>>(),
                );
            }
            None if !is_leaf => self.report(
                format!(
                    "Field \"{name}\" of type \"{ty}\" must have a selection of subfields. Did you mean \"{name} {{ ... }}\"?"
                ),
                [field.location()],
            ),
            _ => {}
        }
    }

    /// Returns the offset of the brace that opens a selection set, which has no node.
    fn brace_before(&self, field: Option<SourceSpan>, first: Option<SourceSpan>) -> Option<usize> {
        let (start, end) = (field?.offset(), first?.offset());
        let tokens = Lexer::new(self.text.get(start..end)?);
        let braces = tokens.filter_map(|token| match token {
            Ok(token) if token.kind() == TokenKind::LCurly => Some(start + token.index()),
            _ => None,
        });
        braces.last()
    }

    /// `KnownDirectives`, `UniqueDirectivesPerLocation`, and the arguments of directives.
    pub(super) fn directives(
        &mut self,
        directives: &'d DirectiveList,
        location: DirectiveLocation,
    ) {
        for (index, directive) in directives.iter().enumerate() {
            let name = &directive.name;
            let definition = self.schema.compiled().directive_definitions.get(name);
            match definition {
                None => self.report(
                    format!("Unknown directive \"@{name}\"."),
                    [directive.location()],
                ),
                Some(definition) => {
                    if !definition.locations.contains(&location) {
                        self.report(
                            format!("Directive \"@{name}\" may not be used on {location}."),
                            [directive.location()],
                        );
                    }
                    let first = directives[..index].iter().find(|other| other.name == *name);
                    if let Some(first) = first
                        && !definition.repeatable
                    {
                        self.report(
                            format!(
                                "The directive \"@{name}\" can only be used once at this location."
                            ),
                            [first.location(), directive.location()],
                        );
                    }
                }
            }
            self.directive_arguments(directive, definition.map(|definition| &**definition));
        }
    }
}

fn selection_location(selection: &Selection) -> Option<SourceSpan> {
    match selection {
        Selection::Field(field) => field.location(),
        Selection::FragmentSpread(spread) => spread.location(),
        Selection::InlineFragment(fragment) => fragment.location(),
    }
}
