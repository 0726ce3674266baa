//! Programs of a gateway, run here, in a namespace, or over SSH: arguments as they are, never through a shell of ours, and
//! ended when the time is over.

use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::sleep;
use std::time::Duration;

use crate::gateways::{Deadline, Failure, FailureKind};

/// What a gateway may say; a table of some ten thousand devices is two megabytes.
const MOST_OUTPUT: u64 = 64 << 20;
/// Of what it complains about, in bytes.
const MOST_COMPLAINT: usize = 300;

pub struct Ended {
    /// `None`: ended by a signal.
    pub code: Option<i32>,
    pub output: String,
    pub complaint: String,
}

/// Ended with us, also when we return early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `program` with `arguments` behind its own, `input` on its standard input.
///
/// # Errors
/// The program is not there (`Refused`), may not be started (`Unauthorised`), or takes longer than `deadline`.
pub fn run(program: &[String], arguments: &[&str], input: &str, deadline: Deadline) -> Result<Ended, Failure> {
    let (name, own) =
        program.split_first().ok_or_else(|| Failure::refused("no program is configured, expected one"))?;
    let mut command = Command::new(name);
    command.args(own).args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running(command.spawn().map_err(|error| not_started(name, &error))?);

    let output = child.0.stdout.take().map(read);
    let complaint = child.0.stderr.take().map(read);
    if let Some(mut stdin) = child.0.stdin.take() {
        let input = input.to_owned();
        // It may end without reading all of it; what it says then is told.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    }
    let output = all_of(name, output, deadline)?;
    let complaint = all_of(name, complaint, deadline)?;
    let mut pause = Duration::from_micros(200);
    let status = loop {
        let ended = child.0.try_wait().map_err(|error| Failure::unreachable(format!("`{name}`: {error}")))?;
        if let Some(status) = ended {
            break status;
        }
        if deadline.left().is_zero() {
            return Err(too_slow(name));
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    Ok(Ended { code: status.code(), output, complaint })
}

fn read(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.by_ref().take(MOST_OUTPUT).read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn all_of(name: &str, pipe: Option<Receiver<String>>, deadline: Deadline) -> Result<String, Failure> {
    let Some(pipe) = pipe else { return Ok(String::new()) };
    match pipe.recv_timeout(deadline.left()) {
        Ok(text) => Ok(text),
        Err(RecvTimeoutError::Timeout) => Err(too_slow(name)),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::unreachable(format!("what `{name}` says cannot be read"))),
    }
}

fn too_slow(name: &str) -> Failure {
    Failure::unreachable(format!("`{name}` did not end within the time limit and was ended"))
}

fn not_started(name: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::refused(format!(
            "program `{name}` is not there; install it (Debian: `nftables`), or correct `run`"
        )),
        ErrorKind::PermissionDenied => {
            Failure::new(FailureKind::Unauthorised, format!("program `{name}` may not be started: {error}"))
        }
        _ => Failure::unreachable(format!("program `{name}` cannot be started: {error}")),
    }
}

impl Ended {
    pub fn well(&self) -> bool {
        self.code == Some(0)
    }

    /// What stands between us and the program, or forbids it; `None` when the program itself ran and was let.
    pub fn barred(&self, program: &[String]) -> Option<Failure> {
        let name = program.join(" ");
        let said = self.said();
        let is_ssh = program.first().is_some_and(|first| first.rsplit('/').next() == Some("ssh"));
        let denied = ["Operation not permitted", "Permission denied", "a password is required", "must be root"];
        if !self.well() && denied.iter().any(|words| self.complaint.contains(words)) {
            let remedy = "run as root, or grant CAP_NET_ADMIN, on the gateway";
            return Some(Failure::new(FailureKind::Unauthorised, format!("`{name}`: {said}; {remedy}")));
        }
        match self.code {
            None => Some(Failure::unreachable(format!("`{name}` was ended by a signal"))),
            Some(255) if is_ssh => Some(Failure::unreachable(format!("`{name}`: {said}"))),
            Some(126 | 127) => {
                let remedy = "install it on the gateway (Debian: `nftables`), or correct `run`";
                Some(Failure::refused(format!("`{name}` cannot be run: {said}; {remedy}")))
            }
            Some(_) => None,
        }
    }

    /// Its complaint, or the output for want of one: one short line.
    pub fn said(&self) -> String {
        let text = if self.complaint.trim().is_empty() { &self.output } else { &self.complaint };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut end = line.len().min(MOST_COMPLAINT);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line[..end].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn soon(millis: u64) -> Deadline {
        Deadline::after(Duration::from_millis(millis))
    }

    #[test]
    fn input_goes_in_and_output_comes_out() {
        let ended = run(&words(&["cat"]), &["-"], "hello", soon(5_000)).unwrap();
        assert!(ended.well() && ended.output == "hello" && ended.barred(&words(&["cat"])).is_none());
    }

    #[test]
    fn arguments_reach_no_shell() {
        let ended = run(&words(&["echo"]), &["$(id); `id` | cat"], "", soon(5_000)).unwrap();
        assert_eq!(ended.output, "$(id); `id` | cat\n");
    }

    #[test]
    fn who_takes_too_long_is_ended() {
        let began = Instant::now();
        let failure = run(&words(&["sleep", "30"]), &[], "", soon(200)).err().unwrap();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(began.elapsed() < Duration::from_secs(5));
        // One that leaves its output to another.
        let failure = run(&words(&["sh", "-c", "sleep 3 & exit 0"]), &[], "", soon(200)).err().unwrap();
        assert_eq!(failure.kind, FailureKind::Unreachable);
    }

    #[test]
    fn what_is_missing_is_said_with_a_remedy() {
        let failure = run(&words(&["vedette-no-such-program"]), &[], "", soon(5_000)).err().unwrap();
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.contains("`vedette-no-such-program` is not there; install it"));
    }

    #[test]
    fn what_stands_in_between_is_told_from_the_program_itself() {
        let ended = |code, complaint: &str| Ended { code, output: String::new(), complaint: complaint.to_owned() };
        let ssh = words(&["/usr/bin/ssh", "gw1", "nft"]);
        let kind = |ended: &Ended, program: &[String]| ended.barred(program).map(|failure| failure.kind);
        let unreachable = ended(Some(255), "ssh: connect to host gw1 port 22: Connection refused");
        assert_eq!(kind(&unreachable, &ssh), Some(FailureKind::Unreachable));
        let denied = ended(Some(255), "root@gw1: Permission denied (publickey).");
        assert_eq!(kind(&denied, &ssh), Some(FailureKind::Unauthorised));
        assert_eq!(kind(&ended(Some(127), "sh: 1: nft: not found"), &ssh), Some(FailureKind::Refused));
        assert_eq!(kind(&ended(Some(1), "Error: No such file or directory"), &ssh), None);
        assert_eq!(kind(&ended(None, ""), &ssh), Some(FailureKind::Unreachable));
    }

    #[test]
    fn complaints_are_short() {
        let ended = Ended { code: Some(1), output: String::new(), complaint: "é\n".repeat(1_000) };
        assert!(ended.said().len() <= MOST_COMPLAINT && !ended.said().contains('\n'));
    }
}
