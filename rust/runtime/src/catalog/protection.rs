//! Checks rules against the served schema: a rule for a missing field or channel would protect
//! nothing, and is refused.

use std::sync::Arc;

use graphql::Schema;
use security::{Federation, Rbac, Requirement, RowFilter, RuleError, Scope};

use super::Catalog;
use super::definition::ChannelTemplate;

impl Catalog {
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        self.documents().schema()
    }

    /// Returns the type of the fields of subscriptions.
    #[must_use]
    pub fn subscription_type(&self) -> &str {
        self.schema().subscription_type()
    }

    /// Returns the arguments of a subscription that a scope restricts.
    #[must_use]
    pub fn scoped_arguments(&self, scope: &Scope, field: &str) -> Vec<String> {
        let Some(signature) = self.schema().subscription_field(field) else {
            return Vec::new();
        };
        let has = |name: &str| signature.arguments.iter().any(|own| *own.name == *name);
        let scoped = scope.arguments().filter(|name| has(name));
        scoped.map(str::to_owned).collect()
    }

    /// Adds the permissions that directives of the schema require.
    pub fn protect_declared(&self, rbac: &mut Rbac) {
        let root = self.schema().subscription_type();
        for asked in self.schema().requirements() {
            let requirement = Requirement(asked.any_of.clone());
            if asked.type_name == root {
                rbac.protect_subscription(&asked.field, requirement);
            } else {
                rbac.protect_field(&asked.type_name, &asked.field, requirement);
            }
        }
    }

    /// Adds required permissions for a subscription.
    ///
    /// # Errors
    ///
    /// [`RuleError::UnknownField`] when the schema has none of this name.
    pub fn protect_subscription(
        &self,
        rbac: &mut Rbac,
        field: &str,
        requirement: Requirement,
    ) -> Result<(), RuleError> {
        if self.schema().subscription_field(field).is_none() {
            let place = format!("{}.{field}", self.schema().subscription_type());
            return Err(RuleError::UnknownField(place));
        }
        rbac.protect_subscription(field, requirement);
        Ok(())
    }

    /// Adds required permissions for `Type.field`; for an interface, for the field of all its
    /// objects.
    ///
    /// # Errors
    ///
    /// [`RuleError::UnknownField`] when the schema has none of this name.
    pub fn protect_field(
        &self,
        rbac: &mut Rbac,
        place: &str,
        requirement: &Requirement,
    ) -> Result<(), RuleError> {
        let unknown = || RuleError::UnknownField(place.to_owned());
        let (type_name, field) = place.split_once('.').ok_or_else(unknown)?;
        if type_name == self.schema().subscription_type() {
            return self.protect_subscription(rbac, field, requirement.clone());
        }
        let types = self.schema().types_with_field(type_name, field);
        if types.is_empty() {
            return Err(unknown());
        }
        for type_name in types {
            rbac.protect_field(type_name, field, requirement.clone());
        }
        Ok(())
    }

    /// Checks that arguments cannot produce the channel of another subscription with other
    /// permissions, which would not be checked. Subscriptions that are declared for the same
    /// channel are meant to share it.
    ///
    /// # Errors
    ///
    /// [`RuleError::OpenChannel`] names the first that can.
    pub fn check_shared_channels(&self, rbac: &Rbac) -> Result<(), RuleError> {
        let mut served: Vec<_> = self
            .definitions()
            .filter_map(|definition| {
                let template = definition.channel.as_ref()?;
                Some((&definition.field, template, template.pattern()))
            })
            .collect();
        // Sorted by name, so that the same one is reported each time.
        served.sort_unstable_by_key(|(field, ..)| *field);
        let with_arguments = served
            .iter()
            .filter(|(_, template, _)| template.text().is_none());
        for (field, _, pattern) in with_arguments {
            let reached = served.iter().find(|(other, template, reached)| {
                reached != pattern
                    && pattern.covers(&template.sample())
                    && !rbac.asks_as_much(field, other)
            });
            if let Some((other, template, _)) = reached {
                return Err(RuleError::OpenChannel {
                    field: (*field).clone(),
                    other: (*other).clone(),
                    channel: template.sample(),
                });
            }
        }
        Ok(())
    }

    /// Checks that the arguments of a scope are arguments of subscriptions.
    ///
    /// # Errors
    ///
    /// [`RuleError::UnknownArgument`] names the first that no subscription has.
    pub fn check_scope(&self, scope: &Scope) -> Result<(), RuleError> {
        let fields = self.schema().subscription_fields();
        let is_known = |name: &str| {
            fields.iter().any(|field| {
                field
                    .arguments
                    .iter()
                    .any(|argument| *argument.name == *name)
            })
        };
        match scope.arguments().find(|name| !is_known(name)) {
            Some(name) => Err(RuleError::UnknownArgument(name.to_owned())),
            None => Ok(()),
        }
    }

    /// Checks that each row filter covers a channel of a subscription. Subscriptions of the host's
    /// own schema have no channel.
    ///
    /// # Errors
    ///
    /// [`RuleError::UnusedFilter`] names the first filter that covers none.
    pub fn check_rows(&self, rows: &[RowFilter]) -> Result<(), RuleError> {
        let templates = || {
            let definitions = self.definitions();
            definitions.filter_map(|definition| definition.channel.as_ref())
        };
        let is_used = |filter: &RowFilter| {
            templates().any(|template| filter.channel().meets(&template.pattern()))
        };
        let Some(unused) = rows.iter().find(|filter| !is_used(filter)) else {
            return Ok(());
        };
        let mut known: Vec<_> = templates().map(|t| format!("`{}`", t.source())).collect();
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            known.push("none".to_owned());
        }
        Err(RuleError::UnusedFilter {
            channel: unused.channel_text().to_owned(),
            known: known.join(", "),
        })
    }

    /// Checks that the channels of declared subscriptions belong to the subgraph. Channels that
    /// depend on arguments are checked for each subscription.
    ///
    /// # Errors
    ///
    /// [`RuleError::ForeignChannel`] names the first that is not.
    pub fn check_channels(&self, federation: &Federation) -> Result<(), RuleError> {
        for definition in self.definitions() {
            let channel = definition.channel.as_ref().and_then(ChannelTemplate::text);
            if let Some(channel) = channel.filter(|channel| !federation.owns(channel)) {
                return Err(RuleError::ForeignChannel {
                    field: definition.field.clone(),
                    channel: channel.to_owned(),
                    subgraph: federation.subgraph().to_owned(),
                });
            }
        }
        Ok(())
    }
}
