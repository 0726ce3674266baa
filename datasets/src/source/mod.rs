//! A data set as one source: each file read, moved in time where the descriptor says so, sorted or merged.

mod merged;
mod moved;
mod sorted;
#[cfg(test)]
mod tests;

use ingest::{FileSource, Source};

use crate::dataset::{DataSet, FileEntry};
use crate::descriptor::{FileFormat, Order};
use crate::error::Error;
use crate::mapping::MappedSource;

pub(crate) type AnySource = Box<dyn Source + Send>;

pub(crate) fn open(set: &DataSet, config: &ingest::Config) -> Result<AnySource, Error> {
    let mut inputs = Vec::with_capacity(set.files().len());
    for (number, file) in set.files().iter().enumerate() {
        inputs.push((one(set, number as u32, file, config)?, file.bytes));
    }
    if inputs.len() == 1 {
        return Ok(inputs.remove(0).0);
    }
    Ok(Box::new(merged::Merged::new(inputs)))
}

fn one(set: &DataSet, number: u32, file: &FileEntry, config: &ingest::Config) -> Result<AnySource, Error> {
    let shown = file.path.file_name().unwrap_or_default().to_string_lossy();
    let mut source: AnySource = match &file.format {
        FileFormat::Known(format) => Box::new(FileSource::open(&file.path, &shown, number, *format, config)?),
        FileFormat::Mapped(mapping) => {
            Box::new(MappedSource::open(&file.path, &shown, number, mapping, config, &set.limits)?)
        }
    };
    if let Some(start) = file.start {
        source = Box::new(moved::Moved::new(source, start));
    }
    if set.order == Order::EventTime {
        source = Box::new(sorted::Sorted::new(source, &set.name, set.limits.max_sorted_readings));
    }
    Ok(source)
}
