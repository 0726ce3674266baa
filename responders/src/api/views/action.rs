//! Actions, and how each came to be where it is.

use fleet::{Level, Mode, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::views::{LevelName, ModeName, StateName};
use crate::rights::Moment;

/// All that are given must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActionFilter {
    #[param(value_type = Option<StateName>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
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
pub struct Actions {
    pub actions: Vec<ActionView>,
    /// The `cursor` of the next page; none: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActionView {
    pub action_id: String,
    pub incident_id: String,
    pub finding_id: String,
    pub device_id: String,
    pub device_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    #[schema(value_type = LevelName)]
    pub level: Level,
    #[schema(value_type = ModeName)]
    pub mode: Mode,
    #[schema(value_type = StateName)]
    pub state: State,
    /// Through which it goes; none for levels that need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    /// Why it is in this state.
    pub reason: String,
    pub decided_at: Moment,
    pub changed_at: Moment,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// It waits for approval, and no answer by then means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Moment>,
    /// Names of those who approved it.
    #[serde(default)]
    pub approved_by: Vec<String>,
    /// How many approvals by different names it still needs.
    #[serde(default)]
    pub approvals_missing: u32,
}

/// One action with its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActionDetail {
    pub action: ActionView,
    /// Earliest first.
    pub history: Vec<Transition>,
}

/// An entry of the journal about one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    /// Number of the entry in the journal.
    pub entry: u64,
    pub at: Moment,
    #[schema(value_type = StateName)]
    pub state: State,
    /// Who asked for it; none: nobody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub reason: String,
}
