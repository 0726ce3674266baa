//! How often somebody may be wrong. Whoever is wrong more than that is told to come back later, and is not an entry of the
//! audit each time.
//!
//! A right token is always let in. Guessing 32 random bytes is hopeless at any speed, so a lock would protect nothing, and
//! whoever shares an address with a script that holds an expired token could not release a device. What is bounded is work,
//! memory and the length of the audit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Failures of a minute that begins with the first of them.
#[derive(Clone, Copy)]
struct Count {
    began: Instant,
    failures: u32,
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= MINUTE
    }
}

pub struct Failures {
    per_peer: u32,
    overall: u32,
    all: Option<Count>,
    /// Whoever is not in it yet is not taken in once `overall` is reached: two minutes' worth of that at most.
    peers: HashMap<IpAddr, Count>,
}

/// What one more failure comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    Counted,
    TooMany {
        /// How long until failures are counted anew.
        wait: Duration,
        /// The first beyond the limit: it is told, those after it are counted.
        first: bool,
    },
}

impl Failures {
    /// Both a minute: `per_peer` for one address (IPv6: its /64), `overall` for all together.
    pub fn new(per_peer: u32, overall: u32) -> Failures {
        Failures { per_peer, overall, all: None, peers: HashMap::new() }
    }

    pub fn failed(&mut self, peer: IpAddr, now: Instant) -> Failed {
        let peer = network(peer);
        if self.all.is_none_or(|all| all.is_over(now)) {
            self.all = Some(Count { began: now, failures: 0 });
            self.peers.retain(|_, count| !count.is_over(now));
        }
        let limit = self.per_peer;
        if let Some(count) = self.peers.get_mut(&peer) {
            if count.is_over(now) {
                *count = Count { began: now, failures: 0 };
            }
            if count.failures >= limit {
                return over(count, limit, now);
            }
        }
        let all = self.all.get_or_insert(Count { began: now, failures: 0 });
        if all.failures >= self.overall {
            return over(all, self.overall, now);
        }
        all.failures += 1;
        self.peers.entry(peer).or_insert(Count { began: now, failures: 0 }).failures += 1;
        Failed::Counted
    }
}

fn over(count: &mut Count, limit: u32, now: Instant) -> Failed {
    let first = count.failures == limit;
    count.failures = limit.saturating_add(1);
    Failed::TooMany { wait: MINUTE.saturating_sub(now.saturating_duration_since(count.began)), first }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_are_counted_and_the_minute_after_begins_anew() {
        let mut failures = Failures::new(10, 1000);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(failures.failed(peer("192.0.2.1"), start), Failed::Counted);
        }
        let later = start + Duration::from_secs(20);
        let wait = Duration::from_secs(40);
        assert_eq!(failures.failed(peer("192.0.2.1"), later), Failed::TooMany { wait, first: true });
        assert_eq!(failures.failed(peer("192.0.2.1"), later), Failed::TooMany { wait, first: false });
        assert_eq!(failures.failed(peer("192.0.2.2"), later), Failed::Counted, "somebody else");
        assert_eq!(failures.failed(peer("192.0.2.1"), start + MINUTE), Failed::Counted);
    }

    #[test]
    fn many_addresses_share_one_limit_and_little_memory() {
        let mut failures = Failures::new(10, 100);
        let start = Instant::now();
        let mut counted = 0;
        for index in 0..100_000_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(index));
            if failures.failed(address, start + Duration::from_millis(u64::from(index))) == Failed::Counted {
                counted += 1;
            }
            assert!(failures.peers.len() <= 200);
        }
        assert_eq!(counted, 200, "100 in each of the two minutes that were begun");
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let mut failures = Failures::new(1, 1000);
        let now = Instant::now();
        assert_eq!(failures.failed(peer("2001:db8::1"), now), Failed::Counted);
        assert!(matches!(failures.failed(peer("2001:db8::ffff:2"), now), Failed::TooMany { .. }));
        assert_eq!(failures.failed(peer("2001:db8:0:1::1"), now), Failed::Counted);
        assert_eq!(failures.failed(peer("::ffff:192.0.2.9"), now), Failed::Counted);
        assert!(matches!(failures.failed(peer("192.0.2.9"), now), Failed::TooMany { .. }));
    }
}
