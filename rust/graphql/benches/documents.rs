//! Measures what a document costs that a cache has never seen (parsed, validated, coerced,
//! planned), and what a known one costs. `load_tests/first_documents` runs it beside other
//! executors.
//!
//! ```sh
//! cargo bench --package graphql --bench documents -- CORPUS.json SECONDS
//! ```

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may panic, and prints"
)]

use std::hint::black_box;
use std::num::NonZeroUsize;

use graphql::{
    DocumentCache, DocumentLimits, DocumentReference, JsonMap, Operation, Schema, SchemaOptions,
};
use serde_json::{Value, json};

/// The allocator of the package.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The defaults of `fraiseql_subs.Limits`.
const LIMITS: DocumentLimits = DocumentLimits {
    max_depth: Some(15),
    max_complexity: Some(1_000),
    max_aliases: Some(100),
    max_directives: Some(50),
    max_tokens: Some(5_000),
    no_introspection: false,
};

/// The capacity that a manager has (count).
const CAPACITY: usize = 1_000;

/// Returns the CPU time of this thread (microseconds).
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e3
}

/// Returns the CPU time of one call, of as many as take this time (microseconds).
fn cost(seconds: f64, mut work: impl FnMut(usize)) -> f64 {
    let started = cpu();
    let mut calls = 0;
    loop {
        for _ in 0..20 {
            work(calls);
            calls += 1;
        }
        let used = cpu() - started;
        if used > seconds * 1e6 {
            #[allow(clippy::cast_precision_loss, reason = "far below the bound")]
            return used / calls as f64;
        }
    }
}

fn run(cache: &DocumentCache, text: &str, variables: &JsonMap) {
    let document = cache.find(DocumentReference::text(text)).unwrap();
    let operation = document.operation(None, variables.clone()).unwrap();
    assert!(matches!(operation, Operation::Subscription(_)));
    black_box(operation);
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|given| given != "--bench");
    let Some(corpus) = arguments.next() else {
        println!("the file of the corpus is missing; see load_tests/first_documents");
        return;
    };
    let seconds = arguments.next().unwrap().parse().unwrap();
    let corpus: Value = serde_json::from_slice(&std::fs::read(corpus).unwrap()).unwrap();
    let schema = Schema::parse(corpus["sdl"].as_str().unwrap(), SchemaOptions::default()).unwrap();
    let capacity = NonZeroUsize::new(CAPACITY).unwrap();
    let cache = DocumentCache::new(schema, LIMITS, capacity);
    let mut costs = JsonMap::new();
    for document in corpus["documents"].as_array().unwrap() {
        let text = document["text"].as_str().unwrap();
        let variables = document["variables"].as_object().unwrap();
        let new = |number: usize| text.replacen("NUMBER", &number.to_string(), 1);
        let first = cost(seconds, |number| run(&cache, &new(number), variables));
        let known = cost(seconds, |_| run(&cache, text, variables));
        let name = document["name"].as_str().unwrap();
        costs.insert(name.to_owned(), json!({"first": first, "known": known}));
    }
    println!("{}", Value::from(costs));
}
