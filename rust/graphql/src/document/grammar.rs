//! The grammar of operations and fragments (GraphQL specification, section 2).
//!
//! The compiler's parser repairs some faults and reports none: it leaves out an argument that has no
//! `:`. What it accepts is therefore checked here, with the messages of graphql-js. Type definitions
//! are not: the validation refuses them.

use std::fmt;

use apollo_parser::{Lexer, Token, TokenKind};

use crate::limits::MAX_NESTING;

/// Nesting that is checked (count): of selection sets, values and types together. The compiler's parser
/// refuses less.
const MAX_LEVELS: usize = 4 * MAX_NESTING;

/// The first fault of a document.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    /// Where it is (bytes from the beginning).
    pub(super) at: usize,
    pub(super) problem: String,
}

type Checked = Result<(), SyntaxFault>;

/// Checks a text that the compiler's parser accepts.
pub(super) fn check(text: &str) -> Checked {
    let mut checker = Checker {
        lexer: Lexer::new(text),
        token: None,
        end: text.len(),
        level: 0,
    };
    checker.advance();
    loop {
        checker.definition()?;
        match checker.token {
            None => return Ok(()),
            // A type definition.
            Some(_) if !checker.begins_executable() => return Ok(()),
            Some(_) => {}
        }
    }
}

/// A token, as graphql-js names it.
struct Found<'a, 't>(Option<&'a Token<'t>>);

impl fmt::Display for Found<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(token) = self.0 else {
            return f.write_str("<EOF>");
        };
        match token.kind() {
            TokenKind::Name => write!(f, "Name \"{}\"", token.data()),
            TokenKind::Int => f.write_str("Int"),
            TokenKind::Float => f.write_str("Float"),
            TokenKind::StringValue => f.write_str("String"),
            _ => write!(f, "\"{}\"", token.data()),
        }
    }
}

struct Checker<'t> {
    lexer: Lexer<'t>,
    /// The current token; `None`: the end of the text.
    token: Option<Token<'t>>,
    /// Length of the text (bytes).
    end: usize,
    level: usize,
}

impl Checker<'_> {
    fn advance(&mut self) {
        // The compiler's parser reports the text that is not a token.
        let mut tokens = self.lexer.by_ref().filter_map(Result::ok);
        self.token = tokens.find(|token| {
            !matches!(
                token.kind(),
                TokenKind::Whitespace | TokenKind::Comment | TokenKind::Comma | TokenKind::Eof
            )
        });
    }

    fn kind(&self) -> TokenKind {
        self.token.as_ref().map_or(TokenKind::Eof, Token::kind)
    }

    /// Returns the current name; empty if the token is another one.
    fn word(&self) -> &str {
        match &self.token {
            Some(token) if token.kind() == TokenKind::Name => token.data(),
            _ => "",
        }
    }

    fn fault(&self, problem: String) -> SyntaxFault {
        let at = self.token.as_ref().map_or(self.end, Token::index);
        SyntaxFault { at, problem }
    }

    fn unexpected(&self) -> SyntaxFault {
        self.fault(format!("Unexpected {}.", Found(self.token.as_ref())))
    }

    fn expect(&mut self, kind: TokenKind, name: &str) -> Checked {
        if self.kind() != kind {
            let found = Found(self.token.as_ref());
            return Err(self.fault(format!("Expected {name}, found {found}.")));
        }
        self.advance();
        Ok(())
    }

    fn name(&mut self) -> Checked {
        self.expect(TokenKind::Name, "Name")
    }

    /// Whether the token is there; then it is passed.
    fn passes(&mut self, kind: TokenKind) -> bool {
        let is_there = self.kind() == kind;
        if is_there {
            self.advance();
        }
        is_there
    }

    /// Checks something that may contain itself.
    fn nested(&mut self, check: impl FnOnce(&mut Self) -> Checked) -> Checked {
        self.level += 1;
        if self.level > MAX_LEVELS {
            return Err(self.unexpected());
        }
        check(self)?;
        self.level -= 1;
        Ok(())
    }

    /// Checks parts up to a closing token, at least one.
    fn parts(&mut self, close: TokenKind, part: impl Fn(&mut Self) -> Checked) -> Checked {
        part(self)?;
        while !self.passes(close) {
            part(self)?;
        }
        Ok(())
    }

    fn begins_executable(&self) -> bool {
        let words = ["query", "mutation", "subscription", "fragment"];
        self.kind() == TokenKind::LCurly || words.contains(&self.word())
    }

    fn definition(&mut self) -> Checked {
        if self.kind() == TokenKind::LCurly {
            return self.selection_set();
        }
        if self.kind() == TokenKind::StringValue {
            self.advance();
            if self.begins_executable() {
                return Err(self.unexpected());
            }
            return Ok(());
        }
        match self.word() {
            "query" | "mutation" | "subscription" => self.advance(),
            "fragment" => return self.fragment(),
            _ => return Ok(()),
        }
        if self.kind() == TokenKind::Name {
            self.advance();
        }
        if self.passes(TokenKind::LParen) {
            self.parts(TokenKind::RParen, Self::variable_definition)?;
        }
        self.directives(false)?;
        self.selection_set()
    }

    fn fragment(&mut self) -> Checked {
        self.advance();
        if self.word() == "on" {
            return Err(self.unexpected());
        }
        self.name()?;
        if self.word() != "on" {
            let found = Found(self.token.as_ref());
            return Err(self.fault(format!("Expected \"on\", found {found}.")));
        }
        self.advance();
        self.name()?;
        self.directives(false)?;
        self.selection_set()
    }

    fn variable_definition(&mut self) -> Checked {
        self.expect(TokenKind::Dollar, "\"$\"")?;
        self.name()?;
        self.expect(TokenKind::Colon, "\":\"")?;
        self.ty()?;
        if self.passes(TokenKind::Eq) {
            self.value(true)?;
        }
        self.directives(true)
    }

    fn ty(&mut self) -> Checked {
        if self.passes(TokenKind::LBracket) {
            self.nested(Self::ty)?;
            self.expect(TokenKind::RBracket, "\"]\"")?;
        } else {
            self.name()?;
        }
        self.passes(TokenKind::Bang);
        Ok(())
    }

    fn directives(&mut self, is_constant: bool) -> Checked {
        while self.passes(TokenKind::At) {
            self.name()?;
            self.arguments(is_constant)?;
        }
        Ok(())
    }

    fn arguments(&mut self, is_constant: bool) -> Checked {
        if !self.passes(TokenKind::LParen) {
            return Ok(());
        }
        self.parts(TokenKind::RParen, |checker| checker.member(is_constant))
    }

    /// Checks an argument, or a field of an object.
    fn member(&mut self, is_constant: bool) -> Checked {
        self.name()?;
        self.expect(TokenKind::Colon, "\":\"")?;
        self.value(is_constant)
    }

    fn selection_set(&mut self) -> Checked {
        self.expect(TokenKind::LCurly, "\"{\"")?;
        self.nested(|checker| checker.parts(TokenKind::RCurly, Self::selection))
    }

    fn selection(&mut self) -> Checked {
        if self.passes(TokenKind::Spread) {
            if self.kind() == TokenKind::Name && self.word() != "on" {
                self.advance();
                return self.directives(false);
            }
            if self.word() == "on" {
                self.advance();
                self.name()?;
            }
            self.directives(false)?;
            return self.selection_set();
        }
        self.name()?;
        if self.passes(TokenKind::Colon) {
            self.name()?;
        }
        self.arguments(false)?;
        self.directives(false)?;
        if self.kind() == TokenKind::LCurly {
            self.selection_set()?;
        }
        Ok(())
    }

    fn value(&mut self, is_constant: bool) -> Checked {
        match self.kind() {
            TokenKind::Name | TokenKind::Int | TokenKind::Float | TokenKind::StringValue => {
                self.advance();
                Ok(())
            }
            TokenKind::Dollar if !is_constant => {
                self.advance();
                self.name()
            }
            TokenKind::LBracket => self.nested(|checker| {
                checker.advance();
                while !checker.passes(TokenKind::RBracket) {
                    checker.value(is_constant)?;
                }
                Ok(())
            }),
            TokenKind::LCurly => self.nested(|checker| {
                checker.advance();
                while !checker.passes(TokenKind::RCurly) {
                    checker.member(is_constant)?;
                }
                Ok(())
            }),
            _ => Err(self.unexpected()),
        }
    }
}
