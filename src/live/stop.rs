//! When to stop, and how long that may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whoever has not ended by then is left behind: what was not committed is read again.
pub const DEADLINE: Duration = Duration::from_secs(25);

#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Asked for by SIGTERM or SIGINT; a second one ends the process at once.
    pub fn on_signals(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = self.clone();
        let (mut terminate, mut interrupt) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _within = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                tracing::info!("asked to stop: finishing what is in hand");
                stop.ask();
                let again = async {
                    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                };
                tokio::select! { () = again => {}, () = tokio::time::sleep(DEADLINE) => {} }
                tracing::warn!("not waiting any longer; what was not committed is read again at the next start");
                std::process::exit(1);
            });
        })?;
        Ok(())
    }
}
