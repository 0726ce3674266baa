use fleet::reading::Message;
use fleet::{EventTime, Identity, Kind, Position, Reading};
use ingest::{Error, Fetched, Source};

use super::merged::Merged;
use super::moved::Moved;
use super::sorted::Sorted;

/// Gives its times in batches of three.
struct Scripted {
    number: u32,
    times: Vec<i64>,
    given: usize,
}

impl Scripted {
    fn boxed(number: u32, times: &[i64]) -> super::AnySource {
        Box::new(Scripted { number, times: times.to_vec(), given: 0 })
    }
}

impl Source for Scripted {
    fn fetch(&mut self, out: &mut Fetched) -> Result<bool, Error> {
        for _ in 0..3 {
            let Some(time) = self.times.get(self.given) else { return Ok(false) };
            let position = Position { source: self.number, offset: self.given as u64 };
            let kind = Kind::Message(Message::default());
            out.readings.push(Reading {
                time: EventTime(*time),
                position,
                identity: Identity::default(),
                kind,
                malicious: false,
            });
            self.given += 1;
        }
        Ok(true)
    }

    fn progress(&self) -> f64 {
        if self.times.is_empty() { 1.0 } else { self.given as f64 / self.times.len() as f64 }
    }
}

fn drain(mut source: impl Source) -> Vec<(u32, i64)> {
    let mut out = Fetched::default();
    while source.fetch(&mut out).unwrap() {}
    assert_eq!(source.progress(), 1.0);
    out.readings.iter().map(|reading| (reading.position.source, reading.time.0)).collect()
}

#[test]
fn heads_are_merged_and_each_file_keeps_its_order() {
    let inputs = vec![
        (Scripted::boxed(0, &[1, 4, 2, 9, 9]), 10),
        (Scripted::boxed(1, &[]), 0),
        (Scripted::boxed(2, &[2, 3, 9, 50]), 10),
    ];
    let merged = drain(Merged::new(inputs));
    assert_eq!(merged, [(0, 1), (2, 2), (2, 3), (0, 4), (0, 2), (0, 9), (0, 9), (2, 9), (2, 50)]);
}

#[test]
fn many_files_lose_nothing() {
    let times: Vec<Vec<i64>> = (0..20).map(|file| (0..1_000).map(|i| i * 7 + file * 3).collect()).collect();
    let inputs = times.iter().enumerate().map(|(file, times)| (Scripted::boxed(file as u32, times), 1)).collect();
    let merged = drain(Merged::new(inputs));
    assert_eq!(merged.len(), 20_000);
    assert!(merged.windows(2).all(|pair| (pair[0].1, pair[0].0) <= (pair[1].1, pair[1].0)));
}

#[test]
fn a_moved_file_keeps_its_distances() {
    let moved = Moved::new(Scripted::boxed(0, &[100, 90, 160, 200]), EventTime(1_000));
    assert_eq!(drain(moved), [(0, 1_000), (0, 990), (0, 1_060), (0, 1_100)]);
}

#[test]
fn sorting_is_by_time_then_place() {
    let times: Vec<i64> = (0..10_000).map(|i| (i * 7_919) % 5_000).collect();
    let sorted = drain(Sorted::new(Scripted::boxed(0, &times), "set", 20_000));
    assert_eq!(sorted.len(), 10_000);
    assert!(sorted.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    let mut too_many = Sorted::new(Scripted::boxed(0, &times), "set", 100);
    let message = too_many.fetch(&mut Fetched::default()).unwrap_err().to_string();
    assert!(message.contains("`set`") && message.contains("arrival"), "{message}");
}
