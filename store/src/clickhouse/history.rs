//! What a trainer asks of ClickHouse. What can be counted, joined and left out there is: only windows that are learned from
//! travel, and of them only the columns that say how a device behaved.

use std::collections::BTreeSet;
use std::ops::Range;

use fleet::{EventTime, Finding, FindingKind, Incident, Window};
use serde::de::DeserializeOwned;
use smol_str::SmolStr;

use super::client::Server;
use super::memory::quoted;
use super::{ClickHouseStore, read};
use crate::dictionary::Table;
use crate::error::Error;
use crate::history::{
    Heard, History, Keys, NORMAL_VERDICTS, NOT_NORMAL, Restriction, Spell, restrictions, transitions,
};
use crate::rows::DeviceRow;

/// Ids of one question: a question has a greatest length.
const IDS: usize = 20_000;

impl History for ClickHouseStore {
    fn read_windows(&self, range: Range<EventTime>, keys: &Keys<'_>) -> Result<Vec<Window>, Error> {
        let mut ids: Vec<SmolStr> = Vec::new();
        let mut all = true;
        for heard in self.heard(range.clone())? {
            if keys(&heard.device_id).is_some() {
                ids.push(heard.device_id);
            } else {
                all = false;
            }
        }
        if all {
            return read::windows(&self.server, &self.database, range, "", keys);
        }
        let mut windows = Vec::new();
        for some in ids.chunks(IDS) {
            let list: Vec<String> = some.iter().map(|id| quoted(id)).collect();
            let whose = format!(" AND device_id IN ({})", list.join(", "));
            windows.extend(read::windows(&self.server, &self.database, range.clone(), &whose, keys)?);
        }
        windows.sort_unstable_by_key(|window| (window.start, window.device));
        Ok(windows)
    }

    fn heard(&self, range: Range<EventTime>) -> Result<Vec<Heard>, Error> {
        let sql = format!(
            "SELECT toString(device_id) AS device, count(), toInt64(toUnixTimestamp64Micro(min(window_start))) \
             FROM {}.windows WHERE {} GROUP BY device ORDER BY device",
            self.database,
            within("window_start", &range)
        );
        let rows: Vec<(SmolStr, u64, i64)> = rows(&self.server, Table::Windows, &sql)?;
        let heard = |(device_id, windows, first)| Heard { device_id, windows, first: EventTime(first) };
        Ok(rows.into_iter().map(heard).collect())
    }

    fn spells(&self, range: Range<EventTime>, adopted: EventTime) -> Result<Vec<Spell>, Error> {
        let rows: Vec<(SmolStr, String, i64, i64)> =
            rows(&self.server, Table::Findings, &spells(&self.database, &range, adopted))?;
        let mut spells = Vec::with_capacity(rows.len());
        for (device_id, kind, from, until) in rows {
            let kind = FindingKind::from_name(&kind).ok_or_else(|| Error::UnknownContent {
                table: Table::Findings,
                problem: format!("the unknown name `{kind}`"),
            })?;
            spells.push(Spell { device_id, kind, from: EventTime(from), until: EventTime(until) });
        }
        spells.sort_unstable();
        Ok(spells)
    }

    fn read_findings(&self, range: Range<EventTime>) -> Result<Vec<Finding>, Error> {
        self.rows(&format!("WHERE {} ORDER BY emitted_at, finding_id", within("emitted_at", &range)))
    }

    fn read_restrictions(&self) -> Result<Vec<Restriction>, Error> {
        let rows: Vec<fleet::Action> = self.rows("WHERE note = '' ORDER BY action_id, seq")?;
        Ok(restrictions(transitions(rows)))
    }

    fn read_devices(&self) -> Result<Vec<DeviceRow>, Error> {
        self.rows("ORDER BY device_id")
    }

    fn read_incidents(&self, ids: &BTreeSet<&str>) -> Result<Vec<Incident>, Error> {
        let ids: Vec<String> = ids.iter().map(|id| quoted(id)).collect();
        let mut incidents = Vec::new();
        for some in ids.chunks(IDS) {
            incidents.extend(self.rows(&format!("WHERE incident_id IN ({}) ORDER BY incident_id", some.join(", ")))?);
        }
        Ok(incidents)
    }
}

/// [`crate::history::spells`] as a question.
fn spells(database: &str, range: &Range<EventTime>, adopted: EventTime) -> String {
    let kinds: Vec<String> = NOT_NORMAL.iter().map(|kind| quoted(kind.name())).collect();
    let verdicts: Vec<String> = NORMAL_VERDICTS.iter().map(|verdict| quoted(verdict)).collect();
    let (start, end) = (bounded(range.start), bounded(range.end));
    format!(
        "SELECT DISTINCT device, kind, begun, ended FROM (\
           SELECT arrayJoin(whose) AS device, f.kind AS kind, \
             if(kind = 'change' OR isNull(i.first_at), f.begun, least(f.begun, assumeNotNull(i.first_at))) AS begun, \
             if(kind = 'change' OR isNull(i.last_at), f.ended, greatest(f.ended, assumeNotNull(i.last_at))) AS ended \
           FROM (\
             SELECT toString(incident_id) AS incident, toString(findings.kind) AS kind, \
               toInt64(toUnixTimestamp64Micro(window_start)) AS begun, \
               toInt64(toUnixTimestamp64Micro(window_end)) AS ended, \
               if(scope = 'device', [toString(device_id)], \
                 arrayFilter(id -> id != '', splitByChar(',', toString(devices)))) AS whose \
             FROM {database}.findings AS findings \
             WHERE findings.kind IN ({}) AND finding_id GLOBAL NOT IN (\
               SELECT finding_id FROM {database}.verdicts GROUP BY finding_id \
               HAVING argMax(verdict, given_at) IN ({}))\
           ) AS f GLOBAL LEFT JOIN (\
             SELECT toString(incident_id) AS incident, \
               toInt64(toUnixTimestamp64Micro(first_window)) AS first_at, \
               toInt64(toUnixTimestamp64Micro(last_window)) AS last_at FROM {database}.incidents\
           ) AS i ON f.incident = i.incident \
           WHERE NOT (kind = 'change' AND f.ended <= {})\
         ) WHERE begun < {end} AND ended > {start} SETTINGS join_use_nulls = 1",
        kinds.join(", "),
        verdicts.join(", "),
        bounded(adopted),
    )
}

fn within(column: &str, range: &Range<EventTime>) -> String {
    format!(
        "{column} >= fromUnixTimestamp64Micro({}) AND {column} < fromUnixTimestamp64Micro({})",
        bounded(range.start),
        bounded(range.end)
    )
}

/// Microseconds that a DateTime64 can hold: 1900 to 2262.
pub(super) fn bounded(time: EventTime) -> i64 {
    time.0.clamp(-2_208_988_800_000_000, 9_223_372_036_000_000)
}

fn rows<R: DeserializeOwned>(server: &Server, table: Table, sql: &str) -> Result<Vec<R>, Error> {
    let sql = if sql.contains(" SETTINGS ") {
        format!("{sql}, output_format_json_quote_64bit_integers = 0")
    } else {
        format!("{sql} SETTINGS output_format_json_quote_64bit_integers = 0")
    };
    let answer = server.fetch(&sql, "JSONCompactEachRow")?;
    let row = |line: &[u8]| {
        serde_json::from_slice(line).map_err(|error| Error::UnknownContent {
            table,
            problem: format!("a row that is not as asked for: {error}"),
        })
    };
    answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(row).collect()
}
