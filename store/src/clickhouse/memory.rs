//! What lanes and roles remember, in parts that fit one row each.

use fleet::EventTime;

use super::client::Server;
use super::form::Form;
use super::header::{FORMAT, Headers};
use crate::error::Error;

pub(super) struct Shelf<'a> {
    pub server: &'a Server,
    pub headers: &'a Headers,
    pub form: &'a Form,
    pub database: &'a str,
    /// The readings log: another one has other lanes.
    pub log: &'a str,
}

const COLUMNS: [(&str, &str); 5] =
    [("who", "String"), ("tick", "Int64"), ("part", "UInt32"), ("parts", "UInt32"), ("bytes", "String")];
/// Bytes of one part.
const PART: usize = 8 << 20;
/// Of each lane: a commit may name the one before the newest, when the newest was stored and not committed.
const KEPT: usize = 3;

impl Shelf<'_> {
    pub fn write(&self, who: &str, tick: EventTime, memory: &[u8]) -> Result<(), Error> {
        let parts: Vec<&[u8]> = if memory.is_empty() { vec![memory] } else { memory.chunks(PART).collect() };
        let total = parts.len() as u32;
        let table = format!("{}.lane_memory", self.database);
        let columns = COLUMNS.map(|(name, native)| (name, native.to_owned()));
        let sql = format!("INSERT INTO {table} (who, tick, part, parts, bytes) FORMAT {FORMAT}");
        for (part, bytes) in (0u32..).zip(parts) {
            let mut row = Vec::with_capacity(bytes.len() + 256);
            row.extend_from_slice(&self.headers.of(self.server, &table, &columns)?);
            super::rowbinary::text(&self.name(who), &mut row);
            row.extend(tick.0.to_le_bytes());
            row.extend(part.to_le_bytes());
            row.extend(total.to_le_bytes());
            super::rowbinary::bytes(bytes, &mut row);
            let token = format!("{}/memory/{who}/{}/{part}", self.log, tick.0);
            self.server.insert(&sql, &token, row).inspect_err(|error| {
                if !error.retry() {
                    self.headers.forget();
                }
            })?;
        }
        self.forget(who, tick)
    }

    pub fn read(&self, who: &str, tick: EventTime) -> Result<Option<Vec<u8>>, Error> {
        self.server.catch_up(self.form, "lane_memory")?;
        let condition = format!("who = {} AND tick = {}", quoted(&self.name(who)), tick.0);
        // Of several writes the newest counts: until parts are merged all of their rows are there.
        let parts = self.server.fetch(
            &format!(
                "SELECT toUInt32(count(DISTINCT part)), toUInt32(ifNull(argMax(parts, written), 0)) \
                 FROM {}.lane_memory WHERE {condition}",
                self.database
            ),
            "RowBinary",
        )?;
        let (Some(there), Some(needed)) = (number(&parts, 0), number(&parts, 4)) else { return Ok(None) };
        if there == 0 || there < needed {
            return Ok(None);
        }
        let mut memory = Vec::new();
        for part in 0..needed {
            let sql = format!(
                "SELECT bytes FROM {}.lane_memory WHERE {condition} AND part = {part} ORDER BY written DESC LIMIT 1",
                self.database
            );
            let row = self.server.fetch(&sql, "RowBinary")?;
            let Some(bytes) = super::rowbinary::read_bytes(&row) else { return Ok(None) };
            memory.extend(bytes);
        }
        Ok(Some(memory))
    }

    pub fn newest(&self, who: &str) -> Result<Option<EventTime>, Error> {
        self.server.catch_up(self.form, "lane_memory")?;
        Ok(self.ticks(who)?.last().copied())
    }

    /// Ascending.
    fn ticks(&self, who: &str) -> Result<Vec<EventTime>, Error> {
        let sql = format!(
            "SELECT DISTINCT tick FROM {}.lane_memory WHERE who = {} ORDER BY tick",
            self.database,
            quoted(&self.name(who))
        );
        let rows = self.server.fetch(&sql, "RowBinary")?;
        let tick = |bytes: &[u8]| bytes.try_into().ok().map(|bytes| EventTime(i64::from_le_bytes(bytes)));
        Ok(rows.chunks_exact(8).filter_map(tick).collect())
    }

    /// Older ones than the newest few, seen from `tick`: one that is older than others is kept with them.
    fn forget(&self, who: &str, tick: EventTime) -> Result<(), Error> {
        let older: Vec<EventTime> = self.ticks(who)?.into_iter().filter(|other| *other < tick).collect();
        // A mutation is not for every minute.
        if older.len() < 4 * KEPT {
            return Ok(());
        }
        let last_to_go = older[older.len() - KEPT];
        match self.server.execute(&self.form.forget(&self.name(who), last_to_go.0)) {
            // What was written is there; the next one tries again.
            Err(error) if error.retry() => Ok(()),
            done => done,
        }
    }

    fn name(&self, who: &str) -> String {
        format!("{}/{who}", self.log)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
