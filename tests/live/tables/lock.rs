//! The lock of migrations that somebody who was killed left behind.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::engine::{Engine, with_engine};
use super::super::kafka::are_there;
use super::super::vedette::{text, vedette};
use super::{ask, change, rows};

#[test]
fn a_lock_left_behind_is_respected_for_its_time_and_then_taken_over() {
    if !are_there("a lock that is left behind") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let config = folder.path().join("vedette.toml");
    std::fs::write(&config, with_engine("", folder.path(), &engine)).expect("it is written");
    // The front's `database` of every request.
    ask(&engine, "writer", "database=default", "CREATE DATABASE vedette").expect("a database is made");
    let clock = || {
        let time: Vec<Value> =
            rows(&engine, "SELECT toInt64(toUnixTimestamp(now())) AS now").expect("the server's clock");
        time[0]["now"].as_i64().expect("a number")
    };
    let now = clock();
    let (since, until) = (now - 90, now + 8);
    change(
        &engine,
        &format!(
            "CREATE TABLE migrations_lock (taken UInt8) ENGINE = MergeTree ORDER BY taken \
             COMMENT 'held by process 7 on elsewhere from {since} until {until}'"
        ),
    );
    let began = Instant::now();
    let output = vedette(&["migrate", "--config", text(&config)]);
    let (waited, now) = (began.elapsed(), clock());
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    // By the server's clock, which all go by.
    assert!(now > until, "nobody may touch it until {until}, and it was done at {now}: {told}");
    assert!(waited < Duration::from_secs(60), "it was done after {waited:?}: {told}");
    assert!(told.contains("process 7 on elsewhere has been migrating for 9"), "{told}");
    assert!(told.contains("process 7 on elsewhere left the lock of migrations behind"), "{told}");
    assert!(said.contains("applied 0005_rollups"), "{said}");
    let locks = "SELECT name FROM system.tables WHERE name LIKE '%lock%' AND database = 'vedette'";
    let left: Vec<Value> = rows(&engine, locks).expect("tables are listed");
    assert!(left.is_empty(), "it is given back: {left:?}");
}
