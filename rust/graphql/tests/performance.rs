//! Times of the projection, printed on demand:
//! `cargo test --release -p graphql --test performance -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and print"
)]

mod support;

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use support::subscribe;

#[test]
#[ignore = "prints a time, decides nothing"]
fn a_result_of_ten_fields_is_projected() {
    let plan = subscribe(
        "subscription { order { id status totalAmount notes items { sku quantity } customer { id firstName email } } }",
    )
    .plan;
    let value = json!({
        "id": "4711", "status": "OPEN", "totalAmount": 99.95, "notes": ["fragile"],
        "items": [{"sku": "A-1", "quantity": 3}],
        "customer": {"id": 17, "firstName": "Ada", "email": "ada@example.org"},
    });
    let mut out = Vec::new();
    let rounds = 1_000_000;
    let started = Instant::now();
    for _ in 0..rounds {
        out.clear();
        plan.project(black_box(&value), &mut out);
        black_box(&out);
    }
    println!("{} bytes in {:?}", out.len(), started.elapsed() / rounds);
}
