//! Results depend on the data alone: not on the number of lanes, nor on what comes later.

use std::path::Path;

use serde_json::Value;

use crate::support::{count, query, recordings, replay, shipped, text};

/// Device findings without the wall clock, in a fixed order.
fn findings(store: &Path) -> Vec<Value> {
    query(
        store,
        "select finding_id, incident_id, scope, device_id, devices, kind, severity, score, detectors, technique, emitted_at, \
         window_start, window_end, explanation from findings order by emitted_at, finding_id",
    )
}

#[test]
fn one_two_and_seven_lanes_find_the_same() {
    let Some(data) = recordings("fleet") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut results = Vec::new();
    for lanes in ["1", "2", "7"] {
        let out = folder.path().join(lanes);
        replay(&shipped("fleet.toml"), &out, &["--path", text(&data), "--lanes", lanes]);
        let windows =
            query(&out, "select count(*) as n, sum(records) as r, sum(score) as s, sum(bytes_out) as b from windows");
        results.push((findings(&out), windows));
        let otherwise = "select count(*) from devices d join (select device_id, min(window_start) as f, \
                         max(window_end) as l from windows group by 1) w on d.device_id = w.device_id \
                         where d.first_seen <> w.f or d.last_seen <> w.l";
        assert_eq!(count(&out, otherwise), 0, "devices say when they were heard as windows do");
        let heard = count(&out, "select count(*) from devices where first_seen is not null and last_seen is not null");
        assert_eq!(heard, count(&out, "select count(distinct device_id) from windows"));
    }
    assert!(results[0].0.len() > 10, "there is something to compare");
    assert_eq!(results[0].0, results[1].0);
    assert_eq!(results[0].0, results[2].0);
    let n = |result: &(Vec<Value>, Vec<Value>)| result.1[0]["n"].clone();
    assert_eq!((n(&results[0]), n(&results[0])), (n(&results[1]), n(&results[2])));
}

#[test]
fn nothing_knows_the_future() {
    let Some(data) = recordings("fleet") else { return };
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    replay(&shipped("fleet.toml"), &whole, &["--path", text(&data)]);
    let all = findings(&whole);
    let lines = read_lines(&data.join("flows.jsonl.gz"));
    // Some way into the judged part, at moments that are no window's end.
    for hours in [103.37, 118.91, 131.02] {
        let cut = 1_772_409_600.0 + hours * 3600.0;
        let cut_data = folder.path().join(format!("cut-{hours}"));
        std::fs::create_dir(&cut_data).unwrap();
        let kept: String =
            lines.lines().filter(|line| event_time(line) < cut).map(|line| format!("{line}\n")).collect();
        std::fs::write(cut_data.join("flows.jsonl.gz"), kept).unwrap();
        for file in ["inventory.csv", "episodes.json"] {
            std::fs::copy(data.join(file), cut_data.join(file)).unwrap();
        }
        let out = folder.path().join(format!("out-{hours}"));
        replay(&shipped("fleet.toml"), &out, &["--path", text(&cut_data)]);
        let until = fleet::EventTime::from_seconds(cut - 60.0).unwrap().to_string();
        let before = |findings: &[Value]| -> Vec<Value> {
            findings.iter().filter(|it| it["emitted_at"].as_str().unwrap() < until.as_str()).cloned().collect()
        };
        assert!(!before(&all).is_empty());
        assert_eq!(before(&findings(&out)), before(&all), "cut at {hours} h");
    }
}

fn read_lines(path: &Path) -> String {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn event_time(line: &str) -> f64 {
    let record: Value = serde_json::from_str(line).unwrap();
    record["ts"].as_f64().unwrap() + record["duration"].as_f64().unwrap_or(0.0)
}
