//! The detectors. Each looks at one tick of a lane and says what it holds against which device, in one currency
//! ([`crate::evidence`]). An open set: a new detector is a file here and a line in [`all`].

pub mod contacts;
pub mod drift;
pub mod gap;
pub mod sign_in;
pub mod silence;
pub mod statistics;
pub mod stuck;

use fleet::memory::Unreadable;
use fleet::{Device, DeviceKey, Direction, Tick, Window};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::evidence::Evidence;
use crate::prepared::{Prepared, PreparedType};
use crate::roster::Roster;

/// What a detector sees: one tick, who is in the lane, and what is normal.
pub struct Scene<'a> {
    pub tick: &'a Tick,
    /// One per window of the tick; `None` for those of devices that are masked, or not in the lane.
    subjects: Vec<Option<Subject<'a>>>,
    /// Whose windows have a contact that they began, masked devices left out.
    spoke: Vec<DeviceKey>,
    pub roster: &'a Roster,
    pub prepared: &'a Prepared,
    pub config: &'a Config,
    /// Of a window, microseconds.
    pub width: i64,
    /// Calibrating: evidence is listened to, and nobody asks how strange single windows are.
    pub calibrating: bool,
}

/// A window with whose it is, and what is normal for its type, if that was learned.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Place of the window in the tick.
    pub index: usize,
    pub window: &'a Window,
    pub device: &'a Device,
    pub prepared: Option<&'a PreparedType>,
    /// How the device differs from its type, by feature; see [`baseline::TypeBaseline::device_offsets`].
    pub offsets: Option<&'a [f32]>,
}

impl<'a> Scene<'a> {
    pub fn new(
        tick: &'a Tick,
        roster: &'a Roster,
        prepared: &'a Prepared,
        config: &'a Config,
        width: i64,
        calibrating: bool,
    ) -> Scene<'a> {
        let mut types = prepared.of_devices();
        let subject = |(index, window): (usize, &'a Window)| {
            let device = roster.device(window.device).filter(|device| !roster.is_masked(device.key))?;
            let prepared = types.of(device);
            let offsets = prepared.and_then(|it| it.learned.device_offsets.get(&device.id)).map(Vec::as_slice);
            Some(Subject { index, window, device, prepared, offsets })
        };
        let subjects = tick.windows.iter().enumerate().map(subject).collect();
        let spoke = |window: &&Window| {
            window.contacts.iter().any(|contact| contact.direction == Direction::Outbound)
                && !roster.is_masked(window.device)
        };
        let spoke = tick.windows.iter().filter(spoke).map(|window| window.device).collect();
        Scene { tick, subjects, spoke, roster, prepared, config, width, calibrating }
    }

    /// Devices that began an exchange in this tick.
    pub fn spoke(&self) -> &[DeviceKey] {
        &self.spoke
    }

    /// The windows of devices that are in the lane, but for those that an action of ours explains.
    pub fn subjects(&self) -> impl Iterator<Item = Subject<'a>> {
        self.subjects.iter().copied().flatten()
    }

    /// The windows of types that were learned.
    pub fn learned(&self) -> impl Iterator<Item = (Subject<'a>, &'a PreparedType)> {
        self.subjects().filter_map(|subject| Some((subject, subject.prepared?)))
    }

    pub fn device(&self, key: DeviceKey) -> Option<&'a Device> {
        self.roster.device(key).map(AsRef::as_ref)
    }
}

/// What a detector says of a tick.
#[derive(Default)]
pub struct Sightings {
    pub evidence: Vec<Evidence>,
    /// Per window of the tick: how strange this one window is, natural logarithm units.
    pub window_scores: Vec<f32>,
    /// Devices that are quiet, and how surprising that is: what calibration listens to.
    pub silences: Vec<(DeviceKey, f64)>,
    /// Devices that drift, and how far: likewise.
    pub drifts: Vec<(DeviceKey, f64)>,
    /// Cohorts that stop together.
    pub together: Vec<gap::Together>,
    pub forgotten: Forgotten,
}

/// Destinations that a device met within the day, each time one is forgotten because it met more than
/// `max_episodes_per_device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub destinations: u64,
    /// Whose they were; of several devices, the last.
    pub device: Option<DeviceKey>,
}

impl Forgotten {
    /// Those that came after.
    pub fn add(&mut self, later: Forgotten) {
        self.destinations += later.destinations;
        self.device = later.device.or(self.device);
    }
}

impl Sightings {
    pub fn for_windows(windows: usize) -> Sightings {
        Sightings { window_scores: vec![0.0; windows], ..Sightings::default() }
    }

    pub fn score(&mut self, window: usize, score: f64) {
        let present = &mut self.window_scores[window];
        *present = present.max(score as f32);
    }
}

/// What a detector remembers between two ticks. Whatever can be serialised has it: a detector derives `Serialize` and
/// `Deserialize`, and writes its hash maps sorted ([`fleet::memory::sorted`]), so that equal states give equal bytes.
pub trait Memory {
    fn memory(&self) -> Vec<u8>;

    /// With an error nothing has changed.
    fn recall(&mut self, memory: &[u8]) -> Result<(), Unreadable>;
}

impl<D: Serialize + DeserializeOwned> Memory for D {
    fn memory(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a state has only parts that postcard can write")
    }

    fn recall(&mut self, memory: &[u8]) -> Result<(), Unreadable> {
        let damaged = |error: postcard::Error| Unreadable::Damaged { of: "detector", what: error.to_string() };
        *self = postcard::from_bytes(memory).map_err(damaged)?;
        Ok(())
    }
}

pub trait Detector: Memory + Send {
    fn name(&self) -> &'static str;

    /// Ticks come in the order of time. State per device must be bounded.
    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings);
}

/// Those whose measures must be known before their evidence can be weighed.
pub fn measured() -> Vec<Box<dyn Detector>> {
    vec![Box::<silence::Silence>::default(), Box::<drift::Drift>::default()]
}

/// All of them, with no memory of anything.
pub fn all() -> Vec<Box<dyn Detector>> {
    vec![
        Box::<contacts::Contacts>::default(),
        Box::<silence::Silence>::default(),
        Box::<gap::Gap>::default(),
        Box::<statistics::Statistics>::default(),
        Box::<sign_in::SignIn>::default(),
        Box::<stuck::Stuck>::default(),
        Box::<drift::Drift>::default(),
    ]
}
