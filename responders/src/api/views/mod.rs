//! What can be looked at, as JSON: plain, and the same for server and client.

mod action;
mod incident;
mod names;
mod state;

pub use action::{ActionDetail, ActionFilter, ActionView, Actions, Transition};
pub use incident::{
    IncidentDetail, IncidentFilter, IncidentStats, IncidentView, Incidents, Spread, StatsFilter, VerdictFilter,
    VerdictView, Verdicts,
};
pub use names::{FindingKindName, LevelName, ModeName, SeverityName, StateName};
pub use state::{GatewayHealth, Health, JournalHead, ModeView, PlaybookView, Playbooks, TokenList};

/// Entries of a page where the caller does not say.
pub const PAGE: u32 = 100;
pub const LARGEST_PAGE: u32 = 500;
