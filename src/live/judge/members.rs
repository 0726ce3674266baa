//! Which devices a lane was told of, and which of them left.
//!
//! What is remembered may be ahead of the log that is read again. So what a message was found to say is remembered for as
//! long as the message may be read again: it says the same.

use std::collections::BTreeMap;
use std::ops::Bound;

use fleet::EventTime;
use fleet::device::Standing;
use ingest::log::{DeviceRecord, Members};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct LaneMembers {
    devices: BTreeMap<SmolStr, Member>,
    /// Those that the inventory has no more, or has in another lane by now, and from when.
    left: BTreeMap<SmolStr, EventTime>,
    /// By offset: whom a message was found to leave out.
    found: BTreeMap<u64, Vec<(SmolStr, EventTime)>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Member {
    record: DeviceRecord,
    /// The latest of its announcements.
    from: EventTime,
}

impl LaneMembers {
    /// From when it holds: whoever left and is back is not back before leaving, or leaving would have the last word.
    pub fn announce(&mut self, record: DeviceRecord, from: EventTime) -> EventTime {
        let holds = self.left.remove(&record.id).map_or(from, |left| left.max(from));
        let from = self.devices.get(&record.id).map_or(holds, |known| known.from.max(holds));
        self.devices.insert(record.id.clone(), Member { record, from });
        holds
    }

    pub fn leave(&mut self, id: &SmolStr, from: EventTime) {
        self.left.insert(id.clone(), from);
    }

    /// Devices that the inventory has no more, each with the time from which it left: at once, but not before it came.
    /// Nobody knows when the inventory changed, only that it did while nobody looked.
    pub fn compare(&mut self, offset: u64, told: &Members) -> Vec<(SmolStr, EventTime)> {
        let gone = match self.found.get(&offset) {
            Some(found) => found.clone(),
            None => self.left_out(told),
        };
        self.left.extend(gone.iter().cloned());
        self.found.insert(offset, gone.clone());
        gone
    }

    fn left_out(&self, told: &Members) -> Vec<(SmolStr, EventTime)> {
        let after = told.after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
        let is_within = |id: &SmolStr| told.through.as_ref().is_none_or(|through| id <= through);
        self.devices
            .range::<str, _>((after, Bound::Unbounded))
            .take_while(|(id, _)| is_within(id))
            // An inventory says nothing of devices that it never had.
            .filter(|(id, member)| member.record.standing != Standing::Unknown && !self.left.contains_key(*id))
            .filter(|(id, _)| told.devices.binary_search(id).is_err())
            .map(|(id, member)| (id.clone(), member.from))
            .collect()
    }

    /// Messages before this offset are not read again.
    pub fn forget_below(&mut self, offset: u64) {
        self.found = self.found.split_off(&offset);
    }

    /// Everybody, also who left.
    pub fn all(&self) -> impl Iterator<Item = &DeviceRecord> {
        self.devices.values().map(|member| &member.record)
    }

    pub fn present(&self) -> impl Iterator<Item = &DeviceRecord> {
        self.all().filter(|record| !self.left.contains_key(&record.id))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use fleet::{Cohort, Criticality};

    pub fn record(id: &str, standing: Standing) -> DeviceRecord {
        DeviceRecord {
            id: id.into(),
            criticality: Criticality::default(),
            standing,
            device_type: "lamp".into(),
            site: "".into(),
            segment: "".into(),
            owner: "".into(),
            firmware: "".into(),
            protocol: "".into(),
            purpose: "".into(),
            cohort: Cohort::default(),
        }
    }

    fn lane(ids: &[&str]) -> LaneMembers {
        let mut lane = LaneMembers::default();
        for id in ids {
            lane.announce(record(id, Standing::Active), EventTime::MIN);
        }
        lane
    }

    fn told(after: Option<&str>, through: Option<&str>, devices: &[&str]) -> Members {
        let id = |id: &str| SmolStr::new(id);
        Members { after: after.map(id), through: through.map(id), devices: devices.iter().map(|it| id(it)).collect() }
    }

    fn ids(gone: &[(SmolStr, EventTime)]) -> Vec<&str> {
        gone.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn who_is_left_out_of_its_range_left_and_strangers_are_in_no_inventory() {
        let mut lane = lane(&["a", "b", "c", "d", "e"]);
        lane.announce(record("unknown:c", Standing::Unknown), EventTime(5));
        lane.leave(&"d".into(), EventTime::MIN);
        assert_eq!(ids(&lane.compare(1, &told(Some("a"), Some("d"), &["c"]))), ["b"]);
        assert!(lane.compare(2, &told(Some("d"), None, &["e", "f"])).is_empty());
        assert_eq!(ids(&lane.compare(3, &told(None, None, &[]))), ["a", "c", "e"]);
        let present: Vec<&str> = lane.present().map(|record| record.id.as_str()).collect();
        assert_eq!(present, ["unknown:c"]);
    }

    #[test]
    fn nobody_leaves_before_he_came() {
        let mut lane = lane(&[]);
        lane.announce(record("a", Standing::Active), EventTime(70));
        lane.announce(record("a", Standing::Active), EventTime::MIN);
        assert_eq!(lane.compare(1, &told(None, None, &[])), [(SmolStr::new("a"), EventTime(70))]);
        lane.announce(record("a", Standing::Active), EventTime(80));
        assert_eq!(lane.present().count(), 1, "he is back");
        lane.leave(&"a".into(), EventTime(90));
        let back = lane.announce(record("a", Standing::Active), EventTime::MIN);
        assert_eq!(back, EventTime(90), "not before leaving, which would have the last word");
    }

    #[test]
    fn a_message_that_is_read_again_says_the_same() {
        let mut lane = lane(&["a", "b"]);
        let message = told(None, None, &["a"]);
        let first = lane.compare(4, &message);
        assert_eq!(ids(&first), ["b"]);
        // What came after it, and is remembered when it is read again.
        lane.announce(record("b", Standing::Active), EventTime(9));
        lane.announce(record("c", Standing::Active), EventTime(9));
        let mut recalled: LaneMembers = postcard::from_bytes(&postcard::to_stdvec(&lane).unwrap()).unwrap();
        assert_eq!(recalled.compare(4, &message), first);
        recalled.forget_below(5);
        assert_eq!(ids(&recalled.compare(6, &message)), ["c"], "b left already");
    }
}
