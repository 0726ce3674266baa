//! Which devices of the inventory a lane has, told to it whole: it finds out who left while nobody told it.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Ids of one message.
const AT_ONCE: usize = 512;

/// Of the ids after `after` and up to `through` (`None`: without a bound), the inventory has exactly these in the lane. A
/// message says all of its range by itself, so that nothing is held from one to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub after: Option<SmolStr>,
    pub through: Option<SmolStr>,
    /// In order.
    pub devices: Vec<SmolStr>,
}

impl Members {
    /// All of a lane's devices, in parts that leave no id out; one part for a lane without any.
    pub fn parts(mut ids: Vec<SmolStr>) -> Vec<Members> {
        ids.sort_unstable();
        let mut parts = Vec::new();
        let mut after = None;
        for some in ids.chunks(AT_ONCE) {
            let through = some.last().cloned();
            let after = std::mem::replace(&mut after, through.clone());
            parts.push(Members { after, through, devices: some.to_vec() });
        }
        match parts.last_mut() {
            Some(last) => last.through = None,
            None => parts.push(Members::default()),
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol_str::format_smolstr;

    #[test]
    fn every_id_is_in_the_range_of_one_part() {
        for count in [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 7] {
            let ids: Vec<SmolStr> = (0..count).rev().map(|number| format_smolstr!("device-{number:05}")).collect();
            let parts = Members::parts(ids.clone());
            let told: Vec<SmolStr> = parts.iter().flat_map(|part| part.devices.clone()).collect();
            assert_eq!(told, ids.into_iter().rev().collect::<Vec<_>>());
            let bounds = |part: &Members| (part.after.clone(), part.through.clone());
            assert_eq!(parts.first().map(bounds).unwrap().0, None);
            assert_eq!(parts.last().map(bounds).unwrap().1, None);
            for pair in parts.windows(2) {
                assert!(pair[0].through.is_some() && pair[0].through == pair[1].after);
            }
            for part in &parts {
                let is_within = |id: &SmolStr| {
                    part.after.as_ref().is_none_or(|after| after < id)
                        && part.through.as_ref().is_none_or(|through| id <= through)
                };
                assert!(part.devices.iter().all(is_within));
            }
        }
    }
}
