//! Real programs for the tests of gateways: looked for, started, and ended with the test, also with one that fails.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::not_run::not_run;

/// Put before a program: the kernel ends it with the thread that started it, and each test is one.
const MORTAL: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];
/// Where Debian has what only root runs, which is not in everybody's path.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether the calling test can run. Where everything was to be installed, it has to.
pub fn there(programs: &[&str]) -> bool {
    let is_there = |program: &str| PATH.split(':').any(|folder| Path::new(folder).join(program).is_file());
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return true;
    }
    cannot(&format!("needs {}, which is not installed", missing.join(", ")));
    false
}

/// It would need what this machine does not give.
pub fn cannot(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    not_run(why);
}

/// `starter` are words before a program that become it: what changes namespaces would lose what [`MORTAL`] sets.
pub fn mortal(starter: &[&str], words: &[&str]) -> Command {
    let words: Vec<&str> = [starter, &MORTAL, words].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("PATH", PATH).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Ended when it is dropped.
pub struct Started(pub Child);

impl Started {
    pub fn new(mut command: Command) -> Started {
        Started(command.spawn().expect("setpriv, of util-linux, is there"))
    }

    pub fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs to its end, well.
pub fn run(words: &[&str]) -> String {
    let output = output(words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", words.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn output(words: &[&str]) -> Output {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("PATH", PATH).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{}: {error}", words[0]))
}

pub fn wait_for(what: &str, time: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < time, "waited {time:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// In milliseconds: median and the slowest.
pub fn told(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: {} times, median {:.1} ms, slowest {:.1} ms", times.len(), millis(median), millis(slowest));
}
