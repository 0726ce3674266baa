//! The simulated fleet as files, in the shapes any user's data set has: native JSON lines, an inventory, episodes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use flate2::Compression;
use flate2::write::GzEncoder;
use fleet::Reading;
use ingest::to_native_json;
use serde::Serialize;

use super::random::Random;
use super::{DemoOptions, Simulation};

/// Share of lines that no decoder understands, as every collector writes some.
const BROKEN: f64 = 0.0001;
const DESCRIPTOR: &str = include_str!("../../demo.toml");

/// What [`write_demo`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoFiles {
    pub descriptor: PathBuf,
    pub readings: PathBuf,
    pub inventory: PathBuf,
    pub episodes: PathBuf,
    pub devices: usize,
    pub lines: u64,
    /// Lines among them that cannot be decoded.
    pub broken: u64,
}

#[derive(Serialize)]
struct Episodes<'a> {
    learn_until: f64,
    end: f64,
    devices: usize,
    not_in_inventory: Vec<&'a str>,
    not_in_inventory_mac: Vec<String>,
    episodes: Vec<EpisodeEntry<'a>>,
    everyday: Vec<EverydayEntry<'a>>,
}

#[derive(Serialize)]
struct EpisodeEntry<'a> {
    name: &'a str,
    device_id: OneOrMany<'a>,
    start: f64,
    end: f64,
    origin: &'static str,
    incident: bool,
}

#[derive(Serialize)]
struct EverydayEntry<'a> {
    kind: &'a str,
    device_id: &'a str,
    start: f64,
    end: f64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany<'a> {
    One(&'a str),
    Many(Vec<&'a str>),
}

/// Writes `readings.jsonl.gz`, `inventory.csv`, `episodes.json` and `demo.toml` into `folder`, which is made if need
/// be. The same options give the same bytes.
///
/// # Errors
/// What the file system says, with the path.
pub fn write_demo(folder: &Path, options: &DemoOptions) -> io::Result<DemoFiles> {
    std::fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    let mut simulation = Simulation::new(options);
    let files = DemoFiles {
        descriptor: folder.join("demo.toml"),
        readings: folder.join("readings.jsonl.gz"),
        inventory: folder.join("inventory.csv"),
        episodes: folder.join("episodes.json"),
        devices: simulation.devices(),
        lines: 0,
        broken: 0,
    };
    for (path, text) in [
        (&files.descriptor, DESCRIPTOR.to_owned()),
        (&files.inventory, simulation.inventory_csv()),
        (&files.episodes, simulation.episodes_json()?),
    ] {
        std::fs::write(path, text).map_err(|error| at(path, &error))?;
    }
    let (lines, broken) =
        write_readings(&mut simulation, &files.readings).map_err(|error| at(&files.readings, &error))?;
    Ok(DemoFiles { lines, broken, ..files })
}

/// Whether this is the descriptor of the simulated fleet, as it is shipped: its files can be made anywhere.
pub fn is_demo(descriptor: &Path) -> bool {
    std::fs::read_to_string(descriptor).is_ok_and(|text| text == DESCRIPTOR)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write `{}`: {error}; check space and permissions", path.display()))
}

/// Simulating and writing take about as long, so each has a thread; the next hour is made while the last is written.
fn write_readings(simulation: &mut Simulation, path: &Path) -> io::Result<(u64, u64)> {
    let seed = simulation.options.seed;
    let file = File::create(path)?;
    std::thread::scope(|scope| {
        let (hours, received) = sync_channel::<Vec<Reading>>(2);
        let writer = scope.spawn(move || write_hours(&received, file, seed));
        loop {
            let mut hour = Vec::new();
            if !simulation.next_hour(&mut hour) || hours.send(hour).is_err() {
                break;
            }
        }
        drop(hours);
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")))
    })
}

fn write_hours(hours: &Receiver<Vec<Reading>>, file: File, seed: u64) -> io::Result<(u64, u64)> {
    let mut random = Random::named(seed, &["broken lines"]);
    let mut out = BufWriter::with_capacity(1 << 16, GzEncoder::new(file, Compression::fast()));
    let (mut lines, mut broken) = (0, 0);
    for hour in hours {
        for reading in &hour {
            let line = to_native_json(reading);
            if random.chance(BROKEN) {
                out.write_all(&break_line(&line, &mut random))?;
                out.write_all(b"\n")?;
                broken += 1;
                lines += 1;
            }
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
            lines += 1;
        }
    }
    let compressed = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    compressed.finish()?.sync_all()?;
    Ok((lines, broken))
}

/// What goes wrong on the way to a file: a writer killed in the middle, a field lost, another program's line.
fn break_line(line: &str, random: &mut Random) -> Vec<u8> {
    match random.below(6) {
        0 => line.as_bytes()[..10 + random.below(line.len() - 12)].to_vec(),
        1 => line.replace("\"time\":", "\"tine\":").into_bytes(),
        2 => line.replace("\"kind\":\"", "\"kind\":\"x-").into_bytes(),
        3 => line.replace("T", " at ").into_bytes(),
        4 => [&line.as_bytes()[..9], &[0xff, 0xfe], &line.as_bytes()[9..]].concat(),
        _ => b"collector[411]: buffer full, 3 records dropped".to_vec(),
    }
}

impl Simulation {
    /// With a line of column names; what is not in the inventory is left out.
    pub fn inventory_csv(&self) -> String {
        let mut csv = String::from(
            "device_id,device_type,mac,ip,client_id,certificate,site,segment,owner,criticality,firmware,protocol,\
             purpose,valid_from\n",
        );
        for unit in self.roster.units.iter().filter(|unit| unit.listed) {
            let kind = unit.kind;
            let mac = unit.mac.map(|mac| mac.to_string()).unwrap_or_default();
            let ip = unit.leases.first().map(|(_, address)| address.to_string()).unwrap_or_default();
            let client_id = unit.client_id.as_deref().unwrap_or_default();
            let certificate = unit.certificate.as_deref().unwrap_or_default();
            let bought = unit.born > self.options.start().0;
            let valid_from = if bought { fleet::EventTime(unit.born).to_string() } else { String::new() };
            // Writing to a string cannot fail.
            let _ = writeln!(
                csv,
                "{},{},{mac},{ip},{client_id},{certificate},{},{},{},{},{},{},{},{valid_from}",
                unit.id,
                kind.name,
                unit.site.name,
                kind.segment,
                kind.owner,
                kind.criticality,
                kind.firmware,
                kind.protocol,
                kind.purpose
            );
        }
        csv
    }

    /// Which episode struck whom and when, and the everyday events of the judged days.
    ///
    /// # Errors
    /// When serde cannot write it, which no content of ours brings about.
    pub fn episodes_json(&self) -> io::Result<String> {
        let id = |unit: &usize| self.roster.units[*unit].id.as_str();
        let seconds = |micros: i64| fleet::EventTime(micros).seconds();
        let learn_until = self.options.learn_until();
        let unlisted: Vec<_> = self.roster.units.iter().filter(|unit| !unit.listed).collect();
        let episodes = self.script.episodes.iter().map(|episode| EpisodeEntry {
            name: &episode.name,
            device_id: match episode.units.as_slice() {
                [only] => OneOrMany::One(id(only)),
                units => OneOrMany::Many(units.iter().map(id).collect()),
            },
            start: seconds(episode.start),
            end: seconds(episode.end),
            origin: "simulated",
            incident: episode.incident,
        });
        let judged = self.script.everyday.iter().filter(|event| event.start >= learn_until.0);
        let everyday = judged.map(|event| EverydayEntry {
            kind: event.kind,
            device_id: id(&event.unit),
            start: seconds(event.start),
            end: seconds(event.end),
        });
        let document = Episodes {
            learn_until: learn_until.seconds(),
            end: self.options.end().seconds(),
            devices: self.roster.units.len(),
            not_in_inventory: unlisted.iter().map(|unit| unit.id.as_str()).collect(),
            not_in_inventory_mac: unlisted.iter().filter_map(|unit| unit.mac).map(|mac| mac.to_string()).collect(),
            episodes: episodes.collect(),
            everyday: everyday.collect(),
        };
        serde_json::to_string_pretty(&document).map_err(io::Error::other)
    }
}
