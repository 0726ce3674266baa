//! A recording moved in time as a whole. Sets recorded years apart, whose benign part must be learned first, are laid on one
//! timeline; the distances within a recording stay what they were.

use fleet::EventTime;
use ingest::{Error, Fetched, Source};

use super::AnySource;

pub(super) struct Moved {
    inner: AnySource,
    start: EventTime,
    /// Microseconds added; known from the first record on.
    shift: Option<i64>,
}

impl Moved {
    pub fn new(inner: AnySource, start: EventTime) -> Moved {
        Moved { inner, start, shift: None }
    }
}

impl Source for Moved {
    fn fetch(&mut self, out: &mut Fetched) -> Result<bool, Error> {
        let before = out.readings.len();
        let more = self.inner.fetch(out)?;
        for reading in &mut out.readings[before..] {
            let shift = *self.shift.get_or_insert(self.start.minus(reading.time));
            reading.time = EventTime(reading.time.0.saturating_add(shift));
        }
        Ok(more)
    }

    fn progress(&self) -> f64 {
        self.inner.progress()
    }
}
