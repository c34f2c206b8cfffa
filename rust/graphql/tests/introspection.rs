//! Queries: introspection is answered, fields of the host's query type are not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use graphql::{Document, DocumentLimits, GraphQLError, Operation, Schema, SchemaOptions};
use serde_json::{Value, json};
use support::{object, parse};

fn execute(document: &Arc<Document>, variables: Value) -> Result<String, Vec<GraphQLError>> {
    let Operation::Query(query) = document.operation(None, object(variables))? else {
        panic!()
    };
    Ok(String::from_utf8(query.execute()).unwrap())
}

fn query(text: &str) -> String {
    execute(&parse(text).unwrap(), json!({})).unwrap()
}

#[test]
fn the_schema_describes_itself() {
    assert_eq!(
        query(
            "{ t: __typename __type(name: \"Status\") { kind enumValues { name } } __schema { subscriptionType { name } } }"
        ),
        concat!(
            r#"{"data":{"t":"Query","__type":{"kind":"ENUM","enumValues":[{"name":"OPEN"},{"name":"PAID"}]},"#,
            r#""__schema":{"subscriptionType":{"name":"Subscription"}}}}"#
        )
    );
}

#[test]
fn variables_and_directives_apply() {
    let document = parse(
        "query ($n: String!, $k: Boolean!) { __type(name: $n) { name kind @include(if: $k) } }",
    )
    .unwrap();
    assert_eq!(
        execute(&document, json!({"n": "Item", "k": false})).unwrap(),
        r#"{"data":{"__type":{"name":"Item"}}}"#
    );
    assert_eq!(
        execute(&document, json!({"n": "Nothing", "k": true})).unwrap(),
        r#"{"data":{"__type":null}}"#
    );
    assert_eq!(execute(&document, json!({})).unwrap_err().len(), 2);
}

#[test]
fn fields_of_the_query_type_are_field_errors() {
    let response = query("{ __typename v: version }");
    assert!(response.starts_with(r#"{"errors":[{"message":"`Query.version` is not served here: "#));
    assert!(response.ends_with(
        r#""locations":[{"line":1,"column":14}],"path":["v"]}],"data":{"__typename":"Query","v":null}}"#
    ));
    assert!(query("{ __typename strict }").ends_with(r#"],"data":null}"#));
}

#[test]
fn nested_lists_of_introspection_are_bounded() {
    let text = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    let errors = execute(&parse(text).unwrap(), json!({})).unwrap_err();
    assert!(errors[0].message.contains("introspection depth"));
    assert_eq!(errors[0].extensions["code"], "GRAPHQL_VALIDATION_FAILED");
}

#[test]
fn a_schema_without_query_type_gets_a_placeholder() {
    for sdl in [
        "type Subscription { tick: Int }",
        "schema { subscription: Subscription } type Subscription { tick: Int }",
        "schema { subscription: Events } type Events { tick: Int } type Query { a: Int }",
    ] {
        let schema = Arc::new(Schema::parse(sdl, SchemaOptions::default()).unwrap());
        assert_eq!(schema.subscription_fields().len(), 1);
        assert!(Schema::parse(schema.sdl(), SchemaOptions::default()).is_ok());
        let document = Document::parse(schema, DocumentLimits::default(), "{ __typename }");
        let response = execute(&Arc::new(document.unwrap()), json!({})).unwrap();
        assert_eq!(response, r#"{"data":{"__typename":"Query"}}"#);
    }
}

#[test]
fn signatures_of_subscription_fields_are_listed() {
    let schema = support::schema();
    let field = schema.subscription_field("tick").unwrap();
    let arguments: Vec<_> = field
        .arguments
        .iter()
        .map(|argument| {
            (
                &*argument.name,
                argument.type_text.as_str(),
                argument.is_required,
            )
        })
        .collect();
    assert_eq!(
        arguments,
        [("every", "Int!", false), ("tags", "[String!]", false)]
    );
    assert!(schema.subscription_field("nothing").is_none());
}
