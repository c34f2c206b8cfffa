//! Limits on the cost of hostile documents. If a check took exponential time, these tests would
//! never end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write;
use std::sync::Arc;

use graphql::{Document, DocumentLimits, GraphQLError, Operation, Schema, SchemaOptions};
use serde_json::json;
use support::{SDL, object, parse, schema};

fn limited(max_depth: usize, max_complexity: usize, text: &str) -> Result<(), Vec<GraphQLError>> {
    let limits = DocumentLimits {
        max_depth: Some(max_depth),
        max_complexity: Some(max_complexity),
        ..DocumentLimits::default()
    };
    Document::parse(schema(), limits, text).map(drop)
}

fn nested(levels: usize) -> String {
    format!(
        "subscription {{ order {{ {} id {} }} }}",
        "parent { ".repeat(levels),
        "}".repeat(levels)
    )
}

#[test]
fn an_operation_too_deep_is_refused_with_limit_and_measure() {
    assert!(limited(5, 100, &nested(2)).is_ok());
    let errors = limited(3, 100, &nested(2)).unwrap_err();
    assert_eq!(
        errors[0].message,
        "the operation is 4 fields deep, over the limit of 3 (max_depth): select less deeply"
    );
    assert_eq!(errors[0].extensions["code"], "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(errors[0].locations.len(), 1);
}

#[test]
fn fragments_count_wherever_they_are_spread() {
    let text =
        "subscription S { order { ...F parent { ...F } } } fragment F on Order { id status }";
    assert!(limited(9, 6, text).is_ok());
    let errors = limited(9, 5, text).unwrap_err();
    assert_eq!(
        errors[0].message,
        "the operation `S` selects 6 fields, over the limit of 5 (max_complexity): select fewer"
    );
}

#[test]
fn the_query_of_graphiql_is_within_any_limit() {
    let types = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let text =
        format!("{{ __schema {{ types {{ fields {{ type {{ kind name {types} }} }} }} }} }}");
    assert!(limited(1, 1, &text).is_ok());
}

#[test]
fn queries_of_data_have_the_limits_of_every_operation() {
    let sdl = "type Query { a: A } type A { a: A } type Subscription { a: A }";
    let schema = Arc::new(Schema::parse(sdl, SchemaOptions::default()).unwrap());
    let limits = DocumentLimits {
        max_depth: Some(3),
        max_complexity: Some(5),
        ..DocumentLimits::default()
    };
    let parse = |text: &str| Document::parse(schema.clone(), limits, text).map(drop);
    assert!(parse("{ a { a { __typename } } }").is_ok());
    let deep = "a { a { a { __typename } } }";
    for text in [
        format!("{{ {deep} }}"),
        format!("{{ ... {{ {deep} }} }}"),
        format!("{{ ...F }} fragment F on Query {{ {deep} }}"),
        format!("{{ __typename __schema {{ queryType {{ name }} }} {deep} }}"),
        "{ a { __typename x: __typename y: __typename z: __typename w: __typename } }".to_owned(),
    ] {
        let errors = parse(&text).unwrap_err();
        assert!(errors[0].message.contains("over the limit of"), "{text}");
    }
    assert!(parse("{ __schema { types { fields { type { ofType { name } } } } } }").is_ok());
}

#[test]
fn exponential_fragments_are_refused() {
    let mut text = "subscription { order { ...F0 } }".to_owned();
    for level in 0..100 {
        let next = level + 1;
        write!(text, " fragment F{level} on Order {{ a: parent {{ ...F{next} }} b: parent {{ ...F{next} }} }}").unwrap();
    }
    text.push_str(" fragment F100 on Order { id }");
    let errors = parse(&text).unwrap_err();
    assert!(
        errors[0]
            .message
            .contains("more than can be counted fields"),
        "{}",
        errors[0].message
    );
}

#[test]
fn cyclic_fragments_are_refused() {
    let text = "subscription { order { ...A } } fragment A on Order { parent { ...B } } fragment B on Order { ...A }";
    let errors = parse(text).unwrap_err();
    assert!(
        errors[0].message.contains("within itself"),
        "{}",
        errors[0].message
    );
}

#[test]
fn deep_nesting_of_any_kind_does_not_overflow_the_stack() {
    let levels = 20_000;
    let documents = [
        nested(levels),
        format!(
            "subscription {{ {} tick {} }}",
            "... {".repeat(levels),
            "}".repeat(levels)
        ),
        format!(
            "subscription {{ any(x: {}1{}) }}",
            "[".repeat(levels),
            "]".repeat(levels)
        ),
        format!(
            "subscription {{ any(x: {}1{}) }}",
            "{a:".repeat(levels),
            "}".repeat(levels)
        ),
        format!(
            "subscription ($v: {}Int{}) {{ tick }}",
            "[".repeat(levels),
            "]".repeat(levels)
        ),
    ];
    for text in documents {
        assert!(parse(&text).is_err());
        assert!(parse(&text[..text.len().min(60_000)]).is_err());
    }
    for levels in [100, 120, 127, 128, 400, 2_000] {
        let _ = parse(&nested(levels));
        let _ = parse(&format!(
            "subscription {{ {} tick {} }}",
            "... {".repeat(levels),
            "}".repeat(levels)
        ));
    }
}

#[test]
fn a_long_chain_of_fragments_does_not_overflow_the_stack() {
    let mut text = "subscription { order { ...F0 } }".to_owned();
    for level in 0..1_500 {
        write!(text, "fragment F{level} on Order{{...F{}}}", level + 1).unwrap();
    }
    text.push_str("fragment F1500 on Order{id}");
    let _ = parse(&text);
    let _ = parse(&text.replace("subscription { order { ...F0 } }", "{ ...F0 }"));
}

#[test]
fn fragments_nested_in_fragments_do_not_overflow_the_stack() {
    let (open, close) = ("parent{".repeat(60), "}".repeat(60));
    let mut text = "subscription { order { ...F0 } }".to_owned();
    for level in 0..100 {
        let next = level + 1;
        write!(
            text,
            "fragment F{level} on Order{{{open}...F{next}{close}}}"
        )
        .unwrap();
    }
    text.push_str("fragment F100 on Order{id}");
    let errors = parse(&text).unwrap_err();
    let message = &errors[0].message;
    assert!(message.contains("over 512 levels deep"), "{message}");
}

#[test]
fn large_documents_are_refused_by_bytes_and_tokens() {
    let errors = parse(&format!("subscription {{ tick }} #{}", "x".repeat(70_000))).unwrap_err();
    assert!(errors[0].message.contains("over the limit of 65536"));
    assert!(
        parse(&format!(
            "subscription {{ order {{ {} }} }}",
            "id ".repeat(15_000)
        ))
        .is_err()
    );
    assert!(
        parse(&format!(
            "subscription {{ order {{ {} }} }}",
            "id ".repeat(9_000)
        ))
        .is_ok()
    );
}

#[test]
fn interfaces_within_interfaces_cost_the_sum_of_their_types() {
    let mut sdl =
        "type Subscription { node: Node } interface Node { id: ID next: Node other: Node }"
            .to_owned();
    for number in 0..40 {
        write!(
            sdl,
            " type T{number} implements Node {{ id: ID next: Node other: Node }}"
        )
        .unwrap();
    }
    let schema = Arc::new(Schema::parse(&sdl, SchemaOptions::default()).unwrap());
    let compile = |spaces: &str| {
        let selection = "next { id ".repeat(12) + &"}".repeat(12);
        let text = format!("subscription {{{spaces} node {{ {selection} }} }}");
        let document = Document::parse(schema.clone(), DocumentLimits::default(), &text);
        let operation = Arc::new(document.unwrap()).operation(None, object(json!({})));
        let Operation::Subscription(operation) = operation.unwrap() else {
            panic!()
        };
        operation.plan
    };
    let (a, b) = (compile(""), compile("   "));
    assert!(!Arc::ptr_eq(&a, &b));
    assert_eq!(a, b);
    let mut out = Vec::new();
    a.project(
        &json!({"__typename": "T7", "next": {"__typename": "T8", "id": 1}}),
        &mut out,
    );
    assert!(out.starts_with(br#"{"data":{"node":{"next":{"id":"1","next":null}}}}"#));
}

#[test]
fn a_schema_says_what_is_wrong_and_where() {
    let error = |sdl: &str| {
        Schema::parse(sdl, SchemaOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert!(error("type Query { a: Int }").contains("add `type Subscription`"));
    let message = error("type Subscription {\n  tick: Tock\n}");
    assert!(
        message.contains("Tock") && message.contains("(at 2:9)"),
        "{message}"
    );
    let message = error("type Subscription {\n  tick Int\n}");
    assert!(message.contains("(at 2:8)"), "{message}");
    let mut options = SchemaOptions::default();
    options
        .sources
        .insert(("Order".into(), "colour".into()), "c".into());
    let error = Schema::parse(SDL, options).unwrap_err().to_string();
    assert!(error.contains("`Order.colour`"), "{error}");
    let mut options = SchemaOptions::default();
    options
        .enum_values
        .insert("Status".into(), vec![("LOST".into(), json!(1))]);
    let error = Schema::parse(SDL, options).unwrap_err().to_string();
    assert!(error.contains("`Status.LOST`"), "{error}");
}

/// Returns fragments, each of which spreads the next one and the first one.
fn cycles(count: usize, more: &str) -> String {
    let fragments: String = (0..count)
        .map(|n| format!("fragment F{n} on Order {{ {more}...F{} ...F0 }} ", n + 1))
        .collect();
    format!("subscription {{ order {{ ...F0 }} }} {fragments} fragment F{count} on Order {{ id }}")
}

#[test]
fn hostile_validation_ends() {
    let mut meshed = "subscription { order { ...F0 } }".to_owned();
    for from in 0..60 {
        write!(meshed, "fragment F{from} on Order{{id").unwrap();
        for to in from + 1..60 {
            write!(meshed, "...F{to}").unwrap();
        }
        meshed.push('}');
    }
    let column = "parent{".repeat(60) + "id" + &"}".repeat(60);
    let operations: String = (0..400)
        .map(|n| format!("subscription S{n}{{order{{...F0}}}}"))
        .collect();
    let chain: String = (0..400)
        .map(|n| format!("fragment F{n} on Order{{...F{}}}", n + 1))
        .collect();
    let documents = [
        format!(
            "subscription {{ order {{ {} }} }}",
            "a:id a:status ".repeat(2_000)
        ),
        format!(
            "subscription {{ order {{ {} }} }}",
            "a:id(x:1) ".repeat(2_000)
        ),
        format!("subscription {{ order {{ {} }} }}", column.repeat(100)),
        format!(
            "subscription {{ order {{ {} }} }}",
            "id @skip(if: true) ".repeat(1_500)
        ),
        format!("subscription {{ {} }}", "tick ".repeat(9_000)),
        format!("subscription {{ {} }}", "nothing ".repeat(7_000)),
        format!("subscription ({}) {{ tick }}", "$a: Int ".repeat(3_000)),
        format!("subscription {{ tick(tags: [{}]) }}", "1 ".repeat(9_000)),
        operations + &chain + "fragment F400 on Order{id}",
        meshed,
        cycles(150, ""),
        cycles(600, ""),
        cycles(150, "id "),
        cycles(600, "id "),
        cycles(150, "parent { ...F0 } "),
        cycles(150, "parent { parent { ...F1 } ...F0 } "),
        cycles(150, "... { ...F0 } ... on Node { ...F1 } "),
    ];
    for text in documents {
        let _ = parse(&text).map(|document| document.operation(None, object(json!({}))).is_ok());
    }
}

fn refusals(limits: DocumentLimits, text: &str) -> Vec<String> {
    match Document::parse(schema(), limits, text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}

#[test]
fn aliases_are_counted_wherever_their_fragment_is_spread() {
    let limits = |max_aliases| DocumentLimits {
        max_aliases: Some(max_aliases),
        ..DocumentLimits::default()
    };
    let text =
        "subscription S { order { ...F parent { ...F } } } fragment F on Order { a: id b: status }";
    assert!(refusals(limits(4), text).is_empty());
    assert_eq!(
        refusals(limits(3), text),
        ["the operation `S` has 4 aliases, over the limit of 3 (max_aliases): use fewer"]
    );
}

#[test]
fn directives_are_counted_on_fields_fragments_and_operations() {
    let limits = |max_directives| DocumentLimits {
        max_directives: Some(max_directives),
        ..DocumentLimits::default()
    };
    let text = "subscription { order { ...F @include(if: true) ... @skip(if: false) { status } } }
        fragment F on Order { id @include(if: true) }";
    assert!(refusals(limits(3), text).is_empty());
    assert_eq!(
        refusals(limits(2), text),
        ["the operation has 3 directives, over the limit of 2 (max_directives): use fewer"]
    );
}

#[test]
fn white_space_commas_and_comments_are_no_tokens() {
    let limits = |max_tokens| DocumentLimits {
        max_tokens: Some(max_tokens),
        ..DocumentLimits::default()
    };
    let text = "subscription { # all of them\n order { id, , status } }";
    assert!(refusals(limits(8), text).is_empty());
    assert_eq!(
        refusals(limits(7), text),
        ["the document has more tokens than the limit of 7 (max_tokens): ask for less at once"]
    );
}

#[test]
fn introspection_that_is_switched_off_is_refused_wherever_it_stands() {
    let limits = DocumentLimits {
        no_introspection: true,
        ..DocumentLimits::default()
    };
    assert!(refusals(limits, "subscription { order { __typename id } }").is_empty());
    for text in [
        "{ __schema { queryType { name } } }",
        "{ ... { __type(name: \"Order\") { name } } }",
        "query { ...F } fragment F on Query { s: __schema { queryType { name } } }",
    ] {
        let errors = refusals(limits, text);
        assert_eq!(errors.len(), 1, "{text}");
        assert!(errors[0].starts_with("introspection is switched off here"));
    }
    assert!(
        refusals(
            DocumentLimits::default(),
            "{ __schema { queryType { name } } }"
        )
        .is_empty()
    );
}

fn refusal(limits: DocumentLimits, text: &str) -> String {
    refusals(limits, text)
        .into_iter()
        .next()
        .unwrap_or_default()
}

fn complexity(max_complexity: usize) -> DocumentLimits {
    DocumentLimits {
        max_complexity: Some(max_complexity),
        ..DocumentLimits::default()
    }
}

#[test]
fn operations_that_share_a_fragment_are_counted_together() {
    let operations: String = (0..450)
        .map(|n| format!("subscription S{n} {{ order {{ ...F }} }} "))
        .collect();
    let shared = |fields: usize| {
        format!(
            "{operations} fragment F on Order {{ {} }}",
            "id ".repeat(fields)
        )
    };
    // 450 times three nodes (`order`, the spread and the field), and the fragment itself.
    assert_eq!(refusal(complexity(1_000), &shared(1)), "");
    let error = refusal(complexity(1_000), &shared(900));
    assert!(
        error.contains("together, over the limit of 10000"),
        "{error}"
    );
    // A higher limit for an operation also raises the limit for the document.
    assert_eq!(refusal(complexity(5_000), &shared(90)), "");
}

#[test]
fn a_chain_of_fragments_is_counted_for_each_of_them() {
    let chain = |length: usize| {
        let fragments: String = (0..length)
            .map(|n| format!("fragment F{n} on Order {{ id ...F{} }} ", n + 1))
            .collect();
        format!(
            "subscription {{ order {{ ...F0 }} }} {fragments} fragment F{length} on Order {{ id }}"
        )
    };
    assert_eq!(refusal(complexity(1_000), &chain(50)), "");
    assert!(refusal(complexity(1_000), &chain(300)).contains("over the limit of 10000"));
}

#[test]
fn arguments_and_directives_are_counted_with_the_fields() {
    let operations: String = (0..20)
        .map(|n| format!("subscription S{n} {{ ...F }} "))
        .collect();
    let argument = |items: usize| {
        let list = "\"a\" ".repeat(items);
        format!("{operations} fragment F on Subscription {{ tick(tags: [{list}]) }}")
    };
    assert_eq!(refusal(complexity(1_000), &argument(10)), "");
    assert!(refusal(complexity(1_000), &argument(600)).contains("over the limit of 10000"));
}

#[test]
fn a_long_name_is_refused() {
    let named = |bytes: usize| format!("subscription {} {{ tick }}", "S".repeat(bytes));
    assert_eq!(refusal(DocumentLimits::default(), &named(1_024)), "");
    assert_eq!(
        refusal(DocumentLimits::default(), &named(1_025)),
        "a name of the document has 1025 bytes, over the limit of 1024"
    );
}

#[test]
fn errors_of_one_document_are_bounded_in_number_and_places() {
    let fields = "a: id a: status ".repeat(500);
    for text in [
        format!("subscription {{ order {{ {fields} }} }}"),
        format!("subscription {{ order {{ {fields} }} order {{ {fields} }} }}"),
        cycles(150, "id "),
        format!("query ({}) {{ version }}", "$a: Int ".repeat(2_000)),
        format!("subscription {{ {} }}", "nothing ".repeat(3_000)),
    ] {
        let errors = parse(&text).unwrap_err();
        let places: usize = errors.iter().map(|error| error.locations.len()).sum();
        assert!(errors.len() <= 100, "{} errors", errors.len());
        assert!(places <= 1_100, "{places} places of {}", errors[0].message);
    }
}

fn wide_schema() -> Arc<Schema> {
    let mut sdl = "type Query { a: T0 } type Subscription { a: T0 }".to_owned();
    for number in 0..100 {
        write!(sdl, " type T{number} {{").unwrap();
        for field in 0..10 {
            let of = (number * 7 + field) % 100;
            write!(sdl, " f{field}(a: Int, b: [String!]): [T{of}!]").unwrap();
        }
        sdl.push('}');
    }
    Arc::new(Schema::parse(&sdl, SchemaOptions::default()).unwrap())
}

fn introspect(schema: &Arc<Schema>, text: &str) -> Result<(), String> {
    let document = Document::parse(schema.clone(), DocumentLimits::default(), text);
    let operation = Arc::new(document.unwrap()).operation(None, object(json!({})));
    operation
        .map(drop)
        .map_err(|errors| errors[0].message.clone())
}

#[test]
fn the_schema_is_described_once_for_a_query_and_not_thirty_times() {
    let schema = wide_schema();
    let types = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let input = format!("name description defaultValue type {{ kind name {types} }}");
    let tool = format!(
        "{{ __schema {{ queryType {{ name }} types {{ kind name description
            fields(includeDeprecated: true) {{
                name description isDeprecated deprecationReason
                args {{ {input} }} type {{ kind name {types} }}
            }}
            inputFields {{ {input} }} interfaces {{ kind name {types} }}
            enumValues {{ name description isDeprecated deprecationReason }}
            possibleTypes {{ kind name {types} }} }}
        directives {{ name locations args {{ {input} }} }} }} }}"
    );
    assert_eq!(introspect(&schema, &tool), Ok(()));
    let fields = "types { fields { name args { name type { name } } } }";
    let aliases: String = (0..30)
        .map(|n| format!("a{n}: __schema {{ {fields} }}"))
        .collect();
    let inner: String = (0..30)
        .map(|n| format!("t{n}: types {{ fields {{ name args {{ name type {{ name }} }} }} }}"))
        .collect();
    let deep = "{ __schema { types { fields { type { ofType { ofType { fields { args { type { name } } } } } } } } } }";
    let of_type: String = (0..90)
        .map(|n| {
            format!("a{n}: fields {{ type {{ ofType {{ ofType {{ fields {{ name }} }} }} }} }}")
        })
        .collect();
    for text in [
        format!("{{ {aliases} }}"),
        format!("{{ __schema {{ {inner} }} }}"),
        format!("{{ ...F }} fragment F on Query {{ {aliases} }}"),
        format!("{{ __schema {{ types {{ {of_type} }} }} }}"),
    ] {
        let error = introspect(&schema, &text).unwrap_err();
        assert!(error.contains("ask for each part of it once"), "{error}");
    }
    // A deep selection of types within types is allowed once.
    assert_eq!(introspect(&schema, deep), Ok(()));
}
