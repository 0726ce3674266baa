//! A disk that takes no more: the error names the file and the remedy, what was written before is whole, and no half
//! file stands under a final name.
//!
//! The limit on the size of files (`ulimit -f`) needs no rights and fails in the middle of a file; a full file system is
//! tried where a small one can be mounted.

mod common;
#[path = "../../tests/not_run/mod.rs"]
mod not_run;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use common::*;
use fleet::EventTime;
use not_run::not_run;
use store::{Config, Error, ParquetStore, Store};

const CHILD: &str = "STORE_TEST_DISK_DIR";

/// Writes until the disk refuses, and checks what is left. `Err`: it never refused.
fn write_until_refused(dir: &Path) -> Result<std::io::Error, String> {
    let store = ParquetStore::create(dir, Config::default()).map_err(|error| error.to_string())?;
    fill(&store);
    for step in 1..200 {
        // Each step is larger than the one before.
        let data = StepData::new(0, step * 10_000, step * 10_000 + 8 * step, 64);
        let Err(error) = store.write_step(&data.step()) else { continue };
        let text = error.to_string();
        assert!(text.contains(dir.to_str().unwrap()) && text.contains(".parquet`"), "no file named: {text}");
        assert!(text.contains("--out"), "no remedy: {text}");
        assert!(error.retry(), "more room may come");
        let Error::Write { source, .. } = error else { panic!("not a failed write: {error}") };
        for table in ["windows", "contacts", "evidence"] {
            for entry in fs::read_dir(dir.join("tables").join(table)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(!name.ends_with(".tmp"), "half a file was left: {name}");
            }
        }
        // Every file under a final name is whole: it can be read to its end.
        let store = ParquetStore::open(dir).unwrap();
        let whole = store.windows(minute(0)..minute(6), key_of).unwrap();
        assert_eq!(whole.len() as i64, WINDOWS);
        assert_eq!(
            count(&store, "select count(*) from (select distinct device_id, window_start from windows)"),
            count(&store, "select count(*) from windows where records > 0 and bytes_out > -1")
        );
        return Ok(source);
    }
    Err("200 steps fitted".to_owned())
}

#[test]
#[ignore = "run by the test below, under a limit on the size of files"]
fn child_with_a_limit() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let source = write_until_refused(Path::new(&dir)).unwrap();
    assert_eq!(source.kind(), ErrorKind::FileTooLarge, "{source}");
}

#[test]
fn a_file_that_may_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    // 64 blocks of 512 bytes; without the trap the signal would end the process before the error is seen.
    let script = r#"trap '' XFSZ; ulimit -f 64; exec "$0" --ignored --exact child_with_a_limit"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir.path().join("out"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(dir.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        not_run("it needs the right to mount a small tmpfs");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let source = write_until_refused(&dir.path().join("out")).unwrap();
        assert_eq!(source.kind(), ErrorKind::StorageFull, "{source}");
        // Neither can it be compacted, and nothing is lost by trying.
        let store = ParquetStore::create(&dir.path().join("out"), Config::default()).unwrap();
        let before = count(&store, "select count(*) from windows");
        let filler = "x".repeat(1 << 20);
        let _ = fs::write(dir.path().join("out/filler.tmp"), filler);
        let error = store.compact(EventTime::MAX).unwrap_err().to_string();
        assert!(error.contains("free space"), "{error}");
        assert_eq!(count(&store, "select count(*) from windows"), before);
    });
    let unmounted = Command::new("umount").arg(dir.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", dir.path().display());
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure);
    }
}
