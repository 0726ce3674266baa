//! Whose is it: readings from a source to the lanes' logs, with the marks and facts that close their windows.

use std::sync::Arc;

use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender};
use fleet::{Batch, Cohort, Device, Entry, EventTime, Fact, MICROS_PER_SECOND, Mark, Owner, Reading};
use ingest::identity::{LaneTable, Router, Routes};

use crate::lane::{LaneInput, Names};

/// All files of a data set are one merged source.
const SOURCE: u32 = 0;

pub struct Route {
    router: Router,
    table: LaneTable,
    lanes: Vec<LaneLog>,
    routes: Routes,
    names: Names,
    roster: Arc<[u32]>,
    lateness: i64,
    greatest: EventTime,
    marked: EventTime,
}

struct LaneLog {
    input: Sender<LaneInput>,
    is_flushed: Receiver<()>,
    offset: u64,
    rows: Vec<(u32, Owner)>,
}

impl Route {
    /// Announces every device the inventory has. Each lane with its input, and where it says that it has flushed.
    pub fn new(
        router: Router,
        lanes: Vec<(Sender<LaneInput>, Receiver<()>)>,
        names: Names,
        lateness_seconds: u32,
    ) -> anyhow::Result<Route> {
        let table = LaneTable::new(router.devices(), lanes.len());
        let mut route = Route {
            router,
            table,
            lanes: lanes
                .into_iter()
                .map(|(input, is_flushed)| LaneLog { input, is_flushed, offset: 0, rows: Vec::new() })
                .collect(),
            routes: Routes::default(),
            names,
            roster: Arc::from([SOURCE]),
            lateness: i64::from(lateness_seconds) * MICROS_PER_SECOND,
            greatest: EventTime::MIN,
            marked: EventTime::MIN,
        };
        route.router.announce_all(&mut route.routes);
        route.send_facts()?;
        Ok(route)
    }

    pub fn devices(&self) -> &[Arc<Device>] {
        self.router.devices()
    }

    /// Greatest event time seen.
    pub fn reached(&self) -> Option<EventTime> {
        (self.greatest > EventTime::MIN).then_some(self.greatest)
    }

    /// Writes a batch to the lanes' logs; marks are the caller's next step.
    pub fn take(&mut self, mut readings: Vec<Reading>) -> anyhow::Result<()> {
        let mut owned: Vec<(u32, Owner)> = Vec::with_capacity(readings.len());
        let mut facts: Vec<(u32, (Cohort, Fact))> = Vec::new();
        for (row, reading) in (0..).zip(&mut readings) {
            self.greatest = self.greatest.max(reading.time);
            self.router.route(reading, &mut self.routes);
            facts.extend(self.routes.facts.drain(..).map(|fact| (row, fact)));
            owned.extend(self.routes.owners.drain(..).map(|owner| (row, owner)));
        }
        let readings = Arc::new(readings);
        let mut facts = facts.into_iter().peekable();
        for (row, owner) in owned {
            // A fact holds before the reading it came with.
            while let Some((_, fact)) = facts.next_if(|(of, _)| *of <= row) {
                self.send_batches(&readings)?;
                self.send_fact(fact)?;
            }
            self.lanes[self.table.lane_of_device(owner.device)].rows.push((row, owner));
        }
        self.send_batches(&readings)?;
        facts.try_for_each(|(_, fact)| self.send_fact(fact))
    }

    fn send_facts(&mut self) -> anyhow::Result<()> {
        std::mem::take(&mut self.routes.facts).into_iter().try_for_each(|fact| self.send_fact(fact))
    }

    fn send_fact(&mut self, (cohort, fact): (Cohort, Fact)) -> anyhow::Result<()> {
        let lane = match &fact {
            Fact::Device { device, .. } => {
                self.names.insert(Arc::clone(device));
                self.table.announce(device)
            }
            _ => self.table.lane_of(&cohort),
        };
        self.lanes[lane].send(Entry::Fact(fact))
    }

    fn send_batches(&mut self, readings: &Arc<Vec<Reading>>) -> anyhow::Result<()> {
        for lane in &mut self.lanes {
            if !lane.rows.is_empty() {
                let rows = std::mem::take(&mut lane.rows);
                lane.rows.reserve(rows.len());
                lane.send(Entry::Batch(Batch { readings: Arc::clone(readings), rows }))?;
            }
        }
        Ok(())
    }

    /// How far the source is complete by now, lateness taken off.
    pub fn watermark(&self) -> EventTime {
        EventTime(self.greatest.0.saturating_sub(self.lateness))
    }

    /// Tells every lane that the source is complete up to `through`.
    pub fn mark(&mut self, through: EventTime) -> anyhow::Result<()> {
        if through <= self.marked {
            return Ok(());
        }
        self.marked = through;
        for lane in &mut self.lanes {
            lane.send(Entry::Mark(Mark { source: SOURCE, roster: Arc::clone(&self.roster), through, below: 0 }))?;
        }
        Ok(())
    }

    /// Tells every lane.
    pub fn tell(&mut self, fact: &Fact) -> anyhow::Result<()> {
        self.lanes.iter_mut().try_for_each(|lane| lane.send(Entry::Fact(fact.clone())))
    }

    /// Tells the lane of a device.
    pub fn tell_lane_of(&mut self, device_id: &str, fact: impl FnOnce(&Device) -> Fact) -> anyhow::Result<()> {
        let Some(device) = self.router.devices().iter().find(|device| device.id == device_id) else {
            return Ok(());
        };
        let lane = self.table.lane_of_device(device.key);
        self.lanes[lane].send(Entry::Fact(fact(device)))
    }

    /// The logs end here.
    pub fn hang_up(&mut self) {
        self.lanes.clear();
    }

    /// Waits until every lane has judged and stored all that its log allows.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        for lane in &self.lanes {
            lane.input.send(LaneInput::Flush).map_err(|_| stopped())?;
        }
        self.lanes.iter().try_for_each(|lane| lane.is_flushed.recv().map_err(|_| stopped()))
    }
}

impl LaneLog {
    fn send(&mut self, entry: Entry) -> anyhow::Result<()> {
        let offset = self.offset;
        self.offset += 1;
        self.input.send(LaneInput::Entry { offset, entry }).map_err(|_| stopped())
    }
}

/// The lane's own error says why; this one is only met on the way there.
fn stopped() -> anyhow::Error {
    anyhow!("a lane has stopped")
}
