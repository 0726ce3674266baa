//! Why a line was not taken, and the row that says so. Rejections never stop a run by themselves; their share may
//! ([`Tally::check`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use fleet::{EventTime, Position};
use thiserror::Error;

use crate::error::Error as RoomError;
use crate::source::Fetched;

/// The name ([`RejectReason::name`]) is what is stored and counted; the text says what to look at.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RejectReason {
    #[error("not a JSON object: {problem}")]
    NotJson { problem: String },
    #[error("field `{field}` is missing")]
    MissingField { field: &'static str },
    #[error("field `{field}` is `{value}`, expected {expected}")]
    BadField { field: &'static str, value: String, expected: &'static str },
    #[error("kind `{kind}` is unknown, expected message, flow, sign_in, session or posture")]
    UnknownKind { kind: String },
    #[error("{found} columns, expected the header's {expected}")]
    ColumnCount { found: usize, expected: usize },
    #[error("column `{column}` is missing from the header; have the sensor write it, or map what stands for it")]
    MissingColumn { column: &'static str },
    #[error(
        "no header line names the columns before this line; expected {expected}, at the beginning of the file, or of each \
         partition"
    )]
    NoHeader { expected: &'static str },
    #[error("not UTF-8 from byte {valid_up_to}; expected UTF-8 text")]
    NotUtf8 { valid_up_to: usize },
    #[error(
        "line of more than {limit} bytes; raise `max_line_bytes` under [ingest] (--config) if such lines are meant"
    )]
    LineTooLong { limit: usize },
    #[error(
        "file `{file}` ends in the middle of its compressed data ({problem}); fetch it again, what came before was read"
    )]
    TruncatedFile { file: Arc<str>, problem: String },
    #[error("file `{file}` holds damaged compressed data ({problem}); fetch it again, what came before was read")]
    DamagedFile { file: Arc<str>, problem: String },
    #[error(
        "dated {time}, later than the file's own time allows ({limit}); correct the sensor's clock, or raise \
         `max_ahead_seconds` under [ingest] (--config)"
    )]
    ClockAhead { time: EventTime, limit: EventTime },
}

impl RejectReason {
    pub fn name(&self) -> &'static str {
        match self {
            RejectReason::NotJson { .. } => "not_json",
            RejectReason::MissingField { .. } => "missing_field",
            RejectReason::BadField { .. } => "bad_field",
            RejectReason::UnknownKind { .. } => "unknown_kind",
            RejectReason::ColumnCount { .. } => "column_count",
            RejectReason::MissingColumn { .. } => "missing_column",
            RejectReason::NoHeader { .. } => "no_header",
            RejectReason::NotUtf8 { .. } => "not_utf8",
            RejectReason::LineTooLong { .. } => "line_too_long",
            RejectReason::TruncatedFile { .. } => "truncated_file",
            RejectReason::DamagedFile { .. } => "damaged_file",
            RejectReason::ClockAhead { .. } => "clock_ahead",
        }
    }

    /// Speaks of the file, not of one line of it.
    fn is_of_the_file(&self) -> bool {
        matches!(self, RejectReason::TruncatedFile { .. } | RejectReason::DamagedFile { .. })
    }
}

/// One row of the table `rejected`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    pub position: Position,
    pub file: Arc<str>,
    pub reason: RejectReason,
    /// The reason's text.
    pub detail: String,
    /// The line, as it is; of a long one its beginning.
    pub line: Vec<u8>,
}

impl Rejected {
    pub const SAMPLE_BYTES: usize = 200;
    const LINE_BYTES: usize = 64 << 10;

    pub fn new(position: Position, file: &Arc<str>, reason: RejectReason, line: &[u8]) -> Rejected {
        let detail = reason.to_string();
        let line = line[..line.len().min(Self::LINE_BYTES)].to_vec();
        Rejected { position, file: file.clone(), reason, detail, line }
    }

    /// What a row shows of the line: the first [`Rejected::SAMPLE_BYTES`] bytes.
    pub fn sample(&self) -> &[u8] {
        &self.line[..self.line.len().min(Self::SAMPLE_BYTES)]
    }
}

/// Counts of a run: readings, and rejections by reason with the first few kept as examples.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub readings: u64,
    pub by_reason: BTreeMap<&'static str, u64>,
    examples: Vec<Rejected>,
    of_files: u64,
}

impl Tally {
    const EXAMPLES: usize = 3;

    pub fn add(&mut self, fetched: &Fetched) {
        self.readings += fetched.readings.len() as u64;
        for rejected in &fetched.rejected {
            *self.by_reason.entry(rejected.reason.name()).or_default() += 1;
            self.of_files += u64::from(rejected.reason.is_of_the_file());
            let first_of_its_reason = self.by_reason[rejected.reason.name()] == 1;
            if first_of_its_reason || self.examples.len() < Self::EXAMPLES {
                self.examples.push(rejected.clone());
            }
        }
    }

    pub fn rejected(&self) -> u64 {
        self.by_reason.values().sum()
    }

    /// One rejected record of each reason, the first.
    pub fn first_of_each_reason(&self) -> impl Iterator<Item = &Rejected> {
        let mut told = BTreeSet::new();
        self.examples.iter().filter(move |rejected| told.insert(rejected.reason.name()))
    }

    /// Errors when more than `max_share` of the lines were rejected. A cut-off file is one row, not one bad line: it
    /// counts only when nothing else was read.
    pub fn check(&self, max_share: f64) -> Result<(), RoomError> {
        let counted = if self.readings > 0 { self.rejected() - self.of_files } else { self.rejected() };
        let total = self.readings + counted;
        if counted as f64 <= max_share * total as f64 {
            return Ok(());
        }
        let by_reason: Vec<String> = self.by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let mut examples = String::new();
        for (index, rejected) in self.examples.iter().take(Self::EXAMPLES).enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let line_number = rejected.position.offset + 1;
            let sample: String = String::from_utf8_lossy(rejected.sample()).chars().take(120).collect();
            let (file, detail) = (&rejected.file, &rejected.detail);
            // Writing to a String cannot fail.
            let _ =
                write!(examples, "{separator}  {file}, line {line_number}: {detail}\n    {}", sample.escape_debug());
        }
        Err(RoomError::TooManyRejected {
            rejected: counted,
            total,
            share: 100.0 * counted as f64 / total as f64,
            allowed: 100.0 * max_share,
            by_reason: by_reason.join(", "),
            examples,
        })
    }
}
