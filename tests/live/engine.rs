//! ClickHouse's engine in the hands of a test, and what makes it fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::kafka::{are_there, terminate};
use super::vedette::{mortal, output, text};

/// ClickHouse's engine behind its HTTP interface; it ends with the test.
pub(super) struct Engine {
    child: Child,
    pub(super) address: String,
    control: String,
}

impl Engine {
    pub(super) fn start(folder: &Path) -> Engine {
        let mut child = Command::new("python3")
            .args(["tests/services/clickhouse.py", "--port", "0", "--control-port", "0", "--dir", text(folder)])
            .args(["--users", "writer:secret:contrary,reader:other:readonly"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts the engine");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        output.read_line(&mut line).expect("the engine says where it listens");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., address, _, _, control] = words.as_slice() else { panic!("`{line}`") };
        Engine { child, address: (*address).to_owned(), control: (*control).to_owned() }
    }

    /// Rows of a question, as the read-only user.
    pub(super) fn query(&self, sql: &str) -> Vec<Value> {
        let body = format!("{sql} FORMAT JSONEachRow");
        let mut stream = std::net::TcpStream::connect(&self.address).expect("the engine listens");
        write!(
            stream,
            "POST /?database=vedette&output_format_json_quote_64bit_integers=0 HTTP/1.0\r\n\
             X-ClickHouse-User: reader\r\nX-ClickHouse-Key: other\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the engine reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the engine answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert!(head.contains(" 200 "), "{sql}: {answer}");
        body.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
    }

    /// Makes something go wrong, as tests/services/faults.py names it; gives how many requests have met a fault so far.
    pub(super) fn fault(&self, what: &str) -> u64 {
        let mut stream = std::net::TcpStream::connect(&self.control).expect("the control port listens");
        writeln!(stream, "{what}").expect("the control port reads");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("the control port answers");
        let stats: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        stats["fired"].as_u64().unwrap_or_else(|| panic!("{what}: {stats}"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        terminate(&self.child);
        let _ = self.child.wait();
    }
}

/// A configuration with the engine as its store.
pub(super) fn with_engine(toml: &str, folder: &Path, engine: &Engine) -> String {
    let secret = folder.join("secret");
    std::fs::write(&secret, "secret\n").expect("the secret is written");
    format!(
        "{toml}[store.clickhouse]\nurl = \"http://{}\"\nuser = \"writer\"\npassword = {{ file = \"{}\" }}\nmigrate = true\n\
         [store.clickhouse.keep_days]\nwindows = 36500\ncontacts = 36500\nevidence = 36500\nfindings = 36500\n\
         rejected = 36500\nrollups = 36500\n",
        engine.address,
        secret.display()
    )
}

/// What all other tests go by.
#[test]
fn services_fail_as_they_are_told_and_end_with_whoever_started_them() {
    if !are_there("the services' own tests") {
        return;
    }
    let mut command = mortal(&[], "python3");
    command.arg("tests/services/selftest.py");
    let output = output(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
