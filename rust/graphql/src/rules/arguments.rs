//! Arguments of fields and directives: known, unique, and present if required.

use apollo_compiler::ast::{
    Argument, Directive, DirectiveDefinition, Field, FieldDefinition, InputValueDefinition,
};
use apollo_compiler::collections::IndexMap;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::{Name, Node};

use super::Rules;

impl<'d> Rules<'d> {
    pub(super) fn field_arguments(
        &mut self,
        field: &'d Node<Field>,
        definition: Option<&'d FieldDefinition>,
        parent: Option<&str>,
    ) {
        let owner = format!("Field \"{}.{}\"", parent.unwrap_or_default(), field.name);
        let declared = definition.map(|definition| definition.arguments.as_slice());
        self.arguments(&field.arguments, declared, &owner, field.location());
    }

    pub(super) fn directive_arguments(
        &mut self,
        directive: &'d Node<Directive>,
        definition: Option<&'d DirectiveDefinition>,
    ) {
        let owner = format!("Directive \"@{}\"", directive.name);
        let declared = definition.map(|definition| definition.arguments.as_slice());
        self.arguments(&directive.arguments, declared, &owner, directive.location());
    }

    /// `KnownArgumentNames`, `UniqueArgumentNames`, `ProvidedRequiredArguments`, and the values;
    /// without a declaration, names and types are unknown.
    fn arguments(
        &mut self,
        given: &'d [Node<Argument>],
        declared: Option<&'d [Node<InputValueDefinition>]>,
        owner: &str,
        place: Option<SourceSpan>,
    ) {
        if given.len() > 1 {
            self.argument_names(given);
        }
        for argument in given {
            let name = &argument.name;
            let definition =
                declared.and_then(|known| known.iter().find(|known| known.name == *name));
            if declared.is_some() && definition.is_none() {
                self.report(
                    format!("Unknown argument \"{name}\" on {owner}."),
                    [argument.location()],
                );
            }
            let ty = definition.map(|definition| &*definition.ty);
            self.value(&argument.value, ty);
        }
        for definition in declared.unwrap_or_default() {
            let is_given = given.iter().any(|given| given.name == definition.name);
            if definition.is_required() && !is_given {
                self.report(
                    format!(
                        "{owner} argument \"{}\" of type \"{}\" is required, but it was not provided.",
                        definition.name, definition.ty
                    ),
                    [place],
                );
            }
        }
    }

    fn argument_names(&mut self, given: &'d [Node<Argument>]) {
        let mut places: IndexMap<&Name, Vec<_>> = IndexMap::default();
        for argument in given {
            let of_name = places.entry(&argument.name).or_default();
            of_name.push(argument.name.location());
        }
        for (name, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
            self.report(
                format!("There can be only one argument named \"{name}\"."),
                places,
            );
        }
    }
}
