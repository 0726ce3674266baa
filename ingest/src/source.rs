//! Sources of readings. Single-threaded by intent: decompressing and decoding a line costs about a microsecond, and a
//! run has other threads to fill its cores with.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use fleet::{EventTime, Position, Reading};

use crate::config::Config;
use crate::decode::{Decoder, Format, RejectReason, Rejected};
use crate::error::Error;
use crate::lines::{Line, LineReader};

/// What one [`Source::fetch`] appended.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    pub readings: Vec<Reading>,
    pub rejected: Vec<Rejected>,
}

impl Fetched {
    pub fn clear(&mut self) {
        self.readings.clear();
        self.rejected.clear();
    }
}

/// Something readings come from, in its own order.
pub trait Source {
    /// Appends up to a few thousand readings to `out`; `false` when there is no more. Errors only when the source
    /// itself cannot be read; what cannot be decoded is in `out.rejected`.
    fn fetch(&mut self, out: &mut Fetched) -> Result<bool, Error>;

    /// Share done, 0 to 1, of bytes or rows.
    fn progress(&self) -> f64;
}

/// One file of lines.
pub struct FileSource {
    lines: LineReader,
    decoder: Decoder,
    /// As it stands in rows and messages.
    name: Arc<str>,
    number: u32,
    latest: EventTime,
    finished: bool,
}

impl FileSource {
    /// Lines looked at per fetch.
    const BATCH: usize = 4_096;

    /// `number` becomes [`Position::source`]; `name` is what rejected rows call the file.
    pub fn open(path: &Path, name: &str, number: u32, format: Format, config: &Config) -> Result<FileSource, Error> {
        let lines = LineReader::open(path, config.max_line_bytes)?;
        let modified = lines.modified().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let latest = modified
            .and_then(|since| i64::try_from(since.as_secs().saturating_add(config.max_ahead_seconds)).ok())
            .map_or(EventTime::MAX, |seconds| EventTime(0).plus_seconds(seconds));
        Ok(FileSource { lines, decoder: Decoder::new(format), name: name.into(), number, latest, finished: false })
    }
}

impl Source for FileSource {
    fn fetch(&mut self, out: &mut Fetched) -> Result<bool, Error> {
        for _ in 0..Self::BATCH {
            if self.finished {
                return Ok(false);
            }
            let position = Position { source: self.number, offset: self.lines.number() };
            let (reason, sample) = match self.lines.next()? {
                Line::Text(line) => match self.decoder.decode(line, position) {
                    Ok(None) => continue,
                    Ok(Some(reading)) if reading.time <= self.latest => {
                        out.readings.push(reading);
                        continue;
                    }
                    Ok(Some(reading)) => (RejectReason::ClockAhead { time: reading.time, limit: self.latest }, line),
                    Err(reason) => (reason, line),
                },
                Line::TooLong { limit, beginning } => (RejectReason::LineTooLong { limit }, beginning),
                Line::Truncated { problem, rest } => {
                    (RejectReason::TruncatedFile { file: self.name.clone(), problem }, rest)
                }
                Line::Damaged { problem, rest } => {
                    (RejectReason::DamagedFile { file: self.name.clone(), problem }, rest)
                }
                Line::End => {
                    self.finished = true;
                    continue;
                }
            };
            out.rejected.push(Rejected::new(position, &self.name, reason, sample));
        }
        Ok(!self.finished)
    }

    fn progress(&self) -> f64 {
        if self.finished { 1.0 } else { self.lines.progress() }
    }
}
