//! Telling people and SIEMs: OCSF events, syslog, webhooks; one message an incident and change, never one a window.
