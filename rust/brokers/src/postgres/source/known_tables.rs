//! How the tables were when a reader of the source looked last. The database has it, as the next reader has
//! to know which of them were wrong before it reads.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::super::config::Config;
use super::super::fault::Fault;
use super::super::sql::{self, cell};
use super::super::table_watch::{TableState, is_mended};
use super::state::State;

const ASK: &str = "SELECT fraiseql_subs.source_tables($1)";
const NOTE: &str = "SELECT fraiseql_subs.note_source_tables($1, $2)";

/// How the tables were, as readers have seen them last.
#[derive(Debug, Default)]
pub(super) struct KnownTables {
    /// What [`Table::check`](super::super::tables::Table::check) has returned; `None`: it was wrong.
    states: BTreeMap<String, Option<String>>,
    is_noted: bool,
}

impl KnownTables {
    /// Asks the database.
    pub(super) async fn ask(state: &State, client: &Client) -> Result<Self, Fault> {
        let row = client.query_one(ASK, &[&&*state.slot]).await;
        let text: Option<String> = cell(&row.map_err(|error| of_schema(&error))?, 0)?;
        let states = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Self {
            is_noted: states.is_some(),
            states: states.unwrap_or_default(),
        })
    }

    /// Whether a table is right that was not so for a time.
    pub(super) fn have_mended(&self, config: &Config, found: &[TableState]) -> bool {
        config.tables.iter().zip(found).any(|(table, now)| {
            let before = self.states.get(&table.key());
            before.is_some_and(|before| is_mended(before.as_ref(), now))
        })
    }

    /// Notes what was found. Until the slot is noted, there is no place for it.
    pub(super) async fn note(
        &mut self,
        state: &State,
        client: &Client,
        found: &[TableState],
    ) -> Result<(), Fault> {
        let mut states = self.states.clone();
        let seen = state.config.tables.iter().zip(found);
        states.extend(seen.map(|(table, now)| (table.key(), now.clone().ok())));
        if self.is_noted && states == self.states {
            return Ok(());
        }
        self.states = states;
        let text = serde_json::to_string(&self.states).unwrap_or_default();
        let row = client.query_one(NOTE, &[&&*state.slot, &text]).await;
        self.is_noted = cell(&row.map_err(|error| of_schema(&error))?, 0)?;
        Ok(())
    }
}

fn of_schema(error: &tokio_postgres::Error) -> Fault {
    Fault::of_sql(error).of_link().advise(sql::INSTALL_AGAIN)
}
