//! Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use fleet::EventTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PLAIN_EVERY: Duration = Duration::from_secs(5);
const STEPS: u64 = 1000;

pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
    quiet: bool,
}

impl Progress {
    pub fn start(quiet: bool) -> Progress {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}  ETA {eta}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr()).with_style(style)
        });
        let now = Instant::now();
        Progress { bar, started: now, last_line: now, quiet }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// `share` of the input done, 0 to 1; `reached` is the event time.
    pub fn update(&mut self, share: f64, readings: u64, reached: Option<EventTime>) {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        let reached = reached.map_or_else(String::new, |time| format!("  event time {time}"));
        let message = || format!("{:.0} readings/s{reached}", readings as f64 / seconds);
        if let Some(bar) = &self.bar {
            bar.set_position((share.clamp(0.0, 1.0) * STEPS as f64) as u64);
            bar.set_message(message());
            return;
        }
        if self.quiet || self.last_line.elapsed() < PLAIN_EVERY {
            return;
        }
        self.last_line = Instant::now();
        let eta = if share > 0.0 { seconds / share * (1.0 - share) } else { 0.0 };
        eprintln!("{:3.0} %  {}  ETA {eta:.0} s", share * 100.0, message());
    }

    /// Says what comes now, above the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None if self.quiet => {}
            None => eprintln!("{text}"),
        }
    }

    /// As [`Progress::say`], also when quiet.
    pub fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
