//! How long it takes to find a compromise, and to isolate its device, as a store has it.

use std::collections::{BTreeMap, BTreeSet};

use datasets::scorecard::text::Table;
use fleet::{Action, Incident, State};
use responders::api::views::Spread;

use super::page::seconds;

/// Seconds, of actions that restricted a device.
#[derive(Debug, Default, PartialEq)]
pub struct Times {
    /// From the incident's first window to the finding that led to the action, event time.
    pub detect: Vec<f64>,
    /// From the finding to the yes, of a person or of the mode.
    pub decide: Vec<f64>,
    /// From the proposal to the gateway's first answer.
    pub apply: Vec<f64>,
    /// From the proposal to what the gateway gave when it was read back.
    pub isolate: Vec<f64>,
    /// From the proposal to the first of some windows without a sign of the device.
    pub quiet: Vec<f64>,
}

pub fn times(rows: &[Action], incidents: &[Incident]) -> Times {
    let begins: BTreeMap<&str, _> =
        incidents.iter().map(|incident| (incident.incident_id.as_str(), incident.first_window)).collect();
    let mut times = Times::default();
    let mut sorted: Vec<&Action> = rows.iter().filter(|row| row.level.restricts()).collect();
    sorted.sort_by_key(|row| row.seq);
    // Repaired or extended, it is applied and verified once more: the first time counts.
    let mut proposed: BTreeMap<&str, &Action> = BTreeMap::new();
    let (mut applied, mut verified): (BTreeSet<&str>, BTreeSet<&str>) = Default::default();
    for row in sorted {
        let id = row.action_id.as_str();
        let since = |first: &&Action| row.at.seconds_since(first.at);
        match (row.state, row.note.as_str()) {
            (State::Proposed, "") => {
                let first = begins.get(row.incident_id.as_str());
                times.detect.extend(first.map(|first| row.decided_at.seconds_since(*first)));
                proposed.insert(id, row);
                applied.remove(id);
                verified.remove(id);
            }
            (State::Approved, "") => times.decide.push(row.at.seconds_since(row.decided_at)),
            (State::Applied, "") if applied.insert(id) => times.apply.extend(proposed.get(id).map(since)),
            (State::Verified, "") if verified.insert(id) => times.isolate.extend(proposed.get(id).map(since)),
            (_, "quiet") => times.quiet.extend(proposed.get(id).map(since)),
            _ => {}
        }
    }
    times
}

/// The value that so many percent do not exceed; `None` of nothing.
pub fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

impl Times {
    fn named(&self) -> [(&'static str, &[f64], &'static str); 5] {
        [
            ("detect", &self.detect, "the incident's first window, the finding"),
            ("decide", &self.decide, "the finding, the yes of a person or of the mode"),
            ("apply", &self.apply, "the proposal, the gateway's first answer"),
            ("isolate", &self.isolate, "the proposal, read back from the gateway"),
            ("quiet", &self.quiet, "the proposal, windows without a sign of the device"),
        ]
    }

    /// As the API names them.
    pub fn spreads(&self) -> BTreeMap<&'static str, Spread> {
        let spread = |values: &[f64]| Spread {
            count: values.len() as u64,
            p50: percentile(values, 50.0),
            p95: percentile(values, 95.0),
        };
        self.named().into_iter().map(|(name, values, _)| (name, spread(values))).collect()
    }

    pub fn table(&self) -> String {
        let mut table = Table::new(&["time", ">actions", ">median", ">p95", "from, to"]);
        for (name, values, what) in self.named() {
            let told = |percent| seconds(percentile(values, percent));
            table.row([format!("to {name}"), values.len().to_string(), told(50.0), told(95.0), what.to_owned()]);
        }
        table.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((percentile(&values, 50.0), percentile(&values, 95.0)), (Some(10.0), Some(19.0)));
        assert_eq!((percentile(&[7.0], 95.0), percentile(&[], 50.0)), (Some(7.0), None));
    }
}
