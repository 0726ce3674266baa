//! An episode's exchange so far, in a shape that can be remembered: the slot in which a [`baseline::Exchange`] was last
//! added to is its own affair, and follows from the last window's start.

use std::ops::Deref;

use baseline::Exchange;
use baseline::keys::Folded;
use fleet::EventTime;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(from = "Remembered", into = "Remembered")]
pub(super) struct ExchangeSoFar {
    exchange: Exchange,
    last_start: EventTime,
}

impl ExchangeSoFar {
    /// Windows come in the order of time.
    pub fn add(&mut self, part: &Folded<'_>, window_start: EventTime) {
        self.exchange.add(part.flows, part.refused, part.bytes_out, part.bytes_in, window_start);
        self.last_start = window_start;
    }
}

impl Deref for ExchangeSoFar {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    flows: u32,
    refused: u32,
    bytes_out: u64,
    bytes_in: u64,
    windows: u32,
    slots: u32,
    last_start: EventTime,
}

impl From<ExchangeSoFar> for Remembered {
    fn from(so_far: ExchangeSoFar) -> Remembered {
        let ExchangeSoFar { exchange, last_start } = so_far;
        let Exchange { flows, refused, bytes_out, bytes_in, windows, slots, .. } = exchange;
        Remembered { flows, refused, bytes_out, bytes_in, windows, slots, last_start }
    }
}

impl From<Remembered> for ExchangeSoFar {
    fn from(remembered: Remembered) -> ExchangeSoFar {
        let Remembered { flows, refused, bytes_out, bytes_in, windows, slots, last_start } = remembered;
        let mut exchange = Exchange::default();
        // Sets the slot; the sums follow.
        exchange.add(0, 0, 0, 0, last_start);
        (exchange.flows, exchange.refused) = (flows, refused);
        (exchange.bytes_out, exchange.bytes_in) = (bytes_out, bytes_in);
        (exchange.windows, exchange.slots) = (windows, slots);
        ExchangeSoFar { exchange, last_start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recalled_goes_on_counting_the_same_slots() {
        for last in [0, 599, 600, 86_400 * 20_000] {
            let at = |second: i64| EventTime(0).plus_seconds(last + second);
            let mut straight = ExchangeSoFar::default();
            straight.exchange.add(1, 2, 3, 4, at(-1200));
            straight.exchange.add(5, 6, 7, 8, at(0));
            straight.last_start = at(0);
            for next in [0, 1, 600] {
                let mut recalled = ExchangeSoFar::from(Remembered::from(straight));
                assert_eq!(recalled.exchange, straight.exchange);
                let mut straight = straight;
                straight.exchange.add(1, 1, 1, 1, at(next));
                recalled.exchange.add(1, 1, 1, 1, at(next));
                assert_eq!(recalled.exchange, straight.exchange);
            }
        }
    }
}
