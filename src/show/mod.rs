//! Readers of a store: `findings`, `baselines`, `devices`, `query`. They change nothing, and may look on while a replay
//! writes.
//!
//! * [`findings`], [`baselines`], [`devices`], [`query`](mod@query): a command each
//! * [`diff`]: two stores side by side; [`compare`]: two versions of the baselines
//! * [`timeline`]: a device's evidence against its line
//! * [`names`]: what to say when nothing has the name asked for

pub mod baselines;
pub mod compare;
pub mod devices;
pub mod diff;
pub mod findings;
pub mod names;
pub mod query;
pub mod timeline;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::Path;

use datasets::scorecard::load::Stored;
use datasets::scorecard::run::RunState;

use crate::cli::StoreArg;

pub use baselines::{BaselinesCommand, baselines};
pub use devices::{DevicesCommand, devices};
pub use findings::{FindingsCommand, findings};
pub use query::{QueryArgs, query};

/// Says so on standard error when the replay that writes it has not ended, or was killed.
pub fn open(arg: &StoreArg) -> anyhow::Result<Stored> {
    let stored = Stored::open(&arg.store)?;
    if stored.run.state == RunState::Running {
        eprintln!("note: the replay into `{}` has not ended; what it has stored so far is shown", arg.store.display());
    }
    Ok(stored)
}

/// To standard output, as an error instead of a panic when nobody reads it.
pub fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// A command about `store` as it can be pasted into a shell: the program as it was called, paths as one word each.
/// What is not ours in `rest`, an id above all, must have gone through [`word`]: clients choose their ids.
pub fn command(rest: &str, store: &Path) -> String {
    format!("{} --store {}", program(rest), pasted(store))
}

/// The program as it was called, and `rest`.
pub fn program(rest: &str) -> String {
    let name = std::env::args().next().filter(|name| !name.is_empty());
    format!("{} {rest}", name.map_or_else(|| "vedette".to_owned(), |name| pasted(Path::new(&name))))
}

/// A path as a shell takes it for one word.
pub fn pasted(path: &Path) -> String {
    word(&path.display().to_string())
}

/// A text as a shell takes it for one word.
pub fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+:@%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
