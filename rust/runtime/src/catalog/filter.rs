//! Filters on an event's data. Checks them against the schema: a filter that can never match is
//! refused at its declaration.

use std::borrow::Cow;

use graphql::{Comparison, DataType, Schema, SubscriptionOperation};
use serde_json::Value;

use crate::error::DefinitionError;
use crate::routing::{FieldPath, RequiredValue};

/// One value of a filter.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterValue {
    /// A constant.
    Literal(Value),
    /// An argument of the field.
    Argument(String),
}

/// One condition of a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Path of the value in the event's data.
    pub path: FieldPath,
    /// The required value.
    pub value: FilterValue,
    /// How the two are compared: for a constant by the host's type, for an argument by the type
    /// that [`Self::check`] finds.
    pub comparison: Comparison,
}

impl Condition {
    /// Determines how an argument is compared, and refuses a condition that can never match.
    ///
    /// `data`: the schema's type at the path.
    pub(crate) fn check(
        &mut self,
        schema: &Schema,
        field: &str,
        data: &DataType,
    ) -> Result<(), DefinitionError> {
        if let FilterValue::Argument(name) = &self.value
            && let Some(comparison) = schema.argument_comparison(field, name)
        {
            self.comparison = comparison;
        }
        let refuse = |problem: String| DefinitionError::NeverMatches {
            field: field.to_owned(),
            path: self.path.join("."),
            problem,
        };
        let data = match data {
            DataType::Unknown => return Ok(()),
            DataType::Nowhere(problem) => return Err(refuse(problem.clone())),
            DataType::Known(data) => data,
        };
        let what = data.describe();
        self.comparison = match &self.value {
            FilterValue::Literal(value) if !data.admits(value) => {
                return Err(refuse(format!("{value} can never equal {what}")));
            }
            FilterValue::Literal(value) => self
                .comparison
                .with(data)
                .ok_or_else(|| refuse(format!("{value} can never equal {what}")))?,
            FilterValue::Argument(name) => self.comparison.with(data).ok_or_else(|| {
                let argument = self.comparison.describe();
                refuse(format!(
                    "the argument `{name}` is {argument}, which can never equal {what}"
                ))
            })?,
        };
        Ok(())
    }

    /// Returns the value that one subscription requires; `None` if the client left out the
    /// argument, so that the condition does not apply.
    pub(crate) fn required(&self, operation: &SubscriptionOperation) -> Option<RequiredValue> {
        let value = match &self.value {
            FilterValue::Literal(value) => Cow::Borrowed(value),
            FilterValue::Argument(name) => {
                let argument = operation.arguments.get(name)?;
                if operation.left_out.iter().any(|known| **known == **name) {
                    return None;
                }
                self.comparison.published(argument)
            }
        };
        let (path, comparison) = (self.path.clone(), self.comparison.clone());
        Some(RequiredValue::new(path, comparison, &value))
    }
}
