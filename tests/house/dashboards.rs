//! What dashboards ask of Prometheus is there to be asked; what they ask of ClickHouse is run by tests/live/tables.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{read, root};

/// Series that a histogram gives.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

#[test]
fn every_metric_of_a_panel_is_documented() {
    let page = read(&root().join("docs/metrics.md"));
    let row = |name: &str| page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    let mut asked = BTreeSet::new();
    for (panel, target) in targets() {
        assert!(target["rawSql"].is_string() || target["expr"].is_string(), "`{panel}` asks nothing");
        asked.extend(metrics(target["expr"].as_str().unwrap_or_default()));
    }
    assert!(asked.len() >= 6, "{asked:?}");
    for name in asked {
        let plain = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
        let of_histogram = plain.and_then(row).is_some_and(|line| line.contains("| histogram |"));
        assert!(row(&name).is_some() || of_histogram, "a panel asks for `{name}`; docs/metrics.md does not have it");
    }
}

/// Put into SQL as it is, what somebody chose or a link named would be SQL.
#[test]
fn the_texts_of_variables_are_quoted_by_grafana() {
    let mut quoted = 0;
    for (panel, target) in targets() {
        let sql = target["rawSql"].as_str().unwrap_or_default();
        for after in sql.split('$').skip(1).filter(|after| !after.starts_with("__")) {
            let variable = after.split('}').next().unwrap_or_default();
            assert!(variable.ends_with(":sqlstring"), "`{panel}` has `${variable}`, expected `${{name:sqlstring}}`");
            quoted += 1;
        }
    }
    assert!(quoted >= 6, "{quoted}");
}

/// What panels ask, with their titles.
fn targets() -> Vec<(String, Value)> {
    let mut targets = Vec::new();
    for file in ["soc", "operations"] {
        let text = read(&root().join(format!("dashboards/{file}.json")));
        let dashboard: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
        for panel in dashboard["panels"].as_array().into_iter().flatten() {
            let of_panel = panel["targets"].as_array().cloned().unwrap_or_default();
            targets.extend(of_panel.into_iter().map(|target| (panel["title"].to_string(), target)));
        }
    }
    targets
}

fn metrics(expression: &str) -> Vec<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("vedette_")).map(str::to_owned).collect()
}
