//! What a filter asks of an event's data, held against the schema: what can never match is refused
//! where it is declared.

use std::borrow::Cow;

use graphql::{Comparison, DataType, Schema, SubscriptionOperation};
use serde_json::Value;

use crate::error::DefinitionError;
use crate::routing::{FieldPath, Wanted};

/// One value of a filter.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterValue {
    /// Equal to this value.
    Literal(Value),
    /// Equal to this argument of the field.
    Argument(String),
}

/// One condition of a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Where the value stands in the event's data.
    pub path: FieldPath,
    /// What must stand there.
    pub value: FilterValue,
    /// How the two are compared: of a constant what the host knows of it, of an argument what
    /// [`Self::check`] finds.
    pub comparison: Comparison,
}

impl Condition {
    /// Finds how an argument is compared, and refuses what can never match.
    ///
    /// `data` is what the schema knows of the data at the path.
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

    /// What one subscription wants; `None` when the condition is none of its: an argument that the
    /// client left out.
    pub(crate) fn wanted(&self, operation: &SubscriptionOperation) -> Option<Wanted> {
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
        Some(Wanted::new(path, comparison, &value))
    }
}
