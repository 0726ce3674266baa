//! Finds one of up to 128 contacts without a look at each: what makes a scanner's window as cheap as any.
//!
//! Open addressing over 256 slots, at most half of them taken, so that a contact that is not there is told after two slots
//! on average. Slots hold no contact, only its place and eight bits of its hash.

const SLOTS: usize = 256;

pub(crate) struct Index {
    /// 0 for empty, else a tag in the upper byte and the place plus one in the lower.
    slots: [u16; SLOTS],
}

impl Index {
    /// `hashes` are those of the places from 0 on; fewer than 255.
    pub(crate) fn of(hashes: impl Iterator<Item = u32>) -> Index {
        let mut index = Index { slots: [0; SLOTS] };
        for (place, hash) in hashes.enumerate() {
            index.insert(hash, place);
        }
        index
    }

    pub(crate) fn insert(&mut self, hash: u32, place: usize) {
        debug_assert!(place < SLOTS - 1, "a slot stays empty, or a search would not end");
        let mut slot = first_slot(hash);
        while self.slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = tag(hash) | (place as u16 + 1);
    }

    /// The place for which `is_it` holds, of those whose hash may be `hash`.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut slot = first_slot(hash);
        while self.slots[slot] != 0 {
            let place = usize::from(self.slots[slot] & 0xff) - 1;
            if self.slots[slot] & 0xff00 == tag(hash) && is_it(place) {
                return Some(place);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }
}

fn first_slot(hash: u32) -> usize {
    hash as usize % SLOTS
}

fn tag(hash: u32) -> u16 {
    (hash >> 16) as u16 & 0xff00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_of_what_is_in_it_even_where_hashes_collide() {
        for spread in [0x9e37_79b1, 1 << 24, 0u32] {
            let hash = |place: usize| (place as u32).wrapping_mul(spread);
            let mut index = Index::of((0..100).map(hash));
            (100..128).for_each(|place| index.insert(hash(place), place));
            for wanted in 0..128 {
                assert_eq!(index.find(hash(wanted), |place| place == wanted), Some(wanted));
            }
            assert_eq!(index.find(hash(128), |place| place == 128), None);
        }
    }
}
