//! Whose folder it is: a store's, nobody's, or somebody else's.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use store::{Config, Error, ParquetStore, write_file};

fn create(dir: &Path) -> Result<ParquetStore, Error> {
    ParquetStore::create(dir, Config::default())
}

#[test]
fn a_folder_that_is_missing_or_no_store_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no-such-run");
    let text = ParquetStore::open(&missing).unwrap_err().to_string();
    assert!(text.contains("no-such-run` does not exist") && text.contains("vedette replay"), "{text}");
    let text = ParquetStore::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("is not a store") && text.contains("vedette replay"), "{text}");
}

#[test]
fn starting_over_removes_what_a_store_wrote_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    assert!(!ParquetStore::start_over(&out, || Ok(())).unwrap(), "nothing there yet");
    let store = create(&out).unwrap();
    fill(&store);
    store.compact(minute(3)).unwrap();
    drop(store);
    fs::write(out.join("notes.txt"), "mine").unwrap();
    assert!(ParquetStore::start_over(&out, || Ok(())).unwrap());
    assert_eq!(fs::read(out.join("notes.txt")).unwrap(), b"mine");
    let error = create(&out).unwrap_err();
    assert!(error.to_string().contains("holds `notes.txt`"), "without a manifest it is anybody's: {error}");
    write_file(&out.join("run.json"), b"{}").unwrap();
    assert_eq!(counts(&create(&out).unwrap()), [0; 6]);
}

#[test]
fn somebody_elses_folder_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    for error in
        [create(dir.path()).unwrap_err(), ParquetStore::start_over(dir.path(), || panic!("not ours")).unwrap_err()]
    {
        let text = error.to_string();
        assert!(text.contains("not empty and not a store") && text.contains("`thesis.tex`"), "{text}");
    }
    fs::remove_file(dir.path().join("thesis.tex")).unwrap();
    // A `tables` folder that holds other things is not ours either.
    fs::create_dir_all(dir.path().join("tables/kitchen")).unwrap();
    assert!(create(dir.path()).unwrap_err().to_string().contains("`tables/kitchen`"));
}

#[test]
fn one_process_writes_and_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path()).unwrap();
    fill(&store);
    let error = create(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.retry(), "{error}");
    assert!(matches!(ParquetStore::start_over(dir.path(), || panic!("not ours")), Err(Error::Busy { .. })));
    let reader = ParquetStore::open(dir.path()).unwrap();
    assert_eq!(counts(&reader), FILLED);
    assert!(matches!(reader.compact(minute(9)), Err(Error::ReadOnly { .. })));
    store.compact(minute(9)).unwrap();
    assert_eq!(counts(&reader), FILLED, "a reader sees what others compact");
}

#[test]
fn a_folder_of_an_odd_name_is_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a b[1]*?%20ü");
    let store = create(&out).unwrap();
    fill(&store);
    store.compact(minute(3)).unwrap();
    assert_eq!(counts(&store), FILLED);
}

#[test]
fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path()).unwrap();
    fill(&store);
    let file = dir.path().join("tables/findings/second.parquet");
    fs::write(&file, "not parquet").unwrap();
    let text = store.rows::<fleet::Finding>().unwrap_err().to_string();
    assert!(text.contains("second.parquet` is damaged") && text.contains("replay again"), "{text}");
    drop(store);
    fs::write(dir.path().join("manifest.json"), "{").unwrap();
    let text = ParquetStore::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("manifest.json` is damaged"), "{text}");
}
