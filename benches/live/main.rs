//! What running live costs and how long it takes, with a real broker on the same machine and everything compared side by
//! side in one run. `cargo run --release --example live -- WHAT [OPTIONS]`; README.md says what is measured and how.

mod bare;
mod delay;
mod feed;
mod memory;
mod records;
mod recovery;
mod rows;
mod stand;
mod throughput;
mod usage;

use std::fmt::Write as _;

use clap::{Args, Parser, Subcommand};

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    options: Options,
}

#[derive(Args, Clone)]
pub struct Options {
    /// Raw messages; each subcommand has a default of its own
    #[arg(long, global = true)]
    messages: Option<u64>,
    #[arg(long, global = true)]
    devices: Option<u32>,
    /// Each device sends one message in so many seconds; a window is a minute
    #[arg(long, global = true, value_parser = clap::value_parser!(i64).range(1..=60))]
    period: Option<i64>,
    /// Of the raw topic, and lanes; twelve by default where there are several processes
    #[arg(long, global = true)]
    partitions: Option<u16>,
    /// Several share the lanes, and ClickHouse; one has the embedded store
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    processes: u16,
    #[arg(long, global = true)]
    rounds: Option<usize>,
    /// Messages a second, where they are paced
    #[arg(long, global = true)]
    rate: Option<u64>,
    /// Judge with nothing learned
    #[arg(long, global = true)]
    no_baselines: bool,
    /// Keep the text in benches/live/runs/NAME.txt
    #[arg(long, global = true)]
    name: Option<String>,
}

#[derive(Subcommand)]
enum What {
    /// Raw messages a CPU second of all roles, over the bare batch consume of the same topic
    Raw,
    /// Readings a CPU second of the judge alone, over the bare batch consume of as many messages
    Judge,
    /// Rows a second into the embedded store and into ClickHouse
    Rows,
    /// Seconds until level again after kill -9: started again in place
    Restart,
    /// The same, taken over by another process
    Takeover,
    /// From the mark that closes a window to the finding, p50 and p99
    Delay,
    /// Resident memory with all devices speaking
    Memory,
    /// The bare batch consume: part of the others, in a process of its own
    #[command(hide = true)]
    Bare { brokers: String, topic: String, messages: u64 },
}

/// What is told, on the terminal and in the run's file.
#[derive(Default)]
pub struct Report(String);

impl Report {
    pub fn say(&mut self, line: impl AsRef<str>) {
        println!("{}", line.as_ref());
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{}", line.as_ref());
    }
}

fn main() -> Result<(), Failure> {
    let Command { what, options } = Command::parse();
    if let What::Bare { brokers, topic, messages } = what {
        return bare::consume(&brokers, &topic, messages);
    }
    let mut report = Report::default();
    let words: Vec<String> = std::env::args().skip(1).collect();
    report.say(format!("command: cargo run --release --example live -- {}", words.join(" ")));
    for line in usage::machine() {
        report.say(line);
    }
    match what {
        What::Raw => throughput::raw(&options, &mut report)?,
        What::Judge => throughput::judge(&options, &mut report)?,
        What::Rows => rows::run(&options, &mut report)?,
        What::Restart => recovery::restart(&options, &mut report)?,
        What::Takeover => recovery::takeover(&options, &mut report)?,
        What::Delay => delay::run(&options, &mut report)?,
        What::Memory => memory::run(&options, &mut report)?,
        What::Bare { .. } => {}
    }
    if let Some(name) = &options.name {
        let folder = stand::root()?.join("benches/live/runs");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{name}.txt")), report.0)?;
    }
    Ok(())
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value that `share` of all are not above.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
