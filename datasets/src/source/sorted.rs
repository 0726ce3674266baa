//! A small file whose records are in no order, sorted in memory by event time: the order in which a sensor would have
//! sent them.

use std::cmp::Reverse;

use fleet::Reading;
use ingest::{Fetched, Source};

use super::AnySource;

const AT_ONCE: usize = 4_096;

pub(super) struct Sorted {
    inner: AnySource,
    dataset: String,
    limit: usize,
    /// Latest first, so that the earliest is taken off the end.
    readings: Option<Vec<Reading>>,
    total: usize,
}

impl Sorted {
    pub fn new(inner: AnySource, dataset: &str, limit: usize) -> Sorted {
        Sorted { inner, dataset: dataset.to_string(), limit, readings: None, total: 0 }
    }

    fn read(&mut self, out: &mut Fetched) -> Result<Vec<Reading>, ingest::Error> {
        let mut all = Fetched::default();
        while self.inner.fetch(&mut all)? {
            if all.readings.len() > self.limit {
                let problem = crate::Error::TooManyToSort { dataset: self.dataset.clone(), limit: self.limit };
                let source = std::io::Error::other(problem.to_string());
                return Err(ingest::Error::Read { path: self.dataset.clone().into(), source });
            }
        }
        out.rejected.append(&mut all.rejected);
        all.readings.sort_by_key(|reading| Reverse((reading.time, reading.position)));
        self.total = all.readings.len();
        Ok(all.readings)
    }
}

impl Source for Sorted {
    fn fetch(&mut self, out: &mut Fetched) -> Result<bool, ingest::Error> {
        let mut readings = match self.readings.take() {
            Some(readings) => readings,
            None => self.read(out)?,
        };
        let rest = readings.len().saturating_sub(AT_ONCE);
        out.readings.extend(readings.drain(rest..).rev());
        self.readings = Some(readings);
        Ok(rest > 0)
    }

    fn progress(&self) -> f64 {
        match &self.readings {
            Some(readings) if self.total > 0 => 1.0 - readings.len() as f64 / self.total as f64,
            Some(_) => 1.0,
            None => 0.0,
        }
    }
}
