//! Some rows of a table as text, asked of ClickHouse: what it gives is written as the embedded store would.

use super::history::bounded;
use super::memory::quoted;
use super::{ClickHouseStore, read};
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;
use crate::excerpt::{Dialect, Excerpts, Which, order_of};
use crate::query::{Format, written};

impl Excerpts for ClickHouseStore {
    fn excerpt(&self, table: Table, which: &Which<'_>, format: Format) -> Result<Vec<u8>, Error> {
        let dialect = Dialect {
            quoted,
            column: str::to_owned,
            time: |time| format!("fromUnixTimestamp64Micro({})", bounded(time)),
        };
        let condition = which.condition(&dialect).map_or_else(String::new, |condition| format!("WHERE {condition}"));
        let condition = format!("{condition} ORDER BY {}", order_of(table));
        let batches = read::fetch(&self.server, &self.database, table, TextLayout::Plain, &condition)?;
        written(&batches, table.schema(TextLayout::Plain), format)
    }
}
