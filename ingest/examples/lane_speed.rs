//! How many flow readings a CPU second one core routes, and puts into windows: 10,000 devices, 1 to 3 contacts a window.
//! Also what an idle device costs, as resident memory (Linux).
//!
//! `cargo run --release -p ingest --no-default-features --example lane_speed [-- READINGS]`

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fleet::reading::{Flow, Outcome, Peer, Protocol};
use fleet::{Batch, Entry, EventTime, Identity, Kind, MICROS_PER_SECOND, Mac, Position, Reading};
use ingest::Config;
use ingest::identity::{Inventory, Router, Routes};
use ingest::windows::{Lane, SourceClock};

const DEVICES: u32 = 10_000;
const BATCH: usize = 4_096;

fn main() {
    let readings = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000_000u64);
    let config = Config::default();
    let mut router = Router::new(inventory(DEVICES), &config);
    let mut lane = Lane::new(&config);
    let roster: Arc<[u32]> = Arc::new([0]);
    let mut clock = SourceClock::new(0, config.lateness_seconds);
    let (mut routing, mut adding, mut closing) = (0.0, 0.0, 0.0);
    let (mut ticks, mut windows, mut contacts, mut offset) = (Vec::new(), 0usize, 0usize, 0u64);
    let mut made = 0;
    while made < readings {
        let mut batch: Vec<Reading> = (made..made + BATCH as u64).map(reading).collect();
        made += BATCH as u64;
        for reading in &batch {
            clock.observe(reading.position, reading.time);
        }
        let started = cpu();
        let (mut routes, mut rows) = (Routes::default(), Vec::with_capacity(BATCH));
        for (row, reading) in batch.iter_mut().enumerate() {
            router.route(reading, &mut routes);
            rows.extend(routes.owners.drain(..).map(|owner| (row as u32, owner)));
        }
        routing += cpu() - started;
        let started = cpu();
        lane.push(offset, Entry::Batch(Batch { readings: Arc::new(batch), rows }), &mut ticks);
        adding += cpu() - started;
        let started = cpu();
        if let Some(mark) = clock.mark(&roster) {
            lane.push(offset + 1, Entry::Mark(mark), &mut ticks);
        }
        offset += 2;
        for (tick, _) in ticks.drain(..) {
            windows += tick.windows.len();
            contacts += tick.windows.iter().map(|window| window.contacts.len()).sum::<usize>();
        }
        closing += cpu() - started;
    }
    lane.finish(&mut ticks);
    let made = made as f64;
    println!("routed:   {:.2} M readings/CPU s", made / routing / 1e6);
    println!("added:    {:.2} M readings/CPU s to open windows", made / adding / 1e6);
    println!("closed:   {:.0} ns a window; {windows} windows, {contacts} contacts", closing / windows as f64 * 1e9);
    println!("together: {:.2} M readings/CPU s", made / (routing + adding + closing) / 1e6);
    println!("{:?}", lane.counters());
    drop((router, lane, ticks));
    idle(&config);
}

/// Seven readings a device and window, disordered by up to 10 s.
fn reading(number: u64) -> Reading {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let device = (mixed % u64::from(DEVICES)) as u32;
    let per_second = u64::from(DEVICES) * 7 / 60;
    let time =
        1_772_409_600 * MICROS_PER_SECOND + (number * 1_000_000 / per_second) as i64 - (mixed % 10_000_000) as i64;
    let contact = u64::from(device) * 3 + mixed / 7 % (1 + u64::from(device) % 3);
    let flow = Flow {
        responder: Peer { mac: None, ip: Ipv4Addr::from(0x2e00_0000 + contact as u32).into(), port: 443 },
        originator_port: 40_000,
        protocol: Protocol::Tcp,
        service: "ssl".into(),
        server_name: None,
        duration: 37_132,
        bytes_out: 690 + mixed % 100,
        bytes_in: 330,
        packets_out: 7,
        packets_in: 6,
        outcome: Outcome::Established,
        country: None,
    };
    Reading {
        time: EventTime(time),
        position: Position { source: 0, offset: number },
        identity: Identity { mac: Some(mac(device)), ip: Some(address(device)), ..Identity::default() },
        kind: Kind::Flow(flow),
        malicious: false,
    }
}

fn mac(device: u32) -> Mac {
    let [a, b, c, d] = device.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}

fn address(device: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + device + device / 255).into()
}

fn inventory(devices: u32) -> Inventory {
    let mut text = String::from("device_id,device_type,mac,ip,site,owner\n");
    for device in 0..devices {
        let line = format!("sensor-{device},sensor-{},{},{},lab,it\n", device % 9, mac(device), address(device));
        text.push_str(&line);
    }
    match Inventory::from_csv(text.as_bytes(), "generated") {
        Ok(inventory) => inventory,
        Err(error) => panic!("{error}"),
    }
}

fn idle(config: &Config) {
    let before = resident();
    let devices = 1_000_000;
    let router = Router::new(inventory(devices), config);
    let mut lane = Lane::new(config);
    lane.recall(router.devices().iter().map(|device| (device.key, EventTime(3600 * MICROS_PER_SECOND))));
    let bytes = resident().saturating_sub(before) as f64 / f64::from(devices);
    println!("idle:     {bytes:.0} bytes a device in router and lane, {devices} devices");
    assert!(router.devices().len() == devices as usize && lane.counters().late == 0);
}

/// Seconds this thread has run, so that a busy machine does not count; elsewhere than on Linux the time of day.
#[expect(clippy::disallowed_methods, reason = "it measures the machine, not event time")]
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    let wall = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64());
    nanoseconds.map_or_else(wall, |nanoseconds| nanoseconds / 1e9)
}

/// Bytes; 0 where /proc does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
