//! Prepares a request: selects its operation, coerces variables and arguments.

use std::sync::Arc;

use apollo_compiler::ast::OperationType;
use apollo_compiler::executable::Operation as Definition;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::{Name, Node};
use serde_json::Value as Json;

use super::Document;
use super::introspection::QueryOperation;
use super::plan_cache::PlanKey;
use crate::JsonMap;
use crate::coercion::{coerce_arguments, coerce_variables};
use crate::error::{
    CODE_BAD_USER_INPUT, CODE_VALIDATION_FAILED, GraphQLError, PathSegment, request_error,
};
use crate::plan::{Collected, Compiler, Plan};
use crate::rules;

/// An operation that is ready to run.
#[derive(Debug)]
pub enum Operation {
    /// A subscription to one field.
    Subscription(SubscriptionOperation),
    /// A query: introspection is answered, other fields are errors.
    Query(QueryOperation),
    /// A mutation, which only the host's own executor can run.
    Mutation,
}

/// A subscription to one field.
#[derive(Debug, Clone)]
pub struct SubscriptionOperation {
    /// Name of the operation in the document.
    pub name: Option<Arc<str>>,
    /// Name of the field in the schema.
    pub field_name: Arc<str>,
    /// Name of the field in responses: its alias, if it has one.
    pub response_key: Arc<str>,
    /// Coerced arguments by GraphQL name, in the order of the schema.
    pub arguments: JsonMap,
    /// Arguments that are null because the client left them out: null is their default.
    pub left_out: Vec<Arc<str>>,
    /// The plan that writes values as responses.
    pub plan: Arc<Plan>,
}

impl Document {
    /// Selects the operation, coerces variables and arguments, and returns it with its plan.
    ///
    /// # Errors
    ///
    /// The request errors of the specification, section 7.1.2.
    pub fn operation(
        self: &Arc<Self>,
        name: Option<&str>,
        variables: JsonMap,
    ) -> Result<Operation, Vec<GraphQLError>> {
        let definition = self.select(name)?;
        if definition.operation_type == OperationType::Mutation {
            return Ok(Operation::Mutation);
        }
        let variables = coerce_variables(&self.schema, definition, variables, &self.source)?;
        if definition.operation_type == OperationType::Query {
            self.check_conditions(definition, &variables)?;
        }
        match definition.operation_type {
            OperationType::Subscription => self
                .subscription(definition, &variables)
                .map(Operation::Subscription),
            _ => QueryOperation::new(self.clone(), definition.clone(), variables)
                .map(Operation::Query),
        }
    }

    fn conditions(&self, definition: &Definition) -> &[Name] {
        self.conditions
            .get(&definition.name)
            .map_or(&[], Vec::as_slice)
    }

    /// Refuses null for variables of `@skip` and `@include`, which may be declared nullable if they
    /// have a default.
    fn check_conditions(
        &self,
        definition: &Definition,
        variables: &JsonMap,
    ) -> Result<(), Vec<GraphQLError>> {
        for name in self.conditions(definition) {
            if variables.get(name.as_str()).is_some_and(Json::is_null) {
                return Err(request_error(
                    format!(
                        "Variable \"${name}\" decides about @skip or @include and must not be null."
                    ),
                    CODE_BAD_USER_INPUT,
                ));
            }
        }
        Ok(())
    }

    fn subscription(
        &self,
        definition: &Node<Definition>,
        variables: &JsonMap,
    ) -> Result<SubscriptionOperation, Vec<GraphQLError>> {
        let root_type = definition.object_type();
        let collector = self.collector(variables);
        let collected = collector
            .collect(root_type, [&definition.selection_set])
            .map_err(|error| {
                vec![self.refuse(error.message, CODE_BAD_USER_INPUT, [error.place])]
            })?;
        self.check_root_fields(definition, &collected)?;
        let first = collected.first();
        let Some((response_key, nodes, field)) =
            first.and_then(|(key, nodes)| Some((key, nodes, nodes.first()?)))
        else {
            let message =
                "The subscription selects no field: all are left out by @skip or @include.";
            let place = definition.location();
            return Err(vec![self.refuse(message, CODE_VALIDATION_FAILED, [place])]);
        };
        let (arguments, left_out) =
            coerce_arguments(&self.schema, field, variables).map_err(|(message, place)| {
                let places = [place.or_else(|| field.location())];
                let error = self.refuse(message, CODE_BAD_USER_INPUT, places);
                vec![error.with_path(vec![PathSegment::Key((*response_key).into())])]
            })?;
        let conditions = self.conditions(definition);
        let values = conditions
            .iter()
            .map(|name| variables.get(name.as_str())?.as_bool());
        let key = PlanKey {
            document: self.id,
            operation: definition.name.clone(),
            conditions: values.collect(),
        };
        let plan = match self.plans.get(&key) {
            Some(plan) => plan,
            None => {
                let compiler = Compiler::new(collector, &self.source);
                let plan = Arc::new(compiler.compile(root_type, response_key, nodes)?);
                self.plans.put(key, plan.clone());
                plan
            }
        };
        Ok(SubscriptionOperation {
            name: definition.name.as_ref().map(|name| name.as_str().into()),
            field_name: field.name.as_str().into(),
            response_key: (*response_key).into(),
            arguments,
            left_out: left_out.iter().map(|name| name.as_str().into()).collect(),
            plan,
        })
    }

    /// Checks that a subscription has one root field, which is not an introspection field.
    fn check_root_fields(
        &self,
        definition: &Definition,
        collected: &Collected<'_>,
    ) -> Result<(), Vec<GraphQLError>> {
        let fields: Vec<_> = collected
            .values()
            .map(|nodes| {
                let name = nodes.first().map_or("", |node| node.name.as_str());
                (name, nodes.iter().map(|node| node.location()).collect())
            })
            .collect();
        let errors: Vec<_> = rules::root_field_errors(definition.name.as_deref(), &fields)
            .into_iter()
            .map(|(message, places)| self.refuse(message, CODE_VALIDATION_FAILED, places))
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn refuse(
        &self,
        message: impl Into<String>,
        code: &str,
        places: impl IntoIterator<Item = Option<SourceSpan>>,
    ) -> GraphQLError {
        let places = places.into_iter().flatten().map(|span| self.locate(span));
        let error = GraphQLError::of_document(message).with_code(code);
        error.with_locations(places.collect::<Vec<_>>())
    }
}
