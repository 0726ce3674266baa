//! What stands in ClickHouse: the golden questions are answered as by the embedded store, every panel shows something, and a
//! batch that the server refuses stops its lane until the table is mended.

mod forms;
mod left_out;
mod lock;
mod panels;
pub mod slt;

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clickhouse::wait_for_findings;
use super::engine::Engine;
use super::kafka::{Broker, are_there};
use super::one_truth::{Site, prepare, replayed_demo, site};
use super::vedette::{Service, succeed, text, vedette};

const GOLDEN: &str = "tests/live/tables/golden";

/// Body of the answer to a statement or question, or what the engine says against it.
fn ask(engine: &Engine, user: &str, path: &str, sql: &str) -> Result<String, String> {
    let mut stream = std::net::TcpStream::connect(&engine.address).expect("the engine listens");
    let password = if user == "reader" { "other" } else { "secret" };
    write!(
        stream,
        "POST /?database=vedette&{path} HTTP/1.0\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n\
         Content-Length: {}\r\n\r\n{sql}",
        sql.len()
    )
    .expect("the engine reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the engine answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    if head.lines().next().is_some_and(|line| line.contains(" 200 ")) {
        Ok(body.to_owned())
    } else {
        Err(body.to_owned())
    }
}

#[track_caller]
pub fn change(engine: &Engine, sql: &str) {
    ask(engine, "writer", "mutations_sync=2", sql).unwrap_or_else(|problem| panic!("{sql}: {problem}"));
}

/// As dashboards ask: by the user who only reads.
fn rows<T: serde::de::DeserializeOwned>(engine: &Engine, sql: &str) -> Result<Vec<T>, String> {
    let body =
        ask(engine, "reader", "output_format_json_quote_64bit_integers=0", &format!("{sql} FORMAT JSONEachRow"))?;
    body.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
}

#[test]
fn both_stores_answer_alike_every_panel_shows_something_and_a_refused_batch_waits() {
    if !are_there("the golden questions, the panels and refused batches") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let site = site(&broker, replayed, 2);
    site.keep_in(&engine);
    migrated_by_two_at_once(&site, &engine);
    prepare(&site, replayed, 3);

    change(&engine, "ALTER TABLE contacts MODIFY COLUMN duration Float64");
    let mut service = Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin);
    let demo = replayed.data("demo.toml");
    succeed(&["feed", text(&demo), "--brokers", &broker.bootstrap, "--speed", "0", "--key", "none", "--quiet"]);
    // A column of another type would be read as something else; one that is gone is gone.
    let said = refusal(&mut service, "duration");
    let words = "Type of 'duration' must be Float64, not Float32";
    assert!(said.contains(words) && service.said().contains(words), "{said}\n{}", service.said());
    change(&engine, "ALTER TABLE contacts MODIFY COLUMN duration Float32");
    change(&engine, "ALTER TABLE windows DROP COLUMN site");
    let said = refusal(&mut service, "site");
    assert!(said.contains("Code: 16."), "{said}");
    change(&engine, "ALTER TABLE windows ADD COLUMN site LowCardinality(String) CODEC(ZSTD(1)) AFTER segment");
    service.wait_closed(2, replayed.through, Duration::from_secs(240));
    wait_for_findings(&replayed.store, &engine);
    service.stop();

    let questions = slt::questions(Path::new(GOLDEN));
    assert!(questions.len() >= 12);
    let embedded = |sql: &str| -> Result<Vec<slt::Row>, String> {
        let output = vedette(&["query", "--store", text(&replayed.store), "--format", "json", sql]);
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {problem}"))
    };
    let mut wrong = slt::differences(&questions, embedded);
    assert!(wrong.is_empty(), "the embedded store:\n{}", wrong.join("\n"));
    wrong = slt::differences(&questions, |sql| rows(&engine, sql));
    assert!(wrong.is_empty(), "ClickHouse:\n{}", wrong.join("\n"));
    panels::demand_rows(&engine, replayed);
}

/// The lock lets one apply each migration while the other waits; later nothing is left to do.
fn migrated_by_two_at_once(site: &Site, engine: &Engine) {
    let config = text(&site.config);
    let said = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| succeed(&["migrate", "--config", config])));
        both.map(|one| one.join().expect("it migrates")).concat()
    });
    let applied: Vec<&str> = said.lines().filter(|line| line.starts_with("applied ")).collect();
    let files = store::clickhouse::migrations().iter().filter(|migration| migration.number > 1);
    let expected: Vec<String> = files.map(|migration| format!("applied {}", migration.name)).collect();
    assert_eq!(applied, expected, "each by one of them");
    let again = succeed(&["migrate", "--config", config]);
    assert!(!again.contains("applied "), "{again}");
    let recorded: Vec<Value> = rows(engine, "SELECT number FROM migrations").expect("the table is there");
    assert_eq!(recorded.len(), expected.len());
    let left: Vec<Value> =
        rows(engine, "SELECT name FROM system.tables WHERE name LIKE '%lock%' AND database = 'vedette'")
            .expect("tables are listed");
    assert!(left.is_empty(), "the lock is given back: {left:?}");
}

/// Waits until a lane says that it stands still because of `column`; gives its words.
#[track_caller]
fn refusal(service: &mut Service, column: &str) -> String {
    let until = Instant::now() + Duration::from_secs(120);
    while Instant::now() < until {
        assert!(service.is_running(), "the service ended:\n{}", service.said());
        let readiness = service.readiness().unwrap_or_default();
        let lanes = readiness["lanes"].as_array().cloned().unwrap_or_default();
        let failures = lanes.iter().filter_map(|lane| lane["failure"].as_str());
        if let Some(failure) = failures.into_iter().find(|failure| failure.contains(column)) {
            assert_eq!(readiness["ready"], false, "{readiness}");
            return failure.to_owned();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no lane was refused because of `{column}`:\n{}", service.said());
}
