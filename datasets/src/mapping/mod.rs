//! A file read through a user's `select`: Arrow columns to readings.
//!
//! A thread of its own scans and runs the `select`; the conversion to readings happens in [`Source::fetch`], so that the
//! two overlap.
//!
//! * [`fields`]: the columns a `select` may give
//! * [`select`]: its text, checked, planned and run by DataFusion
//! * [`text`], [`parquet`]: batches out of a file
//! * [`columns`], [`convert`]: arrays to readings

pub(crate) mod columns;
mod convert;
pub mod fields;
mod parquet;
mod select;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::util::display::array_value_to_string;
use fleet::{EventTime, Position};
use ingest::lines::LineReader;
use ingest::{Fetched, RejectReason, Rejected, Source};

use crate::config::Config;
use crate::descriptor::{Input, Mapping, RecordKind};
use crate::error::Error;
use convert::{Columns, Fault};
use fields::FIELDS;
use parquet::{ParquetFile, ParquetScan};
use select::{Parsed, Select, Selected};
use text::TextScan;

/// A batch of the file, before the `select`.
struct Scanned {
    batch: RecordBatch,
    offsets: UInt64Array,
    rejected: Vec<Rejected>,
    /// Share of the file read, 0 to 1.
    progress: f64,
}

enum Scan {
    Text(TextScan),
    Parquet(ParquetScan),
}

impl Scan {
    fn next(&mut self) -> Result<Option<Scanned>, ingest::Error> {
        match self {
            Scan::Text(scan) => scan.next(),
            Scan::Parquet(scan) => scan.next(),
        }
    }
}

/// What the scanning thread hands over.
struct Piece {
    selected: Vec<Selected>,
    rejected: Vec<Rejected>,
    progress: f64,
}

type Handed = Result<Piece, ingest::Error>;

/// What a rejected row is said to come from.
#[derive(Clone)]
struct Place {
    file: Arc<str>,
    source: u32,
}

pub(crate) struct MappedSource {
    kind: RecordKind,
    place: Place,
    /// A later record has a wrong clock.
    latest: EventTime,
    /// Until the first fetch starts the scan.
    waiting: Option<(Scan, Select)>,
    running: Option<(Receiver<Handed>, JoinHandle<()>)>,
    batches_ahead: usize,
    progress: f64,
}

impl MappedSource {
    /// Plans the `select` against the file's columns; reads nothing but its head.
    pub fn open(
        path: &Path,
        name: &str,
        source: u32,
        mapping: &Mapping,
        config: &ingest::Config,
        limits: &Config,
    ) -> Result<MappedSource, Error> {
        let place = Place { file: name.into(), source };
        let wrong = |problem: String| Error::Select { file: name.to_string(), problem };
        let parsed = Parsed::new(&mapping.select).map_err(wrong)?;
        let used: Vec<String> = parsed.inputs().into_iter().collect();
        let rows = limits.rows_per_batch.max(1);
        let waiting = match mapping.input {
            Input::Csv => {
                let mut lines = LineReader::open(path, config.max_line_bytes)?;
                // An empty file has neither columns nor records: nothing to plan for, nothing to read.
                match text::header(&mut lines, mapping.delimiter)? {
                    None => None,
                    Some(header) => {
                        let file = place.file.clone();
                        let scan = TextScan::csv(lines, file, source, &header, mapping.delimiter, &used, rows);
                        let all = text::schema_of(&header);
                        let unknown = select::unknown_column(&used, &all);
                        let select = unknown
                            .map_or_else(|| Select::plan(parsed, mapping.kind, scan.schema()), Err)
                            .map_err(wrong)?;
                        Some((Scan::Text(scan), select))
                    }
                }
            }
            Input::Jsonl => {
                let lines = LineReader::open(path, config.max_line_bytes)?;
                let scan = TextScan::jsonl(lines, place.file.clone(), source, &used, rows);
                let select = Select::plan(parsed, mapping.kind, scan.schema()).map_err(wrong)?;
                Some((Scan::Text(scan), select))
            }
            Input::Parquet => {
                let file = ParquetFile::open(path)?;
                if let Some(problem) = select::unknown_column(&used, file.schema()) {
                    return Err(wrong(problem));
                }
                let scan = file.scan(&used, rows)?;
                let select = Select::plan(parsed, mapping.kind, scan.schema()).map_err(wrong)?;
                Some((Scan::Parquet(scan), select))
            }
        };
        Ok(MappedSource {
            kind: mapping.kind,
            place,
            latest: latest(path, config.max_ahead_seconds),
            waiting,
            running: None,
            batches_ahead: limits.batches_ahead,
            progress: 0.0,
        })
    }

    fn convert(&self, selected: &Selected, out: &mut Fetched) -> Result<(), ingest::Error> {
        let columns = Columns(&selected.arrays);
        let offsets = selected.offsets.values();
        let position = |row: usize| Position { source: self.place.source, offset: offsets[row] };
        out.readings.reserve(offsets.len());
        let Fetched { readings, rejected } = out;
        let reject = |row: usize, reason| {
            Rejected::new(position(row), &self.place.file, reason, sample(&selected.arrays, row).as_bytes())
        };
        let converted = convert::readings(self.kind, &columns, offsets.len(), position, |row, reading| match reading {
            Ok(reading) if reading.time <= self.latest => readings.push(reading),
            Ok(reading) => {
                rejected.push(reject(row, RejectReason::ClockAhead { time: reading.time, limit: self.latest }))
            }
            Err(fault) => rejected.push(reject(row, reason(fault, &columns, row))),
        });
        converted.map_err(|error| ingest::Error::Read {
            path: self.place.file.as_ref().into(),
            source: std::io::Error::other(error),
        })
    }
}

impl Source for MappedSource {
    fn fetch(&mut self, out: &mut Fetched) -> Result<bool, ingest::Error> {
        if let Some((scan, select)) = self.waiting.take() {
            let (sender, receiver) = sync_channel(self.batches_ahead);
            let place = self.place.clone();
            self.running = Some((receiver, std::thread::spawn(move || run(scan, &select, &place, &sender))));
        }
        let Some((receiver, _)) = &self.running else {
            return Ok(false);
        };
        if let Ok(piece) = receiver.recv() {
            let piece = piece?;
            self.progress = piece.progress;
            out.rejected.extend(piece.rejected);
            for selected in &piece.selected {
                self.convert(selected, out)?;
            }
            return Ok(true);
        }
        self.progress = 1.0;
        match self.running.take().map(|(_, thread)| thread.join()) {
            // A panic is a defect; it must not look like the end of the file.
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => Ok(false),
        }
    }

    fn progress(&self) -> f64 {
        if self.waiting.is_none() && self.running.is_none() { 1.0 } else { self.progress }
    }
}

/// Scans to the end, or until nobody listens.
fn run(mut scan: Scan, select: &Select, place: &Place, sender: &SyncSender<Handed>) {
    loop {
        let piece = match scan.next() {
            Ok(None) => return,
            Ok(Some(scanned)) => Ok(through(select, scanned, place)),
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if sender.send(piece).is_err() || failed {
            return;
        }
    }
}

fn through(select: &Select, scanned: Scanned, place: &Place) -> Piece {
    let Scanned { batch, offsets, rejected, progress } = scanned;
    let mut piece = Piece { selected: Vec::new(), rejected, progress };
    divide(select, &batch, &offsets, place, &mut piece);
    piece
}

/// An expression that fails (a cast, a division) fails for the whole batch: halve it until the row is found.
fn divide(select: &Select, batch: &RecordBatch, offsets: &UInt64Array, place: &Place, piece: &mut Piece) {
    let rows = batch.num_rows();
    match select.apply(batch, offsets) {
        Ok(selected) => piece.selected.push(selected),
        Err(error) if rows <= 1 => {
            let position = Position { source: place.source, offset: offsets.values().first().copied().unwrap_or(0) };
            let columns: Vec<(String, ArrayRef)> = batch
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .zip(batch.columns().iter().cloned())
                .collect();
            let value = error.strip_backtrace().lines().next().unwrap_or_default().chars().take(120).collect();
            let expected = "a value that the expression of the `select` can take (`try_cast` gives null instead)";
            let reason = RejectReason::BadField { field: "select", value, expected };
            let sample = render(columns.iter().map(|(name, array)| (name.as_str(), array)), 0);
            piece.rejected.push(Rejected::new(position, &place.file, reason, sample.as_bytes()));
        }
        Err(_) => {
            let half = rows / 2;
            divide(select, &batch.slice(0, half), &offsets.slice(0, half), place, piece);
            divide(select, &batch.slice(half, rows - half), &offsets.slice(half, rows - half), place, piece);
        }
    }
}

fn reason(fault: Fault, columns: &Columns, row: usize) -> RejectReason {
    if !fault.bad {
        return RejectReason::MissingField { field: fault.field };
    }
    let value = columns.array(fault.field).and_then(|array| array_value_to_string(array, row).ok()).unwrap_or_default();
    let expected = FIELDS.iter().find(|field| field.name == fault.field).map_or("", |field| field.expected);
    RejectReason::BadField { field: fault.field, value: value.chars().take(60).collect(), expected }
}

/// The row as selected: the line itself is gone by then.
fn sample(arrays: &[(usize, ArrayRef)], row: usize) -> String {
    render(arrays.iter().map(|(field, array)| (FIELDS[*field].name, array)), row)
}

fn render<'a>(columns: impl Iterator<Item = (&'a str, &'a ArrayRef)>, row: usize) -> String {
    let cell = |(name, array): (&str, &ArrayRef)| {
        let value = array_value_to_string(array, row).unwrap_or_default();
        (!value.is_empty()).then(|| format!("{name}={value}"))
    };
    columns.filter_map(cell).collect::<Vec<_>>().join(" ")
}

/// The file's modification time and `ahead` seconds.
fn latest(path: &Path, ahead: u64) -> EventTime {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let seconds = modified
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs().saturating_add(ahead));
    seconds
        .and_then(|seconds| i64::try_from(seconds).ok())
        .map_or(EventTime::MAX, |seconds| EventTime(0).plus_seconds(seconds))
}
