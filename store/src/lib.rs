//! The cellar: everyone's results are kept here and asked back.
//!
//! * [`dictionary`]: every table and column, its type and meaning; `docs/tables.md` is printed from it
//! * [`rows`]: windows, findings and the rest as rows of those tables, and back
//! * [`parquet`]: their embedded home: one file per step, compaction, a manifest; `incidents`: rows that change
//! * [`clickhouse`]: their other home: a server, for several processes (feature `clickhouse`)
//! * [`query`]: SQL over the tables (DataFusion), as a table for people, CSV or JSON
//! * [`history`]: what a trainer asks back; [`excerpt`]: what is kept elsewhere
//! * [`predicate`]: an SQL condition evaluated on a batch, for policy rules
//! * [`config`], [`error`], [`metrics`]

pub mod clickhouse;
pub mod config;
pub mod dictionary;
pub mod error;
pub mod excerpt;
pub mod history;
mod incidents;
pub mod metrics;
pub mod parquet;
pub mod predicate;
pub mod query;
pub mod rows;

use fleet::{Action, EventTime, Finding, Incident};

#[cfg(feature = "clickhouse")]
pub use clickhouse::ClickHouseStore;
pub use config::Config;
pub use dictionary::Table;
pub use error::Error;
pub use excerpt::{Excerpts, Which};
pub use history::{Heard, History, Keys, Restriction, Spell, Transition, restrictions};
pub use parquet::{ALWAYS, ParquetStore, write_file};
pub use predicate::{Predicate, VALUES};
pub use query::{Format, Queries};
pub use rows::{
    ANNOUNCED, BaselineRow, DeviceNames, DeviceRow, EvidenceRow, RejectedRow, Row, ScoredWindow, Step, VerdictRow,
};

/// What the pipeline writes. Every call may be repeated: the same name replaces what was written under it, so a step that
/// is done again after a crash leaves one copy. All errors say what to do; see [`Error::retry`].
pub trait Store: Send + Sync {
    /// Windows with their contacts, and evidence: named by lane, first and last tick.
    fn write_step(&self, step: &Step<'_>) -> Result<(), Error>;

    /// Findings emitted together; `name` must be the same when they are emitted again, `<lane>-<first>-<last>` or free.
    fn write_findings(&self, name: &str, findings: &[Finding]) -> Result<(), Error>;

    /// Decisions taken together, named like findings.
    fn write_actions(&self, name: &str, actions: &[Action]) -> Result<(), Error>;

    /// One version of the baselines, whole. What stands under its number is never replaced.
    ///
    /// # Errors
    /// [`Error::VersionTaken`] when other rows stand there.
    fn write_baselines(&self, version: u32, rows: &[BaselineRow]) -> Result<(), Error>;

    /// That a version was put in force, see [`BaselineRow::is_announcement`]; `name` as for findings.
    fn write_announcement(&self, name: &str, row: &BaselineRow) -> Result<(), Error>;

    /// Records that could not be used, named like findings, or as the step they came with.
    fn write_rejected(&self, name: &str, rows: &[RejectedRow]) -> Result<(), Error>;

    fn write_verdicts(&self, name: &str, rows: &[VerdictRow]) -> Result<(), Error>;

    /// The latest state of some incidents: replaces what was written of the same ones.
    fn write_incidents(&self, incidents: &[Incident]) -> Result<(), Error>;

    /// The latest state of some devices: replaces what was written under the same name.
    fn write_devices(&self, name: &str, devices: &[DeviceRow]) -> Result<(), Error>;

    /// What `who` (a lane, a role) remembers after a tick. The newest few of each are kept.
    fn write_memory(&self, who: &str, tick: EventTime, memory: &[u8]) -> Result<(), Error>;

    fn read_memory(&self, who: &str, tick: EventTime) -> Result<Option<Vec<u8>>, Error>;

    fn newest_memory(&self, who: &str) -> Result<Option<EventTime>, Error>;

    /// All versions of the baselines, and when they were announced.
    fn read_baselines(&self) -> Result<Vec<BaselineRow>, Error>;

    /// Whether it is there and lets us in.
    fn ping(&self) -> Result<(), Error>;
}

/// A store that can be learned from, and read in parts.
pub trait Home: Store + History + Excerpts {}

impl<S: Store + History + Excerpts> Home for S {}

/// The one file of a table that is written whole.
pub const WHOLE: &str = "latest";

impl Store for ParquetStore {
    fn write_step(&self, step: &Step<'_>) -> Result<(), Error> {
        self.put_step(step)
    }

    fn write_findings(&self, name: &str, findings: &[Finding]) -> Result<(), Error> {
        self.put_rows(name, findings)
    }

    fn write_actions(&self, name: &str, actions: &[Action]) -> Result<(), Error> {
        self.put_rows(name, actions)
    }

    fn write_baselines(&self, version: u32, rows: &[BaselineRow]) -> Result<(), Error> {
        self.put_version(version, rows)
    }

    fn write_announcement(&self, name: &str, row: &BaselineRow) -> Result<(), Error> {
        self.put_rows(name, std::slice::from_ref(row))
    }

    fn write_rejected(&self, name: &str, rows: &[RejectedRow]) -> Result<(), Error> {
        self.put_rows(name, rows)
    }

    fn write_verdicts(&self, name: &str, rows: &[VerdictRow]) -> Result<(), Error> {
        self.put_rows(name, rows)
    }

    fn write_incidents(&self, incidents: &[Incident]) -> Result<(), Error> {
        self.put_incidents(incidents)
    }

    fn write_devices(&self, name: &str, devices: &[DeviceRow]) -> Result<(), Error> {
        let mut devices = devices.to_vec();
        devices.sort_by(|a, b| a.device_id.cmp(&b.device_id));
        self.put_rows(name, &devices)
    }

    fn write_memory(&self, who: &str, tick: EventTime, memory: &[u8]) -> Result<(), Error> {
        self.put_memory(who, tick, memory)
    }

    fn read_memory(&self, who: &str, tick: EventTime) -> Result<Option<Vec<u8>>, Error> {
        self.memory(who, tick)
    }

    fn newest_memory(&self, who: &str) -> Result<Option<EventTime>, Error> {
        Ok(self.memories(who)?.last().copied())
    }

    fn read_baselines(&self) -> Result<Vec<BaselineRow>, Error> {
        self.rows()
    }

    fn ping(&self) -> Result<(), Error> {
        self.is_there()
    }
}
