//! What a window costs on its way to the disk and back: `cargo run --release -p store --example throughput [WINDOWS]`.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use fleet::device::Standing;
use fleet::reading::{Position, Protocol};
use fleet::window::Destination;
use fleet::{
    Cohort, Contact, Criticality, Device, DeviceKey, Direction, EventTime, FEATURES, MICROS_PER_SECOND, Profile,
    Service, Window,
};
use store::rows::{contact_batch, window_batch};
use store::{ALWAYS, Config, DeviceNames, ParquetStore, ScoredWindow, Step, Store};

const DEVICES: u32 = 200;
const TICKS_PER_STEP: usize = 120;
const MINUTE: i64 = 60 * MICROS_PER_SECOND;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: usize = std::env::args().nth(1).map_or(Ok(500_000), |text| text.parse())?;
    let devices: Vec<Arc<Device>> = (0..DEVICES).map(device).collect();
    let names = DeviceNames::new(&devices);
    let ticks = wanted / DEVICES as usize;
    let mut random = Random(42);
    let mut steps: Vec<Vec<ScoredWindow>> = Vec::new();
    for first in (0..ticks).step_by(TICKS_PER_STEP) {
        let mut windows = Vec::new();
        for tick in first..ticks.min(first + TICKS_PER_STEP) {
            windows.extend((0..DEVICES).map(|device| window(device, tick as i64, &mut random)));
        }
        steps.push(windows);
    }
    let windows: usize = steps.iter().map(Vec::len).sum();
    let contacts: usize = steps.iter().flatten().map(|row| row.window.contacts.len()).sum();
    println!("{windows} windows, {contacts} contacts, {DEVICES} devices, {} steps", steps.len());

    let as_step = |windows: &'static [ScoredWindow]| Step {
        lane: 0,
        first_tick: windows[0].window.end,
        last_tick: windows[windows.len() - 1].window.end,
        devices: Box::leak(Box::new(names.clone())),
        windows,
        evidence: &[],
    };
    let steps: Vec<Step> = steps.into_iter().map(|windows| as_step(windows.leak())).collect();

    let began = Instant::now();
    for step in &steps {
        std::hint::black_box(window_batch(step)?);
    }
    report("windows to columns", began, windows);
    let began = Instant::now();
    for step in &steps {
        std::hint::black_box(contact_batch(step)?);
    }
    report("contacts to columns", began, contacts);

    let dir = std::env::temp_dir().join(format!("store-throughput-{}", std::process::id()));
    let store = ParquetStore::create(&dir, Config::default())?;
    let began = Instant::now();
    for step in &steps {
        store.write_step(step)?;
    }
    report("steps written, windows with their contacts", began, windows);
    for (name, value) in store.metrics().read() {
        println!("    {name} {value}");
    }
    read(&store, windows)?;
    let began = Instant::now();
    store.compact(EventTime::MAX)?;
    report("compacted", began, windows);
    read(&store, windows)?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn read(store: &ParquetStore, windows: usize) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let restored = store.windows(ALWAYS, |id| id.strip_prefix("device-")?.parse().ok().map(DeviceKey))?;
    assert_eq!(restored.len(), windows);
    report("read back, with contacts", began, windows);
    let began = Instant::now();
    store.query("select device_type, count(*), sum(bytes_out) from windows group by 1")?;
    report("asked by SQL: group by type", began, windows);
    Ok(())
}

fn report(what: &str, began: Instant, rows: usize) {
    let spent = began.elapsed();
    println!("{what}: {:.3} s, {:.0} ns a row", spent.as_secs_f64(), spent.as_nanos() as f64 / rows as f64);
}

fn device(key: u32) -> Arc<Device> {
    let device_type = format!("type-{}", key % 12);
    Arc::new(Device {
        key: DeviceKey(key),
        id: format!("device-{key}").into(),
        criticality: Criticality::Medium,
        standing: Standing::Active,
        profile: Arc::new(Profile {
            device_type: device_type.as_str().into(),
            site: "north".into(),
            segment: "iot".into(),
            cohort: Cohort { device_type: device_type.as_str().into(), segment: "iot".into(), shard: 0 },
            ..Profile::default()
        }),
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn window(device: u32, tick: i64, random: &mut Random) -> ScoredWindow {
    let start = EventTime(1_772_582_400 * MICROS_PER_SECOND + tick * MINUTE);
    let record = Position { source: 0, offset: tick as u64 * 1000 + u64::from(device) };
    let mut features = [0.0; FEATURES];
    // A flow fleet: about half of the features move.
    for (index, feature) in features.iter_mut().enumerate() {
        if index % 2 == 0 {
            *feature = random.below(1 << (index % 16)) as f32;
        }
    }
    let mut contacts = Vec::new();
    for number in 0..1 + random.below(4) {
        let destination = if random.below(3) == 0 {
            Destination::Name(format!("host-{}.cloud.example.com", random.below(60)).as_str().into())
        } else {
            Destination::Address(std::net::Ipv4Addr::from(0x0808_0000 + random.below(500) as u32).into())
        };
        contacts.push(Contact {
            service: Service(["ssl", "dns", "ntp", "mqtt", "http"][random.below(5) as usize].into()),
            destination,
            port: random.below(1000) as u16,
            protocol: Protocol::Tcp,
            direction: Direction::Outbound,
            peer: (number == 3).then(|| DeviceKey(random.below(DEVICES.into()) as u32)),
            flows: 1 + random.below(10) as u32,
            refused: 0,
            bytes_out: random.below(5_000),
            bytes_in: random.below(80_000),
            packets_out: random.below(50) as u32,
            packets_in: random.below(90) as u32,
            duration: random.below(10_000) as f32 / 100.0,
            first_record: record,
            last_record: record,
        });
    }
    ScoredWindow {
        window: Window {
            device: DeviceKey(device),
            start,
            end: EventTime(start.0 + MINUTE),
            features,
            contacts,
            details: None,
            first_record: record,
            last_record: record,
            records: 20,
            malicious: 0,
        },
        score: random.below(1_000) as f32 / 100.0,
        p_value: random.below(1_000) as f32 / 1_000.0,
        evidence: random.below(1_000) as f32 / 100.0,
        line: 9.0,
    }
}
