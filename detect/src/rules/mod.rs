//! Policy rules: SQL predicates over a window, its device, and what the baseline says is new about it.
//!
//! The predicate is compiled and evaluated by whoever owns a SQL engine (the front door, with the store's); this room says
//! which rules there are ([`RuleSet`]), what columns they may name ([`columns`]), and what a match means
//! ([`RuleSet::hit`], [`RuleSet::posture`]).

pub mod columns;

use fleet::id::stable_id;
use fleet::{Confidence, Device, EventTime, Finding, FindingKind, Reason, Scope, Severity, Window};
use serde::Deserialize;
use smol_str::SmolStr;

use crate::error::Error;
use crate::evidence::{Bearing, Evidence, Group};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: SmolStr,
    pub title: String,
    /// SQL, true for a match.
    pub when: String,
    pub kind: RuleKind,
    pub severity: Severity,
    pub technique: SmolStr,
    /// Behaviour rules: evidence, natural logarithm units.
    #[serde(default)]
    pub weight: f64,
    /// Behaviour rules: no group excuses it.
    #[serde(default)]
    pub attack: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// How the device is kept: one finding per type and rule, outside the budget.
    Posture,
    /// What the device does: evidence against it.
    Behaviour,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// A behaviour rule matched a window.
#[derive(Clone, Debug)]
pub struct RuleHit {
    /// Index in the tick's windows.
    pub window: usize,
    pub evidence: Evidence,
}

const SHIPPED: &str = include_str!("shipped.toml");

impl RuleSet {
    /// What the field asks of IoT.
    pub fn shipped() -> Result<RuleSet, Error> {
        RuleSet::parse(SHIPPED)
    }

    pub fn parse(text: &str) -> Result<RuleSet, Error> {
        toml::from_str(text).map_err(|error| Error::Rules(error.to_string()))
    }
}

impl Rule {
    pub fn hit(&self, index: usize, window: &Window, device: &Device) -> RuleHit {
        let evidence = Evidence {
            device: device.key,
            detector: "rules",
            subject: self.id.clone(),
            shape: "rule",
            weight: self.weight,
            bearing: Bearing::Compromise,
            attack: self.attack,
            strong: false,
            group: (!self.attack).then(|| Group::silent(self.id.clone())),
            observed: self.title.clone(),
            expected_type: Some(format!("never: {}", self.when)),
            expected_device: None,
            peers_now: None,
            first_seen_type: None,
            first_seen_device: None,
            technique: "",
            records: Some((window.first_record, window.last_record)),
        };
        RuleHit { window: index, evidence }
    }

    /// Id of the one finding of a type and a posture rule, the same whichever device shows it first.
    pub fn posture_id(&self, device: &Device) -> String {
        stable_id(&["posture", &device.device_type, &self.id])
    }

    /// That finding, told at `emitted_at`.
    pub fn posture(&self, window: &Window, device: &Device, emitted_at: EventTime) -> Finding {
        Finding {
            finding_id: self.posture_id(device),
            incident_id: String::new(),
            scope: Scope::Fleet,
            device_id: SmolStr::default(),
            devices: vec![device.id.clone()],
            device_type: device.device_type.clone(),
            kind: FindingKind::Posture,
            severity: self.severity,
            confidence: Confidence::Ready,
            score: 0.0,
            line: 0.0,
            p_value: 1.0,
            detectors: vec![SmolStr::new_static("rules")],
            technique: self.technique.clone(),
            emitted_at,
            window_start: window.start,
            window_end: window.end,
            baseline_version: 0,
            reasons: vec![Reason {
                detector: SmolStr::new_static("rules"),
                subject: self.id.clone(),
                observed: self.title.clone(),
                expected_type: Some(format!("never: {}", self.when)),
                expected_device: None,
                peers_now: None,
                first_seen_type: None,
                first_seen_device: None,
                technique: Some(self.technique.clone()),
                evidence: 0.0,
                records: Some((window.first_record, window.last_record)),
            }],
            explanation: format!(
                "Devices of type {} are kept so that the rule `{}` matches: {}. First seen at {}.",
                device.device_type, self.id, self.title, device.id
            ),
        }
    }
}
