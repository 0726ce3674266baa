//! The front door: parse, run, exit code. The only place that knows every room, and the only `anyhow`.
//!
//! Exit codes: 0 stopped as asked, 1 failed while running, 2 bad configuration or usage.

mod act;
mod cli;
mod config;
mod demo;
mod evaluate;
mod explain_miss;
mod lane;
#[cfg(feature = "kafka")]
mod live;
mod pipeline;
mod progress;
mod replay;
mod respond;
mod route;
mod rules;
mod show;
mod telemetry;
mod trainer;

use std::process::ExitCode;

use clap::Parser;

/// What Kafka brings and takes is large and short-lived: glibc's allocator gives each buffer back to the kernel and has the
/// next one cleared.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    responders::tls::begin();
    let arguments = cli::Cli::parse();
    if !arguments.is_service() {
        telemetry::log_only("warn");
    }
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vedette: {}", told(&error));
            ExitCode::from(if error.is::<config::Misuse>() { 2 } else { 1 })
        }
    }
}

/// The error and what caused it, each cause once: many messages have theirs in them already.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            text if text.contains(&cause) => text.to_owned(),
            text => format!("{text}: {cause}"),
        }
    })
}

/// `vedette ... | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
