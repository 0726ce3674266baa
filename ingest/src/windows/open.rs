//! The windows of a lane that have not closed, and when each device was last heard.

use fleet::{DeviceKey, EventTime, Routed, Window};
use rustc_hash::FxHashMap;

use super::builder::Builder;
use super::features::features;

/// Enough for the loads of one batch to overlap, few enough to stay in the cache.
const AT_A_TIME: usize = 32;

/// Microseconds, 73,000 years: times beyond it are nonsense, and near the ends of the integer nothing could be added.
const FARTHEST: u64 = 1 << 61;

/// All open windows that end at the same time.
struct OpenTick {
    start: EventTime,
    end: EventTime,
    /// Log offset of the first entry that put something in.
    first_offset: u64,
    /// Places in [`OpenWindows::builders`].
    places: FxHashMap<DeviceKey, u32>,
}

pub(crate) struct OpenWindows {
    width: i64,
    /// Ordered by end; rarely more than three.
    ticks: Vec<OpenTick>,
    builders: Pool,
    spare_places: Vec<FxHashMap<DeviceKey, u32>>,
    heard: Heard,
    scratch: String,
}

impl OpenWindows {
    pub(crate) fn new(width: i64) -> OpenWindows {
        OpenWindows {
            width,
            ticks: Vec::new(),
            builders: Pool::default(),
            spare_places: Vec::new(),
            heard: Heard { width, windows: Vec::new() },
            scratch: String::new(),
        }
    }

    /// Adds readings to their windows; gives how many were in time. The others' windows ended at or before
    /// `closed_through`, or lie beyond [`FARTHEST`].
    ///
    /// A device's open window is hardly ever in the cache, so readings are taken a few at a time: all their windows are
    /// found first, then touched (loads that do not wait for each other), then written. This halves the time.
    pub(crate) fn add<'a>(
        &mut self,
        offset: u64,
        readings: impl Iterator<Item = Routed<'a>>,
        closed_through: EventTime,
    ) -> u64 {
        let mut accepted = 0;
        let mut found: Vec<(u32, Routed<'_>)> = Vec::with_capacity(AT_A_TIME);
        for routed in readings {
            let Some(place) = self.find(offset, &routed, closed_through) else { continue };
            found.push((place, routed));
            if found.len() == AT_A_TIME {
                accepted += self.write(&found);
                found.clear();
            }
        }
        accepted + self.write(&found)
    }

    fn write(&mut self, found: &[(u32, Routed<'_>)]) -> u64 {
        self.touch(found.iter().map(|(place, _)| *place));
        for (place, routed) in found {
            self.builders.get_mut(*place).add(routed, &mut self.scratch);
        }
        found.len() as u64
    }

    /// Loads builders ahead of their use, first themselves and then what they point to.
    fn touch(&self, places: impl Iterator<Item = u32> + Clone) {
        let builders = places.map(|place| self.builders.get(place));
        std::hint::black_box(builders.clone().map(Builder::touch).fold(0, u64::wrapping_add));
        std::hint::black_box(builders.map(Builder::touch_contents).fold(0, u64::wrapping_add));
    }

    fn find(&mut self, offset: u64, routed: &Routed<'_>, closed_through: EventTime) -> Option<u32> {
        let time = routed.reading.time;
        let open = self.ticks.iter().rposition(|tick| tick.start <= time && time < tick.end);
        if let Some(tick) = open {
            return Some(self.place(tick, routed.owner.device));
        }
        let end = time.window_end(self.width);
        if end <= closed_through || end.0.unsigned_abs() > FARTHEST {
            return None;
        }
        let tick = self.open(end, offset);
        Some(self.place(tick, routed.owner.device))
    }

    fn open(&mut self, end: EventTime, offset: u64) -> usize {
        let at = self.ticks.partition_point(|tick| tick.end < end);
        if self.ticks.get(at).is_some_and(|tick| tick.end == end) {
            return at;
        }
        let start = EventTime(end.0.saturating_sub(self.width));
        let places = self.spare_places.pop().unwrap_or_default();
        self.ticks.insert(at, OpenTick { start, end, first_offset: offset, places });
        at
    }

    fn place(&mut self, tick: usize, device: DeviceKey) -> u32 {
        let builders = &mut self.builders;
        *self.ticks[tick].places.entry(device).or_insert_with(|| builders.take())
    }

    pub(crate) fn first_end(&self) -> Option<EventTime> {
        self.ticks.first().map(|tick| tick.end)
    }

    pub(crate) fn last_end(&self) -> Option<EventTime> {
        self.ticks.last().map(|tick| tick.end)
    }

    /// How many end at or before `time`.
    pub(crate) fn ending_by(&self, time: EventTime) -> usize {
        self.ticks.partition_point(|tick| tick.end <= time)
    }

    pub(crate) fn first_offset(&self) -> Option<u64> {
        self.ticks.iter().map(|tick| tick.first_offset).min()
    }

    /// The windows ending at `end`, ordered by device; they are open no more.
    pub(crate) fn close(&mut self, end: EventTime) -> Vec<Window> {
        if self.first_end() != Some(end) {
            return Vec::new();
        }
        let mut tick = self.ticks.remove(0);
        let mut devices: Vec<(DeviceKey, u32)> = tick.places.drain().collect();
        self.spare_places.push(tick.places);
        devices.sort_unstable();
        let mut windows = Vec::with_capacity(devices.len());
        for (number, &(device, place)) in devices.iter().enumerate() {
            if number % AT_A_TIME == 0 {
                let ahead = devices.iter().skip(number).take(AT_A_TIME);
                self.touch(ahead.map(|(_, place)| *place));
            }
            let builder = self.builders.get_mut(place);
            let heard = self.heard.replace(device, end);
            windows.push(Window {
                device,
                start: tick.start,
                end,
                features: features(builder, tick.start, heard),
                contacts: builder.contacts.take(),
                details: builder.sessions.take().map(|sessions| Box::new(sessions.details)),
                first_record: builder.first_record,
                last_record: builder.last_record,
                records: builder.records,
                malicious: builder.malicious,
            });
            self.builders.put_back(place);
        }
        windows
    }

    pub(crate) fn recall(&mut self, device: DeviceKey, end: EventTime) {
        self.heard.recall(device, end);
    }

    /// What there is to [`OpenWindows::recall`], ordered by device.
    pub(crate) fn heard(&self) -> Vec<(DeviceKey, EventTime)> {
        self.heard.all().collect()
    }
}

/// Builders by place, in chunks: one array that doubles would be copied, and touch three times the memory it needs.
#[derive(Default)]
struct Pool {
    chunks: Vec<Vec<Builder>>,
    made: u32,
    free: Vec<u32>,
}

impl Pool {
    const CHUNK: usize = 256;

    /// The place of an empty one.
    fn take(&mut self) -> u32 {
        if let Some(place) = self.free.pop() {
            return place;
        }
        if self.made as usize == self.chunks.len() * Self::CHUNK {
            self.chunks.push(Vec::with_capacity(Self::CHUNK));
        }
        let place = self.made;
        self.made += 1;
        self.chunks[place as usize / Self::CHUNK].push(Builder::default());
        place
    }

    /// What was built in it was taken.
    fn put_back(&mut self, place: u32) {
        self.get_mut(place).clear();
        self.free.push(place);
    }

    fn get(&self, place: u32) -> &Builder {
        let place = place as usize;
        &self.chunks[place / Self::CHUNK][place % Self::CHUNK]
    }

    fn get_mut(&mut self, place: u32) -> &mut Builder {
        let place = place as usize;
        &mut self.chunks[place / Self::CHUNK][place % Self::CHUNK]
    }
}

/// The end of each device's last closed window with readings: all that is kept of a device between its windows, in four
/// bytes. It also follows from the stored windows.
struct Heard {
    width: i64,
    /// By device key: the number of the window, counted from the epoch in widths; 0 for never.
    windows: Vec<u32>,
}

impl Heard {
    fn replace(&mut self, device: DeviceKey, end: EventTime) -> Option<EventTime> {
        let number = self.number(end);
        let heard = self.entry(device);
        let before = std::mem::replace(heard, number);
        (before > 0).then(|| EventTime(i64::from(before) * self.width))
    }

    fn recall(&mut self, device: DeviceKey, end: EventTime) {
        let number = self.number(end);
        let heard = self.entry(device);
        *heard = number.max(*heard);
    }

    fn all(&self) -> impl Iterator<Item = (DeviceKey, EventTime)> {
        let heard = (0..).map(DeviceKey).zip(&self.windows).filter(|(_, number)| **number > 0);
        heard.map(|(device, number)| (device, EventTime(i64::from(*number) * self.width)))
    }

    /// Fits until the year 2106 with windows of a second, and until 10228 with those of a minute.
    fn number(&self, end: EventTime) -> u32 {
        u32::try_from(end.0.div_euclid(self.width).max(0)).unwrap_or(u32::MAX)
    }

    fn entry(&mut self, device: DeviceKey) -> &mut u32 {
        let index = device.0 as usize;
        if index >= self.windows.len() {
            self.windows.resize(index + 1, 0);
        }
        &mut self.windows[index]
    }
}
