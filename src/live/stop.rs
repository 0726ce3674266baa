//! When to stop, and how long that may take.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Whoever has not ended by then is left behind: what was not committed is read again.
pub const DEADLINE: Duration = Duration::from_secs(25);
/// Whoever waits for a store by then gives up waiting.
pub const GRACE: Duration = Duration::from_secs(8);
/// Whoever hangs in a call by then is not waited for.
const LEFT_BEHIND: Duration = Duration::from_secs(15);

#[derive(Clone, Default)]
pub struct Stop(Arc<OnceLock<Instant>>);

impl Stop {
    #[cfg(test)]
    pub fn asked_at(asked: Instant) -> Stop {
        Stop(Arc::new(OnceLock::from(asked)))
    }

    pub fn ask(&self) {
        self.0.get_or_init(Instant::now);
    }

    pub fn is_asked(&self) -> bool {
        self.0.get().is_some()
    }

    /// Asked for so long ago that nobody waits any more.
    pub fn is_pressing(&self) -> bool {
        self.0.get().is_some_and(|asked| asked.elapsed() >= GRACE)
    }

    /// Asked for so long ago that whoever hangs in a call is left behind.
    pub fn is_overdue(&self) -> bool {
        self.0.get().is_some_and(|asked| asked.elapsed() >= LEFT_BEHIND)
    }

    /// Asked for by SIGTERM or SIGINT; a second one ends the process at once.
    #[expect(clippy::disallowed_methods, reason = "whoever does not end in time is left behind")]
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
