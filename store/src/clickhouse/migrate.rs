//! Numbered files of SQL, applied once each, in order, under a lock. `store/migrations/README.md` has their syntax.

use std::time::Duration;

use super::client::Server;
use super::config::{ClickHouseConfig, KEPT_DAYS};
use super::form::Form;
use super::lock::Lock;
use super::memory::quoted;
use crate::dictionary::Table;
use crate::error::Error;

pub struct Migration {
    pub number: u32,
    pub name: &'static str,
    pub sql: &'static str,
}

macro_rules! files {
    ($($number:literal $name:literal),* $(,)?) => {
        &[$(Migration { number: $number, name: $name, sql: include_str!(concat!("../../migrations/", $name, ".sql")) }),*]
    };
}

/// In the order they are applied. The first is applied each time: it makes the table that remembers the others.
pub fn migrations() -> &'static [Migration] {
    files![1 "0001_database", 2 "0002_windows", 3 "0003_findings", 4 "0004_states", 5 "0005_rollups"]
}

/// Tokens that a table remembers, counted in parts. A lane that was away does its last step again, and it must still be known
/// then: with 64 lanes this is a day, or half an hour while all of them catch up on history.
const TOKENS: u32 = 100_000;
/// Of a replicated one; each is a node in the cluster's keeper.
const TOKENS_REPLICATED: u32 = 20_000;

/// The table that rows of `table` are inserted into.
pub(super) fn written_as(table: Table) -> String {
    if table.is_written_whole() { format!("{}_state", table.name()) } else { table.name().to_owned() }
}

/// Statements of a file, for one server or for a cluster.
pub fn statements(migration: &Migration, config: &ClickHouseConfig) -> Vec<String> {
    let (database, cluster, form) = (config.database(), config.cluster.as_str(), Form::of(config));
    let is_cluster = form.is_cluster();
    let mut text = migration.sql.to_owned();
    for (table, default) in KEPT_DAYS {
        let days = config.keep_days.get(table).copied().unwrap_or(default);
        text = text.replace(&format!("{{ttl_{table}_days}}"), &days.to_string());
    }
    text = text
        .replace("{database}", database)
        .replace("{cluster}", cluster)
        .replace("{local}", form.local())
        .replace("{on_cluster}", &form.on_cluster());
    let (tokens, no_tokens) = if is_cluster {
        (
            format!(
                "replicated_deduplication_window = {TOKENS_REPLICATED}, replicated_deduplication_window_seconds = 259200, \
                 fsync_after_insert = 1, fsync_part_directory = 1"
            ),
            "replicated_deduplication_window = 0, fsync_after_insert = 1, fsync_part_directory = 1".to_owned(),
        )
    } else {
        (
            format!("non_replicated_deduplication_window = {TOKENS}, fsync_after_insert = 1, fsync_part_directory = 1"),
            "non_replicated_deduplication_window = 0, fsync_after_insert = 1, fsync_part_directory = 1".to_owned(),
        )
    };
    text = text.replace("{no_tokens}", &no_tokens).replace("{tokens}", &tokens);
    text = with_engines(&text, is_cluster);
    let mut statements = Vec::new();
    for statement in text.split(";\n") {
        let of_cluster = statement.lines().any(|line| line.trim() == "-- cluster:");
        let lines: Vec<&str> = statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let sql = lines.join("\n").trim().trim_end_matches(';').to_owned();
        if !sql.is_empty() && (is_cluster || !of_cluster) {
            statements.push(sql);
        }
    }
    statements
}

/// `{engine:MergeTree}` as the server has it: alone, or replicated.
fn with_engines(text: &str, is_cluster: bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{engine:") {
        let Some((engine, behind)) = after.split_once('}') else { break };
        out.push_str(before);
        let (name, arguments) =
            engine.split_once('(').map_or((engine, ""), |(name, rest)| (name, rest.trim_end_matches(')')));
        if is_cluster {
            let more = if arguments.is_empty() { String::new() } else { format!(", {arguments}") };
            // `{table}` and the others are macros of the server.
            out.push_str(&format!(
                "Replicated{name}('/clickhouse/tables/{{shard}}/{{database}}/{{table}}', '{{replica}}'{more})"
            ));
        } else {
            out.push_str(engine);
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Applies what is missing, and gives its names. `tell` is told whom it waits for.
///
/// # Errors
/// The server's own words for the statement it refuses; what came before it stays applied, and every statement may be
/// repeated. A file that was changed after it was applied.
pub(super) fn apply(server: &Server, config: &ClickHouseConfig, tell: &dyn Fn(&str)) -> Result<Vec<String>, Error> {
    // Nearly always: then there is nothing to wait for.
    match missing(server, config) {
        Ok(missing) if missing.is_empty() => return Ok(Vec::new()),
        Err(error) if !is_not_there(&error) => return Err(error),
        _ => {}
    }
    let lock = Lock::take(server, Form::of(config), Duration::from_secs(config.timeout_seconds()), tell)?;
    let execute = |sql: &str| {
        lock.demand()?;
        server.execute(sql)
    };
    // Every one of the first file's statements may be repeated.
    for statement in migrations().first().map(|first| statements(first, config)).unwrap_or_default() {
        execute(&statement)?;
    }
    let mut applied = Vec::new();
    for migration in missing(server, config)? {
        for statement in statements(migration, config) {
            execute(&statement)?;
        }
        execute(&format!(
            "INSERT INTO {}.migrations (number, name, checksum) VALUES ({}, {}, {})",
            config.database(),
            migration.number,
            quoted(migration.name),
            quoted(&checksum(migration))
        ))?;
        applied.push(migration.name.to_owned());
    }
    lock.give_back()?;
    Ok(applied)
}

/// Those not recorded as applied, the first file aside.
///
/// # Errors
/// A file that was changed after it was applied; what the server says when there is no record at all.
fn missing(server: &Server, config: &ClickHouseConfig) -> Result<Vec<&'static Migration>, Error> {
    server.catch_up(&Form::of(config), "migrations")?;
    let mut missing = Vec::new();
    for migration in migrations().iter().filter(|migration| migration.number > 1) {
        match recorded(server, config.database(), migration.number)? {
            None => missing.push(migration),
            Some(known) if known == checksum(migration) => {}
            Some(_) => {
                return Err(Error::Migration {
                    problem: format!(
                        "`{}` was changed since it was applied; migrations are only added",
                        migration.name
                    ),
                });
            }
        }
    }
    Ok(missing)
}

fn checksum(migration: &Migration) -> String {
    fleet::id::stable_id(&[migration.sql])
}

/// No such table, or database.
fn is_not_there(error: &Error) -> bool {
    matches!(error, Error::ClickHouse { problem, .. } if problem.contains("Code: 60.") || problem.contains("Code: 81."))
}

/// Whether the database is there; one that this user has no right to is not.
pub(super) fn has_database(server: &Server, config: &ClickHouseConfig) -> Result<bool, Error> {
    let sql = format!("SELECT 1 FROM system.databases WHERE name = {}", quoted(config.database()));
    Ok(!server.fetch(&sql, "RowBinary")?.is_empty())
}

/// # Errors
/// A database that does not exist; a migration that was not applied, by name.
pub(super) fn demand(server: &Server, config: &ClickHouseConfig) -> Result<(), Error> {
    let first = match missing(server, config) {
        Ok(missing) => missing.first().map(|migration| migration.name),
        // Which of the two it is, servers say by one code or the other.
        Err(error) if is_not_there(&error) => {
            if !has_database(server, config)? {
                return Err(Error::NoDatabase { url: server.url.clone(), database: config.database().to_owned() });
            }
            migrations().first().map(|migration| migration.name)
        }
        Err(error) => return Err(error),
    };
    match first {
        None => Ok(()),
        Some(name) => Err(Error::Migration {
            problem: format!(
                "migration `{name}` was not applied; run `vedette migrate`, or set migrate = true under [store.clickhouse]"
            ),
        }),
    }
}

fn recorded(server: &Server, database: &str, number: u32) -> Result<Option<String>, Error> {
    let sql = format!("SELECT checksum FROM {database}.migrations FINAL WHERE number = {number} LIMIT 1");
    let row = server.fetch(&sql, "RowBinary")?;
    Ok(super::rowbinary::read_bytes(&row).map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_gives_both_forms() {
        for migration in migrations() {
            for (cluster, engine) in [("", "MergeTree"), ("main", "Replicated")] {
                let config = ClickHouseConfig { cluster: cluster.to_owned(), ..ClickHouseConfig::default() };
                let all = statements(migration, &config);
                assert!(!all.is_empty(), "{}", migration.name);
                for sql in &all {
                    let rest = sql
                        .replace("{shard}", "")
                        .replace("{replica}", "")
                        .replace("{database}", "")
                        .replace("{table}", "");
                    assert!(!rest.contains('{'), "{}: {sql}", migration.name);
                    assert_eq!(sql.contains("ON CLUSTER"), !cluster.is_empty(), "{}: {sql}", migration.name);
                }
                assert!(all.iter().any(|sql| sql.contains(engine)) || migration.number == 5, "{}", migration.name);
            }
        }
    }
}
