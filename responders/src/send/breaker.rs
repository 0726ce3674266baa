//! A circuit breaker: a gateway that does not answer is left alone for a while, so that it can come back, and so that calls
//! do not wait for nothing. After the pause one call tries; its success closes the circuit.

use std::time::Duration;

/// Failures in a row that open it.
const ENOUGH: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    open_until: Option<Duration>,
}

impl Breaker {
    /// How long nothing is to be sent yet; nothing while it is closed, or open for one call that tries.
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        self.open_until.map(|until| until.saturating_sub(now)).filter(|left| !left.is_zero())
    }

    pub fn succeeded(&mut self) {
        *self = Breaker::default();
    }

    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= ENOUGH {
            let doubled = FIRST_PAUSE.saturating_mul(1 << (self.failures - ENOUGH).min(6));
            self.open_until = Some(now + doubled.min(LONGEST_PAUSE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let mut breaker = Breaker::default();
        let at = Duration::from_secs;
        for second in 0..4 {
            breaker.failed(at(second));
        }
        assert_eq!(breaker.wait(at(4)), None);
        breaker.succeeded();
        for second in 10..15 {
            breaker.failed(at(second));
        }
        assert_eq!(breaker.wait(at(14)), Some(at(5)));
        assert_eq!(breaker.wait(at(19)), None, "one tries");
        breaker.failed(at(19));
        assert_eq!(breaker.wait(at(19)), Some(at(10)));
        for second in 20..60 {
            breaker.failed(at(second));
        }
        assert_eq!(breaker.wait(at(60)), Some(at(59)), "never longer than a minute");
        breaker.succeeded();
        assert_eq!(breaker.wait(at(60)), None);
    }
}
