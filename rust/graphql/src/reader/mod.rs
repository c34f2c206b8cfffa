//! Reads the usual documents, without the compiler's parser.
//!
//! The compiler creates a tree of all tokens first, which is most of the cost of a document. This
//! reader creates the same [`Document`] at once. It reads operations and fragments, and leaves
//! what is rare to the compiler: syntax errors, block strings, escapes, large numbers, `@defer`,
//! deep nesting. So it never reports an error.

mod lexer;
mod spans;

use std::sync::Arc;

use apollo_compiler::ast::{
    Argument, Definition, Directive, DirectiveList, Document, Field, FloatValue,
    FragmentDefinition, FragmentSpread, InlineFragment, IntValue, OperationDefinition,
    OperationType, Selection, Type, Value, VariableDefinition,
};
use apollo_compiler::{Name, Node};
use hashbrown::HashMap;

use crate::limits::{MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, MAX_NESTING, MAX_TOKENS};

use lexer::{Lexer, Token, TokenKind};
use spans::Spans;

/// Nesting of selection sets, values and types that is read here (count); the compiler allows more.
const MAX_READ_NESTING: usize = MAX_NESTING / 2;

/// Returns the document if it has at most so many tokens and nothing that is left to the compiler.
pub(crate) fn read(text: &str, max_tokens: usize) -> Option<Document> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return None;
    }
    let mut lexer = Lexer::new(text);
    let token = lexer.next()?;
    let mut reader = Reader {
        text,
        lexer,
        token,
        end_of_last: 0,
        tokens: 0,
        max_tokens,
        level: 0,
        spans: Spans::up_to(text.len())?,
        names: HashMap::new(),
    };
    let mut document = Document::new();
    while reader.token.kind != TokenKind::End {
        document.definitions.push(reader.definition()?);
    }
    (!document.definitions.is_empty()).then_some(document)
}

struct Reader<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    token: Token,
    /// Where the token before ends.
    end_of_last: usize,
    tokens: usize,
    max_tokens: usize,
    level: usize,
    spans: Spans,
    /// The names of the document, each once.
    names: HashMap<&'t str, Arc<str>>,
}

impl<'t> Reader<'t> {
    fn advance(&mut self) -> Option<Token> {
        let token = self.token;
        self.end_of_last = token.end;
        self.tokens += 1;
        self.token = self.lexer.next()?;
        let is_within = self.tokens <= self.max_tokens && self.lexer.all < MAX_TOKENS;
        is_within.then_some(token)
    }

    fn sees(&self, punctuation: u8) -> bool {
        self.token.kind == TokenKind::Punctuation(punctuation)
    }

    fn sees_word(&self, word: &str) -> bool {
        self.token.kind == TokenKind::Name && self.slice(self.token) == word
    }

    fn slice(&self, token: Token) -> &'t str {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    fn expect(&mut self, punctuation: u8) -> Option<Token> {
        if self.sees(punctuation) {
            self.advance()
        } else {
            None
        }
    }

    /// Whether the token is there; then it is passed.
    fn passes(&mut self, punctuation: u8) -> Option<bool> {
        let is_there = self.sees(punctuation);
        if is_there {
            self.advance()?;
        }
        Some(is_there)
    }

    fn name(&mut self) -> Option<Name> {
        if self.token.kind != TokenKind::Name {
            return None;
        }
        let token = self.advance()?;
        let text = self.slice(token);
        if text.len() > MAX_NAME_BYTES {
            return None;
        }
        let shared = self.names.entry(text).or_insert_with(|| text.into());
        let name = Name::from_arc_unchecked(shared.clone());
        Some(name.with_location(self.spans.between(token.start, token.end)?))
    }

    /// Creates a node that began there and ends before the current token.
    fn node<T>(&self, start: usize, node: T) -> Option<Node<T>> {
        let span = self.spans.between(start, self.end_of_last)?;
        Some(Node::new_parsed(node, span))
    }

    /// Reads something that may contain itself.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.level += 1;
        if self.level > MAX_READ_NESTING {
            return None;
        }
        let read = read(self)?;
        self.level -= 1;
        Some(read)
    }

    /// Reads parts up to a closing token, at least one.
    fn parts<T>(&mut self, close: u8, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut parts = vec![read(self)?];
        while !self.passes(close)? {
            parts.push(read(self)?);
        }
        Some(parts)
    }

    fn definition(&mut self) -> Option<Definition> {
        let start = self.token.start;
        if self.sees(b'{') {
            let operation = OperationDefinition {
                operation_type: OperationType::Query,
                name: None,
                variables: Vec::new(),
                directives: DirectiveList::default(),
                selection_set: self.selection_set()?,
            };
            return Some(Definition::OperationDefinition(
                self.node(start, operation)?,
            ));
        }
        if self.token.kind != TokenKind::Name {
            return None;
        }
        let keyword = self.advance()?;
        let operation_type = match self.slice(keyword) {
            "query" => OperationType::Query,
            "mutation" => OperationType::Mutation,
            "subscription" => OperationType::Subscription,
            "fragment" => return self.fragment(start),
            _ => return None,
        };
        let is_named = self.token.kind == TokenKind::Name;
        let operation = OperationDefinition {
            operation_type,
            name: if is_named { Some(self.name()?) } else { None },
            variables: if self.passes(b'(')? {
                self.parts(b')', Self::variable_definition)?
            } else {
                Vec::new()
            },
            directives: self.directives(false)?,
            selection_set: self.selection_set()?,
        };
        Some(Definition::OperationDefinition(
            self.node(start, operation)?,
        ))
    }

    fn fragment(&mut self, start: usize) -> Option<Definition> {
        if self.sees_word("on") {
            return None;
        }
        let name = self.name()?;
        if !self.sees_word("on") {
            return None;
        }
        self.advance()?;
        let fragment = FragmentDefinition {
            name,
            type_condition: self.name()?,
            directives: self.directives(false)?,
            selection_set: self.selection_set()?,
        };
        Some(Definition::FragmentDefinition(self.node(start, fragment)?))
    }

    fn variable_definition(&mut self) -> Option<Node<VariableDefinition>> {
        let start = self.expect(b'$')?.start;
        let name = self.name()?;
        self.expect(b':')?;
        let start_of_type = self.token.start;
        let ty = self.ty()?;
        let ty = self.node(start_of_type, ty)?;
        let default_value = if self.passes(b'=')? {
            Some(self.value(true)?)
        } else {
            None
        };
        let directives = self.directives(true)?;
        let definition = VariableDefinition {
            name,
            ty,
            default_value,
            directives,
        };
        self.node(start, definition)
    }

    fn ty(&mut self) -> Option<Type> {
        if self.passes(b'[')? {
            let item = Box::new(self.nested(Self::ty)?);
            self.expect(b']')?;
            return Some(if self.passes(b'!')? {
                Type::NonNullList(item)
            } else {
                Type::List(item)
            });
        }
        let name = self.name()?;
        Some(if self.passes(b'!')? {
            Type::NonNullNamed(name)
        } else {
            Type::Named(name)
        })
    }

    fn directives(&mut self, is_constant: bool) -> Option<DirectiveList> {
        let mut directives = Vec::new();
        while self.sees(b'@') {
            let start = self.advance()?.start;
            if self.sees_word("defer") {
                return None;
            }
            let directive = Directive {
                name: self.name()?,
                arguments: self.arguments(is_constant)?,
            };
            directives.push(self.node(start, directive)?);
        }
        Some(DirectiveList(directives))
    }

    fn arguments(&mut self, is_constant: bool) -> Option<Vec<Node<Argument>>> {
        if !self.passes(b'(')? {
            return Some(Vec::new());
        }
        self.parts(b')', |reader| {
            let start = reader.token.start;
            let name = reader.name()?;
            reader.expect(b':')?;
            let value = reader.value(is_constant)?;
            reader.node(start, Argument { name, value })
        })
    }

    fn selection_set(&mut self) -> Option<Vec<Selection>> {
        self.expect(b'{')?;
        self.nested(|reader| reader.parts(b'}', Self::selection))
    }

    fn selection(&mut self) -> Option<Selection> {
        let start = self.token.start;
        if self.token.kind == TokenKind::Spread {
            self.advance()?;
            return self.spread(start);
        }
        let mut name = self.name()?;
        let mut alias = None;
        if self.passes(b':')? {
            alias = Some(name);
            name = self.name()?;
        }
        let field = Field {
            alias,
            name,
            arguments: self.arguments(false)?,
            directives: self.directives(false)?,
            selection_set: if self.sees(b'{') {
                self.selection_set()?
            } else {
                Vec::new()
            },
        };
        Some(Selection::Field(self.node(start, field)?))
    }

    fn spread(&mut self, start: usize) -> Option<Selection> {
        let is_condition = self.sees_word("on");
        if self.token.kind == TokenKind::Name && !is_condition {
            let spread = FragmentSpread {
                fragment_name: self.name()?,
                directives: self.directives(false)?,
            };
            return Some(Selection::FragmentSpread(self.node(start, spread)?));
        }
        if is_condition {
            self.advance()?;
        }
        let fragment = InlineFragment {
            type_condition: if is_condition {
                Some(self.name()?)
            } else {
                None
            },
            directives: self.directives(false)?,
            selection_set: self.selection_set()?,
        };
        Some(Selection::InlineFragment(self.node(start, fragment)?))
    }

    fn value(&mut self, is_constant: bool) -> Option<Node<Value>> {
        let token = self.token;
        let start = token.start;
        let value = match token.kind {
            TokenKind::Name => {
                let name = self.name()?;
                match name.as_str() {
                    "true" => Value::Boolean(true),
                    "false" => Value::Boolean(false),
                    "null" => Value::Null,
                    _ => Value::Enum(name),
                }
            }
            TokenKind::Int => {
                self.advance()?;
                Value::Int(IntValue::new_parsed(self.slice(token)))
            }
            TokenKind::Float => {
                self.advance()?;
                Value::Float(FloatValue::new_parsed(self.slice(token)))
            }
            TokenKind::String => {
                self.advance()?;
                let quoted = self.slice(token);
                let inner = quoted.get(1..quoted.len() - 1)?;
                Value::String(inner.to_owned())
            }
            TokenKind::Punctuation(b'$') if !is_constant => {
                self.advance()?;
                Value::Variable(self.name()?)
            }
            TokenKind::Punctuation(b'[') => {
                self.advance()?;
                self.nested(|reader| {
                    let mut items = Vec::new();
                    while !reader.passes(b']')? {
                        items.push(reader.value(is_constant)?);
                    }
                    Some(Value::List(items))
                })?
            }
            TokenKind::Punctuation(b'{') => {
                self.advance()?;
                self.nested(|reader| {
                    let mut members = Vec::new();
                    while !reader.passes(b'}')? {
                        let name = reader.name()?;
                        reader.expect(b':')?;
                        members.push((name, reader.value(is_constant)?));
                    }
                    Some(Value::Object(members))
                })?
            }
            _ => return None,
        };
        self.node(start, value)
    }
}

#[cfg(test)]
mod tests;
