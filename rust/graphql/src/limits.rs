//! Bounds of a document, checked before its validation.
//!
//! The counts include fragments at each spread, so they may be exponential in the text. They are
//! computed once for each fragment and saturate, so counting takes linear time.

use apollo_compiler::ast::{
    Argument, Definition, Directive, Document, FragmentDefinition, OperationDefinition,
    OperationType, Selection, Value,
};
use apollo_compiler::{Name, Node};
use apollo_parser::{Lexer, Token, TokenKind};
use hashbrown::{HashMap, HashSet};

use crate::error::{CODE_VALIDATION_FAILED, GraphQLError, request_error};
use crate::source::Source;

/// Longest document that is parsed (bytes). Past it the request is refused.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Tokens of a document, white space included (count). Past it the request is refused.
pub(crate) const MAX_TOKENS: usize = 20_000;

/// Longest name (bytes). Error messages contain names, and a document may have many errors.
pub(crate) const MAX_NAME_BYTES: usize = 1_024;

/// Nesting of braces and brackets (count). Past it the request is refused. It bounds the recursion
/// of the parser, the validation and the projection.
pub(crate) const MAX_NESTING: usize = 128;

/// Nesting of selection sets, with fragments expanded (count). Past it the request is refused. It
/// bounds the recursion of the counting, the rules and the compiler.
const MAX_LEVELS: usize = 512;

/// Fields of any operation, with fragments expanded (count). It also applies if no limit is
/// configured, because an exponential document would have an exponential response.
const MAX_FIELDS: usize = 50_000;

/// Limit of all operations and fragments of a document together, as a multiple of the limit of one
/// operation. The validation visits each of them with its fragments expanded, so many operations
/// that share one fragment would cost the product of both.
const DOCUMENT_SHARE: usize = 10;

/// Errors of one document that are reported (count), as in graphql-js. Past it further errors are
/// left out.
pub(crate) const MAX_ERRORS: usize = 100;

/// Smallest bounds for introspection: the query of GraphiQL has 14 levels and about 250 fields.
const INTROSPECTION_MIN_DEPTH: usize = 24;
const INTROSPECTION_MIN_COMPLEXITY: usize = 1_000;

/// Configured limits of a document; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DocumentLimits {
    /// Nested fields (count), the root field being the first.
    pub max_depth: Option<usize>,
    /// Fields of one operation (count), each fragment counted wherever it is spread.
    pub max_complexity: Option<usize>,
    /// Aliased fields of one operation (count), each fragment counted wherever it is spread.
    pub max_aliases: Option<usize>,
    /// Directives of one operation (count), each fragment counted wherever it is spread.
    pub max_directives: Option<usize>,
    /// Lexical tokens of the document (count; GraphQL specification, section 2.1.6).
    pub max_tokens: Option<usize>,
    /// Whether `__schema` and `__type` are refused.
    pub no_introspection: bool,
}

/// The size of an operation, each fragment counted wherever it is spread; the counts saturate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperationSize {
    /// Nested fields (count), which `max_depth` limits.
    pub depth: usize,
    /// Fields (count), which `max_complexity` limits.
    pub fields: usize,
    /// Aliased fields (count).
    pub aliases: usize,
    /// Directives (count).
    pub directives: usize,
}

/// The cost of one selection set; the counts saturate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cost {
    depth: usize,
    complexity: usize,
    aliases: usize,
    directives: usize,
    /// Nodes that a visitor visits: selections, directives, and values of arguments.
    nodes: usize,
}

impl Cost {
    /// Returns the cost of a selection without its own selection set.
    fn own(directives: &[Node<Directive>], arguments: &[Node<Argument>]) -> Self {
        let of_directives = directives.iter().map(|one| 1 + values(&one.arguments));
        Self {
            directives: directives.len(),
            nodes: 1 + values(arguments) + of_directives.sum::<usize>(),
            ..Self::default()
        }
    }

    /// Returns the sum of two costs.
    fn and(self, other: Self) -> Self {
        Self {
            depth: self.depth.max(other.depth),
            complexity: self.complexity.saturating_add(other.complexity),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            nodes: self.nodes.saturating_add(other.nodes),
        }
    }
}

/// Returns the number of values in arguments, including those inside lists and objects.
fn values(arguments: &[Node<Argument>]) -> usize {
    let values = arguments.iter().map(|argument| nested(&argument.value));
    values.sum()
}

fn nested(value: &Value) -> usize {
    1 + match value {
        Value::List(items) => items.iter().map(|item| nested(item)).sum::<usize>(),
        Value::Object(members) => members.iter().map(|(_, member)| nested(member)).sum(),
        _ => 0,
    }
}

/// Returns the limit of tokens.
pub(crate) fn most_tokens(limits: DocumentLimits) -> usize {
    limits.max_tokens.unwrap_or(MAX_TOKENS)
}

/// Returns the lexical tokens of a text.
fn lexed(text: &str) -> impl Iterator<Item = Token<'_>> {
    // The parser reports the text that is not a token.
    Lexer::new(text).filter_map(Result::ok).filter(|token| {
        !matches!(
            token.kind(),
            TokenKind::Whitespace | TokenKind::Comment | TokenKind::Comma | TokenKind::Eof
        )
    })
}

/// Returns the number of lexical tokens of a text, which `max_tokens` limits.
pub(crate) fn tokens(text: &str) -> usize {
    lexed(text).count()
}

/// Refuses a text with too many tokens or a name that is too long, before it is parsed.
pub(crate) fn check_tokens(text: &str, limits: DocumentLimits) -> Result<(), Vec<GraphQLError>> {
    let limit = most_tokens(limits);
    for (before, token) in lexed(text).enumerate() {
        if token.kind() == TokenKind::Name && token.data().len() > MAX_NAME_BYTES {
            let message = format!(
                "a name of the document has {} bytes, over the limit of {MAX_NAME_BYTES}",
                token.data().len()
            );
            return Err(request_error(message, CODE_VALIDATION_FAILED));
        }
        if before >= limit {
            let message = format!(
                "the document has more tokens than the limit of {limit} (max_tokens): ask for less at once"
            );
            return Err(request_error(message, CODE_VALIDATION_FAILED));
        }
    }
    Ok(())
}

/// Refuses operations past the limits.
pub(crate) fn check(
    document: &Document,
    limits: DocumentLimits,
    source: &Source,
) -> Result<(), Vec<GraphQLError>> {
    let mut measure = Measure::new(document);
    let mut errors = Vec::new();
    if limits.no_introspection {
        refuse_introspection(document, source, &mut errors);
    }
    let mut total = 0_usize;
    for definition in &document.definitions {
        let operation = match definition {
            Definition::OperationDefinition(operation) => operation,
            Definition::FragmentDefinition(fragment) => {
                total = total.saturating_add(measure.fragment(&fragment.name).nodes);
                continue;
            }
            _ => continue,
        };
        let cost = measure.operation(operation);
        total = total.saturating_add(cost.nodes);
        let asks_schema = operation.operation_type == OperationType::Query
            && !measure.is_too_deep
            && measure.asks_schema_only(&operation.selection_set, &mut HashSet::new());
        let (max_depth, max_complexity) = bounds(asks_schema, limits);
        let what = match &operation.name {
            Some(name) => format!("the operation `{name}`"),
            None => "the operation".to_owned(),
        };
        let mut refuse = |message: String| {
            let place = operation
                .location()
                .map(|span| source.locate(span.offset()));
            let error = GraphQLError::of_document(message).with_code(CODE_VALIDATION_FAILED);
            errors.push(error.with_locations(place.into_iter().collect::<Vec<_>>()));
        };
        if cost.depth > max_depth {
            refuse(format!(
                "{what} is {} fields deep, over the limit of {max_depth} (max_depth): select less deeply",
                cost.depth
            ));
        }
        if cost.complexity > max_complexity {
            refuse(format!(
                "{what} selects {} fields, over the limit of {max_complexity} (max_complexity): select fewer",
                spell(cost.complexity)
            ));
        }
        if let Some(limit) = limits.max_aliases
            && cost.aliases > limit
        {
            refuse(format!(
                "{what} has {} aliases, over the limit of {limit} (max_aliases): use fewer",
                spell(cost.aliases)
            ));
        }
        if let Some(limit) = limits.max_directives
            && cost.directives > limit
        {
            refuse(format!(
                "{what} has {} directives, over the limit of {limit} (max_directives): use fewer",
                spell(cost.directives)
            ));
        }
    }
    if measure.is_too_deep {
        let message = format!(
            "the document is over {MAX_LEVELS} levels deep, its fragments spread out: select less deeply"
        );
        return Err(request_error(message, CODE_VALIDATION_FAILED));
    }
    let limit = most_nodes(limits);
    if errors.is_empty() && total > limit {
        return Err(request_error(
            format!(
                "the operations and fragments of the document have {} fields, fragments, directives and arguments together, over the limit of {limit}: send each operation in a document of its own",
                spell(total)
            ),
            CODE_VALIDATION_FAILED,
        ));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        errors.truncate(MAX_ERRORS);
        Err(errors)
    }
}

/// Returns the size of each operation of a document, with its name.
pub(crate) fn sizes(document: &Document) -> Vec<(Option<Name>, OperationSize)> {
    let mut measure = Measure::new(document);
    let mut sizes = Vec::new();
    for definition in &document.definitions {
        if let Definition::OperationDefinition(operation) = definition {
            let cost = measure.operation(operation);
            let size = OperationSize {
                depth: cost.depth,
                fields: cost.complexity,
                aliases: cost.aliases,
                directives: cost.directives,
            };
            sizes.push((operation.name.clone(), size));
        }
    }
    sizes
}

/// Returns the limit of all definitions of a document together, each with its fragments expanded.
fn most_nodes(limits: DocumentLimits) -> usize {
    let (_, complexity) = bounds(true, limits);
    complexity.max(complexity.saturating_mul(DOCUMENT_SHARE).min(MAX_FIELDS))
}

/// Reports each introspection field at any position; its name is reserved.
fn refuse_introspection(document: &Document, source: &Source, errors: &mut Vec<GraphQLError>) {
    let mut left: Vec<&Selection> = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => left.extend(&operation.selection_set),
            Definition::FragmentDefinition(fragment) => left.extend(&fragment.selection_set),
            _ => {}
        }
    }
    while let Some(selection) = left.pop() {
        match selection {
            Selection::Field(field) if field.name == "__schema" || field.name == "__type" => {
                let place = field.location().map(|span| source.locate(span.offset()));
                let message = format!(
                    "introspection is switched off here, but the document asks for `{}`",
                    field.name
                );
                let error = GraphQLError::of_document(message).with_code(CODE_VALIDATION_FAILED);
                errors.push(error.with_locations(place.into_iter().collect::<Vec<_>>()));
            }
            Selection::Field(field) => left.extend(&field.selection_set),
            Selection::InlineFragment(fragment) => left.extend(&fragment.selection_set),
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// Returns the text of a count; a saturated one is marked as such.
fn spell(count: usize) -> String {
    if count == usize::MAX {
        "more than can be counted".to_owned()
    } else {
        count.to_string()
    }
}

/// Returns the limits of depth and complexity of one operation; `asks_schema`: of pure
/// introspection.
fn bounds(asks_schema: bool, limits: DocumentLimits) -> (usize, usize) {
    let depth = limits.max_depth.unwrap_or(MAX_NESTING);
    let complexity = limits.max_complexity.unwrap_or(MAX_FIELDS);
    if asks_schema {
        return (
            depth.max(INTROSPECTION_MIN_DEPTH),
            complexity.max(INTROSPECTION_MIN_COMPLEXITY),
        );
    }
    (depth, complexity)
}

/// Returns fragments by name; of several with one name, the last.
pub(crate) fn fragments(document: &Document) -> HashMap<&str, &FragmentDefinition> {
    let mut fragments = HashMap::new();
    for definition in &document.definitions {
        if let Definition::FragmentDefinition(fragment) = definition {
            fragments.insert(fragment.name.as_str(), &**fragment);
        }
    }
    fragments
}

struct Measure<'d> {
    fragments: HashMap<&'d str, &'d FragmentDefinition>,
    costs: HashMap<&'d str, Cost>,
    /// Selection sets around the counted one (count).
    level: usize,
    /// Whether there were more than [`MAX_LEVELS`]; then the costs are too low.
    is_too_deep: bool,
}

impl<'d> Measure<'d> {
    fn new(document: &'d Document) -> Self {
        Self {
            fragments: fragments(document),
            costs: HashMap::new(),
            level: 0,
            is_too_deep: false,
        }
    }

    fn operation(&mut self, operation: &'d OperationDefinition) -> Cost {
        self.selections(&operation.selection_set)
            .and(Cost::own(&operation.directives, &[]))
    }

    fn selections(&mut self, selections: &'d [Selection]) -> Cost {
        if self.level > MAX_LEVELS {
            self.is_too_deep = true;
            return Cost::default();
        }
        self.level += 1;
        let cost = |total: Cost, selection| total.and(self.selection(selection));
        let cost = selections.iter().fold(Cost::default(), cost);
        self.level -= 1;
        cost
    }

    fn selection(&mut self, selection: &'d Selection) -> Cost {
        match selection {
            Selection::Field(field) => {
                let inner = self.selections(&field.selection_set);
                let own = Cost {
                    depth: inner.depth + 1,
                    complexity: 1,
                    aliases: usize::from(field.alias.is_some()),
                    ..Cost::own(&field.directives, &field.arguments)
                };
                own.and(inner)
            }
            Selection::InlineFragment(fragment) => self
                .selections(&fragment.selection_set)
                .and(Cost::own(&fragment.directives, &[])),
            Selection::FragmentSpread(spread) => self
                .fragment(&spread.fragment_name)
                .and(Cost::own(&spread.directives, &[])),
        }
    }

    /// Whether all root fields are introspection fields.
    fn asks_schema_only(&self, roots: &'d [Selection], seen: &mut HashSet<&'d str>) -> bool {
        roots.iter().all(|selection| match selection {
            Selection::Field(field) => field.name.starts_with("__"),
            Selection::InlineFragment(fragment) => {
                self.asks_schema_only(&fragment.selection_set, seen)
            }
            Selection::FragmentSpread(spread) => {
                let name = spread.fragment_name.as_str();
                let fragment = self.fragments.get(name).copied();
                !seen.insert(name)
                    || fragment
                        .is_none_or(|fragment| self.asks_schema_only(&fragment.selection_set, seen))
            }
        })
    }

    fn fragment(&mut self, name: &'d str) -> Cost {
        if let Some(cost) = self.costs.get(name) {
            return *cost;
        }
        let Some(fragment) = self.fragments.get(name).copied() else {
            return Cost::default();
        };
        // A fragment that spreads itself has no cost here; the validation refuses it.
        self.costs.insert(name, Cost::default());
        let cost = self
            .selections(&fragment.selection_set)
            .and(Cost::own(&fragment.directives, &[]));
        self.costs.insert(name, cost);
        cost
    }
}
