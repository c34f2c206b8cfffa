//! What async-graphql takes for a document of a subscription until its stream has started:
//! `first_documents CORPUS.json SECONDS`. The schema is that of `load_tests/first_documents`.
//!
//! The library has no public function that only parses and validates. So the document is executed,
//! and the stream of its field ends at once: what comes on top is one call of a function.

use std::error::Error;

use async_graphql::{
    EmptyMutation, Enum, ID, InputObject, Object, Request, Schema, SimpleObject, Subscription,
    Union, Variables,
};
use serde::Deserialize;
use tokio_stream::{Stream, StreamExt, empty};

/// The allocator of fraiseql-subs, so that allocators are not compared.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum Status {
    New,
    Paid,
    Sent,
    Gone,
}

#[derive(InputObject)]
struct Range {
    least: Option<f64>,
    most: Option<f64>,
}

#[derive(InputObject)]
struct Filter {
    status: Option<Vec<Status>>,
    customer: Option<ID>,
    total: Option<Range>,
    text: Option<String>,
}

#[derive(SimpleObject)]
struct Address {
    street: String,
    city: String,
    zip: Option<String>,
    country: String,
}

#[derive(SimpleObject)]
struct Person {
    id: ID,
    name: String,
    email: Option<String>,
    address: Option<Address>,
}

#[derive(SimpleObject)]
struct Company {
    id: ID,
    title: String,
    tax_number: Option<String>,
    address: Option<Address>,
    contact: Option<Person>,
}

#[derive(Union)]
enum Customer {
    Person(Person),
    Company(Company),
}

struct Product;

#[Object]
impl Product {
    async fn sku(&self) -> ID {
        "sku".into()
    }
    async fn name(&self) -> String {
        String::new()
    }
    async fn price(&self, _currency: Option<String>) -> f64 {
        0.0
    }
    async fn stock(&self) -> i32 {
        0
    }
}

struct Item;

#[Object]
impl Item {
    async fn position(&self) -> i32 {
        0
    }
    async fn quantity(&self) -> i32 {
        0
    }
    async fn price(&self, _currency: Option<String>) -> f64 {
        0.0
    }
    async fn note(&self) -> Option<String> {
        None
    }
    async fn product(&self) -> Product {
        Product
    }
}

struct Order;

#[Object]
impl Order {
    async fn id(&self) -> ID {
        "id".into()
    }
    async fn status(&self) -> Status {
        Status::New
    }
    async fn total(&self, _currency: Option<String>) -> f64 {
        0.0
    }
    async fn note(&self) -> Option<String> {
        None
    }
    async fn created_at(&self) -> String {
        String::new()
    }
    async fn customer(&self) -> Option<Customer> {
        None
    }
    async fn items(&self, _first: Option<i32>, _status: Option<Status>) -> Vec<Item> {
        Vec::new()
    }
    async fn related(&self, _filter: Option<Filter>) -> Vec<Order> {
        Vec::new()
    }
}

struct Query;

#[Object]
impl Query {
    async fn ok(&self) -> bool {
        true
    }
}

struct Root;

#[Subscription]
impl Root {
    async fn order_updated(
        &self,
        _filter: Option<Filter>,
        _first: Option<i32>,
    ) -> impl Stream<Item = Order> {
        empty()
    }
}

#[derive(Deserialize)]
struct Corpus {
    documents: Vec<Document>,
}

#[derive(Deserialize)]
struct Document {
    name: String,
    text: String,
    variables: serde_json::Value,
}

/// Returns the CPU time of this thread (microseconds).
fn cpu() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e3)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: first_documents CORPUS.json SECONDS";
    let corpus = std::fs::read(arguments.next().ok_or(usage)?)?;
    let corpus: Corpus = serde_json::from_slice(&corpus)?;
    let seconds: f64 = arguments.next().ok_or(usage)?.parse()?;
    let schema = Schema::build(Query, EmptyMutation, Root).finish();
    let mut costs = serde_json::Map::new();
    for document in corpus.documents {
        let started = cpu()?;
        let mut calls = 0_u32;
        let cost = loop {
            for _ in 0..20 {
                let text = document.text.replacen("NUMBER", &calls.to_string(), 1);
                let variables = Variables::from_json(document.variables.clone());
                let mut stream = schema.execute_stream(Request::new(text).variables(variables));
                // An error would be the first and only response.
                if let Some(response) = stream.next().await {
                    return Err(format!("{}: {:?}", document.name, response.errors).into());
                }
                calls += 1;
            }
            let used = cpu()? - started;
            if used > seconds * 1e6 {
                break used / f64::from(calls);
            }
        };
        costs.insert(document.name, serde_json::json!({"first": cost}));
    }
    println!("{}", serde_json::Value::from(costs));
    Ok(())
}
