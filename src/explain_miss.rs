//! `explain-miss NAME`: why a labelled incident was not found, or late: the device's evidence against the line while it
//! lasted, whom it talked to and whether the baseline knew them, and what came near.
//!
//! [`why`] is pure: it puts what [`Material`] holds into words.

use baseline::{Application, ContactKey, TypeBaseline};
use clap::Args;
use datasets::scorecard::incidents::Alarm;
use datasets::scorecard::load::Stored;
use datasets::scorecard::run::Episode;
use datasets::scorecard::text::{Table, counted, duration, grouped, listed, minute, moment, wrap};
use fleet::{Action, Contact, DeviceKey, Direction, EventTime, Finding, Incident, Scope};
use store::{BaselineRow, DeviceRow, EvidenceRow};

use crate::cli::StoreArg;
use crate::config::Misuse;
use crate::show::devices::decisions;
use crate::show::findings::{self, concerns};
use crate::show::names::unknown;
use crate::show::timeline::{self, Point, near_miss_table, near_misses, strongest};
use crate::show::{command, open, say};

/// Slower than this is late: the project's goal for the median.
const LATE_SECONDS: f64 = 305.0;
/// How far around the incident other findings of the device are looked for.
const AROUND_SECONDS: i64 = 24 * 3600;
const TIMELINE_ROWS: usize = 24;
const REASONS_SHOWN: usize = 8;
const CONTACTS_SHOWN: usize = 12;
/// Of an incident that strikes a whole type, as many are explained.
const DEVICES_SHOWN: usize = 3;

#[derive(Args)]
pub struct ExplainMissArgs {
    /// The incident, as the labels call it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    store: StoreArg,
}

pub fn run(args: &ExplainMissArgs) -> anyhow::Result<()> {
    let stored = open(&args.store)?;
    let named: Vec<&Episode> = stored.run.episodes.iter().filter(|episode| episode.name == args.name).collect();
    let Some(episode) = named.iter().find(|episode| episode.incident) else {
        return Err(no_incident(&stored, &args.name, named.first().copied()));
    };
    let mut out = String::new();
    for device_id in episode.device_ids.iter().take(DEVICES_SHOWN) {
        let material = Material::load(&stored, episode, device_id)?;
        out += &material.explain();
    }
    let untold = episode.device_ids.len().saturating_sub(DEVICES_SHOWN);
    if untold > 0 {
        out += &format!(
            "\n{} more of this incident: {}\n",
            counted(untold as u64, "device"),
            command("devices show ID", &stored.dir)
        );
    }
    say(&out)
}

fn no_incident(stored: &Stored, name: &str, benign: Option<&Episode>) -> anyhow::Error {
    if benign.is_some() {
        let text =
            format!("`{name}` is a benign change, expected an incident; what was said of it is in the score card");
        return Misuse(text).into();
    }
    let incidents = stored.run.episodes.iter().filter(|episode| episode.incident);
    let remedy = if stored.run.episodes.is_empty() {
        "the data set has no labels"
    } else {
        "the score card lists all incidents"
    };
    unknown("labelled incident", name, incidents.map(|episode| episode.name.as_str()), remedy)
}

/// What the device exchanged with one destination during the incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Meeting {
    /// Application and destination, as a person names them.
    pub with: String,
    pub outbound: bool,
    pub flows: u64,
    pub refused: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Share of the type's device-days on which it was used in learning; `None`: not known to the baseline.
    pub known_share: Option<f32>,
}

/// All that is stored about one device of the incident.
pub struct Material {
    pub episode: Episode,
    pub device_id: String,
    /// `None`: the store does not know it.
    pub device: Option<DeviceRow>,
    /// In the incident and its grace.
    pub points: Vec<Point>,
    pub evidence: Vec<EvidenceRow>,
    pub meetings: Vec<Meeting>,
    pub has_baseline: bool,
    /// About the device, from a day before to a day after.
    pub findings: Vec<Finding>,
    pub incidents: Vec<Incident>,
    pub actions: Vec<Action>,
}

impl Material {
    fn load(stored: &Stored, episode: &Episode, device_id: &str) -> anyhow::Result<Material> {
        let (from, until) = (episode.start, episode.deadline());
        let near =
            |time: EventTime| time >= from.plus_seconds(-AROUND_SECONDS) && time <= until.plus_seconds(AROUND_SECONDS);
        let device = stored.store.rows::<DeviceRow>()?.into_iter().find(|row| row.device_id == device_id);
        let baseline = device.as_ref().map(|device| learned(stored, device, from)).transpose()?.flatten();
        let mut findings = stored.store.rows::<Finding>()?;
        findings.retain(|finding| concerns(finding, device_id) && near(finding.emitted_at));
        let mut incidents = stored.store.rows::<Incident>()?;
        incidents.retain(|incident| incident.device_id == device_id);
        let mut actions = fleet::action::latest(&stored.store.rows::<Action>()?);
        actions.retain(|action| action.device_id == device_id && near(action.decided_at));
        let own = |id: &str| (id == device_id).then_some(DeviceKey(0));
        let windows = stored.store.windows(from.plus_seconds(-60)..until, own)?;
        let contacts = windows.iter().filter(|window| window.end > from).flat_map(|window| &window.contacts);
        Ok(Material {
            episode: episode.clone(),
            device_id: device_id.to_string(),
            points: timeline::points(stored, device_id, from, until)?,
            evidence: stored.store.evidence(device_id, from.plus_seconds(-60)..until)?,
            meetings: meetings(contacts, baseline.as_ref()),
            has_baseline: baseline.is_some(),
            device,
            findings,
            incidents,
            actions,
        })
    }

    /// Device findings that count for the incident, by emission.
    fn detections(&self) -> Vec<&Finding> {
        let counts = |finding: &&Finding| Alarm::of(finding).is_some_and(|alarm| self.episode.covers(&alarm));
        let mut found: Vec<&Finding> = self.findings.iter().filter(counts).collect();
        found.sort_by_key(|finding| finding.emitted_at);
        found
    }

    fn explain(&self) -> String {
        let Episode { name, start, end, .. } = &self.episode;
        let device_type = self.device.as_ref().map_or(String::new(), |device| format!(" ({})", device.device_type));
        let mut out = format!(
            "Incident `{name}`: {}{device_type}, {} to {} UTC, {}\n\n",
            self.device_id,
            moment(*start),
            moment(*end),
            duration(end.seconds_since(*start))
        );
        for paragraph in why(self) {
            out += &wrap(&paragraph, "");
        }
        let findings: Vec<&Finding> = self.findings.iter().collect();
        out += "\nEvidence against the line\n";
        out += &timeline::render(&self.points, &self.evidence, &findings, TIMELINE_ROWS);
        out += &self.reasons();
        out += &self.contacts();
        let near = near_misses(&self.points, &self.evidence, &findings);
        if !near.is_empty() {
            out += &format!("\nNear misses, at half of the line or more\n{}", near_miss_table(&near));
        }
        if !self.findings.is_empty() {
            out += &format!("\nFindings about it within a day\n{}", findings::list(&mut self.findings.clone()));
        }
        if !self.actions.is_empty() {
            out += &format!("\nDecisions about it within a day\n{}", decisions(&mut self.actions.clone()));
        }
        out
    }

    fn reasons(&self) -> String {
        if self.evidence.is_empty() {
            return String::new();
        }
        // The strongest of each detector and subject.
        let mut rows: Vec<(&EvidenceRow, u64)> = Vec::new();
        for row in &self.evidence {
            match rows.iter_mut().find(|(known, _)| known.detector == row.detector && known.subject == row.subject) {
                Some((known, times)) => {
                    *times += 1;
                    *known = if row.evidence > known.evidence { row } else { *known };
                }
                None => rows.push((row, 1)),
            }
        }
        rows.sort_by(|(a, _), (b, _)| b.evidence.total_cmp(&a.evidence));
        let mut table =
            Table::new(&["!until (UTC)", ">evidence", ">times", "!detector", "subject", "seen", "its type"]);
        for (row, times) in rows.iter().take(REASONS_SHOWN) {
            table.row([
                minute(row.window_end),
                format!("{:.1}", row.evidence),
                times.to_string(),
                row.detector.to_string(),
                row.subject.to_string(),
                row.observed.clone(),
                row.expected_type.clone().unwrap_or_default(),
            ]);
        }
        format!("\nReasons: {}, strongest first\n{}", rows.len(), table.render())
    }

    fn contacts(&self) -> String {
        if self.meetings.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["contact", "begun by", ">flows", ">refused", ">bytes out", ">in", "baseline"]);
        for meeting in self.meetings.iter().take(CONTACTS_SHOWN) {
            table.row([
                meeting.with.clone(),
                if meeting.outbound { "the device".to_string() } else { "the other".to_string() },
                grouped(meeting.flows),
                grouped(meeting.refused),
                grouped(meeting.bytes_out),
                grouped(meeting.bytes_in),
                match meeting.known_share {
                    _ if !self.has_baseline => "-".to_string(),
                    Some(share) => format!("{:.0} % of device-days", share * 100.0),
                    None => "not known".to_string(),
                },
            ]);
        }
        format!("\nContacts meanwhile: {}, unknown ones first\n{}", self.meetings.len(), table.render())
    }
}

/// The type's baseline in force at `at`.
fn learned(stored: &Stored, device: &DeviceRow, at: EventTime) -> anyhow::Result<Option<TypeBaseline>> {
    let mut rows = stored.store.rows::<BaselineRow>()?;
    // The row of no type holds what is pooled over all of them.
    rows.retain(|row| !row.device_type.is_empty() && row.device_type == device.device_type && row.from_time <= at);
    // The segment's own before the one that all segments share.
    rows.retain(|row| row.segment == device.segment || row.segment.is_empty());
    rows.sort_by_key(|row| (row.version, row.segment == device.segment));
    let Some(row) = rows.pop() else {
        return Ok(None);
    };
    let learned = serde_json::from_str(&row.body)
        .map_err(|source| baseline::Error::Unreadable { version: row.version, source })?;
    Ok(Some(learned))
}

/// Contacts summed up by destination; those the baseline does not know first, then by flows.
fn meetings<'a>(contacts: impl Iterator<Item = &'a Contact>, baseline: Option<&TypeBaseline>) -> Vec<Meeting> {
    let index = baseline.map(|baseline| baseline.destinations.index());
    let mut meetings: Vec<Meeting> = Vec::new();
    for contact in contacts {
        let outbound = contact.direction == Direction::Outbound;
        let with = if contact.is_rest() {
            "all others".to_string()
        } else {
            format!("{} {}:{}", contact.service, contact.destination.text(), contact.port)
        };
        let known = || {
            let (baseline, index) = (baseline?, index.as_ref()?);
            let mut key = ContactKey::of(contact);
            // As detection folds them: by category only when the type does not use the application.
            if index.application(&key).is_none() {
                key.application = Application::Category(baseline::Category::of(contact));
            }
            index.known(&key).map(|place| baseline.destinations.known[place].share)
        };
        let place = meetings.iter().position(|meeting| meeting.with == with && meeting.outbound == outbound);
        let place = place.unwrap_or_else(|| {
            let (flows, refused, bytes_out, bytes_in) = (0, 0, 0, 0);
            meetings.push(Meeting { with, outbound, flows, refused, bytes_out, bytes_in, known_share: known() });
            meetings.len() - 1
        });
        let meeting = &mut meetings[place];
        meeting.flows += u64::from(contact.flows);
        meeting.refused += u64::from(contact.refused);
        meeting.bytes_out += contact.bytes_out;
        meeting.bytes_in += contact.bytes_in;
    }
    meetings.sort_by_key(|meeting| (meeting.known_share.is_some(), std::cmp::Reverse(meeting.flows)));
    meetings
}

/// Paragraphs: whether it was found, and what stood in the way.
pub fn why(material: &Material) -> Vec<String> {
    let start = material.episode.start;
    let found = material.detections();
    let mut out = Vec::new();
    let Some(first) = found.first() else {
        out.push("MISSED.".to_string());
        out.extend(obstacles(material));
        return out;
    };
    let seconds = first.emitted_at.seconds_since(start);
    let late = seconds > LATE_SECONDS;
    out.push(format!(
        "{}: {} after it began, by {} (finding {}, evidence {:.1} against a line of {:.1}); {} in all.",
        if late { "FOUND LATE" } else { "FOUND" },
        duration(seconds),
        listed(first.detectors.iter().map(|name| name.as_str())),
        first.finding_id,
        first.score,
        first.line,
        counted(found.len() as u64, "finding")
    ));
    out.push(format!(
        "The window that carried it over the line ended {} after the beginning; lateness and hold took {} more.",
        duration(first.window_end.seconds_since(start)),
        duration(first.emitted_at.seconds_since(first.window_end))
    ));
    if late {
        out.extend(first_sign(material));
        let reached = timeline::reached(&material.points, &material.evidence);
        let half = reached.iter().find(|reached| reached.share() >= timeline::NEAR_SHARE);
        if let Some(half) = half.filter(|half| half.end < first.window_end) {
            out.push(format!(
                "Half of the line was reached after {}: evidence added up slowly.",
                duration(half.end.seconds_since(start))
            ));
        }
    }
    out
}

/// When the first record came that the data set labels malicious, if that was not at once.
fn first_sign(material: &Material) -> Option<String> {
    let sign = material.points.iter().find(|point| point.malicious > 0)?;
    let after = sign.end.seconds_since(material.episode.start);
    let late = format!(
        "The first record labelled malicious is in the window that ended {} after the beginning.",
        duration(after)
    );
    (after > 120.0).then_some(late)
}

/// What kept it from being found, as far as the tables tell.
fn obstacles(material: &Material) -> Vec<String> {
    let mut out = Vec::new();
    if material.device.is_none() {
        out.push(format!(
            "The store knows no device `{}`: the inventory lacks it, and what it did stands under the id of an unknown \
             device.",
            material.device_id
        ));
        return out;
    }
    if material.points.is_empty() {
        out.push("Nothing was heard of it in that time: only its silence could give it away.".to_string());
    } else if material.points.iter().all(|point| point.records == 0) {
        out.push("It was silent throughout: only its silence could give it away.".to_string());
    } else if material.points.iter().all(|point| point.malicious == 0) {
        out.push(
            "None of its records in that time is labelled malicious: the records may not show the incident."
                .to_string(),
        );
    }
    out.extend(first_sign(material));
    out.extend(evidence_reached(material));
    out.extend(groups(material));
    out.extend(earlier_incident(material));
    out.extend(out_of_time(material));
    out.extend(familiar(material));
    out
}

fn evidence_reached(material: &Material) -> Option<String> {
    let reached = timeline::reached(&material.points, &material.evidence);
    let peak = reached.iter().max_by(|a, b| a.share().total_cmp(&b.share()));
    let (Some(reason), Some(peak)) = (strongest(material.evidence.iter()), peak) else {
        return Some(
            "No detector had anything to say of it: by its features and contacts it was an ordinary day.".to_string(),
        );
    };
    let strongest = format!(
        "strongest was {} on {} ({:.1}): {}",
        reason.detector, reason.subject, reason.evidence, reason.observed
    );
    let (evidence, line) = (peak.evidence, peak.line);
    if peak.share() < 1.0 {
        return Some(format!(
            "Evidence reached {evidence:.1} of the {line:.1} it takes ({:.0} %), at {}; {strongest}.",
            peak.share() * 100.0,
            moment(peak.end)
        ));
    }
    Some(format!(
        "Evidence crossed the line at {} ({evidence:.1} of {line:.1}), and yet no device finding came of it: it was held, \
         absorbed by a group, or joined to an incident that was open already; {strongest}.",
        moment(peak.end)
    ))
}

fn groups(material: &Material) -> Option<String> {
    let episode = &material.episode;
    let absorbed = |finding: &&Finding| {
        finding.scope != Scope::Device && episode.overlaps(finding.window_start, finding.window_end)
    };
    let groups: Vec<String> = material
        .findings
        .iter()
        .filter(absorbed)
        .map(|finding| format!("{} ({}, {})", finding.finding_id, finding.kind, findings::about(finding)))
        .collect();
    (!groups.is_empty()).then(|| {
        format!(
            "Group findings of that time have it among their devices, and take its part for theirs: {}.",
            groups.join(", ")
        )
    })
}

fn earlier_incident(material: &Material) -> Option<String> {
    let episode = &material.episode;
    let open = |incident: &&Incident| {
        incident.opened_at <= episode.start && incident.closed_at.is_none_or(|closed| closed > episode.start)
    };
    let incident = material.incidents.iter().find(open)?;
    Some(format!(
        "Incident {} of this device was open since {}: what came later joined it and gave no finding of its own.",
        incident.incident_id,
        moment(incident.opened_at)
    ))
}

fn out_of_time(material: &Material) -> Option<String> {
    let episode = &material.episode;
    let own = material.findings.iter().filter(|finding| Alarm::of(finding).is_some());
    let nearest = own.min_by_key(|finding| {
        let before = episode.start.minus(finding.window_end);
        let after = finding.window_start.minus(episode.deadline());
        before.max(after)
    })?;
    let when = if nearest.window_end <= episode.start {
        format!("{} before it began", duration(episode.start.seconds_since(nearest.window_end)))
    } else if nearest.window_start >= episode.deadline() {
        format!(
            "{} after its end, beyond the grace of 15 minutes",
            duration(nearest.window_start.seconds_since(episode.end))
        )
    } else {
        "about that time, yet emitted before it began".to_string()
    };
    Some(format!("The nearest finding about this device, {}, is of {when}.", nearest.finding_id))
}

fn familiar(material: &Material) -> Option<String> {
    if material.meetings.is_empty() {
        return None;
    }
    if !material.has_baseline {
        return Some("Its type had no baseline: only peers and rules could judge it.".to_string());
    }
    let strangers: Vec<&str> = material
        .meetings
        .iter()
        .filter(|meeting| meeting.known_share.is_none())
        .map(|meeting| meeting.with.as_str())
        .collect();
    if strangers.is_empty() {
        return Some(
            "The baseline knew everyone it talked to; only how much, how often or when could show it.".to_string(),
        );
    }
    let shown = listed(strangers.iter().copied().take(3));
    let more = if strangers.len() > 3 { " among others" } else { "" };
    Some(format!(
        "Of {}, the baseline does not know {}: {shown}{more}.",
        counted(material.meetings.len() as u64, "contact"),
        strangers.len()
    ))
}

#[cfg(test)]
mod tests;
