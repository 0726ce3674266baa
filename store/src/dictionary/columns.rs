//! The columns of each table, in the order they are written.

use fleet::Feature;

use super::ColumnType::{F32, F64, LongText, Text, Time, U16, U32, U64};
use super::{Column, ColumnType, Table};

pub(super) fn of(table: Table) -> Vec<Column> {
    match table {
        Table::Windows => windows(),
        Table::Contacts => contacts(),
        Table::Evidence => evidence(),
        Table::Findings => findings(),
        Table::Incidents => incidents(),
        Table::Actions => actions(),
        Table::Devices => devices(),
        Table::Baselines => baselines(),
        Table::Verdicts => verdicts(),
        Table::Rejected => rejected(),
    }
}

fn column(name: &'static str, column_type: ColumnType, meaning: &str) -> Column {
    Column { name, column_type, nullable: false, meaning: meaning.to_owned() }
}

fn optional(name: &'static str, column_type: ColumnType, meaning: &str) -> Column {
    Column { nullable: true, ..column(name, column_type, meaning) }
}

fn device() -> [Column; 2] {
    [
        column("device_id", Text, "the inventory's name of the device, or the id given to an unknown one"),
        column("device_type", Text, "its type; empty for an unknown device"),
    ]
}

fn window() -> [Column; 2] {
    [
        column("window_start", Time, "first instant of the window"),
        column("window_end", Time, "first instant after the window"),
    ]
}

fn records() -> [Column; 4] {
    [
        column("first_source", U32, "number of the file (or partition) of the first contributing record"),
        column("first_offset", U64, "line, row or offset of that record, counted from 0"),
        column("last_source", U32, "number of the file of the last contributing record"),
        column("last_offset", U64, "line, row or offset of that record"),
    ]
}

fn windows() -> Vec<Column> {
    let mut columns = Vec::from(device());
    columns.push(column("segment", Text, "network segment of the device"));
    columns.push(column("site", Text, "site of the device"));
    columns.extend(window());
    for feature in Feature::definitions() {
        columns.push(Column {
            name: feature.name,
            column_type: F32,
            nullable: false,
            meaning: format!("feature, {}", feature.unit),
        });
    }
    columns.push(column("records", U32, "readings in the window"));
    columns.extend(records());
    columns.push(column("malicious", U32, "readings the data set labels malicious; for the score card only"));
    columns.push(optional("details", LongText, "JSON: identity, posture and sessions, when any were heard"));
    columns.push(column("score", F32, "evidence of this window alone, natural logarithm units"));
    columns.push(column("p_value", F32, "probability of as high a score on a normal window of this type"));
    columns.push(column("evidence", F32, "evidence added up over windows, less what has drained"));
    columns.push(column("line", F32, "evidence at which the device becomes a finding"));
    columns
}

fn contacts() -> Vec<Column> {
    let mut columns = Vec::from(device());
    columns.extend(window());
    columns.extend([
        column("ordinal", U16, "place among the window's contacts, by first record"),
        column("service", Text, "application, `(rest)` for the sum of all beyond the kept ones"),
        column("destination", Text, "DNS name, topic or command when known, else the address"),
        column("port", U16, "port of the responder"),
        column("protocol", Text, "tcp, udp, icmp or other"),
        column("direction", Text, "outbound: the device began it; inbound: the other side did"),
        optional("peer_device_id", Text, "the other side, when it is a device we know"),
        column("flows", U32, "flows, messages or sign-ins"),
        column("refused", U32, "of those, refused, unanswered, reset or failed"),
        column("bytes_out", U64, "payload bytes from the device"),
        column("bytes_in", U64, "payload bytes to the device"),
        column("packets_out", U32, "packets from the device"),
        column("packets_in", U32, "packets to the device"),
        column("duration", F32, "seconds: the longest flow"),
    ]);
    columns.extend(records());
    columns
}

fn evidence() -> Vec<Column> {
    let mut columns = Vec::from(device());
    columns.extend(window());
    columns.extend([
        column("detector", Text, "which detector spoke"),
        column("subject", Text, "feature, or service and destination"),
        column("observed", Text, "what was seen"),
        optional("expected_type", Text, "what the type's baseline expects"),
        optional("expected_device", Text, "what the device's own history expects"),
        optional("peers_now", Text, "what its peers did in the same window"),
        optional("technique", Text, "MITRE ATT&CK technique"),
        column("evidence", F64, "natural logarithm units: how much rarer than usual"),
        column("total", F64, "the device's evidence after this window"),
        column("line", F64, "evidence at which the device becomes a finding"),
    ]);
    columns.extend(records().map(|column| Column { nullable: true, ..column }));
    columns
}

fn findings() -> Vec<Column> {
    let [device_id, device_type] = device();
    let mut columns = vec![
        column("finding_id", Text, "stable: the same evidence gives the same id in every run"),
        column("incident_id", Text, "the incident it belongs to"),
        column("scope", Text, "device, fleet (devices of one type) or site"),
        Column { meaning: "the device; empty for a group".to_owned(), ..device_id },
        column("devices", LongText, "every device concerned, separated by commas"),
        device_type,
        column("kind", Text, "compromise, anomaly, fault, change, outage, unknown_device, retired_device, posture"),
        column("severity", Text, "info, low, medium, high, critical"),
        column("confidence", Text, "how sure the type's baseline is: learning, provisional, ready"),
        column("score", F64, "evidence, natural logarithm units"),
        column("line", F64, "the line it crossed"),
        column("p_value", F64, "probability of as much evidence on a normal device-day of this type"),
        column("detectors", Text, "those that spoke, strongest first, separated by commas"),
        column("technique", Text, "MITRE ATT&CK technique; empty when none fits"),
        column("emitted_at", Time, "end of the window that carried it over the line, plus lateness and any hold"),
    ];
    columns.extend(window());
    columns.extend([
        column("baseline_version", U32, "version of the baselines it was judged by"),
        column("reasons", LongText, "JSON list, strongest first: what was seen against what was expected"),
        column("explanation", LongText, "one paragraph for a person"),
    ]);
    columns
}

fn incidents() -> Vec<Column> {
    let [device_id, device_type] = device();
    vec![
        column("incident_id", Text, "stable id"),
        column("scope", Text, "device, fleet or site"),
        Column { meaning: "the device; empty for a group".to_owned(), ..device_id },
        device_type,
        column("kind", Text, "the gravest kind among its findings"),
        column("severity", Text, "the highest severity among its findings"),
        column("opened_at", Time, "when its first finding was emitted"),
        optional("closed_at", Time, "when it had been quiet for long enough; null while open"),
        column("first_window", Time, "start of its first window"),
        column("last_window", Time, "end of its last window"),
        column("findings", U32, "how many findings it joins"),
    ]
}

fn actions() -> Vec<Column> {
    let mut columns = vec![
        column("action_id", Text, "stable id: of device, incident and level"),
        column("seq", U64, "number of the entry in the journal; the greatest of an action says where it is"),
        column("at", Time, "when it was written; in a replay, event time"),
        column(
            "state",
            Text,
            "proposed, approved, applying, applied, verified, releasing, released, denied, refused, failed or expired",
        ),
        column(
            "note",
            Text,
            "empty when the state changed; else what was noted while it stayed: attempt, rerouted, quiet, talking, extended, \
             agreed, undone, late",
        ),
        column("incident_id", Text, "what it is about"),
        column("finding_id", Text, "the finding that led to it"),
    ];
    columns.extend(device());
    columns.extend([
        column("level", Text, "how far it goes: observe, notify, throttle, block-internet, quarantine and others"),
        column("mode", Text, "observe: proposed means what would be done; approve: it is asked for; auto"),
        column("gateway", Text, "through whom; empty where nobody has to be asked"),
        column("playbook", Text, "the playbook that says so"),
        column("by", Text, "policy, loop, or who said so"),
        column("reason", LongText, "why, or why not"),
        column("decided_at", Time, "event time of the finding that led to it"),
        optional("until", Time, "when it ends by itself"),
    ]);
    columns
}

fn devices() -> Vec<Column> {
    let mut columns = Vec::from(device());
    columns.extend([
        column("site", Text, "where it stands"),
        column("segment", Text, "network segment"),
        column("owner", Text, "who answers for it"),
        column("criticality", Text, "low, medium, high or critical"),
        column("firmware", Text, "version the inventory expects; empty when it does not say"),
        column("protocol", Text, "what it speaks"),
        column("purpose", Text, "what it is for"),
        column("standing", Text, "active, retired, unknown or shared"),
        optional("first_seen", Time, "start of its first window with a reading"),
        optional("last_seen", Time, "end of its last window with a reading"),
    ]);
    columns
}

fn baselines() -> Vec<Column> {
    vec![
        column("version", U32, "counts up with every training"),
        column("device_type", Text, "the type; empty in the row for all, and in announcements"),
        column(
            "segment",
            Text,
            "network segment; empty when all segments are learned together; `announced` in a row that says since when \
             the version is in force",
        ),
        column("from_time", Time, "event time until which it was learned; in a row `announced`, from which it holds"),
        column("confidence", Text, "learning, provisional or ready"),
        column("devices", U32, "devices it was learned from"),
        column("windows", U64, "windows it was learned from"),
        column("days", U32, "days it was learned from"),
        column("body", LongText, "JSON: the baseline itself; in the row for all how it was calibrated and checked"),
    ]
}

fn verdicts() -> Vec<Column> {
    vec![
        column("finding_id", Text, "the finding judged"),
        column("verdict", Text, "true, false, benign_change or fault"),
        column("author", Text, "who said so"),
        column("given_at", Time, "when"),
        column("note", LongText, "in their words"),
    ]
}

fn rejected() -> Vec<Column> {
    vec![
        column("file", Text, "name of the file"),
        column("source", U32, "its number in the run"),
        column("offset", U64, "line or row, counted from 0"),
        column("reason", Text, "short name of the reason, for counting"),
        column("detail", LongText, "the field, the value and what was expected"),
        column("sample", LongText, "first 200 bytes of the record"),
    ]
}
