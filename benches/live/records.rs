//! The fleet of these benches: flows of devices of ten types, as JSON of about 260 bytes, and what they are learned from.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::stand::vedette;

/// Event time at which benches of history begin, and learning ends: 2026-03-04T00:00:00Z, in microseconds.
pub const BEGIN: i64 = 1_772_582_400_000_000;
pub const SECOND: i64 = 1_000_000;
const TYPES: u32 = 10;
/// Devices that the baselines are learned from, and for how long.
const TAUGHT: u32 = 60;
const TAUGHT_SECONDS: i64 = 2 * 86_400;

/// A line for each device.
pub fn inventory(folder: &Path, devices: u32) -> Result<PathBuf, Failure> {
    let path = folder.join("inventory.csv");
    let mut out = BufWriter::new(std::fs::File::create(&path)?);
    writeln!(out, "device_id,device_type,mac,ip,site")?;
    for device in 0..devices {
        let (mac, ip) = (mac(device), ip(device));
        writeln!(out, "device-{device},type-{},{mac},{ip},site-{}", device % TYPES, device % 7)?;
    }
    out.flush()?;
    Ok(path)
}

fn mac(device: u32) -> String {
    let [a, b, c, d] = device.to_be_bytes();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn ip(device: u32) -> std::net::Ipv4Addr {
    (0x0a00_0000 | device).into()
}

/// The `number`th flow of all: devices take turns, and contact three destinations of their type.
pub fn flow(line: &mut String, number: u64, device: u32, micros: i64) {
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^= mixed >> 27;
    let kind = device % TYPES;
    let contact = mixed % 3;
    let (port, service) = [(443, "ssl"), (8883, "mqtt"), (123, "ntp")][contact as usize];
    line.clear();
    // Writing to a String cannot fail.
    let _ = write!(
        line,
        "{{\"kind\":\"flow\",\"time\":{}.{:06},\"mac\":\"{}\",\"ip\":\"{}\",\"originator_port\":{},\
         \"responder_ip\":\"203.0.113.{}\",\"responder_port\":{port},\"protocol\":\"tcp\",\"service\":\"{service}\",\
         \"duration\":{}.{:02},\"bytes_out\":{},\"bytes_in\":{},\"packets_out\":{},\"packets_in\":{}}}",
        micros / SECOND,
        micros % SECOND,
        mac(device),
        ip(device),
        40_000 + mixed % 20_000,
        u64::from(kind) * 3 + contact,
        mixed % 3,
        mixed / 7 % 100,
        400 + u64::from(kind) * 50 + mixed / 11 % 300,
        900 + mixed / 13 % 1_500,
        4 + mixed / 17 % 8,
        4 + mixed / 19 % 8,
    );
}

/// A neighbour that refuses telnet: what a scan is made of.
pub fn refused(line: &mut String, device: u32, neighbour: u32, micros: i64) {
    line.clear();
    // Writing to a String cannot fail.
    let _ = write!(
        line,
        "{{\"kind\":\"flow\",\"time\":{}.{:06},\"mac\":\"{}\",\"ip\":\"{}\",\"responder_ip\":\"10.250.0.{neighbour}\",\
         \"responder_port\":23,\"protocol\":\"tcp\",\"outcome\":\"refused\",\"packets_out\":1,\"packets_in\":1}}",
        micros / SECOND,
        micros % SECOND,
        mac(device),
        ip(device),
    );
}

/// A store with baselines of the types, learned from two days of a few devices, each of which sends one flow in `period` seconds; version 1, in force from [`BEGIN`].
pub fn taught(folder: &Path, period: i64) -> Result<PathBuf, Failure> {
    let data = folder.join("taught");
    std::fs::create_dir_all(&data)?;
    inventory(&data, TAUGHT)?;
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(data.join("flows.jsonl"))?);
    let count = (TAUGHT_SECONDS / period) as u64 * u64::from(TAUGHT);
    let step = period * SECOND / i64::from(TAUGHT);
    let mut line = String::new();
    for number in 0..count {
        let at = BEGIN - TAUGHT_SECONDS * SECOND + number as i64 * step;
        flow(&mut line, number, (number % u64::from(TAUGHT)) as u32, at);
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    // One beyond, so that there is something to judge.
    flow(&mut line, count, 0, BEGIN + 120 * SECOND);
    writeln!(out, "{line}")?;
    out.flush()?;
    let toml = "name = \"taught\"\nlateness = \"10s\"\n[inventory]\nfile = \"inventory.csv\"\n[[files]]\n\
                path = \"flows.jsonl\"\nformat = \"native-json\"\n[split]\nlearn_until = 2026-03-04T00:00:00Z\n";
    let descriptor = data.join("taught.toml");
    std::fs::write(&descriptor, toml)?;
    let store = folder.join("taught-store");
    vedette(&["replay".as_ref(), descriptor.as_os_str(), "--out".as_ref(), store.as_os_str(), "--quiet".as_ref()])?;
    std::fs::remove_file(data.join("flows.jsonl"))?;
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_about_as_long_as_is_said() {
        let mut line = String::new();
        flow(&mut line, 1, 99_999, BEGIN);
        assert!((240..280).contains(&line.len()), "{} {line}", line.len());
    }
}
