//! How a version came to be, kept with it: from when to when it was learned, by whom, how it was checked, and whether it was
//! held back. And beside it, when a running system was told to judge by it.

use detect::calibration::Calibration;
use fleet::EventTime;
use serde::{Deserialize, Serialize};
use store::BaselineRow;

/// Whoever asked for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Schedule,
    Command,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    pub by: By,
    pub since: EventTime,
    pub until: EventTime,
    /// Devices learned from, and those that were heard.
    pub devices: u32,
    pub of_devices: u32,
    /// Windows in findings and incidents, which were left out.
    pub not_normal: u64,
    /// `None`: there was no version in force to compare it with.
    pub checked: Option<Checked>,
    /// Why it was not put in force.
    pub held_back: Option<String>,
}

/// The last days learned from, judged by the version in force and by the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub against: u32,
    pub since: EventTime,
    pub until: EventTime,
    /// Findings of the version in force, and of the new one.
    pub before: u64,
    pub after: u64,
}

/// A version put in force in a running system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub version: u32,
    /// Event time; 0: it holds from the beginning.
    pub from: EventTime,
    /// When it was announced, by the clock of whoever did.
    pub at: EventTime,
}

/// The body of an announcement's row.
#[derive(Serialize, Deserialize)]
pub struct Announced {
    pub at: EventTime,
    /// `schedule`, `train`, `pin` or `rollback`.
    pub by: String,
}

/// The last one announced is the last. A replay announces none: its only version holds from where it ends learning.
pub fn announcements(rows: &[BaselineRow]) -> Vec<Announcement> {
    let of_row = |row: &BaselineRow| {
        let Announced { at, .. } = serde_json::from_str(&row.body).ok()?;
        Some(Announcement { version: row.version, from: row.from_time, at })
    };
    let mut told: Vec<Announcement> = rows.iter().filter(|row| row.is_announcement()).filter_map(of_row).collect();
    told.sort_by_key(|announcement| (announcement.at, announcement.version));
    told
}

/// The body of a version's row of no type.
#[derive(Serialize)]
struct Pooled<'a> {
    #[serde(flatten)]
    calibration: &'a Calibration,
    #[serde(skip_serializing_if = "Option::is_none")]
    training: Option<&'a Training>,
}

#[derive(Deserialize)]
struct OfPooled {
    #[serde(default)]
    training: Option<Training>,
}

pub fn pooled(calibration: &Calibration, training: Option<&Training>) -> serde_json::Result<String> {
    serde_json::to_string(&Pooled { calibration, training })
}

/// `None` for what a replay learned, and for rows that are no version's pooled one.
pub fn training(row: &BaselineRow) -> Option<Training> {
    if !row.device_type.is_empty() || row.is_announcement() {
        return None;
    }
    serde_json::from_str::<OfPooled>(&row.body).ok()?.training
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_is_the_same_to_the_last_bit_with_a_record_beside_it() {
        let drift = [("camera".into(), 0.1 + 0.2)].into();
        let calibration = Calibration { device_days: 7, silence: 1.0 / 3.0, evidence: 0.1, drift };
        let training = Training {
            by: By::Schedule,
            since: EventTime(1),
            until: EventTime(2),
            devices: 3,
            of_devices: 4,
            not_normal: 5,
            checked: None,
            held_back: Some("because".to_owned()),
        };
        let body = pooled(&calibration, Some(&training)).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&body).unwrap(), calibration);
        assert_eq!(serde_json::from_str::<OfPooled>(&body).unwrap().training, Some(training));
        let body = pooled(&calibration, None).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&body).unwrap(), calibration);
    }
}
