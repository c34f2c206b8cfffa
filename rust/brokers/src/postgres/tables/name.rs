//! Names of tables, as SQL spells them: `orders`, `public.orders`, `public."We ird"`.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// The schema of a name that has none. The `search_path` of a connection plays no part.
const DEFAULT_SCHEMA: &str = "public";

/// The name of a table with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub(in crate::postgres) schema: String,
    pub(in crate::postgres) table: String,
}

impl TableName {
    /// Reads `schema.table`, or `table` in the schema `public`. As in SQL, letters become small outside
    /// of double quotes.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "the table {text} is wrong: write schema.table as in SQL, such as public.orders, with double \
                 quotes where SQL needs them, such as public.\"My orders\""
            )
        };
        let mut chars = text.chars().peekable();
        let first = part(&mut chars).ok_or_else(wrong)?;
        let name = match chars.next() {
            None => Self {
                schema: DEFAULT_SCHEMA.to_owned(),
                table: first,
            },
            Some('.') => Self {
                schema: first,
                table: part(&mut chars).ok_or_else(wrong)?,
            },
            Some(_) => return Err(wrong()),
        };
        match chars.next() {
            None => Ok(name),
            Some(_) => Err(wrong()),
        }
    }

    /// The name for SQL, with all of its quotes.
    pub(in crate::postgres) fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.table))
    }

    /// The name as an argument of a command of the shell.
    pub(in crate::postgres) fn argument(&self) -> String {
        let name = self.to_string();
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "._".contains(char);
        if name.chars().all(is_plain) {
            return name;
        }
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

/// With quotes where SQL needs them.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spelled = |name: &str| match is_plain(name) {
            true => name.to_owned(),
            false => quoted(name),
        };
        write!(f, "{}.{}", spelled(&self.schema), spelled(&self.table))
    }
}

/// A name in double quotes.
pub(in crate::postgres) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reads one part of a name, up to a dot or the end.
fn part(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut name = String::new();
    if chars.next_if_eq(&'"').is_some() {
        loop {
            match chars.next()? {
                '"' if chars.next_if_eq(&'"').is_none() => break,
                '\0' => return None,
                char => name.push(char),
            }
        }
    } else {
        while let Some(char) = chars.next_if(|char| *char != '.') {
            name.push(char.to_ascii_lowercase());
        }
        if !name.starts_with(is_first) || !name.chars().all(is_other) {
            return None;
        }
    }
    (!name.is_empty()).then_some(name)
}

fn is_plain(name: &str) -> bool {
    let is_small = |char: char| !char.is_ascii_uppercase() && is_other(char);
    name.starts_with(is_first) && name.chars().all(is_small)
}

fn is_first(char: char) -> bool {
    char.is_ascii_alphabetic() || char == '_' || !char.is_ascii()
}

fn is_other(char: char) -> bool {
    is_first(char) || char.is_ascii_digit() || char == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_in_sql() {
        for (text, schema, table, again) in [
            ("orders", "public", "orders", "public.orders"),
            ("public.Orders", "public", "orders", "public.orders"),
            ("Shop.\"We ird\"", "shop", "We ird", "shop.\"We ird\""),
            ("\"a.b\".\"c\"\"d\"", "a.b", "c\"d", "\"a.b\".\"c\"\"d\""),
            ("public.\"orders\"", "public", "orders", "public.orders"),
            ("s.größe$1", "s", "größe$1", "s.größe$1"),
        ] {
            let name = TableName::parse(text).unwrap();
            assert_eq!((&*name.schema, &*name.table), (schema, table), "{text}");
            assert_eq!(name.to_string(), again);
            assert_eq!(TableName::parse(&name.quoted()).unwrap(), name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "", ".", "a.", ".a", "a.b.c", "we ird", "a-b", "1a", "\"a", "\"\"", "\"a\"b", "a;b",
            "a.b\"c\"",
        ] {
            let error = TableName::parse(text).unwrap_err();
            assert!(error.contains("as in SQL"), "{text}: {error}");
        }
    }

    #[test]
    fn an_argument_can_be_pasted_into_a_shell() {
        let argument = |text: &str| TableName::parse(text).unwrap().argument();
        assert_eq!(argument("orders"), "public.orders");
        assert_eq!(argument("\"it's\""), r#"'public."it'\''s"'"#);
    }
}
