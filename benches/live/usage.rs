//! What a process used, from /proc, and what machine it was.

use std::process::Command;

use crate::Failure;

/// Of a second; `getconf CLK_TCK` is 100 on every Linux.
const TICKS: f64 = 100.0;

/// Seconds of all threads, user and system.
pub fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before may hold spaces.
    let rest = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("no times in /proc/PID/stat")?;
    Ok((user + system) / TICKS)
}

/// MiB resident now, and at most so far.
pub fn memory_mib(pid: u32) -> Result<(f64, f64), Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kibibytes| kibibytes / 1024.0)
    };
    let (now, peak) = field("VmRSS:").zip(field("VmHWM:")).ok_or("no memory in /proc/PID/status")?;
    Ok((now, peak))
}

pub fn machine() -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let run = |words: &[&str]| {
        let output = Command::new(words[0]).args(&words[1..]).output().ok();
        output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpu = read("/proc/cpuinfo");
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map_or("", |found| found.1);
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let total = memory.lines().next().unwrap_or_default().split_whitespace().nth(1).and_then(|text| text.parse().ok());
    vec![
        format!("machine: {}, {cores} cores, {:.1} GiB", model.trim(), total.unwrap_or(0.0) / 1024.0 / 1024.0),
        format!("system: {}; load before: {}", run(&["uname", "-sr"]), read("/proc/loadavg").trim()),
        format!(
            "commit: {}; date: {}",
            run(&["git", "rev-parse", "--short", "HEAD"]),
            run(&["date", "-u", "+%F %R UTC"])
        ),
    ]
}
