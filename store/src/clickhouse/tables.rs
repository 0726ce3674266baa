//! What is written to ClickHouse, and read back.
//!
//! Every insert has a token made of the log it comes from, the step, the table and the chunk; the server drops what it
//! has under a token already. So a step may be done again, by whomever.

use std::ops::Range;

use arrow::record_batch::RecordBatch;
use fleet::{Action, DeviceKey, EventTime, Finding, Incident, Window};

use super::client::Server;
use super::config::ClickHouseConfig;
use super::form::Form;
use super::header::{FORMAT, Headers, native_type};
use super::memory::Shelf;
use super::migrate;
use super::{read, rowbinary};
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;
use crate::rows::{
    ANNOUNCED, BaselineRow, DeviceRow, EvidenceRow, RejectedRow, Row, Step, VerdictRow, contact_batch, window_batch,
};
use crate::{Store, WHOLE};

/// Windows turned into rows at once.
const PIECE: usize = 4_096;

pub struct ClickHouseStore {
    pub(super) server: Server,
    headers: Headers,
    form: Form,
    pub(super) database: String,
    insert_rows: usize,
    /// Part of every token: the readings log that steps come from.
    log: String,
}

impl ClickHouseStore {
    /// `log`: the id of the readings topic; steps of another log are other steps. `tell` is told for whom it waits while others
    /// migrate.
    ///
    /// # Errors
    /// No server answers, it refuses the user, or the tables are not there and may not be made.
    pub fn open(config: &ClickHouseConfig, log: &str, tell: &dyn Fn(&str)) -> Result<ClickHouseStore, Error> {
        let server = Server::new(config)?;
        if config.migrate {
            migrate::apply(&server, config, tell)?;
        } else {
            migrate::demand(&server, config)?;
        }
        Ok(ClickHouseStore {
            server,
            headers: Headers::default(),
            form: Form::of(config),
            database: config.database().to_owned(),
            insert_rows: config.insert_rows(),
            log: log.to_owned(),
        })
    }

    /// Applies what is missing; gives the names of what was applied. `tell` as when opening.
    pub fn migrate(config: &ClickHouseConfig, tell: &dyn Fn(&str)) -> Result<Vec<String>, Error> {
        migrate::apply(&Server::new(config)?, config, tell)
    }

    /// Latest states get the time at the server as their version: the last one written wins.
    fn insert(&self, table: Table, name: &str, rows: &[RecordBatch]) -> Result<(), Error> {
        let mut chunk = 0;
        let (mut bytes, mut count) = (Vec::new(), 0);
        let target = migrate::written_as(table);
        let target = format!("{}.{target}", self.database);
        let known = table.columns();
        let columns: Vec<(&str, String)> = known.iter().map(|column| (column.name, native_type(column))).collect();
        let list: Vec<String> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
        let sql = format!("INSERT INTO {target} ({}) FORMAT {FORMAT}", list.join(", "));
        let begin = || self.headers.of(&self.server, &target, &columns);
        for batch in rows {
            if count == 0 && batch.num_rows() > 0 {
                bytes = begin()?.to_vec();
            }
            rowbinary::append(batch, &mut bytes).map_err(|source| Error::Encode { table, source })?;
            count += batch.num_rows();
            if count >= self.insert_rows {
                self.insert_chunk(&sql, table, name, chunk, std::mem::take(&mut bytes))?;
                (chunk, count) = (chunk + 1, 0);
            }
        }
        if count > 0 {
            self.insert_chunk(&sql, table, name, chunk, bytes)?;
        }
        Ok(())
    }

    fn insert_chunk(&self, sql: &str, table: Table, name: &str, chunk: u32, rows: Vec<u8>) -> Result<(), Error> {
        let token = format!("{}/{name}/{}/{chunk}", self.log, table.name());
        self.server.insert(sql, &token, rows).inspect_err(|error| {
            if !error.retry() {
                self.headers.forget();
            }
        })
    }

    fn insert_rows<R: Row>(&self, name: &str, rows: &[R]) -> Result<(), Error> {
        let batches = rows.chunks(PIECE).map(R::encode).collect::<Result<Vec<_>, Error>>()?;
        self.insert(R::TABLE, name, &batches)
    }

    /// # Errors
    /// As when opening; nothing is changed. Gives the server's version, and whether the database is there.
    pub fn look(config: &ClickHouseConfig) -> Result<(String, bool), Error> {
        let server = Server::new(config)?;
        let version = server.fetch("SELECT version()", "TabSeparatedRaw")?;
        if !config.migrate {
            migrate::demand(&server, config)?;
        }
        Ok((String::from_utf8_lossy(&version).trim().to_owned(), migrate::has_database(&server, config)?))
    }

    pub(super) fn rows<R: Row>(&self, condition: &str) -> Result<Vec<R>, Error> {
        let mut rows = Vec::new();
        for batch in self.fetch(R::TABLE, condition)? {
            R::decode(&batch, &mut rows)?;
        }
        Ok(rows)
    }

    /// The table's columns, as a Parquet file would give them.
    fn fetch(&self, table: Table, condition: &str) -> Result<Vec<RecordBatch>, Error> {
        read::fetch(&self.server, &self.database, table, TextLayout::Plain, condition)
    }

    fn memories(&self) -> Shelf<'_> {
        Shelf {
            server: &self.server,
            headers: &self.headers,
            form: &self.form,
            database: &self.database,
            log: &self.log,
        }
    }

    /// Windows that start in `range`, with contacts, as they were closed; see [`crate::ParquetStore::windows`].
    pub fn windows(
        &self,
        range: Range<EventTime>,
        keys: impl Fn(&str) -> Option<DeviceKey> + Sync,
    ) -> Result<Vec<Window>, Error> {
        read::windows(&self.server, &self.database, range, "", &keys)
    }
}

impl Store for ClickHouseStore {
    fn write_step(&self, step: &Step<'_>) -> Result<(), Error> {
        let name = format!("{}-{}-{}", step.lane, step.first_tick.0, step.last_tick.0);
        let pieces = || step.windows.chunks(PIECE).map(|windows| Step { windows, ..*step });
        let contacts = pieces().map(|piece| contact_batch(&piece)).collect::<Result<Vec<_>, Error>>()?;
        let windows = pieces().map(|piece| window_batch(&piece)).collect::<Result<Vec<_>, Error>>()?;
        // Windows last: a step that has them has everything.
        self.insert(Table::Contacts, &name, &contacts)?;
        self.insert_rows::<EvidenceRow>(&name, step.evidence)?;
        self.insert(Table::Windows, &name, &windows)
    }

    fn write_findings(&self, name: &str, findings: &[Finding]) -> Result<(), Error> {
        self.insert_rows(name, findings)
    }

    fn write_actions(&self, name: &str, actions: &[Action]) -> Result<(), Error> {
        self.insert_rows(name, actions)
    }

    fn write_baselines(&self, version: u32, rows: &[BaselineRow]) -> Result<(), Error> {
        let stored = || {
            // Both times: a replica that is behind would not have what another one took.
            self.server.catch_up(&self.form, Table::Baselines.name())?;
            self.rows::<BaselineRow>(&format!(
                "WHERE version = {version} AND NOT (device_type = '' AND segment = '{ANNOUNCED}')"
            ))
        };
        let mut there = stored()?;
        if there.is_empty() {
            self.insert_rows(&format!("version-{version}"), rows)?;
            // Of two who write it at the same time the server takes one, and tells both that all is well.
            there = stored()?;
        }
        if BaselineRow::are_the_same(&there, rows) { Ok(()) } else { Err(Error::VersionTaken { version }) }
    }

    fn write_announcement(&self, name: &str, row: &BaselineRow) -> Result<(), Error> {
        self.insert_rows(name, std::slice::from_ref(row))
    }

    fn write_rejected(&self, name: &str, rows: &[RejectedRow]) -> Result<(), Error> {
        self.insert_rows(name, rows)
    }

    fn write_verdicts(&self, name: &str, rows: &[VerdictRow]) -> Result<(), Error> {
        self.insert_rows(name, rows)
    }

    fn write_incidents(&self, incidents: &[Incident]) -> Result<(), Error> {
        self.insert_rows(WHOLE, incidents)
    }

    fn write_devices(&self, _: &str, devices: &[DeviceRow]) -> Result<(), Error> {
        self.insert_rows(WHOLE, devices)
    }

    fn write_memory(&self, who: &str, tick: EventTime, memory: &[u8]) -> Result<(), Error> {
        self.memories().write(who, tick, memory)
    }

    fn read_memory(&self, who: &str, tick: EventTime) -> Result<Option<Vec<u8>>, Error> {
        self.memories().read(who, tick)
    }

    fn newest_memory(&self, who: &str) -> Result<Option<EventTime>, Error> {
        self.memories().newest(who)
    }

    fn read_baselines(&self) -> Result<Vec<BaselineRow>, Error> {
        self.server.catch_up(&self.form, Table::Baselines.name())?;
        self.rows("")
    }

    fn ping(&self) -> Result<(), Error> {
        self.server.fetch("SELECT 1", "RowBinary").map(|_| ())
    }
}
