//! Measures how long one hostile document blocks a worker at the default limits, until the document
//! is validated or refused. Prints milliseconds, the longest first.
//!
//! ```sh
//! cargo bench --package graphql
//! ```

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may panic, and prints"
)]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use graphql::{Document, DocumentLimits, Schema, SchemaOptions};

const SDL: &str = "
    type Query { a: Int b: Int q(x: In): Query qs(xs: [Int]): [Query!] n: Node u: U }
    type Subscription { a: Int s(x: In): Query n: Node }
    input In { a: Int b: [Int] c: In }
    interface Node { a: Int n: Node }
    type A implements Node { a: Int n: Node x: Int }
    type B implements Node { a: Int n: Node x: Int }
    union U = A | B";

/// The defaults of `fraiseql_subs.Limits`.
const LIMITS: DocumentLimits = DocumentLimits {
    max_depth: Some(15),
    max_complexity: Some(1_000),
    max_aliases: Some(100),
    max_directives: Some(50),
    max_tokens: Some(5_000),
    no_introspection: false,
};

/// Concatenates one text for each number below `count`.
fn each(count: usize, write: impl Fn(usize) -> String) -> String {
    (0..count).map(write).collect()
}

fn operations(count: usize) -> String {
    each(count, |n| format!("query Q{n}{{...F0}}"))
}

fn set(selection: &str, count: usize) -> String {
    format!("{{{}}}", selection.repeat(count))
}

/// Returns a chain of fragments: each spreads the next one.
fn chain(length: usize) -> String {
    each(length, |n| {
        format!("fragment F{n} on Query{{a ...F{}}}", n + 1)
    }) + &format!("fragment F{length} on Query{{a}}")
}

fn documents() -> Vec<(&'static str, String)> {
    let fragment = |set: String| format!("fragment F0 on Query{set}");
    let variables = |name: fn(usize) -> String, count: usize| {
        let declared = each(count, |n| format!("{}:Int ", name(n)));
        format!("query Q({declared}){{a}}")
    };
    let undefined = each(1_000, |n| format!("$v{n} "));
    let cycle = each(600, |n| {
        format!("fragment F{n} on Query{{...F{}}}", (n + 1) % 600)
    });
    let mut inner = "a:b ".repeat(45);
    inner.push_str("a ");
    vec![
        (
            "one fragment in many operations",
            operations(450) + &fragment(set("a ", 900)),
        ),
        ("a chain of fragments", "{...F0}".to_owned() + &chain(300)),
        ("a chain in many operations", operations(300) + &chain(300)),
        ("a cycle of fragments", "{...F0}".to_owned() + &cycle),
        ("a cycle in many operations", operations(200) + &cycle),
        (
            "undefined variables",
            operations(300) + &fragment(format!("{{qs(xs:[{undefined}]){{a}}}}")),
        ),
        ("many variables", variables(|n| format!("$v{n}"), 1_200)),
        (
            "one variable many times",
            variables(|_| "$v".to_owned(), 1_200),
        ),
        (
            "a long name",
            operations(150) + &fragment(format!("{{qs(xs:[${}]){{a}}}}", "v".repeat(50_000))),
        ),
        ("one field many times", set("a ", 990)),
        ("fields with fields", set("q{a}", 450)),
        ("fields with arguments", set("q(x:{a:1}){a}", 300)),
        ("deep fields", set("q{q{q{q{q{q{q{q{q{q{q{a}}}}}}}}}}}", 80)),
        ("conflicts", set("a:b a ", 99)),
        ("conflicts inside", set("q{a:b a} ", 90)),
        (
            "conflicts inside of two",
            format!("{{q{{{inner}}} q{}}}", set("a ", 800)),
        ),
        ("inline fragments", set("...{a}", 900)),
        (
            "fragments of two types",
            format!("{{n{}}}", set("...on A{n{a}} ...on B{n{a}} ", 150)),
        ),
        (
            "unknown fields",
            format!("{{{}}}", each(990, |n| format!("f{n} "))),
        ),
        ("operations of one name", "query Q{a}".repeat(900)),
        (
            "definitions of types",
            "{a}".to_owned() + &"type A{a:Int}".repeat(600),
        ),
        (
            "a long list",
            format!("{{qs(xs:[{}]){{a}}}}", "1 ".repeat(4_900)),
        ),
        (
            "a long list of the wrong type",
            format!("{{qs(xs:[{}]){{a}}}}", "\"\" ".repeat(4_900)),
        ),
        (
            "an object with one member many times",
            format!("{{q(x:{}){{a}}}}", set("a:1 ", 1_200)),
        ),
        (
            "arguments of many names",
            format!("{{q({}){{a}}}}", each(1_600, |n| format!("x{n}:1 "))),
        ),
        (
            "directives of many names",
            format!("query Q($v:Int{}){{a}}", each(1_600, |n| format!("@d{n} "))),
        ),
        (
            "root fields of many names",
            format!("subscription{{{}}}", "a ".repeat(900)),
        ),
        (
            "variables that are used",
            format!(
                "query Q({}){{qs(xs:[{}]){{a}}}}",
                each(900, |n| format!("$v{n}:Int ")),
                each(900, |n| format!("$v{n} "))
            ),
        ),
        (
            "unknown types and definitions",
            format!("query Q({}){{a}}", each(600, |n| format!("$v{n}:T{n} ")))
                + &each(300, |n| format!("scalar S{n} ")),
        ),
        (
            "fragments of many names",
            format!("{{{}}}", each(300, |n| format!("...F{n} ")))
                + &each(300, |n| format!("fragment F{n} on Query{{a b}}")),
        ),
        ("comments", "{a}".to_owned() + &"#\n".repeat(30_000)),
        ("commas", "{a".to_owned() + &",".repeat(60_000) + "}"),
        (
            "escapes",
            format!("{{q(x:\"{}\"){{a}}}}", "\\u0041".repeat(10_000)),
        ),
        (
            "a block string",
            format!("{{q(x:\"\"\"{}\"\"\"){{a}}}}", " \n".repeat(30_000)),
        ),
    ]
}

fn main() {
    let schema = Arc::new(Schema::parse(SDL, SchemaOptions::default()).unwrap());
    let mut rows: Vec<(Duration, String)> = Vec::new();
    for (name, text) in documents() {
        let mut times = Vec::new();
        let mut outcome = "valid".to_owned();
        for _ in 0..5 {
            let started = Instant::now();
            let parsed = Document::parse(schema.clone(), LIMITS, &text);
            times.push(started.elapsed());
            if let Err(errors) = parsed {
                outcome.clear();
                write!(outcome, "{} errors", errors.len()).unwrap();
            }
        }
        let best = times.into_iter().min().unwrap_or_default();
        rows.push((best, format!("{:6} bytes  {name}: {outcome}", text.len())));
    }
    rows.sort();
    for (time, row) in rows.iter().rev() {
        println!("{:6.2} ms {row}", time.as_secs_f64() * 1e3);
    }
}
