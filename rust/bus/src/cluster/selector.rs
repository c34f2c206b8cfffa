//! Selects connections.

/// Limit of its texts together (bytes).
const MAX_BYTES: usize = 1024;

/// Selects connections. Every member that is set must match. An empty selector selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// User id of the identity.
    pub user_id: Option<String>,
    /// Tenant of the identity.
    pub tenant_id: Option<String>,
    /// Id of the connection.
    pub connection_id: Option<String>,
}

/// The owner of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner<'a> {
    /// User id of the identity; `None`: there is no identity.
    pub user_id: Option<&'a str>,
    /// Tenant of the identity.
    pub tenant_id: Option<&'a str>,
    /// Id of the connection.
    pub connection_id: &'a str,
}

impl Selector {
    /// Whether the selector selects a connection. A connection without an identity has no user and no
    /// tenant.
    #[must_use]
    pub fn selects(&self, owner: Owner<'_>) -> bool {
        let matches = |wanted: &Option<String>, actual: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == actual
        };
        matches(&self.user_id, owner.user_id)
            && matches(&self.tenant_id, owner.tenant_id)
            && matches(&self.connection_id, Some(owner.connection_id))
    }

    /// Whether no member is set, so that all connections are selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.user_id.is_none() && self.tenant_id.is_none() && self.connection_id.is_none()
    }

    /// Whether its texts fit a message to other nodes.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let texts = [&self.user_id, &self.tenant_id, &self.connection_id];
        let bytes = |text: &&Option<String>| text.as_ref().map_or(0, String::len);
        texts.iter().map(bytes).sum::<usize>() <= MAX_BYTES
    }

    /// Returns all selectors that select a connection, except the empty one.
    pub(super) fn of(owner: Owner<'_>) -> impl Iterator<Item = Self> {
        (1..8_u8).filter_map(move |members| {
            let owned = |bit: u8, text: Option<&str>| match (members & bit != 0, text) {
                (false, _) => Some(None),
                (true, text) => text.map(|text| Some(text.to_owned())),
            };
            Some(Self {
                user_id: owned(1, owner.user_id)?,
                tenant_id: owned(2, owner.tenant_id)?,
                connection_id: owned(4, Some(owner.connection_id))?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Owner<'_> = Owner {
        user_id: Some("ada"),
        tenant_id: Some("a"),
        connection_id: "c1",
    };

    #[test]
    fn the_selectors_of_a_connection_are_those_that_select_it() {
        let all: Vec<_> = Selector::of(ADA).collect();
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|one| one.selects(ADA) && !one.is_empty()));
        let anonymous = Owner {
            connection_id: "c2",
            ..Owner::default()
        };
        let all: Vec<_> = Selector::of(anonymous).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all.iter().all(|one| one.selects(anonymous)));
        assert!(all.iter().all(|one| !one.selects(ADA)));
    }

    #[test]
    fn an_empty_selector_selects_all() {
        assert!(Selector::default().selects(ADA));
        assert!(Selector::default().is_empty());
    }
}
