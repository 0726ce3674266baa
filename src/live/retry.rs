//! What a service refuses for a while is tried again, ever more rarely, and told of in a handful of lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::live::logs::SAY_AGAIN;
use crate::live::metrics::metrics;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// What passes sooner is counted, and not worth a line.
const WORTH_A_LINE: Duration = Duration::from_secs(1);
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
    let mut waiter: Option<Waiter> = None;
    let mut pause = Pause::default();
    loop {
        match work() {
            Ok(()) => {
                if let Some(waiter) = &mut waiter {
                    waiter.served = true;
                }
                return Ok(true);
            }
            Err(error) if !error.retry() => return Err(error),
            Err(error) => {
                metrics().store_retries.add(1, &[]);
                waiter.get_or_insert_with(Waiter::new).tell(what, &error);
            }
        }
        if !pause.wait(wanted) {
            return Ok(false);
        }
    }
}

/// The store's trouble, of the whole process: lanes and roles that wait for the same store tell one story.
static TROUBLE: Mutex<Trouble> = Mutex::new(Trouble { waiting: 0, since: None, said: None });

struct Trouble {
    waiting: usize,
    since: Option<Instant>,
    /// When it was last told of, if it was.
    said: Option<Instant>,
}

struct Waiter {
    served: bool,
}

impl Waiter {
    fn new() -> Waiter {
        let mut trouble = TROUBLE.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.waiting += 1;
        trouble.since.get_or_insert_with(Instant::now);
        Waiter { served: false }
    }

    fn tell(&self, what: &str, error: &store::Error) {
        let mut trouble = TROUBLE.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = trouble.since.map_or(Duration::ZERO, |since| since.elapsed());
        if lasts >= WORTH_A_LINE && trouble.said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
            trouble.said = Some(Instant::now());
            let (waiting, seconds) = (trouble.waiting, lasts.as_secs());
            tracing::warn!(%error, waiting, seconds, "cannot {what}; trying until it works, nothing is lost meanwhile");
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut trouble = TROUBLE.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.waiting = trouble.waiting.saturating_sub(1);
        if trouble.waiting > 0 {
            return;
        }
        let since = trouble.since.take();
        if let (Some(since), Some(_), true) = (since, trouble.said.take(), self.served) {
            tracing::info!(seconds = since.elapsed().as_secs(), "the store works again");
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
        self.0 = longer(self.0);
        true
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST)
}

/// Between half and the whole, so that many lanes do not knock together. The clock's last digits are chance enough.
#[expect(clippy::disallowed_methods, reason = "chance, not event time")]
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

    #[test]
    fn pauses_double_up_to_the_longest_and_are_shortened_by_half_at_most() {
        let pauses: Vec<Duration> = std::iter::successors(Some(FIRST), |pause| Some(longer(*pause))).take(10).collect();
        let millis: Vec<u128> = pauses.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
        for pause in pauses {
            for _ in 0..100 {
                let jittered = jittered(pause);
                assert!(pause / 2 <= jittered && jittered <= pause, "{jittered:?} for {pause:?}");
            }
        }
        let mut pause = Pause::default();
        assert!(pause.wait(&|| true) && pause.0 == longer(FIRST));
        assert!(!pause.wait(&|| false) && pause.0 == longer(FIRST), "a wait that was given up lengthens nothing");
    }
}
