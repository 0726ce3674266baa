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
    // The inventory's text is dropped before `idle` is read; what lies before it is the program itself.
    let text = inventory.len() as u64;
    let before = resident()?.saturating_sub(text);
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
        if let Fact::Device(device) = &fact {
            names.insert(Arc::clone(device));
        }
        push(&mut lane, Entry::Fact(fact), &mut ticks);
    }
    let mark = |through| Entry::Mark(Mark { source: 0, roster: Arc::from([0]), through, below: 0 });
    push(&mut lane, mark(BEGIN), &mut ticks);
    let mut speak = |lane: &mut ingest::windows::Lane, at: EventTime, ticks: &mut Vec<_>| {
        for device in 0..devices {
            for contact in 0..CONTACTS {
                router.route(flow(device, contact, at), &mut routes);
            }
            if routes.readings.len() >= 4096 || device + 1 == devices {
                push(lane, Entry::Batch(std::mem::take(&mut routes.readings)), ticks);
            }
        }
    };
    // Each speaks once, in windows that then close: so idle means known, heard of, and quiet since.
    speak(&mut lane, BEGIN.plus_seconds(30), &mut ticks);
    let open = resident()?;
    push(&mut lane, mark(BEGIN.plus_seconds(120)), &mut ticks);
    for (tick, _) in ticks.drain(..) {
        judge.take_facts(&tick);
        judge.judge(&tick, &[]);
    }
    drop(ticks);
    drop(inventory);
    trim();
    let idle = resident()?;
    let per = |bytes: u64, least: u64| (bytes.saturating_sub(least)) as f64 / f64::from(devices);
    println!("devices,resident_before,resident_open,resident_idle");
    println!("{devices},{before},{open},{idle}");
    println!("bytes per idle device: {:.0}", per(idle, before));
    println!("on top, of an active one with {CONTACTS} contacts: {:.0}", per(open.saturating_sub(text), idle));
    drop((router, lane, judge, names));
    Ok(())
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
