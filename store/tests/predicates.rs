//! Conditions as policy rules use them.

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Float32Array, RecordBatch, StringArray, UInt16Array};
use arrow::datatypes::{DataType, Field, Schema};
use store::Predicate;

fn batch() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("device_type", DataType::Utf8, false),
        Field::new("sign_in_failures", DataType::Float32, false),
        Field::new("port", DataType::UInt16, true),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from(vec!["camera", "camera", "plug"])),
            Arc::new(Float32Array::from(vec![0.0, 12.0, 30.0])),
            Arc::new(UInt16Array::from(vec![Some(23), None, Some(443)])),
        ],
    )
    .unwrap()
}

fn says(expression: &str) -> Vec<Option<bool>> {
    let batch = batch();
    Predicate::compile(expression, &batch.schema()).unwrap().evaluate(&batch).unwrap().iter().collect()
}

fn mistake(expression: &str) -> String {
    Predicate::compile(expression, &batch().schema()).unwrap_err().to_string()
}

#[test]
fn a_condition_holds_for_some_rows() {
    assert_eq!(says("sign_in_failures > 10 and device_type = 'camera'"), [Some(false), Some(true), Some(false)]);
    assert_eq!(says("port in (22, 23)"), [Some(true), None, Some(false)]);
    assert_eq!(says("device_type like 'cam%' or sign_in_failures >= 30"), [Some(true); 3]);
    assert_eq!(says("case when port is null then true else false end"), [Some(false), Some(true), Some(false)]);
    assert_eq!(says("true"), [Some(true); 3]);
    assert_eq!(says("null"), [None; 3]);
}

#[test]
fn a_mistake_is_shown_with_a_caret_and_near_names() {
    let expected = "\
cannot understand the expression: column `sign_in_failure` is unknown
  | port = 23 and sign_in_failure > 10
  |               ^
did you mean `sign_in_failures`?";
    assert_eq!(mistake("port = 23 and sign_in_failure > 10"), expected);
    let text = mistake("colour = 'red'");
    assert!(text.contains("known columns: device_type, sign_in_failures, port"), "{text}");
    let text = mistake("port = = 23");
    assert!(text.contains("  | port = = 23\n  |        ^"), "{text}");
    let text = mistake("port = 23 23");
    assert!(text.contains("port = 23 23"), "{text}");
}

#[test]
fn what_is_no_condition_is_refused() {
    let text = mistake("sign_in_failures + 1");
    assert!(text.contains("value of type Float") && text.contains("expected a condition"), "{text}");
    for wrong in ["count(*) > 3", "exists (select 1)", "", "port > (select 1)", "device_type and true"] {
        let text = mistake(wrong);
        assert!(text.starts_with("cannot understand the expression"), "{wrong}: {text}");
    }
}

#[test]
fn an_operation_that_fails_names_the_expression() {
    let batch = batch();
    let predicate = Predicate::compile("10 / (port - port) > 1", &batch.schema()).unwrap();
    let text = predicate.evaluate(&batch).unwrap_err().to_string();
    assert!(text.contains("10 / (port - port) > 1") && text.contains("ivide by zero"), "{text}");
    assert_eq!(predicate.text(), "10 / (port - port) > 1");
}

#[test]
fn text_that_would_have_to_be_a_number_is_refused_before_it_fails() {
    for wrong in ["port = 23 and device_type >= 3", "cast(device_type as int) = 1"] {
        let text = mistake(wrong);
        assert!(text.contains("`device_type` is text") && text.contains("try_cast(device_type as double)"), "{text}");
    }
    assert_eq!(says("try_cast(device_type as double) > 1"), [None; 3]);
    assert_eq!(says("sign_in_failures > '3'"), [Some(false), Some(true), Some(true)]);
}

#[test]
fn text_that_a_column_never_is_is_shown_with_what_it_can_be() {
    let values = HashMap::from([(store::VALUES.to_owned(), "info,low,medium,high".to_owned())]);
    let schema = Schema::new(vec![
        Field::new("severity", DataType::Utf8, true).with_metadata(values),
        Field::new("site", DataType::Utf8, true),
    ]);
    let compiled = |expression: &str| Predicate::compile(expression, &schema).map_err(|error| error.to_string());
    let text = compiled("site = 'x' and severity = 'hgih'").unwrap_err();
    assert!(text.contains("`severity` is never `hgih`; did you mean `high`?"), "{text}");
    assert!(text.ends_with(&format!("\n  | {}^", " ".repeat("site = 'x' and severity = ".len()))), "{text}");
    for wrong in ["'severe' <> severity", "not (severity in ('low', 'severe'))"] {
        let text = compiled(wrong).unwrap_err();
        assert!(text.contains("`severity` is never `severe`; expected one of info, low, medium, high"), "{text}");
    }
    for right in ["severity in ('low', 'high')", "severity = site", "site = 'hgih'", "severity like 'h%'"] {
        assert!(compiled(right).is_ok(), "{right}");
    }
}

#[test]
fn what_has_no_order_and_what_fails_always_is_refused() {
    let values = HashMap::from([(store::VALUES.to_owned(), "low,high,critical".to_owned())]);
    let schema = Schema::new(vec![
        Field::new("severity", DataType::Utf8, true).with_metadata(values.clone()),
        Field::new("severity_rank", DataType::Float64, true),
        Field::new("kind", DataType::Utf8, true).with_metadata(values),
        Field::new("site", DataType::Utf8, true),
    ]);
    let compiled = |expression: &str| Predicate::compile(expression, &schema).map_err(|error| error.to_string());
    for wrong in ["severity >= 'high'", "'high' <= severity", "severity between 'high' and 'critical'"] {
        let text = compiled(wrong).unwrap_err();
        assert!(text.contains("`severity` is text") && text.contains("compare `severity_rank`, a number"), "{text}");
    }
    assert!(compiled("kind > 'low'").unwrap_err().contains("say which it may be, with `in (...)`"));
    for wrong in ["severity_rank = 'high'", "severity_rank > 2 or severity_rank = 'high'"] {
        let text = compiled(wrong).unwrap_err();
        assert!(text.contains("it fails whatever is found") && text.contains("'high'"), "{text}");
    }
    for right in ["severity_rank >= 3", "site > 'm'", "severity_rank = '3'"] {
        assert!(compiled(right).is_ok(), "{right}");
    }
}

#[test]
fn the_windows_of_a_step_can_be_asked() {
    let data = common::StepData::new(1, 0, 1, 8);
    let batch = store::rows::window_batch(&data.step()).unwrap();
    let rule = "device_type = 'thermostat' and malicious > 0 and window_end - window_start <= interval '1 minute'";
    let answer = Predicate::compile(rule, &batch.schema()).unwrap().evaluate(&batch).unwrap();
    assert_eq!(answer.iter().collect::<Vec<_>>(), [1, 3, 5, 7].map(|device| Some(device == 3)));
}
