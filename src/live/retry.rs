//! What a service refuses for a while is tried again, ever more rarely, and told of in a handful of lines.

use std::time::{Duration, Instant};

use crate::live::metrics::metrics;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// Between two log lines about the same trouble.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How often somebody who waits is asked whether it is still worth it.
const LOOK_UP: Duration = Duration::from_millis(100);

/// `Ok(false)`: no longer `wanted`.
///
/// # Errors
/// What trying again cannot mend.
pub fn until_it_works(
    what: &str,
    wanted: &dyn Fn() -> bool,
    mut work: impl FnMut() -> Result<(), store::Error>,
) -> Result<bool, store::Error> {
    let began = Instant::now();
    let mut said: Option<Instant> = None;
    let mut pause = Pause::default();
    loop {
        match work() {
            Ok(()) => {
                if said.is_some() {
                    tracing::info!(seconds = began.elapsed().as_secs(), "the store works again: could {what}");
                }
                return Ok(true);
            }
            Err(error) if !error.retry() => return Err(error),
            Err(error) => {
                metrics().store_retries.add(1, &[]);
                if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                    tracing::warn!(%error, "cannot {what}; trying until it works, nothing is lost meanwhile");
                    said = Some(Instant::now());
                }
            }
        }
        if !pause.wait(wanted) {
            return Ok(false);
        }
    }
}

/// Between two attempts: twice as long each time, up to ten seconds.
pub struct Pause(Duration);

impl Default for Pause {
    fn default() -> Pause {
        Pause(FIRST)
    }
}

impl Pause {
    /// `false`: no longer `wanted`.
    pub fn wait(&mut self, wanted: &dyn Fn() -> bool) -> bool {
        let until = Instant::now() + jittered(self.0);
        while Instant::now() < until {
            if !wanted() {
                return false;
            }
            std::thread::sleep(LOOK_UP.min(until.saturating_duration_since(Instant::now())));
        }
        self.0 = (self.0 * 2).min(LONGEST);
        true
    }
}

/// Between half and the whole, so that many lanes do not knock together. The clock's last digits are chance enough.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    pause / 2 + pause.mul_f64(f64::from(nanos % 1_000) / 2_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> store::Error {
        store::Error::Busy { dir: "x".into() }
    }

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_is_told() {
        let mut left = 3;
        let worked = until_it_works("test", &|| true, || {
            left -= 1;
            if left == 0 { Ok(()) } else { Err(busy()) }
        });
        assert!(matches!(worked, Ok(true)));
        let refused = until_it_works("test", &|| true, || Err(store::Error::ReadOnly { dir: "x".into() }));
        assert!(refused.is_err());
        assert!(matches!(until_it_works("test", &|| false, || Err(busy())), Ok(false)));
    }
}
