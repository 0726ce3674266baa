//! A circuit breaker: a gateway that does not answer is left alone for a while, so that it can come back, and so that calls
//! do not wait for nothing. After the pause one call tries; its success closes the circuit. It is the gateway's, however many
//! calls are made there at the same time.

use std::time::Duration;

/// Failures in a row that open it.
pub const ENOUGH: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// For whoever comes while another tries.
const SOON: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Duration,
    is_tried: bool,
}

/// To make one call; what came of it is told to the breaker that gave it.
#[derive(Debug, PartialEq, Eq)]
pub struct Pass {
    /// Of the one that tries after a pause.
    tries: bool,
}

impl Breaker {
    /// # Errors
    /// How long nothing is to be sent yet.
    pub fn admit(&mut self, now: Duration) -> Result<Pass, Duration> {
        let Some(open) = &mut self.open else { return Ok(Pass { tries: false }) };
        let left = open.until.saturating_sub(now);
        if !left.is_zero() {
            return Err(left);
        }
        if open.is_tried {
            return Err(SOON);
        }
        open.is_tried = true;
        Ok(Pass { tries: true })
    }

    pub fn is_open(&self, now: Duration) -> bool {
        self.open.as_ref().is_some_and(|open| now < open.until)
    }

    pub fn succeeded(&mut self) {
        *self = Breaker::default();
    }

    /// It was held back on our side, which says nothing of the gateway.
    pub fn was_not_sent(&mut self, pass: &Pass) {
        if let Some(open) = self.open.as_mut().filter(|_| pass.tries) {
            open.is_tried = false;
        }
    }

    pub fn failed(&mut self, pass: &Pass, now: Duration) {
        // It was sent before the circuit opened: that says nothing new.
        if self.open.is_some() && !pass.tries {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= ENOUGH {
            let doubled = FIRST_PAUSE.saturating_mul(1 << (self.failures - ENOUGH).min(6));
            self.open = Some(Open { until: now + doubled.min(LONGEST_PAUSE), is_tried: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn fails(breaker: &mut Breaker, second: u64) {
        let pass = breaker.admit(at(second)).unwrap();
        breaker.failed(&pass, at(second));
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let mut breaker = Breaker::default();
        (0..4).for_each(|second| fails(&mut breaker, second));
        assert!(breaker.admit(at(4)).is_ok());
        breaker.succeeded();
        (10..15).for_each(|second| fails(&mut breaker, second));
        assert_eq!(breaker.admit(at(14)), Err(at(5)));
        fails(&mut breaker, 19);
        assert_eq!(breaker.admit(at(19)), Err(at(10)), "one tried");
        for second in [29, 49, 89] {
            fails(&mut breaker, second);
        }
        assert_eq!(breaker.admit(at(89)), Err(at(60)), "never longer than a minute");
        breaker.succeeded();
        assert!(breaker.admit(at(90)).is_ok());
    }

    #[test]
    fn of_several_at_once_one_tries_and_a_storm_of_failures_counts_once() {
        let mut breaker = Breaker::default();
        let passes: Vec<Pass> = (0..9).map(|_| breaker.admit(at(0)).unwrap()).collect();
        passes.iter().for_each(|pass| breaker.failed(pass, at(1)));
        assert_eq!(breaker.admit(at(1)), Err(at(5)), "what was on its way when it opened adds nothing");
        let pass = breaker.admit(at(6)).unwrap();
        assert_eq!(breaker.admit(at(6)), Err(SOON), "another tries");
        breaker.was_not_sent(&pass);
        let pass = breaker.admit(at(6)).unwrap();
        breaker.was_not_sent(&Pass { tries: false });
        assert_eq!(breaker.admit(at(7)), Err(SOON));
        breaker.failed(&pass, at(7));
        assert_eq!(breaker.admit(at(7)), Err(at(10)));
    }
}
