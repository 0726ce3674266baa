//! Nanoseconds per line of decoding alone (lines in memory) and of a whole file source (decompression, lines, decoding):
//! `cargo run --release -p ingest --no-default-features --example decode_speed -- flows.jsonl.gz zeek-conn-json`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use fleet::Position;
use ingest::lines::{Line, LineReader};
use ingest::{Config, Decoder, Fetched, FileSource, Format, Source};

const ROUNDS: usize = 5;
const LINES: usize = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(format)) = (arguments.next(), arguments.next()) else {
        return Err("expected a file and a format such as zeek-conn-json".into());
    };
    let path = Path::new(&path);
    let format = Format::ALL.into_iter().find(|known| known.name() == format).ok_or("unknown format")?;

    let mut reader = LineReader::open(path, 1 << 20)?;
    let mut lines = Vec::new();
    while let Line::Text(line) = reader.next()? {
        if lines.len() == LINES {
            break;
        }
        lines.push(line.to_vec());
    }
    let bytes: usize = lines.iter().map(Vec::len).sum();
    for _ in 0..ROUNDS {
        let mut decoder = Decoder::new(format);
        let started = Instant::now();
        let mut readings = 0;
        for line in &lines {
            readings +=
                usize::from(std::hint::black_box(decoder.decode(line, Position::default())).is_ok_and(|r| r.is_some()));
        }
        let nanoseconds = started.elapsed().as_nanos() as usize / lines.len();
        println!("decode: {nanoseconds} ns a line of {} bytes, {readings} readings", bytes / lines.len());
    }
    for _ in 0..ROUNDS {
        let mut source = FileSource::open(path, "file", 0, format, &Config::default())?;
        let mut fetched = Fetched::default();
        let started = Instant::now();
        let (mut readings, mut rejected) = (0, 0);
        loop {
            fetched.clear();
            let more = source.fetch(&mut fetched)?;
            readings += fetched.readings.len();
            rejected += fetched.rejected.len();
            if !more {
                break;
            }
        }
        let elapsed = started.elapsed();
        let each = elapsed.as_nanos() as usize / (readings + rejected).max(1);
        println!(
            "source: {each} ns a reading, {readings} readings, {rejected} rejected in {:.2} s",
            elapsed.as_secs_f64()
        );
    }
    Ok(())
}
