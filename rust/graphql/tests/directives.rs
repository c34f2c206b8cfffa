//! Schemas with directives of Apollo Federation, and the permissions that directives ask for.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use graphql::{Schema, SchemaError, SchemaOptions};

fn parse(sdl: &str) -> Result<Schema, SchemaError> {
    Schema::parse(sdl, SchemaOptions::default())
}

fn asked(sdl: &str) -> Vec<String> {
    let schema = parse(sdl).unwrap();
    let asked = schema.requirements().iter();
    asked
        .map(|r| format!("{}.{} {:?}", r.type_name, r.field, r.any_of))
        .collect()
}

#[test]
fn the_sdl_of_a_subgraph_is_served_without_definitions() {
    let sdl = r#"
        extend schema @link(url: "https://specs.apollo.dev/federation/v2.7", import: ["@key", "@requires"])
        type Subscription { order(id: ID!): Order @tag(name: "live") }
        type Order @key(fields: "id") @key(fields: "id region", resolvable: false) @shareable {
          id: ID!
          region: String @external
          secret: String @inaccessible
          shipping: Int @requires(fields: "region") @override(from: "users")
          item: Item @provides(fields: "sku")
        }
        type Item @interfaceObject @extends { sku: String }
    "#;
    assert_eq!(asked(sdl), [""; 0]);
}

#[test]
fn definitions_of_the_schema_itself_stand() {
    let own = "directive @requires(permission: String!) on FIELD_DEFINITION
        scalar federation__FieldSet
        directive @key(fields: federation__FieldSet!) on OBJECT
        type Subscription { a: A @requires(permission: \"p\") } type A @key(fields: \"b\") { b: Int }";
    assert_eq!(asked(own), [r#"Subscription.a [["p"]]"#]);
}

#[test]
fn permissions_are_read_from_fields_types_interfaces_and_leaves() {
    let sdl = r#"
        type Subscription { node: Node @authenticated }
        interface Node @requires(permission: "node") { id: ID! name: String @requires(permission: "name") }
        type A implements Node { id: ID! name: String }
        type B @requiresScopes(scopes: [["x", "y"], ["z"]]) { s: Secret e: E }
        scalar Secret @policy(policies: [["p"]])
        enum E @requires2 { V }
        directive @requires2 on ENUM
    "#;
    assert_eq!(
        asked(sdl),
        [
            "Subscription.node [[]]",
            r#"A.id [["node"]]"#,
            r#"A.name [["node"]]"#,
            r#"A.name [["name"]]"#,
            r#"B.s [["x", "y"], ["z"]]"#,
            "B.s []",
            r#"B.e [["x", "y"], ["z"]]"#,
        ]
    );
}

#[test]
fn a_requires_that_asks_for_nothing_is_refused() {
    for requires in [
        "@requires",
        "@requires(permission: \"\")",
        "@requires(permission: null)",
    ] {
        let sdl = format!("type Subscription {{ a: Int {requires} }}");
        let error = parse(&sdl).unwrap_err();
        assert_eq!(
            error,
            SchemaError::EmptyRequires("Subscription.a".into()),
            "{requires}"
        );
    }
    let misspelt = "type Subscription { a: Int @requires(permision: \"p\") }";
    assert!(
        parse(misspelt)
            .unwrap_err()
            .to_string()
            .contains("permision")
    );
}

#[test]
fn a_field_of_an_interface_is_about_its_objects() {
    let sdl = "type Subscription { n: N } interface N { id: ID } type A implements N { id: ID } type B implements N { id: ID }";
    let schema = parse(sdl).unwrap();
    let mut types = schema.types_with_field("N", "id");
    types.sort_unstable();
    assert_eq!(types, ["A", "B"]);
    assert_eq!(schema.types_with_field("A", "id"), ["A"]);
    assert!(schema.types_with_field("A", "total").is_empty());
    assert!(schema.types_with_field("Nobody", "id").is_empty());
    assert_eq!(schema.subscription_type(), "Subscription");
}
