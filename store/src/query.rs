//! SQL over the tables: questions only, in the language of DataFusion, answered as batches or as text.
//!
//! Blocking: each [`Queries`] owns a small runtime. Files are listed when it is made, so its answers belong together.

pub(crate) mod engine;
pub(crate) mod explain;
mod format;

use std::io::Write;

#[cfg(feature = "clickhouse")]
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

pub use format::Format;

use self::engine::Engine;
use self::explain::Names;
use crate::dictionary::Table;
use crate::error::Error;
use crate::parquet::ParquetStore;

/// The tables of a store as they were when this was made.
pub struct Queries {
    engine: Engine,
}

impl Queries {
    /// Answer to one `select` (or `explain`, `show`, `describe`).
    ///
    /// # Errors
    /// [`Error::Sql`] shows the place of a mistake where it is known, and names that are like the wrong one;
    /// [`Error::Query`] when it was understood and failed. Must not be called from async code.
    pub fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        let schema = self.engine.select(sql, &names(), |batch| {
            batches.push(batch);
            Ok(())
        })?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    }

    /// Writes the answer as text. Times are RFC 3339 in UTC (`2026-03-04T00:00:00Z`) in every format.
    ///
    /// # Errors
    /// As [`Queries::query`]; an output that cannot be written.
    pub fn query_to(&self, sql: &str, format: Format, out: &mut impl Write) -> Result<(), Error> {
        let mut printer = format::Printer::new(format, out);
        let schema = self.engine.select(sql, &names(), |batch| printer.print(&batch))?;
        printer.finish(schema)
    }
}

/// Batches of this schema as [`Queries::query_to`] writes an answer.
#[cfg(feature = "clickhouse")]
pub(crate) fn written(batches: &[RecordBatch], schema: SchemaRef, format: Format) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let mut printer = format::Printer::new(format, &mut text);
    batches.iter().try_for_each(|batch| printer.print(batch))?;
    printer.finish(schema)?;
    Ok(text)
}

impl ParquetStore {
    /// For several questions to the same state of the tables.
    pub fn queries(&self) -> Result<Queries, Error> {
        let engine = Engine::new(self.config())?;
        for (table, files) in self.files()? {
            engine.register(table, &files)?;
        }
        Ok(Queries { engine })
    }

    /// One question; see [`Queries::query`].
    pub fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        self.queries()?.query(sql)
    }

    /// One question; see [`Queries::query_to`].
    pub fn query_to(&self, sql: &str, format: Format, out: &mut impl Write) -> Result<(), Error> {
        self.queries()?.query_to(sql, format, out)
    }
}

fn names() -> Names {
    let mut columns = Vec::new();
    for table in Table::ALL {
        columns.extend(table.columns().into_iter().map(|column| column.name.to_owned()));
    }
    columns.sort_unstable();
    columns.dedup();
    Names { tables: Table::ALL.iter().map(|table| table.name().to_owned()).collect(), columns }
}
