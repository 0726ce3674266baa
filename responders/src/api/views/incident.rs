//! Incidents, how long they took to be found and answered, and what people said of them.

use fleet::{FindingKind, Severity};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::command::{Verdict, VerdictScope};
use crate::api::views::{ActionView, FindingKindName, SeverityName};
use crate::rights::Moment;

/// All that are given must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IncidentFilter {
    /// `true`: those that go on; `false`: those that ended. The store is asked, and has to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Entries of the page: 100 unless told, 500 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Latest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Incidents {
    pub incidents: Vec<IncidentView>,
    /// The `cursor` of the next page; none: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentView {
    pub incident_id: String,
    /// Empty where it is about a group.
    pub device_id: String,
    pub device_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    #[schema(value_type = FindingKindName)]
    pub kind: FindingKind,
    #[schema(value_type = SeverityName)]
    pub severity: Severity,
    pub opened_at: Moment,
    /// Whether it goes on, as the store has it, which may be some seconds late. None: the store does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// When it had been quiet for long enough, once the store has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Moment>,
    pub findings: u32,
    /// Findings among them that a verdict given before kept back: nobody was told of these, and nothing was done.
    #[serde(default)]
    pub kept_back: u32,
    /// Seconds from the begin of its first window to the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_detect: Option<f64>,
    /// Seconds from the proposal until the gateway's own answer said that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_isolate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// One incident with what was found and done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentDetail {
    pub incident: IncidentView,
    /// What the latest finding says to a person.
    pub explanation: String,
    pub finding_ids: Vec<String>,
    pub actions: Vec<ActionView>,
}

/// Actions whose finding was told in a span of time; all that are shown where nothing is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatsFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Moment>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentStats {
    /// Incidents with an action that restricts a device, or would.
    pub incidents: u64,
    /// Incidents of which a device was kept away.
    pub isolated: u64,
    /// First window of the incident to finding.
    pub detect: Spread,
    /// Finding to the approval that let it begin, people's or the policy's: from event time to the journal's clock.
    pub decide: Spread,
    /// Proposal to the gateway's first answer.
    pub apply: Spread,
    /// Proposal to reading back that it holds: the time to isolate.
    pub isolate: Spread,
    /// Proposal to the device's silence in telemetry.
    pub quiet: Spread,
}

/// Seconds, over so many actions; none of them where there is nothing to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spread {
    pub count: u64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

/// All that are given must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerdictFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Entries of the page: 100 unless told, 500 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Latest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verdicts {
    pub verdicts: Vec<VerdictView>,
    /// The `cursor` of the next page; none: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerdictView {
    pub incident_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding_id: Option<String>,
    pub device_id: String,
    pub verdict: Verdict,
    pub scope: VerdictScope,
    /// The device, type or site that it reaches to beyond its incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies_to: Option<String>,
    /// Findings that it has kept back since, of late.
    #[serde(default)]
    pub kept_back: u32,
    pub note: String,
    pub by: String,
    pub at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
}
