//! The tables of one server hold what their page promises. What only a cluster or another server would run is at least what
//! the engine's parser takes: the cluster form of migrations, of what is said while running, and the users.

use std::process::Command;

use store::clickhouse::{ClickHouseConfig, Form, Migration, migrations, statements};

use super::super::engine::Engine;
use super::super::kafka::are_there;
use super::ask;

const USERS: &str = include_str!("../../../store/migrations/users.sql");

/// As `vedette` fills it in; the hashes are an administrator's to fill in.
fn users(config: &ClickHouseConfig) -> Vec<String> {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text: &'static str = Box::leak(
        USERS.replace("{writer_password_sha256}", hash).replace("{reader_password_sha256}", hash).into_boxed_str(),
    );
    statements(&Migration { number: 0, name: "users", sql: text }, config)
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
        let of_files: Vec<String> = migrations().iter().flat_map(|migration| statements(migration, &config)).collect();
        assert_eq!(of_files, of_python(cluster), "tests/services/migrations.py fills in the same");
        let form = Form::of(&config);
        let mut all = of_files;
        all.extend(users(&config));
        all.extend(form.take_lock());
        all.extend([form.give_lock_back(), form.forget("log/0", 7)]);
        all.extend(form.catch_up("lane_memory"));
        for sql in &all {
            let parsed = ask(&engine, "writer", "", &format!("EXPLAIN AST {sql}"));
            assert!(parsed.as_ref().is_ok_and(|tree| !tree.is_empty()), "{sql}: {parsed:?}");
            assert_eq!(sql.contains("ON CLUSTER 'fleet'"), !cluster.is_empty(), "{sql}");
        }
        let replicated = "ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')";
        assert_eq!(all.iter().any(|sql| sql.contains(replicated)), !cluster.is_empty());
    }
}

#[test]
fn the_plain_form_has_the_documented_columns_and_no_row_twice() {
    if !are_there("the plain form of the tables") {
        return;
    }
    let output = Command::new("python3").arg("tests/services/selftest_tables.py").output().expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The statements as the tests of the services have them, less comments.
fn of_python(cluster: &str) -> Vec<String> {
    let output = Command::new("python3")
        .args(["tests/services/migrations.py", "--cluster", cluster])
        .output()
        .expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("SQL is text");
    let without_comments = |statement: &str| {
        statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
    };
    text.split(";\n")
        .map(|statement| without_comments(statement).trim().to_owned())
        .filter(|sql| !sql.is_empty())
        .collect()
}
