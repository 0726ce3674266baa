//! Expected measures come from scikit-learn 1.9's `roc_auc_score` and `average_precision_score`.

use std::io::Write;

use super::ranking::{average_precision, midranks, roc_auc};
use super::*;

fn parse(text: &str) -> Result<LabelledTable, TableError> {
    LabelledTable::parse(text.as_bytes(), Path::new("t.csv"), "label")
}

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_label_may_stand_anywhere() {
    let table = parse("a, label ,b\n1,0,2\n-3e2,1,4.5\n").unwrap();
    assert_eq!(table.features, ["a", "b"]);
    assert_eq!(table.values, [1.0, 2.0, -300.0, 4.5]);
    assert_eq!(table.anomalous, [false, true]);
    assert_eq!((table.rows(), table.anomalies()), (2, 1));
}

#[test]
fn compression_is_known_by_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("named-as-if-plain.csv");
    let text = b"a,label\n1,0\n2,1\n";
    let expected = LabelledTable::parse(&text[..], &path, "label").unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    for compressed in [encoder.finish().unwrap(), zstd::encode_all(&text[..], 1).unwrap()] {
        std::fs::write(&path, &compressed).unwrap();
        assert_eq!(LabelledTable::read(&path, "label").unwrap(), expected);

        std::fs::write(&path, &compressed[..compressed.len() - 6]).unwrap();
        let error = LabelledTable::read(&path, "label").unwrap_err().to_string();
        assert!(error.contains("named-as-if-plain.csv` as CSV") && error.contains("whole"), "{error}");
    }
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    let missing = LabelledTable::read(Path::new("no/such.csv"), "label").unwrap_err();
    assert!(missing.to_string().starts_with("cannot open `no/such.csv`"));
    assert!(!missing.retry());
    assert_eq!(message(""), "`t.csv` has no rows; expected a line of column names and a line for each row");
    assert_eq!(message("a,label\n"), message(""));
    assert_eq!(
        message("a,b\n1,0\n"),
        "`t.csv` has no column `label`, only `a`, `b`; name the label's column with --label"
    );
    assert_eq!(message("label\n1\n"), "`t.csv` has no column besides `label`; expected at least one feature");
    let number = "expected a finite number; fill or drop the row";
    assert_eq!(message("a,b,label\n1,2,0\n1,x,0\n"), format!("`t.csv` line 3, column `b` is `x`, {number}"));
    assert_eq!(message("a,b,label\nNaN,2,0\n"), format!("`t.csv` line 2, column `a` is `NaN`, {number}"));
    assert_eq!(message("a,b,label\n,2,0\n"), format!("`t.csv` line 2, column `a` is ``, {number}"));
    assert_eq!(
        message("a,label\n1,0\n1,2\n"),
        "`t.csv` line 3, column `label` is `2`, expected 0 (normal) or 1 (anomaly)"
    );
    assert_eq!(
        message("a,label\n1,0\n"),
        "all rows of `t.csv` are labelled 0; ranking needs both 0 (normal) and 1 (anomaly)"
    );
    assert!(message("a,label\n1,0,5\n").starts_with("cannot read `t.csv` as CSV"));
}

#[test]
fn ties_count_as_in_scikit_learn() {
    let scores = [0.1, 0.4, 0.4, 0.8, 0.8, 0.8, 0.2, 0.9];
    let anomalous = [false, false, true, true, false, true, false, false];
    assert_eq!(midranks(&scores), [1.0, 3.5, 3.5, 6.0, 6.0, 6.0, 2.0, 8.0]);
    assert!((roc_auc(&scores, &anomalous).unwrap() - 0.633_333_333_333_333_3).abs() < 1e-15);
    assert!((average_precision(&scores, &anomalous).unwrap() - 0.5).abs() < 1e-15);
}

#[test]
fn extremes_of_ranking() {
    let anomalous = [false, false, true];
    assert_eq!(roc_auc(&[0.1, 0.2, 0.3], &anomalous), Some(1.0));
    assert_eq!(average_precision(&[0.1, 0.2, 0.3], &anomalous), Some(1.0));
    assert_eq!(roc_auc(&[0.5, 0.5, 0.5], &anomalous), Some(0.5));
    assert!((average_precision(&[0.5, 0.5, 0.5], &anomalous).unwrap() - 1.0 / 3.0).abs() < 1e-15);
    assert_eq!(roc_auc(&[0.5, 0.6], &[true, true]), None);
    assert_eq!(average_precision(&[], &[]), None);
}
