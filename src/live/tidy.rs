//! The embedded store of a service gets a file for every step and message, and many files make reading slow: they are merged as
//! they come, on a thread that nobody waits for. Only what is committed is, for nobody writes it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::kafka::topics::admin;
use store::ParquetStore;

use crate::config::Config;
use crate::live::act::{is_settled, log_name};
use crate::live::logs::EachMinute;
use crate::live::may_pass;
use crate::live::respond::mirror;
use crate::live::stop::Stop;
use crate::live::trainer::positions::Positions;

const LOOK_UP: Duration = Duration::from_secs(1);

/// Looks as often as lanes store what they remember, at once for the first time: a service that is killed again and again would
/// else never come to it.
pub fn start(config: &Config, store: &Arc<ParquetStore>, stop: &Stop) -> std::io::Result<()> {
    let (config, store, stop) = (config.clone(), Arc::downgrade(store), stop.clone());
    let every = Duration::from_secs(u64::from(config.run.memory_seconds));
    std::thread::Builder::new().name("tidy".to_owned()).spawn(move || {
        let (mut due, mut said) = (Instant::now(), EachMinute::default());
        while !stop.is_asked() {
            std::thread::sleep(LOOK_UP);
            if Instant::now() < due {
                continue;
            }
            let Some(store) = store.upgrade() else { return };
            match tidy(&config, &store) {
                Ok(0) => {}
                Ok(files) => tracing::info!(files, "files of the store are merged"),
                // Brokers that are away are told of by the roles.
                Err(error) if may_pass(&error) && !error.is::<store::Error>() => {}
                Err(error) if said.is_due() => {
                    tracing::warn!(error = format!("{error:#}"), "files of the store cannot be merged; trying again");
                }
                Err(_) => {}
            }
            due = Instant::now() + every;
        }
    })?;
    Ok(())
}

fn tidy(config: &Config, store: &ParquetStore) -> anyhow::Result<usize> {
    let at_least = config.store.merge_files;
    // Before anybody is asked what of it is committed.
    if store.loose()? < at_least {
        return Ok(0);
    }
    let kafka = &config.source.kafka;
    let positions = Positions::new(kafka)?;
    let Some(closed) = positions.closed()? else { return Ok(0) };
    let admin = admin(kafka)?;
    let (log, taken) = (log_name(admin.inner(), kafka)?, positions.acted_on()?);
    let journal = mirror::log_name(admin.inner(), kafka)?;
    let mirrored = mirror::mirrored(&journal, store)?;
    let is_mirrored = |name: &str| mirror::is_mirrored(name, &journal, mirrored);
    Ok(store.tidy(at_least, closed, &|name| is_settled(name, &log, taken) || is_mirrored(name))?)
}
