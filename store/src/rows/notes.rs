//! What was said of findings, and what could not be used at all.

use arrow::datatypes::{UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use fleet::EventTime;
use fleet::reading::Position;
use smol_str::SmolStr;

use super::Row;
use super::columns::{Columns, batch, text, time, u32s, u64s};
use crate::dictionary::Table;
use crate::error::Error;

#[derive(Clone, Debug, PartialEq)]
pub struct VerdictRow {
    pub finding_id: String,
    pub verdict: SmolStr,
    pub author: SmolStr,
    pub given_at: EventTime,
    pub note: String,
}

impl Row for VerdictRow {
    const TABLE: Table = Table::Verdicts;

    fn encode(rows: &[VerdictRow]) -> Result<RecordBatch, Error> {
        batch(
            Table::Verdicts,
            vec![
                text(rows.iter().map(|row| &row.finding_id)),
                text(rows.iter().map(|row| &row.verdict)),
                text(rows.iter().map(|row| &row.author)),
                time(rows.iter().map(|row| row.given_at)),
                text(rows.iter().map(|row| &row.note)),
            ],
        )
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<VerdictRow>) -> Result<(), Error> {
        let columns = Columns { table: Table::Verdicts, batch };
        let (finding_id, verdict) = (columns.text("finding_id")?, columns.text("verdict")?);
        let (author, given_at, note) = (columns.text("author")?, columns.time("given_at")?, columns.text("note")?);
        for row in 0..batch.num_rows() {
            rows.push(VerdictRow {
                finding_id: finding_id(row).to_owned(),
                verdict: verdict(row).into(),
                author: author(row).into(),
                given_at: given_at(row),
                note: note(row).to_owned(),
            });
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RejectedRow {
    pub file: SmolStr,
    pub position: Position,
    /// Short name, for counting.
    pub reason: SmolStr,
    pub detail: String,
    /// The record's first bytes; what is not UTF-8 shows as U+FFFD.
    pub sample: String,
}

impl Row for RejectedRow {
    const TABLE: Table = Table::Rejected;

    fn encode(rows: &[RejectedRow]) -> Result<RecordBatch, Error> {
        batch(
            Table::Rejected,
            vec![
                text(rows.iter().map(|row| &row.file)),
                u32s(rows.iter().map(|row| row.position.source)),
                u64s(rows.iter().map(|row| row.position.offset)),
                text(rows.iter().map(|row| &row.reason)),
                text(rows.iter().map(|row| &row.detail)),
                text(rows.iter().map(|row| &row.sample)),
            ],
        )
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<RejectedRow>) -> Result<(), Error> {
        let columns = Columns { table: Table::Rejected, batch };
        let file = columns.text("file")?;
        let (source, offset) = (columns.number::<UInt32Type>("source")?, columns.number::<UInt64Type>("offset")?);
        let (reason, detail, sample) = (columns.text("reason")?, columns.text("detail")?, columns.text("sample")?);
        for row in 0..batch.num_rows() {
            rows.push(RejectedRow {
                file: file(row).into(),
                position: Position { source: source(row), offset: offset(row) },
                reason: reason(row).into(),
                detail: detail(row).to_owned(),
                sample: sample(row).to_owned(),
            });
        }
        Ok(())
    }
}
