//! The memory of a parsed document, by which the cache is bounded.
//!
//! What it shares with the schema is not counted: definitions of fields, and names of their types.
//! Not here: plans, which have a count of their own (`plan`).

use std::mem::size_of;

use apollo_compiler::ast::{Argument, DirectiveList, Type, Value, VariableDefinition};
use apollo_compiler::executable::{ExecutableDocument, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::{Name, Node};
use hashbrown::HashSet;

use super::Document;

/// Memory of a node beside what it contains: the count of its references, and its place (bytes).
const NODE: usize = size_of::<usize>() + size_of::<Option<SourceSpan>>();
/// Memory of a shared text beside the text: two counts of references (bytes).
const SHARED: usize = 2 * size_of::<usize>();
/// Memory of an entry of an index map beside its key and value: its hash, and its place in the
/// table (bytes).
const ENTRY: usize = 3 * size_of::<usize>();

impl Document {
    /// Returns its memory without its plans (bytes).
    pub(super) fn weigh(&self) -> usize {
        let mut scale = Scale::default();
        scale.add(size_of::<Self>() + SHARED);
        scale.add(SHARED + self.text.len());
        scale.document(&self.executable);
        for source in self.executable.sources.values() {
            scale.add(NODE + source.source_text().len());
        }
        for names in self.conditions.values() {
            scale.bytes += ENTRY + size_of::<(Option<Name>, Vec<Name>)>();
            scale.list(names);
        }
        scale.bytes + self.source.bytes()
    }
}

/// What was counted so far.
#[derive(Default)]
struct Scale {
    bytes: usize,
    /// The texts of names that were counted; many names share one.
    names: HashSet<*const u8>,
}

impl Scale {
    /// Adds one allocation.
    fn add(&mut self, bytes: usize) {
        self.bytes += allocated(bytes);
    }

    fn node<T>(&mut self, _: &Node<T>) {
        self.add(NODE + size_of::<T>());
    }

    fn list<T>(&mut self, list: &Vec<T>) {
        self.add(list.capacity() * size_of::<T>());
    }

    fn name(&mut self, name: &Name) {
        if self.names.insert(name.as_ptr()) {
            self.add(SHARED + name.len());
        }
    }

    fn document(&mut self, document: &ExecutableDocument) {
        for operation in document.operations.iter() {
            self.bytes += ENTRY + size_of::<(Name, usize)>();
            self.node(operation);
            if let Some(name) = &operation.name {
                self.name(name);
            }
            self.list(&operation.variables);
            for variable in &operation.variables {
                self.variable(variable);
            }
            self.directives(&operation.directives);
            self.selections(&operation.selection_set);
        }
        for fragment in document.fragments.values() {
            self.bytes += ENTRY + size_of::<(Name, usize)>();
            self.node(fragment);
            self.name(&fragment.name);
            self.directives(&fragment.directives);
            self.selections(&fragment.selection_set);
        }
    }

    fn variable(&mut self, variable: &Node<VariableDefinition>) {
        self.node(variable);
        self.name(&variable.name);
        self.node(&variable.ty);
        let mut ty: &Type = &variable.ty;
        while let Type::List(item) | Type::NonNullList(item) = ty {
            self.add(size_of::<Type>());
            ty = item;
        }
        self.name(ty.inner_named_type());
        if let Some(value) = &variable.default_value {
            self.value(value);
        }
        self.directives(&variable.directives);
    }

    fn directives(&mut self, directives: &DirectiveList) {
        self.list(&directives.0);
        for directive in directives {
            self.node(directive);
            self.name(&directive.name);
            self.arguments(&directive.arguments);
        }
    }

    fn arguments(&mut self, arguments: &Vec<Node<Argument>>) {
        self.list(arguments);
        for argument in arguments {
            self.node(argument);
            self.name(&argument.name);
            self.value(&argument.value);
        }
    }

    fn value(&mut self, value: &Node<Value>) {
        self.node(value);
        match &**value {
            Value::Null | Value::Boolean(_) => {}
            Value::Enum(name) | Value::Variable(name) => self.name(name),
            Value::String(text) => self.add(text.len()),
            Value::Int(number) => self.add(number.as_str().len()),
            Value::Float(number) => self.add(number.as_str().len()),
            Value::List(items) => {
                self.list(items);
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(members) => {
                self.list(members);
                for (name, member) in members {
                    self.name(name);
                    self.value(member);
                }
            }
        }
    }

    fn selections(&mut self, set: &SelectionSet) {
        self.list(&set.selections);
        for selection in &set.selections {
            match selection {
                Selection::Field(field) => {
                    self.node(field);
                    if let Some(alias) = &field.alias {
                        self.name(alias);
                    }
                    self.name(&field.name);
                    self.arguments(&field.arguments);
                    self.directives(&field.directives);
                    self.selections(&field.selection_set);
                }
                Selection::FragmentSpread(spread) => {
                    self.node(spread);
                    self.name(&spread.fragment_name);
                    self.directives(&spread.directives);
                }
                Selection::InlineFragment(fragment) => {
                    self.node(fragment);
                    if let Some(condition) = &fragment.type_condition {
                        self.name(condition);
                    }
                    self.directives(&fragment.directives);
                    self.selections(&fragment.selection_set);
                }
            }
        }
    }
}

/// Returns what an allocator takes for an allocation: it has few sizes (bytes).
fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(bytes.next_power_of_two() / 8),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::DocumentLimits;
    use crate::{Schema, SchemaOptions};

    fn parsed(text: &str) -> Document {
        let sdl = "type Subscription { tick(a: Int, b: [String]): Tick } type Tick { a: Int b(c: Int): Tick }";
        let schema = Arc::new(Schema::parse(sdl, SchemaOptions::default()).unwrap());
        Document::parse(schema, DocumentLimits::default(), text).unwrap()
    }

    #[test]
    fn each_part_of_a_document_has_a_weight() {
        let least = parsed("subscription{tick{a}}").weigh();
        for text in [
            "subscription Named{tick{a}}",
            "subscription{tick{a} # and a comment\n}",
            "subscription{other:tick{a}}",
            "subscription{tick(a:1){a}}",
            r#"subscription{tick(b:["text"]){a}}"#,
            "subscription($a:Int=7){tick(a:$a){a}}",
            "subscription{tick{a a b{a}}}",
            "subscription{tick{...{a}}}",
            "subscription{tick{...F}}fragment F on Tick{a}",
            "subscription($a:Boolean!){tick{b @skip(if:$a){a}}}",
        ] {
            assert!(parsed(text).weigh() > least, "{text}");
        }
    }
}
