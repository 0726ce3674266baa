//! Whether this process is the one that acts. It knows from the brokers: every write to the journal, and a renewal in between,
//! fails once another has taken over. Whoever takes over waits until what the former owner knows is too old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use responders::send::{Lease, boot_time};

use crate::live::judge::lease::Lease as Place;

#[derive(Clone)]
pub struct OwnLease {
    /// In the group: withdrawn when the partition is given up.
    place: Place,
    /// How long an answer of the brokers counts.
    lasts: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    lost: bool,
    proven: Option<Duration>,
    /// A former owner may send until then.
    not_before: Duration,
}

impl OwnLease {
    pub fn new(place: Place, lasts: Duration) -> OwnLease {
        OwnLease { place, lasts, state: Arc::default() }
    }

    /// How often the brokers are to be asked.
    pub fn renewed(&self) -> Duration {
        self.lasts / 4
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// By [`boot_time`]: when the brokers were asked.
    pub fn renew(&self, asked: Duration) {
        self.state(|state| state.proven = state.proven.max(Some(asked)));
    }

    pub fn lose(&self) {
        self.state(|state| state.lost = true);
    }

    /// Nothing is sent until what a former owner knows, for which `theirs` is its lease, is too old, and what left in time has
    /// arrived.
    pub fn wait_out(&self, theirs: Duration) {
        let lasts = self.lasts.max(theirs);
        self.state(|state| state.not_before = boot_time() + lasts + lasts / 4);
    }

    /// Whether nobody who came before can be at work any more.
    pub fn is_alone(&self) -> bool {
        self.state(|state| boot_time() >= state.not_before)
    }

    /// In the group.
    pub fn has_place(&self) -> bool {
        self.place.holds()
    }
}

impl Lease for OwnLease {
    fn holds_until(&self) -> Option<Duration> {
        let holds = self.place.holds();
        self.state(|state| {
            let is_ours = holds && !state.lost && boot_time() >= state.not_before;
            state.proven.filter(|_| is_ours).map(|proven| proven + self.lasts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_from_the_brokers_word_until_that_is_old_or_the_place_is_gone() {
        const LASTS: Duration = Duration::from_secs(8);
        let place = Place::default();
        let lease = OwnLease::new(place.clone(), LASTS);
        assert_eq!(lease.holds_until(), None, "nobody was asked yet");
        let asked = boot_time();
        lease.renew(asked);
        lease.renew(asked.saturating_sub(Duration::from_secs(5)));
        assert_eq!(lease.holds_until(), Some(asked + LASTS), "an older word takes nothing back");
        assert!(lease.is_alone());
        lease.wait_out(Duration::ZERO);
        assert!(lease.holds_until().is_none() && lease.has_place() && !lease.is_alone(), "a former owner may act");
        let shorter = OwnLease::new(place.clone(), Duration::from_millis(1));
        shorter.wait_out(LASTS);
        shorter.renew(boot_time());
        std::thread::sleep(Duration::from_millis(5));
        assert!(shorter.holds_until().is_none() && !shorter.is_alone(), "its lease is longer than ours");
        let other = OwnLease::new(place.clone(), LASTS);
        other.renew(asked);
        place.withdraw();
        assert_eq!(other.holds_until(), None);
    }
}
