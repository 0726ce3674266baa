//! The program as an operator runs it: a configuration, commands, processes of the service.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kafka::{signal, terminate};
use super::not_run::not_run;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vedette");
/// Put before a program: the kernel kills it when whoever started it ends, even by a signal that leaves no time to tidy up.
const MORTAL: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// A program that ends with this process at the latest, for [`start`]; `starter` are words before it that become it. They
/// come first: who changes users or namespaces loses what [`MORTAL`] sets.
pub fn mortal(starter: &[&str], program: &str) -> Command {
    let words: Vec<&str> = [starter, &MORTAL, &[program]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// The kernel goes by the thread that started a program, and a test's thread ends while others still use what it started:
/// so one thread starts them all, and ends with the process.
pub fn start(command: Command) -> Child {
    type Asked = (Command, Sender<std::io::Result<Child>>);
    static STARTER: OnceLock<Sender<Asked>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (starter, asked) = channel::<Asked>();
        std::thread::spawn(move || {
            for (mut command, answer) in asked {
                let _ = answer.send(command.spawn());
            }
        });
        starter
    });
    let (answer, started) = channel();
    starter.send((command, answer)).expect("the starter never ends");
    started.recv().expect("the starter answers").expect("setpriv, of util-linux, is there")
}

/// Waits for its end.
pub fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    start(command).wait_with_output().expect("its output can be read")
}

pub fn vedette(arguments: &[&str]) -> Output {
    vedette_with(arguments, &[])
}

/// With environment variables.
pub fn vedette_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = mortal(&[], PROGRAM);
    command.args(arguments).envs(variables.iter().copied());
    output(command)
}

#[track_caller]
pub fn succeed(arguments: &[&str]) -> String {
    let output = vedette(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "vedette {arguments:?} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

#[track_caller]
pub fn query(store: &Path, sql: &str) -> Vec<Value> {
    let json = succeed(&["query", "--store", text(store), "--format", "json", sql]);
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Where the recordings are; says loudly when they are not. They cannot be shipped, so CI may be without; but where it has the
/// folder, or names one, a set that is not in it is an error.
pub fn recordings(what: &str) -> Option<PathBuf> {
    let named = std::env::var_os("VEDETTE_DATA").map(PathBuf::from);
    let is_named = named.is_some();
    let folder = named.unwrap_or_else(|| PathBuf::from("../shared/data"));
    let wanted = folder.join(what);
    // A configuration in another folder names what is in it.
    if let Ok(found) = wanted.canonicalize() {
        return Some(found);
    }
    let is_missed = std::env::var_os("CI").is_some() && (is_named || folder.exists());
    assert!(!is_missed, "`{}` is not there, and this is CI", wanted.display());
    not_run(&format!("`{}` is not there; set VEDETTE_DATA to the folder with the recordings", wanted.display()));
    None
}

/// Waits until the service, or what it left, is as it should be.
#[track_caller]
pub fn until(service: &mut Service, what: &str, mut is_so: impl FnMut(&Service) -> bool) {
    let end = Instant::now() + Duration::from_secs(240);
    while !is_so(service) {
        assert!(service.is_running(), "the service ended while waiting for {what}:\n{}", service.said());
        let readiness = service.readiness();
        assert!(Instant::now() < end, "waited in vain for {what}: {readiness:?}\n{}", service.said());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A process of the service; killed when a test fails, and when the tests are.
pub struct Service {
    child: Child,
    log: PathBuf,
    pub admin: String,
}

impl Service {
    pub fn start(config: &Path, roles: &str, log: &Path, admin: &str) -> Service {
        Service::start_by(&[], config, roles, log, admin)
    }

    /// With environment variables.
    pub fn start_with(config: &Path, roles: &str, log: &Path, admin: &str, variables: &[(&str, &str)]) -> Service {
        let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let starter: Vec<&str> = std::iter::once("env").chain(variables.iter().map(String::as_str)).collect();
        Service::start_by(&starter, config, roles, log, admin)
    }

    /// Started by a program that becomes it.
    pub fn start_by(starter: &[&str], config: &Path, roles: &str, log: &Path, admin: &str) -> Service {
        let mut command = mortal(starter, PROGRAM);
        command.args(["run", "--config", text(config), "--roles", roles]);
        Service::of(command, log, admin)
    }

    /// Started by a command that becomes it.
    pub fn of(mut command: Command, log: &Path, admin: &str) -> Service {
        let out = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        Service { child: start(command), log: log.to_owned(), admin: admin.to_owned() }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }

    /// SIGTERM; demands that it ends well within the deadline.
    #[track_caller]
    pub fn stop(&mut self) {
        terminate(&self.child);
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                assert!(status.success(), "ended with {status}:\n{}", self.said());
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("did not end within 30 s:\n{}", self.said());
    }

    /// Its memory now and at most, in MiB.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel says it");
            line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        (kib("VmRSS:") >> 10, kib("VmHWM:") >> 10)
    }

    /// Lines that somebody should look at.
    pub fn complaints(&self) -> Vec<String> {
        self.said()
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains("ERROR "))
            .map(str::to_owned)
            .collect()
    }

    #[track_caller]
    pub fn wait_until_said(&mut self, words: &str, patience: Duration) {
        self.wait_until(words, patience, |said| said.contains(words));
    }

    /// Until its log is as it should be.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, patience: Duration, as_it_should: impl Fn(&str) -> bool) {
        let until = Instant::now() + patience;
        while !as_it_should(&self.said()) {
            assert!(self.is_running(), "the service ended:\n{}", self.said());
            assert!(Instant::now() < until, "`{what}` never came:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What `/readyz` says, ready or not; `None` when nobody answers.
    pub fn readiness(&self) -> Option<Value> {
        let body = get(&self.admin, "/readyz")?;
        serde_json::from_str(&body).ok()
    }

    /// How many of its lanes take entries; none when nobody answers.
    pub fn lanes_begun(&self) -> usize {
        let readiness = self.readiness().unwrap_or_default();
        let lanes = readiness["lanes"].as_array();
        lanes.map_or(0, |lanes| lanes.iter().filter(|lane| lane["begun"] == true).count())
    }

    /// Waits until all of `lanes` have closed and committed everything up to `through` (microseconds).
    #[track_caller]
    pub fn wait_closed(&mut self, lanes: usize, through: i64, patience: Duration) {
        let until = Instant::now() + patience;
        let mut last = Value::Null;
        while Instant::now() < until {
            assert!(self.is_running(), "the service ended:\n{}", self.said());
            if let Some(readiness) = self.readiness() {
                let closed = |lane: &Value| lane["closed_through"].as_i64().is_some_and(|at| at >= through);
                let all = readiness["lanes"].as_array().is_some_and(|all| all.len() == lanes && all.iter().all(closed));
                if all {
                    return;
                }
                last = readiness;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not all lanes closed {through} in time: {last:#}\n{}", self.said());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A set on its way into the topic; it ends with the test.
pub struct Feed(Child);

impl Feed {
    pub fn start(arguments: &[&str]) -> Feed {
        let mut command = mortal(&[], PROGRAM);
        command.arg("feed").args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        Feed(start(command))
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("the child can be asked").is_none()
    }

    #[track_caller]
    pub fn join(mut self) {
        let status = self.0.wait().expect("the child can be waited for");
        assert!(status.success(), "feed ended with {status}");
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of an answer, whatever its status.
pub fn get(address: &str, path: &str) -> Option<String> {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// A port that was free a moment ago.
/// Below those the system gives to whoever asks for any.
pub fn free_address() -> String {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    loop {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed) + std::process::id() * 61;
        let address = format!("127.0.0.1:{}", 12_000 + drawn % 8_000);
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// Set for the tests that the test below kills: the file in which they name whom they started.
const STARTED: &str = "VEDETTE_TEST_STARTED";

#[test]
fn whoever_tests_start_ends_with_them() {
    if let Some(file) = std::env::var_os(STARTED) {
        // As a test does that shares a service and ends before the others.
        let starting = std::thread::spawn(|| {
            let mut command = mortal(&[], "sleep");
            command.arg("60").stdin(Stdio::null());
            start(command)
        });
        let mut sleeper = starting.join().expect("it was started");
        std::fs::write(file, format!("{}\n", sleeper.id())).expect("it is written");
        sleeper.wait().expect("the child can be waited for");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("started");
    let this = std::env::current_exe().expect("the tests are a file");
    let mut command = mortal(&[], text(&this));
    command.args(["--exact", "vedette::whoever_tests_start_ends_with_them"]).env(STARTED, &file).stdout(Stdio::null());
    let mut tests = start(command);
    let until = Instant::now() + Duration::from_secs(30);
    let sleeper = loop {
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(Ok(id)) = written.strip_suffix('\n').map(str::parse::<u32>) {
            break id;
        }
        assert!(Instant::now() < until, "nothing was started");
        std::thread::sleep(Duration::from_millis(20));
    };
    std::thread::sleep(Duration::from_millis(500));
    assert!(lives(sleeper), "it outlives the thread that asked for it");
    tests.kill().expect("the tests can be killed");
    tests.wait().expect("the tests can be waited for");
    let until = Instant::now() + Duration::from_secs(10);
    while lives(sleeper) {
        assert!(Instant::now() < until, "process {sleeper} outlives the tests that started it");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A zombie does not: it only waits to be asked how it ended.
fn lives(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
