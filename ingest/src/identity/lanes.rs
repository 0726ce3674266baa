//! Which lane a cohort belongs to.
//!
//! An explicit table, not a hash: hashing nine cohorts would idle most of sixteen lanes. The largest cohorts are placed
//! first, each on the lane with the fewest devices. A cohort keeps its lane for good: its windows are there. Cohorts of
//! unknown devices are hashed, so that nobody need agree on them; no device of an inventory is ever in one, as theirs have
//! no type and an inventory demands one.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::id::stable_hash;
use fleet::{Cohort, Device, DeviceKey};
use rustc_hash::FxHashMap;

pub struct LaneTable {
    lanes: usize,
    cohorts: FxHashMap<Cohort, u16>,
    /// By device key; for readings, which come too often to compare names.
    devices: Vec<u16>,
}

impl LaneTable {
    /// Where nobody else places cohorts. `lanes` is at least 1; the same devices and number of lanes give the same table.
    pub fn new(devices: &[Arc<Device>], lanes: usize) -> LaneTable {
        let mut table = LaneTable::empty(lanes);
        for (cohort, lane) in table.proposals(devices) {
            table.place(cohort, lane);
        }
        table.renew(devices);
        table
    }

    /// No cohort has a place yet.
    pub fn empty(lanes: usize) -> LaneTable {
        let lanes = lanes.clamp(1, usize::from(u16::MAX));
        LaneTable { lanes, cohorts: FxHashMap::default(), devices: Vec::new() }
    }

    /// A lane for each cohort of `devices` that has none: where there are fewest devices.
    pub fn proposals(&self, devices: &[Arc<Device>]) -> Vec<(Cohort, usize)> {
        let mut load = vec![0usize; self.lanes];
        let mut new: BTreeMap<&Cohort, usize> = BTreeMap::new();
        for device in devices {
            match self.cohorts.get(&device.cohort) {
                Some(lane) => load[usize::from(*lane)] += 1,
                None => *new.entry(&device.cohort).or_default() += 1,
            }
        }
        let mut largest_first: Vec<(&Cohort, usize)> = new.into_iter().collect();
        largest_first.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let place = |(cohort, size): (&Cohort, usize)| {
            let lane = least(&load);
            load[lane] += size;
            (cohort.clone(), lane)
        };
        largest_first.into_iter().map(place).collect()
    }

    /// The first place of a cohort holds.
    pub fn place(&mut self, cohort: Cohort, lane: usize) {
        self.cohorts.entry(cohort).or_insert(lane as u16);
    }

    /// Devices have other keys by now.
    pub fn renew(&mut self, devices: &[Arc<Device>]) {
        self.devices.clear();
        for device in devices {
            self.announce(device);
        }
    }

    pub fn lane_of(&self, cohort: &Cohort) -> usize {
        match self.cohorts.get(cohort) {
            Some(lane) => usize::from(*lane),
            None => self.hashed(cohort),
        }
    }

    /// Takes a new device into the table, and gives its lane.
    pub fn announce(&mut self, device: &Device) -> usize {
        let lane = self.lane_of(&device.cohort);
        let index = device.key.0 as usize;
        if index >= self.devices.len() {
            self.devices.resize(index + 1, 0);
        }
        self.devices[index] = lane as u16;
        lane
    }

    /// The lane of an announced device; 0 for one that was not.
    pub fn lane_of_device(&self, device: DeviceKey) -> usize {
        self.devices.get(device.0 as usize).map_or(0, |lane| usize::from(*lane))
    }

    pub fn lanes(&self) -> usize {
        self.lanes
    }

    fn hashed(&self, cohort: &Cohort) -> usize {
        let shard = cohort.shard.to_string();
        (stable_hash(&[&cohort.device_type, &cohort.segment, &shard]) % self.lanes as u64) as usize
    }
}

fn least(load: &[usize]) -> usize {
    (0..load.len()).min_by_key(|&lane| load[lane]).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::identity::{Inventory, Router};

    fn devices(sizes: &[(&str, usize)]) -> Vec<Arc<Device>> {
        let mut text = String::from("device_id,device_type\n");
        for (device_type, size) in sizes {
            (0..*size).for_each(|number| text.push_str(&format!("{device_type}-{number},{device_type}\n")));
        }
        let inventory = Inventory::from_csv(text.as_bytes(), "test").unwrap();
        Router::new(inventory, &Config::default()).devices().to_vec()
    }

    #[test]
    fn the_largest_cohorts_are_spread_first() {
        let devices = devices(&[("a", 1), ("b", 5), ("c", 3), ("d", 2)]);
        let table = LaneTable::new(&devices, 2);
        let lane = |name: &str| {
            let device = devices.iter().find(|device| device.device_type == name).unwrap();
            table.lane_of_device(device.key)
        };
        assert_eq!((lane("b"), lane("c"), lane("d"), lane("a")), (0, 1, 1, 0));
    }

    #[test]
    fn cohorts_stay_when_the_inventory_grows() {
        let mut table = LaneTable::new(&devices(&[("a", 1), ("b", 5)]), 2);
        let before = [table.lane_of_device(DeviceKey(0)), table.lane_of_device(DeviceKey(1))];
        let grown = devices(&[("a", 9), ("b", 5), ("c", 3)]);
        let proposed = table.proposals(&grown);
        assert_eq!(proposed.len(), 1, "{proposed:?}");
        proposed.into_iter().for_each(|(cohort, lane)| table.place(cohort, lane));
        table.renew(&grown);
        assert_eq!([table.lane_of_device(DeviceKey(0)), table.lane_of_device(DeviceKey(9))], before);
        assert_eq!(table.lane_of_device(DeviceKey(14)), before[1], "c goes where there are fewest");
    }

    #[test]
    fn the_first_place_of_a_cohort_holds() {
        let mut table = LaneTable::empty(4);
        let cohort = Cohort { device_type: "a".into(), ..Cohort::default() };
        table.place(cohort.clone(), 3);
        table.place(cohort.clone(), 1);
        assert_eq!(table.lane_of(&cohort), 3);
        assert!(table.proposals(&devices(&[("a", 4)])).is_empty());
    }

    #[test]
    fn an_unseen_cohort_has_one_lane_for_good() {
        let mut table = LaneTable::new(&[], 7);
        let cohort = Cohort { device_type: "".into(), segment: "".into(), shard: 3 };
        assert_eq!(table.lane_of(&cohort), LaneTable::new(&devices(&[("a", 4)]), 7).lane_of(&cohort));
        let profile = Arc::new(fleet::Profile { cohort: cohort.clone(), ..Default::default() });
        let device = Device { key: DeviceKey(9), profile, ..devices(&[("a", 1)])[0].as_ref().clone() };
        assert_eq!(table.announce(&device), table.lane_of_device(DeviceKey(9)));
        assert!(table.lane_of(&cohort) < 7);
    }
}
