//! Runs queries. Introspection is answered; fields of the host's query type are field errors,
//! because this crate cannot resolve them.

mod cost;

use std::sync::Arc;

use apollo_compiler::Node;
use apollo_compiler::executable::Operation as Definition;
use apollo_compiler::introspection::{check_max_depth, partial_execute};
use apollo_compiler::request::RequestError;
use apollo_compiler::response::{GraphQLError as ResponseError, serde_json_bytes as bytes_json};
use apollo_compiler::validation::Valid;
use serde_json::Value as Json;

use super::Document;
use crate::JsonMap;
use crate::error::{CODE_VALIDATION_FAILED, GraphQLError, PathSegment, write_errors};
use crate::schema::IS_ONE_OF;
use crate::write::{write_json, write_string};

/// A query that is ready to run.
#[derive(Debug)]
pub struct QueryOperation {
    document: Arc<Document>,
    definition: Node<Definition>,
    variables: JsonMap,
}

impl QueryOperation {
    pub(crate) fn new(
        document: Arc<Document>,
        definition: Node<Definition>,
        variables: JsonMap,
    ) -> Result<Self, Vec<GraphQLError>> {
        let query = Self {
            document,
            definition,
            variables,
        };
        let (document, definition) = (query.document.executable(), &query.definition);
        if let Err(error) = check_max_depth(document, definition) {
            return Err(vec![query.request_error(&error)]);
        }
        let size = query.document.schema().size();
        let cost = cost::cost(size, document, &definition.selection_set);
        let limit = cost::limit(size);
        if cost > limit {
            let place = definition
                .location()
                .map(|span| query.document.locate(span));
            let error = GraphQLError::new(format!(
                "the query asks for {cost} values of the schema, over the limit of {limit}: ask for each part of it once"
            ));
            return Err(vec![
                error
                    .with_code(CODE_VALIDATION_FAILED)
                    .with_locations(place.into_iter().collect::<Vec<_>>()),
            ]);
        }
        Ok(query)
    }

    /// Whether it selects only introspection fields.
    #[must_use]
    pub fn is_introspection(&self) -> bool {
        let root_type = self.definition.object_type();
        let collector = self.document.collector(&self.variables);
        let collected = collector.collect(root_type, [&self.definition.selection_set]);
        let collected = collected.unwrap_or_default();
        let mut names = collected.values().map(|nodes| nodes[0].name.as_str());
        names.all(|name| name.starts_with("__"))
    }

    /// Returns the whole response as JSON.
    #[must_use]
    pub fn execute(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.introspect() {
            Ok(answers) => self.write_response(&answers, &mut out),
            Err(error) => {
                out.extend_from_slice(b"{\"errors\":");
                write_errors(&[*error], &mut out);
                out.push(b'}');
            }
        }
        out
    }

    fn request_error(&self, error: &RequestError) -> GraphQLError {
        let place = error.location().map(|span| self.document.locate(span));
        GraphQLError::of_document(error.message().to_string())
            .with_code(CODE_VALIDATION_FAILED)
            .with_locations(place.into_iter().collect::<Vec<_>>())
    }

    fn introspect(&self) -> Result<JsonMap, Box<GraphQLError>> {
        let schema = self.document.schema();
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.clone().into()))
            .collect();
        let response = partial_execute(
            schema.compiled(),
            schema.implementers(),
            self.document.executable(),
            &self.definition,
            &Valid::assume_valid(variables),
        );
        let response = response.map_err(|error| Box::new(self.request_error(&error)))?;
        // A field that the compiler does not know is null, without an error.
        let is_known = |error: &&ResponseError| !error.message.contains(IS_ONE_OF.as_str());
        if let Some(error) = response.errors.iter().find(is_known) {
            return Err(Box::new(GraphQLError::of_document(error.message.clone())));
        }
        let answers = bytes_json::Value::Object(response.data.unwrap_or_default());
        match serde_json::to_value(answers) {
            Ok(Json::Object(answers)) => Ok(answers),
            _ => Err(Box::new(GraphQLError::new(
                "the schema could not be described",
            ))),
        }
    }

    fn write_response(&self, answers: &JsonMap, out: &mut Vec<u8>) {
        let root_type = self.definition.object_type();
        let collector = self.document.collector(&self.variables);
        // Conditions of queries are checked with the request.
        let collected = collector.collect(root_type, [&self.definition.selection_set]);
        let collected = collected.unwrap_or_default();
        let mut errors = Vec::new();
        let mut data = vec![b'{'];
        let mut is_null = false;
        for (key, nodes) in &collected {
            if data.len() > 1 {
                data.push(b',');
            }
            write_string(key, &mut data);
            data.push(b':');
            if let Some(answer) = answers.get(*key) {
                write_json(answer, &mut data);
                continue;
            }
            data.extend_from_slice(b"null");
            let Some(field) = nodes.first() else { continue };
            if field.name.starts_with("__") {
                continue;
            }
            let places = nodes.iter().filter_map(|node| node.location());
            let places: Vec<_> = places.map(|span| self.document.locate(span)).collect();
            errors.push(
                GraphQLError::of_document(format!(
                    "`{root_type}.{}` is not served here: this endpoint serves subscriptions and introspection only",
                    field.name
                ))
                .with_locations(places)
                .with_path(vec![PathSegment::Key((*key).into())]),
            );
            if field.ty().is_non_null() {
                is_null = true;
                break;
            }
        }
        data.push(b'}');
        out.push(b'{');
        if !errors.is_empty() {
            out.extend_from_slice(b"\"errors\":");
            write_errors(&errors, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"data\":");
        out.extend_from_slice(if is_null { b"null" } else { &data });
        out.push(b'}');
    }
}
