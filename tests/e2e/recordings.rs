//! The goals on real recordings (semi-synthetic for the fleets), at one setting.

use serde_json::Value;

use crate::automatic::restricts_nobody_benign;
use crate::support::{recordings, replay, score_card, shipped, text};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::INFINITY)
}

#[test]
fn both_fleets_at_one_setting() {
    let (mut found, mut total, mut false_incidents, mut device_days, mut quarantined) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut delays = Vec::new();
    for name in ["fleet", "fleet-b"] {
        let Some(data) = recordings(name) else { return };
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        replay(&shipped("fleet.toml"), &out, &["--path", text(&data), "--mode", "auto"]);
        restricts_nobody_benign(&out, 3);
        let card = score_card(&out);
        found += number(&card["incidents_detected"]);
        total += number(&card["incidents_total"]);
        false_incidents += number(&card["false_incidents"]);
        device_days += number(&card["device_days_judged"]);
        quarantined += number(&card["would_quarantine"]["incident_devices"]);
        assert_eq!(card["would_quarantine"]["benign_devices"], 0, "{name}");
        for change in card["benign_changes"].as_array().unwrap() {
            assert!(number(&change["fleet_findings"]) <= 1.0, "{name}: {change}");
            assert_eq!(change["would_quarantine"], 0, "{name}: {change}");
        }
        for incident in card["incidents"].as_array().unwrap() {
            delays.push(number(&incident["seconds_to_detect"]));
            if incident["name"] == "hidden-in-rollout" {
                assert_eq!(incident["detected"], true, "{name}: the device that misbehaves during the roll-out");
            }
        }
        let unknown = card["unknown_devices"].as_array().unwrap();
        assert!(unknown.iter().any(|id| id == "unknown:b0:f8:93:a0:00:39"), "{name}: {unknown:?}");
        assert_eq!(card["late"], 0, "{name}");
    }
    assert_eq!(total, 33.0);
    assert!(found >= 28.0, "found {found} of {total}");
    assert!(1000.0 * false_incidents / device_days <= 60.0, "{false_incidents} false in {device_days} device-days");
    assert!(quarantined >= 12.0, "{quarantined}");
    delays.sort_by(f64::total_cmp);
    assert!(delays[delays.len() / 2] <= 305.0, "median {}", delays[delays.len() / 2]);
}

#[test]
fn iot_23_as_published() {
    let Some(data) = recordings("iot23") else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    replay(&shipped("iot23.toml"), &out, &["--path", text(&data), "--mode", "auto"]);
    let card = score_card(&out);
    assert_eq!(card["would_quarantine"]["benign_devices"], 0, "{}", card["would_quarantine"]);
    assert_eq!(card["incidents_detected"], 2, "{}", card["incidents"]);
    assert_eq!(card["incidents_total"], 2);
    assert_eq!(card["false_incidents"], 0, "benign hours stay quiet");
    assert_eq!(card["rejected"], 0);
}
