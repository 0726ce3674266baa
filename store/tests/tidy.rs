//! Merging beside those who write and read: what is settled becomes few files, nothing else is touched, and whoever listed the
//! files just before still reads them.

mod common;

use std::cell::Cell;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use common::*;
use fleet::EventTime;
use store::{ALWAYS, Config, ParquetStore, Store};

fn create(dir: &Path, row_group_rows: usize) -> ParquetStore {
    ParquetStore::create(dir, Config { row_group_rows, ..Config::default() }).unwrap()
}

fn files(store: &ParquetStore, table: &str) -> Vec<String> {
    let folder = std::fs::read_dir(store.dir().join("tables").join(table)).unwrap();
    let mut names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_settled_is_merged_and_the_rest_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), 131_072);
    fill(&store);
    assert_eq!(store.loose().unwrap(), 4, "two steps of each lane");
    // Of both lanes the first step, in three tables, and one file of findings. The others count for nothing: as long as there are
    // many of them, these few would be merged a few at a time, and what was merged before with them.
    assert_eq!(store.tidy(3, minute(3), &|name| name == "first").unwrap(), 0);
    assert_eq!(store.loose().unwrap(), 4, "nothing was merged");
    assert_eq!(store.tidy(2, minute(3), &|name| name == "first").unwrap(), 7);
    assert_eq!((counts(&store), store.loose().unwrap()), (FILLED, 2));
    assert_eq!(store.steps(0).unwrap(), [(minute(4), minute(6))]);
    // As whoever was killed before it could commit.
    fill(&store);
    assert_eq!(counts(&store), FILLED);
    // The other step, the other file, and of four tables what the first merge made.
    assert_eq!(store.tidy(0, EventTime::MAX, &|_| true).unwrap(), 11);
    assert_eq!(store.tidy(0, EventTime::MAX, &|_| true).unwrap(), 0);
    assert_eq!((counts(&store), store.loose().unwrap()), (FILLED, 0));
    for table in ["windows", "contacts", "evidence", "findings"] {
        assert_eq!(files(&store, table), ["compacted-2.parquet"], "{table}");
    }
}

#[test]
fn whoever_listed_the_files_before_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), 131_072);
    fill(&store);
    let listed = store.queries().unwrap();
    assert!(store.tidy(0, EventTime::MAX, &|_| true).unwrap() > 0);
    for table in ["windows", "findings"] {
        let batches = listed.query(&format!("select count(*) from {table}")).unwrap();
        let expected = if table == "windows" { WINDOWS } else { FINDINGS };
        assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), expected, "{table}");
    }
}

#[test]
fn a_file_that_is_large_enough_is_merged_no_more() {
    let dir = tempfile::tempdir().unwrap();
    // Four of these are the windows of one step of both lanes.
    let store = create(dir.path(), 6);
    fill(&store);
    for through in [minute(3), EventTime::MAX, EventTime::MAX] {
        store.tidy(0, through, &|_| true).unwrap();
        assert_eq!(counts(&store), FILLED, "through {through}");
    }
    for table in ["windows", "contacts"] {
        assert_eq!(files(&store, table), ["compacted-1.parquet", "compacted-2.parquet"], "{table}");
    }
    assert_eq!(files(&store, "evidence"), ["compacted-2.parquet"], "there is room for more");
    drop(store);
    let store = create(dir.path(), 6);
    assert_eq!((counts(&store), files(&store, "windows").len()), (FILLED, 2), "opened again");
    let expected: Vec<_> = (0..6).flat_map(|at| (0..8).map(move |key| window(key, minute(at)))).collect();
    assert_eq!(store.windows(ALWAYS, key_of).unwrap(), expected);
    drop(store);
    assert!(ParquetStore::start_over(dir.path(), || Ok(())).unwrap());
    assert_eq!(counts(&create(dir.path(), 6)), [0; 6]);
}

/// Whoever says what is settled may err: a step that comes meanwhile, and would count as merged, is not hidden.
#[test]
fn what_is_written_while_merging_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), 131_072);
    fill(&store);
    let earlier = StepData::new(0, -3, 0, 8);
    let asked = Cell::new(0);
    // Asked about both files of findings when they are counted, and again when windows are merged already.
    let write_first = |_: &str| {
        asked.set(asked.get() + 1);
        if asked.get() == 3 {
            store.write_step(&earlier.step()).unwrap();
        }
        true
    };
    assert_eq!(store.tidy(0, EventTime::MAX, &write_first).unwrap(), 0);
    assert!(asked.get() >= 3, "nobody wrote meanwhile");
    assert_eq!(count(&store, "select count(*) from windows"), WINDOWS + 12);
    assert!(
        files(&store, "windows").iter().all(|name| !name.starts_with("compacted-")),
        "{:?}",
        files(&store, "windows")
    );
    assert!(store.tidy(0, EventTime::MAX, &|_| true).unwrap() > 0, "the next time");
    assert_eq!(count(&store, "select count(*) from windows"), WINDOWS + 12);
}
