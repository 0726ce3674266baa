//! A real broker, in the hands of a test; it ends with it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::not_run::not_run;

/// Whether the services can be started here; says loudly when not, and that is an error in CI.
pub fn are_there(what: &str) -> bool {
    let checked = Command::new("python3").args(["tests/services/kafka.py", "--check"]).output();
    match checked {
        Ok(output) if output.status.success() => return true,
        Ok(output) => eprintln!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => eprintln!("python3: {error}"),
    }
    assert!(std::env::var_os("CI").is_none(), "{what}: something is missing, and this is CI");
    not_run(&format!("{what}; it needs Java 17, Maven, Python 3.11, openssl and what tests/services/fetch.sh fetches"));
    false
}

pub struct Broker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub bootstrap: String,
    /// Where users come by TLS, and the authority to trust there; empty without that listener.
    pub tls: String,
    pub ca: String,
}

impl Broker {
    pub fn start(options: &[&str]) -> Broker {
        let mut child = Command::new("python3")
            .arg("tests/services/kafka.py")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts the broker");
        let mut output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let input = child.stdin.take().expect("its input is a pipe");
        let mut line = String::new();
        output.read_line(&mut line).expect("the broker says where it listens");
        let facts: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        let bootstrap = facts["bootstrap"].as_str().expect("an address").to_owned();
        let of_tls = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
        Broker { child, input, output, bootstrap, tls: of_tls("tls"), ca: of_tls("ca") }
    }

    /// `stop`, `kill`, `freeze`, `start`, or one of Kafka's own tools.
    pub fn tell(&mut self, command: &str) -> Value {
        writeln!(self.input, "{command}").expect("the broker's keeper listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the broker's keeper answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        assert!(answer.get("error").is_none(), "{command}: {answer}");
        answer
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Its keeper takes the broker along.
        terminate(&self.child);
        let _ = self.child.wait();
    }
}

/// SIGTERM: what is killed cannot clean up.
pub fn terminate(child: &Child) {
    signal(child, "TERM");
}

pub fn signal(child: &Child, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
}
