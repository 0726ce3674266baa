//! The score card for a person: a sentence that says it all, then the tables behind it; at most 110 columns.

use super::text::{Table, counted, duration, grouped, listed_briefly, moment, wrap};
use super::{IncidentResult, ScoreCard};

/// Of a run that raises hundreds, the rest is for a program to read.
const FALSE_INCIDENTS_SHOWN: usize = 40;

impl ScoreCard {
    /// Several lines, each ending with a line feed.
    pub fn render(&self) -> String {
        let sections = [
            self.heading(),
            self.incident_table(),
            self.false_incident_table(),
            self.benign_table(),
            self.curve_table(),
            self.cohort_table(),
        ];
        sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn heading(&self) -> String {
        let title = format!("Score card: {}", if self.title.is_empty() { &self.dataset } else { &self.title });
        let mut out = wrap(&title, "");
        if self.semi_synthetic {
            out += &wrap(
                "Semi-synthetic: recorded or simulated benign traffic with incidents grafted onto it. What is scored here \
                 is not what a network of its own would give.",
                "  ",
            );
        }
        out.push('\n');
        out += &wrap(&format!("{} {} {}", self.found(), self.cried_wolf(), self.isolated()), "");
        out.push('\n');
        out += &wrap(&self.made_from(), "");
        out
    }

    fn found(&self) -> String {
        if self.incidents_total == 0 {
            return "No incident is labelled in the judged part.".to_string();
        }
        let time = |seconds: Option<f64>| seconds.map_or("never (missed)".to_string(), duration);
        let times = &self.seconds_to_detect;
        format!(
            "Found {} of {}; time to detect, misses counted as infinite: median {}, 95th percentile {}.",
            self.incidents_detected,
            counted(self.incidents_total, "incident"),
            time(times.p50),
            time(times.p95)
        )
    }

    fn cried_wolf(&self) -> String {
        let counted = counted(self.false_incidents, "false incident");
        match &self.false_incident_rate {
            None => format!("{counted}; no device-days were judged."),
            Some(rate) => format!(
                "{counted} in {} device-days: {:.1} per 1,000 (95 % bounds {:.1} to {:.1}), asked for at most {}.",
                number(self.device_days_judged),
                rate.per_1000_device_days,
                rate.lower,
                rate.upper,
                number(self.budget)
            ),
        }
    }

    fn isolated(&self) -> String {
        let quarantined = &self.would_quarantine;
        let benign = match quarantined.benign_devices {
            0 => "no other".to_string(),
            count => {
                format!(
                    "{} ({})",
                    counted(count, "other"),
                    listed_briefly(quarantined.benign_device_ids.iter().map(|id| id.as_str()))
                )
            }
        };
        format!(
            "Would have quarantined {} during an incident and {benign}.",
            counted(quarantined.incident_devices, "device")
        )
    }

    fn made_from(&self) -> String {
        let mut out = format!(
            "{} from {}, {} rejected, {} late",
            counted(self.readings, "reading"),
            counted(self.devices, "device"),
            grouped(self.rejected),
            grouped(self.late)
        );
        if let Some(rate) = self.readings_per_second {
            out += &format!("; {:.1} s, {} readings/s", self.seconds, grouped(rate.round() as u64));
        }
        out += &format!(
            ". Data set {}, seed {}, vedette {}, baselines version {}.",
            self.dataset, self.seed, self.version, self.baseline_version
        );
        if !self.rejected_by_reason.is_empty() {
            let reasons: Vec<String> =
                self.rejected_by_reason.iter().map(|(reason, count)| format!("{reason} {}", grouped(*count))).collect();
            out += &format!(" Rejected: {}.", reasons.join(", "));
        }
        if !self.unknown_devices.is_empty() {
            out += &format!(
                " Not in the inventory: {}.",
                listed_briefly(self.unknown_devices.iter().map(|id| id.as_str()))
            );
        }
        if let (Some(auc), Some(precision)) = (self.window_roc_auc, self.window_average_precision) {
            out += &format!(" Windows alone: ROC-AUC {auc:.3}, average precision {precision:.3}.");
        }
        out
    }

    fn incident_table(&self) -> String {
        let mut table =
            Table::new(&["incident", "device", "!began (UTC)", ">detected after", ">findings", "detectors"]);
        for incident in &self.incidents {
            table.row([
                incident.name.clone(),
                devices_of(incident),
                moment(incident.start),
                incident.seconds_to_detect.map_or("missed".to_string(), duration),
                incident.findings.to_string(),
                incident.detectors.join(" "),
            ]);
        }
        if table.is_empty() {
            return String::new();
        }
        match self.false_incident_list.len().saturating_sub(FALSE_INCIDENTS_SHOWN) {
            0 => table.render(),
            more => format!("{}... and {} more, in scorecard.json\n", table.render(), grouped(more as u64)),
        }
    }

    fn false_incident_table(&self) -> String {
        let mut table =
            Table::new(&["false incident of", "!from (UTC)", ">lasted", ">findings", ">counts as", "detectors"]);
        for incident in self.false_incident_list.iter().take(FALSE_INCIDENTS_SHOWN) {
            table.row([
                incident.device_id.to_string(),
                moment(incident.start),
                duration(incident.end.seconds_since(incident.start)),
                incident.findings.to_string(),
                incident.counted.to_string(),
                incident.detectors.join(" "),
            ]);
        }
        if table.is_empty() {
            return String::new();
        }
        match self.false_incident_list.len().saturating_sub(FALSE_INCIDENTS_SHOWN) {
            0 => table.render(),
            more => format!("{}... and {} more, in scorecard.json\n", table.render(), grouped(more as u64)),
        }
    }

    fn benign_table(&self) -> String {
        let mut table = Table::new(&[
            "benign change",
            ">device incidents",
            ">group incidents",
            ">group findings",
            ">would quarantine",
        ]);
        for change in &self.benign_changes {
            table.row([
                change.name.clone(),
                change.device_incidents.to_string(),
                change.fleet_incidents.to_string(),
                change.fleet_findings.to_string(),
                change.would_quarantine.to_string(),
            ]);
        }
        if table.is_empty() { String::new() } else { table.render() }
    }

    fn curve_table(&self) -> String {
        let mut table = Table::new(&[
            ">asked per 1,000 device-days",
            ">got",
            ">95 % bounds",
            ">false incidents",
            ">found",
            ">median time",
        ]);
        for point in &self.operating_curve {
            let rate = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.1}"));
            table.row([
                number(point.budget),
                rate(point.false_incidents_per_1000_device_days),
                format!("{} to {}", rate(point.lower), rate(point.upper)),
                point.false_incidents.to_string(),
                format!("{} of {}", point.incidents_detected, point.incidents_total),
                point.seconds_to_detect_p50.map_or("-".to_string(), duration),
            ]);
        }
        if table.is_empty() { String::new() } else { table.render() }
    }

    fn cohort_table(&self) -> String {
        let mut table = Table::new(&[">devices a type", ">found", ">false incidents", ">device-days", "types"]);
        for row in &self.by_cohort_size {
            let types = row.types.join(" ");
            table.row([
                if row.size == 0 { "unknown".to_string() } else { row.size.to_string() },
                format!("{} of {}", row.incidents_detected, row.incidents_total),
                row.false_incidents.to_string(),
                number(row.device_days),
                types,
            ]);
        }
        if table.is_empty() { String::new() } else { table.render() }
    }
}

fn devices_of(incident: &IncidentResult) -> String {
    match &incident.device_id[..] {
        [id] => id.clone(),
        ids => format!("{} devices", ids.len()),
    }
}

/// Without decimals when there are none.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
