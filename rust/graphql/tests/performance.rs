//! Measures parsing of documents and projection, printed on demand:
//! `cargo test --release -p graphql --test performance -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and print"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use graphql::{Document, DocumentLimits, JsonMap, Operation, Schema, SchemaOptions};
use serde_json::{Value, json};

const TEN: &str = "subscription { row { f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 } }";
const NESTED: &str =
    "subscription { report { title group { name items { sku quantity price } } } }";

fn schema() -> Arc<Schema> {
    let fields: Vec<_> = (0..10).map(|n| format!("f{n}: String")).collect();
    let sdl = format!(
        "type Query {{ ok: Boolean }} type Row {{ {} }} type Item {{ sku: String quantity: Int price: Float }}
         type Group {{ name: String items: [Item] }} type Report {{ title: String group: Group }}
         type Subscription {{ row: Row report: Report }}",
        fields.join(" ")
    );
    Arc::new(Schema::parse(&sdl, SchemaOptions::default()).unwrap())
}

/// Returns the best time of one round in five runs.
fn print(what: &str, rounds: u32, mut work: impl FnMut()) {
    let run = || {
        let started = Instant::now();
        (0..rounds).for_each(|_| work());
        started.elapsed() / rounds
    };
    let best = std::iter::repeat_with(run).take(5).min().unwrap();
    println!("{what}: {best:?}");
}

#[test]
#[ignore = "prints times, decides nothing"]
fn documents_are_read_and_results_are_projected() {
    let schema = schema();
    let parse = || Document::parse(schema.clone(), DocumentLimits::default(), TEN).unwrap();
    print("parse and validate", 5_000, || {
        black_box(parse());
    });
    let document = Arc::new(parse());
    print("operation of a cached document", 100_000, || {
        black_box(document.operation(None, JsonMap::new()).unwrap());
    });
    let row: JsonMap = (0..10)
        .map(|n| (format!("f{n}"), json!("a value of text")))
        .collect();
    let items: Vec<_> = (0..50)
        .map(|n| json!({"sku": format!("s{n}"), "quantity": n, "price": f64::from(n) + 0.5}))
        .collect();
    let report = json!({"title": "t", "group": {"name": "g", "items": items}});
    let values = [
        ("10 fields", TEN, Value::Object(row)),
        ("3 levels, list of 50", NESTED, report),
    ];
    for (what, text, value) in values {
        let document = Document::parse(schema.clone(), DocumentLimits::default(), text).unwrap();
        let operation = Arc::new(document).operation(None, JsonMap::new()).unwrap();
        let Operation::Subscription(operation) = operation else {
            panic!()
        };
        let mut out = Vec::new();
        print(what, 100_000, || {
            out.clear();
            operation.plan.project(black_box(&value), &mut out);
            black_box(&out);
        });
    }
}
