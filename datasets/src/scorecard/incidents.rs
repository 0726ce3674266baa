//! Which labelled incidents were found, and when.
//!
//! An incident is detected by a device finding whose windows overlap it, 15 minutes' grace after its end included, and
//! which was emitted after its start. A finding spans at most 15 minutes: of a longer one the last 15 minutes count, so
//! that none can cover a day.

use fleet::{EventTime, Finding, FindingKind, Scope};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::run::Episode;

/// After an incident's end, findings still belong to it.
pub const GRACE_SECONDS: i64 = 15 * 60;
/// Longest stretch a finding speaks for.
pub const MAX_SPAN_SECONDS: i64 = 15 * 60;

/// All that counts of a device finding: whose, when said, about when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub device_id: SmolStr,
    pub emitted_at: EventTime,
    pub window_start: EventTime,
    pub window_end: EventTime,
}

impl Alarm {
    /// `None` for findings about groups, and for what the inventory or a posture rule reports outside the budget.
    pub fn of(finding: &Finding) -> Option<Alarm> {
        let outside_budget =
            matches!(finding.kind, FindingKind::UnknownDevice | FindingKind::RetiredDevice | FindingKind::Posture);
        if finding.scope != Scope::Device || outside_budget {
            return None;
        }
        Some(Alarm {
            device_id: finding.device_id.clone(),
            emitted_at: finding.emitted_at,
            window_start: finding.window_start,
            window_end: finding.window_end,
        })
    }

    /// Start of what it speaks for.
    pub fn start(&self) -> EventTime {
        self.window_start.max(self.window_end.plus_seconds(-MAX_SPAN_SECONDS))
    }
}

impl Episode {
    pub fn strikes(&self, device_id: &str) -> bool {
        self.device_ids.iter().any(|id| id == device_id)
    }

    /// End of the grace.
    pub fn deadline(&self) -> EventTime {
        self.end.plus_seconds(GRACE_SECONDS)
    }

    /// Whether `[start, end)` and the episode with its grace have an instant in common.
    pub fn overlaps(&self, start: EventTime, end: EventTime) -> bool {
        start < self.deadline() && end > self.start
    }

    /// Whether the finding is about this episode.
    pub fn covers(&self, alarm: &Alarm) -> bool {
        self.strikes(&alarm.device_id)
            && self.overlaps(alarm.start(), alarm.window_end)
            && alarm.emitted_at > self.start
    }
}

/// When each incident was first found; `None`: missed. In the order of `incidents`.
pub fn first_alarms(incidents: &[&Episode], alarms: &[Alarm]) -> Vec<Option<EventTime>> {
    let first =
        |incident: &&Episode| alarms.iter().filter(|alarm| incident.covers(alarm)).map(|alarm| alarm.emitted_at).min();
    incidents.iter().map(first).collect()
}

/// Seconds from start to first finding of each incident, misses infinite.
pub fn seconds_to_detect(incidents: &[&Episode], first_alarms: &[Option<EventTime>]) -> Vec<f64> {
    let seconds = |(incident, first): (&&Episode, &Option<EventTime>)| {
        first.map_or(f64::INFINITY, |first| first.seconds_since(incident.start))
    };
    incidents.iter().zip(first_alarms).map(seconds).collect()
}

/// Quantile by linear interpolation between order statistics (Hyndman and Fan's type 7); `None` when there is no value or
/// an infinite one has weight in it.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = (sorted.len().checked_sub(1)?) as f64 * share;
    let (below, weight) = (sorted[place.floor() as usize], place.fract());
    if weight == 0.0 {
        return below.is_finite().then_some(below);
    }
    let above = sorted[place.ceil() as usize];
    above.is_finite().then_some(below + weight * (above - below))
}
