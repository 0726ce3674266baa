//! Questions and answers, and what is said to a question that cannot be understood.

mod common;

use common::*;
use store::{Config, Error, Format, ParquetStore, Store};

fn filled() -> (tempfile::TempDir, ParquetStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ParquetStore::create(dir.path(), Config::default()).unwrap();
    fill(&store);
    (dir, store)
}

const SQL: &str = "select device_id, window_start, score, null as nothing from windows \
                   where device_type = 'camera' and window_start >= '2026-03-04T00:04:00Z' and device_id < 'device-00003' \
                   order by window_start, device_id";

#[test]
fn one_answer_in_three_formats() {
    let (_dir, store) = filled();
    let table = "\
+--------------+----------------------+-------+---------+
| device_id    | window_start         | score | nothing |
+--------------+----------------------+-------+---------+
| device-00000 | 2026-03-04T00:04:00Z | 0.5   |         |
| device-00002 | 2026-03-04T00:04:00Z | 2.5   |         |
| device-00000 | 2026-03-04T00:05:00Z | 0.5   |         |
| device-00002 | 2026-03-04T00:05:00Z | 2.5   |         |
+--------------+----------------------+-------+---------+
";
    assert_eq!(text(&store, SQL, Format::Table), table);
    let csv = "\
device_id,window_start,score,nothing
device-00000,2026-03-04T00:04:00Z,0.5,
device-00002,2026-03-04T00:04:00Z,2.5,
device-00000,2026-03-04T00:05:00Z,0.5,
device-00002,2026-03-04T00:05:00Z,2.5,
";
    assert_eq!(text(&store, SQL, Format::Csv), csv);
    let json: serde_json::Value = serde_json::from_str(&text(&store, SQL, Format::Json)).unwrap();
    let first = serde_json::json!(
        {"device_id": "device-00000", "window_start": "2026-03-04T00:04:00Z", "score": 0.5, "nothing": null}
    );
    assert_eq!((json.as_array().unwrap().len(), &json[0]), (4, &first));
}

#[test]
fn times_are_utc_whatever_their_unit_or_zone() {
    let (_dir, store) = filled();
    let sql = "select to_timestamp('2026-03-04T01:02:03.5') as naive, min(window_start) as zoned, \
               date_trunc('hour', max(window_start)) as hour, max(window_end) + interval '1 day' as later, \
               '2026-03-04T01:00:00+01:00'::timestamptz as moved from windows";
    let row =
        "2026-03-04T01:02:03.500Z,2026-03-04T00:00:00Z,2026-03-04T00:00:00Z,2026-03-05T00:06:00Z,2026-03-04T00:00:00Z";
    let answer = text(&store, sql, Format::Csv);
    assert_eq!(answer.lines().nth(1), Some(row), "{answer}");
}

#[test]
fn lists_can_be_written_as_csv() {
    let (_dir, store) = filled();
    let answer = text(&store, "select array_agg(distinct device_type order by device_type) from windows", Format::Csv);
    assert_eq!(answer.lines().nth(1), Some("\"[camera, thermostat]\""), "{answer}");
}

#[test]
fn an_answer_without_rows_has_a_header() {
    let (_dir, store) = filled();
    let sql = "select verdict, given_at from verdicts";
    assert_eq!(text(&store, sql, Format::Csv), "verdict,given_at\n");
    assert_eq!(text(&store, sql, Format::Json), "[\n]\n");
    assert!(text(&store, sql, Format::Table).contains("| verdict | given_at |"));
    assert_eq!(store.query(sql).unwrap()[0].num_rows(), 0);
}

#[test]
fn every_table_can_be_asked_before_anything_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = ParquetStore::create(dir.path(), Config::default()).unwrap();
    let queries = store.queries().unwrap();
    for table in store::Table::ALL {
        let batches = queries.query(&format!("select * from {}", table.name())).unwrap();
        assert_eq!(batches[0].num_columns(), table.columns().len());
        let counted = queries.query(&format!("select count(*) from {}", table.name())).unwrap();
        assert_eq!(counted[0].num_rows(), 1);
    }
}

#[test]
fn names_near_the_wrong_one_are_offered_under_a_caret() {
    let (_dir, store) = filled();
    let text = store.query("select device_id,\n  byte_out from windows").unwrap_err().to_string();
    let expected = "\
cannot understand the query: column `byte_out` is unknown
  |   byte_out from windows
  |   ^
did you mean `bytes_out`?";
    assert_eq!(text, expected);
    let text = store.query("select 1 from window").unwrap_err().to_string();
    assert!(text.contains("table `window` is unknown") && text.contains("known tables: windows, contacts"), "{text}");
    assert!(text.contains("  | select 1 from window\n  |               ^"), "{text}");
    let text = store.query("select count(*) fro windows").unwrap_err().to_string();
    assert!(text.contains("  | select count(*) fro windows\n  |                     ^"), "{text}");
    let text = store.query("select colour(device_id) from windows").unwrap_err().to_string();
    assert!(text.contains("colour"), "{text}");
}

#[test]
fn a_question_changes_nothing() {
    let (dir, store) = filled();
    let copy = dir.path().join("copy.csv");
    for sql in [
        format!("copy windows to '{}'", copy.display()),
        "drop table windows".to_owned(),
        "insert into verdicts values ('a', 'true', 'b', now(), '')".to_owned(),
        "create table x as select 1".to_owned(),
        format!("create external table x stored as csv location '{}'", copy.display()),
        "set datafusion.execution.batch_size = 1".to_owned(),
    ] {
        let error = store.query(&sql).unwrap_err();
        assert!(matches!(error, Error::Sql(_)), "{sql}: {error}");
    }
    assert!(!copy.exists());
    assert_eq!(counts(&store), FILLED);
    assert!(store.query("show tables").is_ok() && store.query("describe windows").is_ok());
}

#[test]
fn several_files_and_a_compacted_one_answer_alike() {
    let (_dir, store) = filled();
    let sql = "select device_type, count(*), sum(bytes_out), min(window_start) from windows group by 1 order by 1";
    let before = text(&store, sql, Format::Csv);
    store.compact(minute(3)).unwrap();
    assert_eq!(text(&store, sql, Format::Csv), before);
    store.write_incidents(&[]).unwrap();
    assert_eq!(count(&store, "select count(*) from incidents"), 0);
}
