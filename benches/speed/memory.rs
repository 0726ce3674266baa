//! Resident memory of everything that knows a device (router, lane, judge), idle and with an open window.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fleet::reading::{Flow, Outcome, Peer, Protocol};
use fleet::{Entry, EventTime, Fact, Identity, Kind, Mark, Position, Reading};
use ingest::identity::{Router, Routes};
use ingest::{Config, Inventory};

use crate::Failure;

const BEGIN: EventTime = EventTime(1_772_409_600_000_000);
const CONTACTS: u8 = 3;
const TYPES: u32 = 10;
/// Devices that speak in one minute.
const AT_ONCE: u32 = 10_000;

pub fn run(devices: u32) -> Result<(), Failure> {
    let config = Config::default();
    let mut inventory = String::from("device_id,device_type,mac,ip,site\n");
    for device in 0..devices {
        inventory.push_str(&format!(
            "device-{device},type-{},02:00:{:02x}:{:02x}:{:02x}:{:02x},{},site-{}\n",
            device % TYPES,
            device >> 24,
            device >> 16 & 255,
            device >> 8 & 255,
            device & 255,
            address(device),
            device % 7,
        ));
    }
    // The inventory's text is dropped before anything else is read.
    let before = resident()?.saturating_sub(inventory.len() as u64);
    let mut router = Router::new(Inventory::from_csv(inventory.as_bytes(), "inventory")?, &config);
    let mut lane = ingest::windows::Lane::new(&config);
    let detect_config = detect::Config::default();
    let mut judge = detect::Judge::new(&detect_config, 60_000_000, EventTime::MIN);
    let mut names = store::DeviceNames::default();
    let mut routes = Routes::default();
    let mut ticks = Vec::new();
    let mut offset = 0;
    let mut push = |lane: &mut ingest::windows::Lane, entry, ticks: &mut Vec<_>| {
        lane.push(offset, entry, ticks);
        offset += 1;
    };
    router.announce_all(&mut routes);
    for (_, fact) in routes.facts.drain(..) {
        if let Fact::Device { device, .. } = &fact {
            names.insert(Arc::clone(device));
        }
        push(&mut lane, Entry::Fact(fact), &mut ticks);
    }
    drop(inventory);
    let mark = |through| Entry::Mark(Mark { source: 0, roster: Arc::from([0]), through, below: 0 });
    let mut close = |lane: &mut ingest::windows::Lane, through: EventTime| {
        push(lane, mark(through), &mut ticks);
        for (tick, _) in ticks.drain(..) {
            judge.take_facts(&tick);
            judge.judge(&tick, &[]);
        }
        trim();
        resident()
    };
    close(&mut lane, BEGIN)?;
    let idle = close(&mut lane, BEGIN.plus_seconds(60))?;

    // All speak, a few thousand a minute, so that what is left is what a device leaves behind and no open window.
    let mut at = BEGIN.plus_seconds(90);
    for first in (0..devices).step_by(AT_ONCE as usize) {
        speak(&mut router, &mut lane, first..devices.min(first + AT_ONCE), at);
        at = at.plus_seconds(60);
        close(&mut lane, at)?;
    }
    let heard = resident()?;
    speak(&mut router, &mut lane, 0..devices, at);
    let open = resident()?;
    println!("devices,resident_before,resident_idle,resident_heard,resident_open");
    println!("{devices},{before},{idle},{heard},{open}");
    let per = |bytes: u64, least: u64| bytes.saturating_sub(least) as f64 / f64::from(devices);
    println!("bytes per idle device, known to router, lane and judge: {:.0}", per(idle, before));
    println!("more, of one heard within the day: {:.0}", per(heard, idle));
    println!("more, of one with an open window and {CONTACTS} contacts in it: {:.0}", per(open, heard));
    drop((router, lane, judge, names));
    Ok(())
}

/// Each device of `devices` sends [`CONTACTS`] flows.
fn speak(router: &mut Router, lane: &mut ingest::windows::Lane, devices: std::ops::Range<u32>, at: EventTime) {
    const BATCH: usize = 4096;
    let mut routes = Routes::default();
    let mut ticks = Vec::new();
    let mut owned = Vec::with_capacity(BATCH + usize::from(CONTACTS));
    for device in devices.clone() {
        for contact in 0..CONTACTS {
            let mut reading = flow(device, contact, at);
            router.route(&mut reading, &mut routes);
            owned.extend(routes.owners.drain(..).map(|owner| (owner, reading.clone())));
        }
        if owned.len() >= BATCH || device + 1 == devices.end {
            lane.push(0, Entry::Batch(owned.drain(..).collect()), &mut ticks);
        }
    }
}

fn address(device: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | device))
}

fn flow(device: u32, contact: u8, at: EventTime) -> Reading {
    Reading {
        time: at,
        position: Position { source: 0, offset: u64::from(device) * u64::from(CONTACTS) + u64::from(contact) },
        identity: Identity { ip: Some(address(device)), ..Identity::default() },
        kind: Kind::Flow(Flow {
            responder: Peer { mac: None, ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, contact)), port: 443 },
            originator_port: 40_000,
            protocol: Protocol::Tcp,
            service: "ssl".into(),
            server_name: None,
            duration: 500_000,
            bytes_out: 400,
            bytes_in: 900,
            packets_out: 4,
            packets_in: 4,
            outcome: Outcome::Established,
            country: None,
        }),
        malicious: false,
    }
}

/// Resident set size, bytes.
fn resident() -> Result<u64, Failure> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).ok_or("no resident pages in /proc/self/statm")?.parse()?;
    Ok(pages * 4096)
}

/// Asks the allocator to give back what it holds for nothing, so that what is counted is in use.
fn trim() {
    #[cfg(target_env = "gnu")]
    unsafe {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        malloc_trim(0);
    }
}
