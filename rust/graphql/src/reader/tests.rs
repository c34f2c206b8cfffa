//! The reader and the compiler's parser read the same document, or the reader none.

use apollo_compiler::ast::{Definition, Document, Selection, Value};
use proptest::prelude::*;

use super::*;
use crate::document::syntax;
use crate::source::Source;

/// Returns the document of the compiler's parser.
fn compiled(text: &str) -> Option<Document> {
    syntax::parse(text, &Source::new(text)).ok()
}

/// Returns the offsets of all nodes and names, in order.
fn offsets(document: &Document) -> Vec<usize> {
    let mut all = Vec::new();
    for definition in &document.definitions {
        all.extend(definition.location().map(|span| span.offset()));
        match definition {
            Definition::OperationDefinition(operation) => {
                all.extend(
                    operation
                        .name
                        .as_ref()
                        .and_then(Name::location)
                        .map(|span| span.offset()),
                );
                for variable in &operation.variables {
                    let places = [
                        variable.location(),
                        variable.name.location(),
                        variable.ty.location(),
                    ];
                    all.extend(places.into_iter().flatten().map(|span| span.offset()));
                    variable
                        .default_value
                        .iter()
                        .for_each(|value| of_value(value, &mut all));
                    of_directives(&variable.directives, &mut all);
                }
                of_directives(&operation.directives, &mut all);
                of_selections(&operation.selection_set, &mut all);
            }
            Definition::FragmentDefinition(fragment) => {
                let places = [fragment.name.location(), fragment.type_condition.location()];
                all.extend(places.into_iter().flatten().map(|span| span.offset()));
                of_directives(&fragment.directives, &mut all);
                of_selections(&fragment.selection_set, &mut all);
            }
            _ => {}
        }
    }
    all
}

fn of_directives(directives: &DirectiveList, all: &mut Vec<usize>) {
    for directive in directives {
        let places = [directive.location(), directive.name.location()];
        all.extend(places.into_iter().flatten().map(|span| span.offset()));
        of_arguments(&directive.arguments, all);
    }
}

fn of_arguments(arguments: &[Node<Argument>], all: &mut Vec<usize>) {
    for argument in arguments {
        let places = [argument.location(), argument.name.location()];
        all.extend(places.into_iter().flatten().map(|span| span.offset()));
        of_value(&argument.value, all);
    }
}

fn of_value(value: &Node<Value>, all: &mut Vec<usize>) {
    all.extend(value.location().map(|span| span.offset()));
    match &**value {
        Value::List(items) => items.iter().for_each(|item| of_value(item, all)),
        Value::Object(members) => {
            for (name, member) in members {
                all.extend(name.location().map(|span| span.offset()));
                of_value(member, all);
            }
        }
        _ => {}
    }
}

fn of_selections(selections: &[Selection], all: &mut Vec<usize>) {
    for selection in selections {
        match selection {
            Selection::Field(field) => {
                let alias = field.alias.as_ref().and_then(Name::location);
                let places = [field.location(), alias, field.name.location()];
                all.extend(places.into_iter().flatten().map(|span| span.offset()));
                of_arguments(&field.arguments, all);
                of_directives(&field.directives, all);
                of_selections(&field.selection_set, all);
            }
            Selection::FragmentSpread(spread) => {
                let places = [spread.location(), spread.fragment_name.location()];
                all.extend(places.into_iter().flatten().map(|span| span.offset()));
                of_directives(&spread.directives, all);
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.type_condition.as_ref().and_then(Name::location);
                let places = [fragment.location(), condition];
                all.extend(places.into_iter().flatten().map(|span| span.offset()));
                of_directives(&fragment.directives, all);
                of_selections(&fragment.selection_set, all);
            }
        }
    }
}

fn check(text: &str) -> bool {
    let Some(document) = read(text, MAX_TOKENS) else {
        return false;
    };
    let expected = compiled(text).unwrap_or_else(|| panic!("the compiler refuses {text:?}"));
    assert_eq!(document.definitions, expected.definitions, "{text:?}");
    assert_eq!(offsets(&document), offsets(&expected), "{text:?}");
    true
}

#[test]
fn usual_documents_are_read_as_the_compiler_reads_them() {
    for text in [
        "{a}",
        "{ a b }",
        " # first\n subscription S ( $a : Int = 1 , $b: [ String! ]! = [\"x\" \"y\"] $c: [[Int]] @d(x: {a: 1})) @e { a : b ( c : $a ) @skip ( if : true ) { d } }",
        "query Q($x: In = {a: -1, b: 0.5, c: [RED null true false], d: {}, e: []}) { f(x: $x, s: \"é€😀\", t: \"\") }",
        "mutation { ...F ...{ a } ... on T @x { b } ...on on{c} ... @y { d } } fragment F on T @z { on fragment query null true }",
        "query query { query: subscription(fragment: on) }",
        "subscription($on: on!){a(b:[$on{}])}",
        "{a}{b}query A{c}",
        ",{,a,:,b,(,c,:,[,1,{,d,:,$e,},],),@,f,...,g,...,on,h,{,i,},...,{,j,},},",
        "query,Q,(,$a,:,[,Int,!,],!,=,[,1,],@,b,),@,c,{,d,}fragment,F,on,T,{,a,(b:\",\"#,\n),}",
        "# é\n{a(b:\"#\")#}\n}",
    ] {
        assert!(check(text), "{text:?}");
    }
}

#[test]
fn what_is_rare_or_wrong_is_left_to_the_compiler() {
    for text in [
        "",
        " ",
        "#",
        "{}",
        "{a",
        "}",
        "{a}}",
        "{a()}",
        "{a(b)}",
        "{a(b:)}",
        "query(){a}",
        "{a(b:01)}",
        "{a(b:1.)}",
        "{a(b:1e5)}",
        "{a(b:1a)}",
        "{a(b:1.5.5)}",
        "{a(b:-)}",
        "{a(b:\"\"\"x\"\"\")}",
        "{a(b:\"\\n\")}",
        "{a(b:\"\n\")}",
        "{a(b:\")}",
        "{...}",
        "{....a}",
        "{..a}",
        "fragment on on T{a}",
        "fragment F T{a}",
        "fragment F{a}",
        "type T{a:Int}",
        "\"x\"{a}",
        "query($a:Int=$b){a}",
        "query($a:Int@b(c:$a)){a}",
        "{a:}",
        "{a:b:c}",
        "{a@}",
        "{a@defer}",
        "query($a){a}",
        "query($a:[Int){a}",
        "\u{feff}{a}",
        "{é}",
        "{a(b:12345678901234567890)}",
        "{a}\u{0}",
        "query Q R{a}",
        "{a(b:$)}",
    ] {
        assert!(read(text, MAX_TOKENS).is_none(), "{text:?}");
    }
    let deep = format!("{}a{}", "{a".repeat(70), "}".repeat(70));
    assert!(read(&deep, MAX_TOKENS).is_none());
    assert!(read("{a b c}", 4).is_none());
    assert!(read("{a b c}", 5).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_tokens_are_read_as_the_compiler_reads_them(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "(", ")", "[", "]", ":", "=", "!", "$", "@", "...", "on", "a", "b", "query",
            "fragment", "subscription", "true", "null", "1", "-1", "0.5", "\"s\"", "\"\"", " ", ",",
            "\n", "#c\n", "&", "|", "é", ".", "1e3", "\\", "{a}", "(a:1)", "$a:Int", "{a b}", "@a", "...F",
        ]), 0..24)
    ) {
        check(&tokens.concat());
        check(&format!("{{a{}}}", tokens.concat()));
        check(&format!("query Q{{a {} }}", tokens.join(" ")));
        check(&format!("query Q($v:{}){{a}}", tokens.concat()));
    }
}
