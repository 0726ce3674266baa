//! What a person said of an incident, how far that reaches, and what it kept back since.
//!
//! What a verdict applies to is taken from the findings it was given about and stands in its entry, so that the journal alone
//! says what is kept back, and why.

use std::collections::BTreeSet;

use fleet::{EventTime, Finding, FindingKind, Reason, Scope, Severity};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Words of verdicts after which nobody is held, and nobody is told of the same again.
pub const CLEAR: [&str; 3] = ["false", "benign_change", "fault"];
pub const TRUE: &str = "true";
/// Different reasons that one verdict may be about.
const MOST_GROUNDS: usize = 100;
/// Evidence up to which a reason carries nothing by itself: the most that `detect` gives its supporting detectors.
const SUPPORT: f64 = 0.5;
/// Evidence that a finding may rest on besides its listed reasons: findings list the strongest eight.
const UNLISTED: f64 = 1.0;
/// ATT&CK techniques by which detectors name an attack's shapes: guessing, fan-out, refused bursts, uploads, floods. They are
/// never excused by a group of peers either (`detect`).
const ATTACKS: [&str; 6] = ["T1110", "T1046", "T1008", "T1041", "T1048", "T1498"];
/// A rule says what must not be; a verdict does not change it for others than the one device.
const RULES: &str = "rules";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Empty in entries of former releases that named a finding alone.
    pub incident_id: String,
    /// Nothing: the whole incident.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub finding_id: String,
    /// `true`, `false`, `benign_change` or `fault`.
    pub verdict: SmolStr,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Nothing: the incident alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}

/// What a verdict is about beyond its incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    pub of: ReachOf,
    /// Of the findings it was given about, with their greatest severity: another kind, or a graver finding, is told.
    pub kinds: BTreeSet<FindingKind>,
    pub severity: Severity,
    /// What these findings rested on: one that rests on more is told.
    pub grounds: BTreeSet<Ground>,
    pub expires: EventTime,
}

/// Whose findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachOf {
    Device(SmolStr),
    DeviceType(SmolStr),
    Site(SmolStr),
}

/// A reason without its figures: who saw what kind of thing, where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ground {
    pub detector: SmolStr,
    /// Feature, rule, or `service destination`.
    pub subject: SmolStr,
    /// The shape, as ATT&CK names it; empty where it has no name.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub technique: SmolStr,
}

/// A finding that nobody is told of and that leads to nothing: the verdict in that entry says what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptBack {
    pub finding_id: String,
    pub incident_id: String,
    /// Empty for a group's finding.
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub site: SmolStr,
    pub finding_kind: FindingKind,
    pub severity: Severity,
    /// Event time: begin of its first window, and when it would have been told.
    pub first_window: EventTime,
    pub found_at: EventTime,
    /// Number of the entry that gave the verdict.
    pub verdict_entry: u64,
    pub verdict: SmolStr,
    pub given_by: SmolStr,
}

impl ReachOf {
    pub fn name(&self) -> &SmolStr {
        match self {
            ReachOf::Device(name) | ReachOf::DeviceType(name) | ReachOf::Site(name) => name,
        }
    }
}

impl From<&Reason> for Ground {
    fn from(reason: &Reason) -> Ground {
        Ground {
            detector: reason.detector.clone(),
            subject: reason.subject.clone(),
            technique: reason.technique.clone().unwrap_or_default(),
        }
    }
}

impl Ground {
    fn is_attack(&self) -> bool {
        let base = self.technique.split('.').next().unwrap_or_default();
        self.detector == RULES || ATTACKS.contains(&base)
    }
}

impl Reach {
    /// `findings`: those that the verdict is given about.
    ///
    /// # Errors
    /// There is none.
    pub fn about(of: ReachOf, findings: &[&Finding], expires: EventTime) -> Result<Reach, String> {
        let severity = findings.iter().map(|finding| finding.severity).max();
        let severity = severity.ok_or("no finding of it is known")?;
        Ok(Reach {
            of,
            kinds: findings.iter().map(|finding| finding.kind).collect(),
            severity,
            grounds: findings.iter().flat_map(|finding| &finding.reasons).map(Ground::from).collect(),
            expires,
        })
    }

    /// Why such a verdict cannot be given, if it cannot, and what helps.
    pub fn objection(&self, now: EventTime) -> Option<String> {
        if self.of.name().is_empty() {
            return Some("whom it is about has no name there; choose another scope".to_owned());
        }
        if self.expires <= now {
            return Some(format!("it ended at `{}` already; name a later time", self.expires));
        }
        if self.grounds.len() > MOST_GROUNDS {
            let count = self.grounds.len();
            return Some(format!(
                "it has `{count}` different reasons, expected {MOST_GROUNDS} at most; judge one finding"
            ));
        }
        let attack = self.grounds.iter().find(|ground| ground.is_attack());
        match (&self.of, attack) {
            (ReachOf::DeviceType(_) | ReachOf::Site(_), Some(ground)) => Some(format!(
                "`{}` of `{}` is an attack's shape or a rule's: it is kept back for one device at most; use the scope \
                 `device`, or change the rule",
                ground.subject, ground.detector
            )),
            _ => None,
        }
    }

    /// `site`: where all the finding's devices are; empty where that is not one site, or not known.
    pub fn is_of(&self, finding: &Finding, site: &str) -> bool {
        let name = self.of.name();
        let is_it = match self.of {
            ReachOf::Device(_) => finding.scope == Scope::Device && finding.device_id == *name,
            ReachOf::DeviceType(_) => finding.device_type == *name,
            ReachOf::Site(_) => site == name.as_str(),
        };
        is_it && !name.is_empty()
    }

    /// Whether the finding says no more than those that were judged.
    pub fn covers(&self, finding: &Finding) -> bool {
        if finding.severity > self.severity || !self.kinds.contains(&finding.kind) {
            return false;
        }
        if finding.scope != Scope::Device && finding.kind == FindingKind::Compromise {
            return false;
        }
        let is_wide = !matches!(self.of, ReachOf::Device(_));
        let (mut listed, mut is_named) = (0.0, finding.reasons.is_empty());
        for reason in &finding.reasons {
            let ground = Ground::from(reason);
            let is_known = self.grounds.contains(&ground);
            is_named |= is_known;
            if reason.evidence > SUPPORT {
                listed += reason.evidence;
                if !is_known {
                    return false;
                }
            }
            if is_wide && ground.is_attack() && reason.evidence > SUPPORT {
                return false;
            }
        }
        is_named && finding.score - listed <= UNLISTED
    }

    /// Whether the finding has a reason of those that were judged.
    pub fn touches(&self, finding: &Finding) -> bool {
        let is_known = |reason: &Reason| self.grounds.contains(&Ground::from(reason));
        let has_none = finding.reasons.is_empty() && self.kinds.contains(&finding.kind);
        has_none || finding.reasons.iter().any(is_known)
    }
}
