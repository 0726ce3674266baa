//! Incidents in the embedded store: the one table whose rows change. A file holds those that were opened on one day, so that
//! a row has one place for ever, and a change costs one day's rows however many years there are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use fleet::Incident;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::dictionary::{Table, TextLayout};
use crate::error::Error;
use crate::parquet::ParquetStore;
use crate::rows::Row;

impl ParquetStore {
    pub(crate) fn put_incidents(&self, incidents: &[Incident]) -> Result<(), Error> {
        let mut days: BTreeMap<i64, Vec<&Incident>> = BTreeMap::new();
        for incident in incidents {
            days.entry(incident.opened_at.day()).or_default().push(incident);
        }
        let folder = self.dir().join("tables").join(Table::Incidents.name());
        for (day, changed) in days {
            let name = format!("opened-{day:06}");
            let mut rows = read(&folder.join(format!("{name}.parquet")))?;
            for incident in changed {
                match rows.iter_mut().find(|row| row.incident_id == incident.incident_id) {
                    Some(row) => row.clone_from(incident),
                    None => rows.push(incident.clone()),
                }
            }
            rows.sort_by(|a, b| (a.opened_at, &a.incident_id).cmp(&(b.opened_at, &b.incident_id)));
            self.put_rows(&name, &rows)?;
        }
        Ok(())
    }
}

/// Nothing, of a day without incidents.
fn read(path: &Path) -> Result<Vec<Incident>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(Error::read(path))?,
    };
    let options = ArrowReaderOptions::new().with_schema(Table::Incidents.schema(TextLayout::Plain));
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| Error::damaged(path, error))?;
    let mut rows = Vec::new();
    for batch in reader {
        Incident::decode(&batch.map_err(|error| Error::damaged(path, error))?, &mut rows)?;
    }
    Ok(rows)
}
