//! The tables of one server hold what their page promises. What only a cluster or another server would run is at least what
//! the engine's parser takes: the cluster form of migrations, of what is said while running, and the users.

use store::clickhouse::config::KEPT_DAYS;
use store::clickhouse::{ClickHouseConfig, Form, Migration, migrations, statements};

use super::super::engine::Engine;
use super::super::kafka::are_there;
use super::super::vedette::{mortal, output, text};
use super::ask;

const USERS: &str = include_str!("../../../store/migrations/users.sql");

/// As `vedette` fills it in; the hashes are an administrator's to fill in.
fn users(config: &ClickHouseConfig) -> Vec<String> {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let sql: &'static str = Box::leak(
        USERS.replace("{writer_password_sha256}", hash).replace("{reader_password_sha256}", hash).into_boxed_str(),
    );
    statements(&Migration { number: 0, name: "users", sql }, config)
}

/// Of all files.
fn tables(config: &ClickHouseConfig) -> Vec<String> {
    migrations().iter().flat_map(|migration| statements(migration, config)).collect()
}

#[test]
fn the_cluster_form_and_the_grants_are_taken_by_the_engines_parser() {
    if !are_there("the cluster form of the tables") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    // The front's `database` of every request.
    ask(&engine, "writer", "database=default", "CREATE DATABASE vedette").expect("a database is made");
    for cluster in ["", "fleet"] {
        let config = ClickHouseConfig { cluster: cluster.to_owned(), ..ClickHouseConfig::default() };
        let form = Form::of(&config);
        let mut all = tables(&config);
        all.extend(users(&config));
        all.extend([form.make_database(), form.take_lock("it's ours"), form.give_lock_back(), form.forget("log/0", 7)]);
        all.extend(form.catch_up("lane_memory"));
        for sql in &all {
            let parsed = ask(&engine, "writer", "", &format!("EXPLAIN AST {sql}"));
            assert!(parsed.as_ref().is_ok_and(|tree| !tree.is_empty()), "{sql}: {parsed:?}");
            assert_eq!(sql.contains("ON CLUSTER 'fleet'"), !cluster.is_empty(), "{sql}");
        }
        let replica = "MergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}'";
        for wanted in
            [format!("ENGINE = Replicated{replica})"), format!("ENGINE = ReplicatedReplacing{replica}, version)")]
        {
            assert_eq!(all.iter().any(|sql| sql.contains(&wanted)), !cluster.is_empty(), "{wanted}");
        }
    }
}

#[test]
fn the_plain_form_has_the_documented_columns_and_no_row_twice() {
    if !are_there("the plain form of the tables") {
        return;
    }
    let keep_days = KEPT_DAYS.map(|(table, _)| (table.to_owned(), 36_500)).into();
    let kept = ClickHouseConfig { keep_days, ..ClickHouseConfig::default() };
    let short = ClickHouseConfig { database: "short".to_owned(), ..ClickHouseConfig::default() };
    let statements = serde_json::json!({ "vedette": tables(&kept), "short": tables(&short) });
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), statements.to_string()).expect("it is written");
    let mut command = mortal(&[], "python3");
    command.args(["tests/services/selftest_tables.py", text(file.path())]);
    let output = output(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
