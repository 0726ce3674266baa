//! Evidence: a detector's reason in one window, kept whether or not it led to a finding.

use arrow::datatypes::Float64Type;
use arrow::record_batch::RecordBatch;
use fleet::EventTime;
use fleet::reading::Position;
use smol_str::SmolStr;

use super::Row;
use super::columns::{Columns, batch, f64s, optional_records, optional_text, text, time};
use crate::dictionary::Table;
use crate::error::Error;

#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceRow {
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub window_start: EventTime,
    pub window_end: EventTime,
    pub detector: SmolStr,
    /// Feature, or `service destination`.
    pub subject: SmolStr,
    pub observed: String,
    pub expected_type: Option<String>,
    pub expected_device: Option<String>,
    pub peers_now: Option<String>,
    /// MITRE ATT&CK technique.
    pub technique: Option<SmolStr>,
    /// Of this reason alone, natural logarithm units.
    pub evidence: f64,
    /// The device's evidence after this window, and the line it is held against.
    pub total: f64,
    pub line: f64,
    /// First and last contributing record.
    pub records: Option<(Position, Position)>,
}

impl Row for EvidenceRow {
    const TABLE: Table = Table::Evidence;

    fn encode(rows: &[EvidenceRow]) -> Result<RecordBatch, Error> {
        let mut columns = vec![
            text(rows.iter().map(|row| &row.device_id)),
            text(rows.iter().map(|row| &row.device_type)),
            time(rows.iter().map(|row| row.window_start)),
            time(rows.iter().map(|row| row.window_end)),
            text(rows.iter().map(|row| &row.detector)),
            text(rows.iter().map(|row| &row.subject)),
            text(rows.iter().map(|row| &row.observed)),
            optional_text(rows.iter().map(|row| row.expected_type.as_deref())),
            optional_text(rows.iter().map(|row| row.expected_device.as_deref())),
            optional_text(rows.iter().map(|row| row.peers_now.as_deref())),
            optional_text(rows.iter().map(|row| row.technique.as_deref())),
            f64s(rows.iter().map(|row| row.evidence)),
            f64s(rows.iter().map(|row| row.total)),
            f64s(rows.iter().map(|row| row.line)),
        ];
        let records: Vec<_> = rows.iter().map(|row| row.records).collect();
        columns.extend(optional_records(&records));
        batch(Table::Evidence, columns)
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<EvidenceRow>) -> Result<(), Error> {
        let columns = Columns { table: Table::Evidence, batch };
        let (device_id, device_type) = (columns.text("device_id")?, columns.text("device_type")?);
        let (window_start, window_end) = (columns.time("window_start")?, columns.time("window_end")?);
        let (detector, subject) = (columns.text("detector")?, columns.text("subject")?);
        let (observed, expected_type) = (columns.text("observed")?, columns.optional_text("expected_type")?);
        let expected_device = columns.optional_text("expected_device")?;
        let (peers_now, technique) = (columns.optional_text("peers_now")?, columns.optional_text("technique")?);
        let evidence = columns.number::<Float64Type>("evidence")?;
        let (total, line) = (columns.number::<Float64Type>("total")?, columns.number::<Float64Type>("line")?);
        let records = columns.optional_records()?;
        for row in 0..batch.num_rows() {
            rows.push(EvidenceRow {
                device_id: device_id(row).into(),
                device_type: device_type(row).into(),
                window_start: window_start(row),
                window_end: window_end(row),
                detector: detector(row).into(),
                subject: subject(row).into(),
                observed: observed(row).to_owned(),
                expected_type: expected_type(row).map(str::to_owned),
                expected_device: expected_device(row).map(str::to_owned),
                peers_now: peers_now(row).map(str::to_owned),
                technique: technique(row).map(SmolStr::new),
                evidence: evidence(row),
                total: total(row),
                line: line(row),
                records: records(row),
            });
        }
        Ok(())
    }
}
