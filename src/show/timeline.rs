//! A device's evidence against its line over time, and where it came near without crossing.

use datasets::scorecard::incidents::Alarm;
use datasets::scorecard::load::{Stored, quoted};
use datasets::scorecard::text::{Table, duration, minute, moment};
use fleet::{EventTime, Finding, MICROS_PER_SECOND};
use serde::Deserialize;
use store::EvidenceRow;

/// Of the line; below it, evidence is daily life.
pub const NEAR_SHARE: f32 = 0.5;
/// Windows this far apart are one near miss.
const JOIN_SECONDS: f64 = 3600.0;
/// Characters of a bar; the line is in the middle.
const BAR: usize = 14;
const SLOT_MINUTES: [i64; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440];

/// A stored window, less its features.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Point {
    pub start: EventTime,
    pub end: EventTime,
    pub records: u32,
    pub malicious: u32,
    /// Natural logarithm units: added up, after this window, and where a finding is made of it.
    pub evidence: f32,
    pub line: f32,
}

/// Evidence of a device after a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    pub start: EventTime,
    pub end: EventTime,
    pub evidence: f32,
    pub line: f32,
}

impl Reached {
    pub fn share(&self) -> f32 {
        if self.line > 0.0 { self.evidence / self.line } else { 0.0 }
    }
}

/// By window and by reason: a silent device has no windows, yet its silence is a reason. In the order of time.
pub fn reached(points: &[Point], evidence: &[EvidenceRow]) -> Vec<Reached> {
    let of_windows = points.iter().map(|point| Reached {
        start: point.start,
        end: point.end,
        evidence: point.evidence,
        line: point.line,
    });
    let of_reasons = evidence.iter().map(|row| Reached {
        start: row.window_start,
        end: row.window_end,
        evidence: row.total as f32,
        line: row.line as f32,
    });
    let mut all: Vec<Reached> = of_windows.chain(of_reasons).collect();
    all.sort_by_key(|reached| (reached.end, reached.start));
    all
}

/// Windows of a device that overlap `[from, until)`, in the order of time.
pub fn points(stored: &Stored, device_id: &str, from: EventTime, until: EventTime) -> anyhow::Result<Vec<Point>> {
    let sql = format!(
        "select cast(window_start as bigint) as start, cast(window_end as bigint) as \"end\", records, malicious, evidence, \
         line from windows where device_id = {} and cast(window_end as bigint) > {} \
         and cast(window_start as bigint) < {} order by 1",
        quoted(device_id),
        from.0,
        until.0
    );
    Ok(stored.select(&sql)?)
}

/// At most about `max_rows` lines, each for an equal stretch of time; `findings` are marked where they were emitted.
pub fn render(points: &[Point], evidence: &[EvidenceRow], findings: &[&Finding], max_rows: usize) -> String {
    let reached = reached(points, evidence);
    let (Some(first), Some(last)) = (reached.first(), reached.last()) else {
        return "nothing is stored of that time\n".to_string();
    };
    let slot = slot_width(first.start, last.end, max_rows);
    let mut table = Table::new(&["!until (UTC)", ">records", ">of the line", "!       | the line", "strongest reason"]);
    let mut start = first.start.window_end(slot).0 - slot;
    while start < last.end.0 {
        let (from, until) = (EventTime(start), EventTime(start + slot));
        start += slot;
        let is_last = start >= last.end.0;
        let within = |time: EventTime| time > from && time <= until;
        let inside: Vec<&Point> = points.iter().filter(|point| within(point.end)).collect();
        let records: u64 = inside.iter().map(|point| u64::from(point.records)).sum();
        let share = reached.iter().filter(|reached| within(reached.end)).map(Reached::share).reduce(f32::max);
        let said = |finding: &&&Finding| within(finding.emitted_at) || (is_last && finding.emitted_at > until);
        let said = findings.iter().filter(said).map(|finding| format!("<< {} {}", finding.kind, finding.finding_id));
        let mut notes: Vec<String> = said.collect();
        notes.extend(strongest(evidence.iter().filter(|row| within(row.window_end))).map(reason));
        table.row([
            minute(until),
            if inside.is_empty() { "-".to_string() } else { records.to_string() },
            share.map_or("-".to_string(), |share| format!("{:.0} %", share * 100.0)),
            share.map_or(String::new(), bar),
            notes.join("  "),
        ]);
    }
    table.render()
}

fn slot_width(from: EventTime, until: EventTime, max_rows: usize) -> i64 {
    let minute = 60 * MICROS_PER_SECOND;
    let wanted = until.minus(from) / max_rows.max(1) as i64;
    let widest = SLOT_MINUTES[SLOT_MINUTES.len() - 1] * minute;
    let fitting = SLOT_MINUTES.iter().map(|minutes| minutes * minute).find(|width| *width >= wanted);
    fitting.unwrap_or_else(|| (wanted / widest + 1) * widest)
}

fn bar(share: f32) -> String {
    let filled = ((share * (BAR / 2) as f32).round() as usize).min(BAR);
    let mark = |place: usize| match (place < filled, place == BAR / 2) {
        (true, _) => '#',
        (false, true) => '|',
        (false, false) => ' ',
    };
    (0..BAR).map(mark).collect()
}

pub fn strongest<'a>(rows: impl Iterator<Item = &'a EvidenceRow>) -> Option<&'a EvidenceRow> {
    rows.max_by(|a, b| a.evidence.total_cmp(&b.evidence))
}

/// Detector, subject and what was seen, on one line.
pub fn reason(row: &EvidenceRow) -> String {
    format!("{}: {}, {}", row.detector, row.subject, row.observed)
}

/// Evidence that came near the line, or crossed it, and became no finding.
#[derive(Clone, Debug, PartialEq)]
pub struct NearMiss {
    pub start: EventTime,
    pub end: EventTime,
    /// Greatest, of the line.
    pub share: f32,
    pub reason: String,
}

/// Stretches in which at least half of the line was reached and no device finding speaks of it.
pub fn near_misses(points: &[Point], evidence: &[EvidenceRow], findings: &[&Finding]) -> Vec<NearMiss> {
    let mut near: Vec<NearMiss> = Vec::new();
    for at in reached(points, evidence).iter().filter(|reached| reached.share() >= NEAR_SHARE) {
        match near.last_mut().filter(|last| at.start.seconds_since(last.end) < JOIN_SECONDS) {
            Some(last) => {
                last.end = at.end;
                last.share = last.share.max(at.share());
            }
            None => near.push(NearMiss { start: at.start, end: at.end, share: at.share(), reason: String::new() }),
        }
    }
    let alarms: Vec<Alarm> = findings.iter().filter_map(|finding| Alarm::of(finding)).collect();
    near.retain(|miss| !alarms.iter().any(|alarm| alarm.start() <= miss.end && alarm.window_end >= miss.start));
    for miss in &mut near {
        let rows = evidence.iter().filter(|row| row.window_end > miss.start && row.window_start < miss.end);
        miss.reason = strongest(rows).map_or(String::new(), reason);
    }
    near
}

pub fn near_miss_table(near: &[NearMiss]) -> String {
    let mut table = Table::new(&["!from (UTC)", ">lasted", ">of the line", "strongest reason"]);
    for miss in near {
        table.row([
            moment(miss.start),
            duration(miss.end.seconds_since(miss.start)),
            format!("{:.0} %", miss.share * 100.0),
            miss.reason.clone(),
        ]);
    }
    table.render()
}
