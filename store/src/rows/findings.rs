//! Findings, incidents and actions.

use arrow::datatypes::{Float64Type, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use fleet::{Action, Confidence, Finding, FindingKind, Incident, Level, Mode, Reason, Scope, Severity, State};

use super::Row;
use super::columns::{Columns, batch, f64s, joined, optional_time, split, text, time, u32s, u64s};
use crate::dictionary::Table;
use crate::error::Error;

impl Row for Finding {
    const TABLE: Table = Table::Findings;

    fn encode(rows: &[Finding]) -> Result<RecordBatch, Error> {
        let mut reasons = Vec::with_capacity(rows.len());
        for row in rows {
            reasons.push(serde_json::to_string(&row.reasons).map_err(|error| Error::UnknownContent {
                table: Table::Findings,
                problem: format!("reasons that are no JSON: {error}"),
            })?);
        }
        batch(
            Table::Findings,
            vec![
                text(rows.iter().map(|row| &row.finding_id)),
                text(rows.iter().map(|row| &row.incident_id)),
                text(rows.iter().map(|row| row.scope.name())),
                text(rows.iter().map(|row| &row.device_id)),
                text(rows.iter().map(|row| joined(&row.devices))),
                text(rows.iter().map(|row| &row.device_type)),
                text(rows.iter().map(|row| row.kind.name())),
                text(rows.iter().map(|row| row.severity.name())),
                text(rows.iter().map(|row| row.confidence.name())),
                f64s(rows.iter().map(|row| row.score)),
                f64s(rows.iter().map(|row| row.line)),
                f64s(rows.iter().map(|row| row.p_value)),
                text(rows.iter().map(|row| joined(&row.detectors))),
                text(rows.iter().map(|row| &row.technique)),
                time(rows.iter().map(|row| row.emitted_at)),
                time(rows.iter().map(|row| row.window_start)),
                time(rows.iter().map(|row| row.window_end)),
                u32s(rows.iter().map(|row| row.baseline_version)),
                text(reasons.iter()),
                text(rows.iter().map(|row| &row.explanation)),
            ],
        )
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<Finding>) -> Result<(), Error> {
        let columns = Columns { table: Table::Findings, batch };
        let (finding_id, incident_id) = (columns.text("finding_id")?, columns.text("incident_id")?);
        let (scope, device_id, devices) =
            (columns.text("scope")?, columns.text("device_id")?, columns.text("devices")?);
        let (device_type, kind) = (columns.text("device_type")?, columns.text("kind")?);
        let (severity, confidence) = (columns.text("severity")?, columns.text("confidence")?);
        let (score, line) = (columns.number::<Float64Type>("score")?, columns.number::<Float64Type>("line")?);
        let p_value = columns.number::<Float64Type>("p_value")?;
        let (detectors, technique) = (columns.text("detectors")?, columns.text("technique")?);
        let emitted_at = columns.time("emitted_at")?;
        let (window_start, window_end) = (columns.time("window_start")?, columns.time("window_end")?);
        let baseline_version = columns.number::<UInt32Type>("baseline_version")?;
        let (reasons, explanation) = (columns.text("reasons")?, columns.text("explanation")?);
        for row in 0..batch.num_rows() {
            let reasons: Vec<Reason> = serde_json::from_str(reasons(row))
                .map_err(|error| columns.unknown(format!("reasons that cannot be read: {error}")))?;
            rows.push(Finding {
                finding_id: finding_id(row).to_owned(),
                incident_id: incident_id(row).to_owned(),
                scope: columns.named(scope(row), Scope::from_name)?,
                device_id: device_id(row).into(),
                devices: split(devices(row)),
                device_type: device_type(row).into(),
                kind: columns.named(kind(row), FindingKind::from_name)?,
                severity: columns.named(severity(row), Severity::from_name)?,
                confidence: columns.named(confidence(row), Confidence::from_name)?,
                score: score(row),
                line: line(row),
                p_value: p_value(row),
                detectors: split(detectors(row)),
                technique: technique(row).into(),
                emitted_at: emitted_at(row),
                window_start: window_start(row),
                window_end: window_end(row),
                baseline_version: baseline_version(row),
                reasons,
                explanation: explanation(row).to_owned(),
            });
        }
        Ok(())
    }
}

impl Row for Incident {
    const TABLE: Table = Table::Incidents;

    fn encode(rows: &[Incident]) -> Result<RecordBatch, Error> {
        batch(
            Table::Incidents,
            vec![
                text(rows.iter().map(|row| &row.incident_id)),
                text(rows.iter().map(|row| row.scope.name())),
                text(rows.iter().map(|row| &row.device_id)),
                text(rows.iter().map(|row| &row.device_type)),
                text(rows.iter().map(|row| row.kind.name())),
                text(rows.iter().map(|row| row.severity.name())),
                time(rows.iter().map(|row| row.opened_at)),
                optional_time(rows.iter().map(|row| row.closed_at)),
                time(rows.iter().map(|row| row.first_window)),
                time(rows.iter().map(|row| row.last_window)),
                u32s(rows.iter().map(|row| row.findings)),
            ],
        )
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<Incident>) -> Result<(), Error> {
        let columns = Columns { table: Table::Incidents, batch };
        let (incident_id, scope) = (columns.text("incident_id")?, columns.text("scope")?);
        let (device_id, device_type) = (columns.text("device_id")?, columns.text("device_type")?);
        let (kind, severity) = (columns.text("kind")?, columns.text("severity")?);
        let (opened_at, closed_at) = (columns.time("opened_at")?, columns.optional_time("closed_at")?);
        let (first_window, last_window) = (columns.time("first_window")?, columns.time("last_window")?);
        let findings = columns.number::<UInt32Type>("findings")?;
        for row in 0..batch.num_rows() {
            rows.push(Incident {
                incident_id: incident_id(row).to_owned(),
                scope: columns.named(scope(row), Scope::from_name)?,
                device_id: device_id(row).into(),
                device_type: device_type(row).into(),
                kind: columns.named(kind(row), FindingKind::from_name)?,
                severity: columns.named(severity(row), Severity::from_name)?,
                opened_at: opened_at(row),
                closed_at: closed_at(row),
                first_window: first_window(row),
                last_window: last_window(row),
                findings: findings(row),
            });
        }
        Ok(())
    }
}

impl Row for Action {
    const TABLE: Table = Table::Actions;

    fn encode(rows: &[Action]) -> Result<RecordBatch, Error> {
        batch(
            Table::Actions,
            vec![
                text(rows.iter().map(|row| &row.action_id)),
                u64s(rows.iter().map(|row| row.seq)),
                time(rows.iter().map(|row| row.at)),
                text(rows.iter().map(|row| row.state.name())),
                text(rows.iter().map(|row| &row.note)),
                text(rows.iter().map(|row| &row.incident_id)),
                text(rows.iter().map(|row| &row.finding_id)),
                text(rows.iter().map(|row| &row.device_id)),
                text(rows.iter().map(|row| &row.device_type)),
                text(rows.iter().map(|row| row.level.name())),
                text(rows.iter().map(|row| row.mode.name())),
                text(rows.iter().map(|row| &row.gateway)),
                text(rows.iter().map(|row| &row.playbook)),
                text(rows.iter().map(|row| &row.by)),
                text(rows.iter().map(|row| &row.reason)),
                time(rows.iter().map(|row| row.decided_at)),
                optional_time(rows.iter().map(|row| row.until)),
            ],
        )
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<Action>) -> Result<(), Error> {
        let columns = Columns { table: Table::Actions, batch };
        let (action_id, incident_id) = (columns.text("action_id")?, columns.text("incident_id")?);
        let (finding_id, device_id) = (columns.text("finding_id")?, columns.text("device_id")?);
        let (device_type, level) = (columns.text("device_type")?, columns.text("level")?);
        let (mode, state, reason) = (columns.text("mode")?, columns.text("state")?, columns.text("reason")?);
        let (note, gateway) = (columns.text("note")?, columns.text("gateway")?);
        let (playbook, by) = (columns.text("playbook")?, columns.text("by")?);
        let (seq, at) = (columns.number::<UInt64Type>("seq")?, columns.time("at")?);
        let (decided_at, until) = (columns.time("decided_at")?, columns.optional_time("until")?);
        for row in 0..batch.num_rows() {
            rows.push(Action {
                action_id: action_id(row).to_owned(),
                seq: seq(row),
                at: at(row),
                state: columns.named(state(row), State::from_name)?,
                note: note(row).into(),
                incident_id: incident_id(row).to_owned(),
                finding_id: finding_id(row).to_owned(),
                device_id: device_id(row).into(),
                device_type: device_type(row).into(),
                level: columns.named(level(row), Level::from_name)?,
                mode: columns.named(mode(row), Mode::from_name)?,
                gateway: gateway(row).into(),
                playbook: playbook(row).into(),
                by: by(row).into(),
                reason: reason(row).to_owned(),
                decided_at: decided_at(row),
                until: until(row),
            });
        }
        Ok(())
    }
}
