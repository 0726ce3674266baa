//! Every panel of dashboards/ that asks ClickHouse, as Grafana would send it, by the user that Grafana has.

use std::process::Command;

use serde_json::Value;

use super::super::engine::Engine;
use super::super::one_truth::Replayed;
use super::super::vedette::query;
use super::{change, rows};

/// What the dashboards are for.
const NEEDED: [&str; 21] = [
    "Open incidents by severity",
    "Devices at risk",
    "Evidence against the line",
    "Traffic",
    "Findings about it",
    "Evidence, near misses included",
    "Whom it talked to",
    "Destinations first seen",
    "Time to detect",
    "Devices restricted now",
    "Actions by state",
    "Restricted now",
    "Waiting for approval",
    "Refused and failed",
    "Would act",
    "Time to isolate",
    "Rejected by reason",
    "Unknown devices",
    "Windows per minute",
    "What lanes and roles remember",
    "Rows and bytes by table",
];

pub fn demand_rows(engine: &Engine, replayed: &Replayed) {
    // Nobody has said anything of a finding yet.
    change(
        engine,
        "INSERT INTO verdicts SELECT finding_id, 'true', 'nell', emitted_at, 'seen on site' FROM findings LIMIT 1",
    );
    act(engine);
    let about = query(
        &replayed.store,
        "select device_id from findings where kind = 'compromise' and scope = 'device' order by score desc limit 1",
    );
    let device = about[0]["device_id"].as_str().expect("the demo has a compromised device");
    let since = query(&replayed.store, "select cast(min(window_start) as bigint) / 1000000 as since from windows");
    let until =
        &rows::<Value>(engine, "SELECT toUnixTimestamp(now()) + 60 AS until").expect("the time of day")[0]["until"];
    let mut wrong = Vec::new();
    let mut shown = Vec::new();
    for panel in filled(&since[0]["since"].to_string(), &until.to_string(), device) {
        let (title, sql) = (panel["panel"].as_str().unwrap_or_default(), panel["sql"].as_str().unwrap_or_default());
        match rows::<Value>(engine, sql) {
            Ok(rows) if rows.iter().any(says_something) => shown.push(title.to_owned()),
            Ok(rows) => wrong.push(format!("`{title}` shows nothing: {rows:?}\n  {sql}")),
            Err(problem) => wrong.push(format!("`{title}`: {problem}\n  {sql}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<&&str> = NEEDED.iter().filter(|title| !shown.iter().any(|there| there == **title)).collect();
    assert!(missing.is_empty(), "no dashboard has {missing:?}, they have {shown:?}");
    eprintln!("{} panels showed rows", shown.len());
}

/// The demo's responder only observes: here one action holds, one waits for a person, and one is refused.
fn act(engine: &Engine) {
    let rows = [
        ("held", 1, "proposed", "auto"),
        ("held", 2, "verified", "auto"),
        ("asked", 1, "proposed", "approve"),
        ("refused", 1, "refused", "auto"),
    ];
    for (action, seq, state, mode) in rows {
        change(
            engine,
            &format!(
                "INSERT INTO actions (action_id, seq, at, state, incident_id, finding_id, device_id, device_type, level, mode, \
                 gateway, playbook, `by`, reason, decided_at) SELECT '{action}', {seq}, addSeconds(emitted_at, {seq}), \
                 '{state}', incident_id, finding_id, device_id, device_type, 'quarantine', '{mode}', 'broker', 'worm', \
                 'policy', 'made for the panels', emitted_at FROM findings WHERE scope = 'device' ORDER BY finding_id LIMIT 1"
            ),
        );
    }
}

fn filled(since: &str, until: &str, device: &str) -> Vec<Value> {
    let output = Command::new("python3")
        .args(["tests/services/panels.py", "--from", since, "--to", until, "--device", device])
        .output()
        .expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("panels are a list")
}

/// A sum over no rows is a row too.
fn says_something(row: &Value) -> bool {
    let cells = row.as_object().into_iter().flatten();
    cells.into_iter().any(|(_, cell)| match cell {
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        _ => false,
    })
}
