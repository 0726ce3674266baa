//! What the labels say happened, to whom and when. Only the score card reads this; nothing of it goes to a detector.

use std::collections::BTreeMap;
use std::path::Path;

use fleet::reading::Role;
use fleet::{EventTime, MICROS_PER_SECOND, Position};
use serde::Deserialize;
use smol_str::SmolStr;

use crate::descriptor::{Derive, Since, Until};
use crate::error::Error;
pub use crate::scorecard::run::Episode;

/// An episodes file: `{"learn_until": T, "end": T, "episodes": [{"name", "device_id", "start", "end", "incident"}]}`.
///
/// Times are seconds since 1970 or RFC 3339; `device_id` is one id or a list. Other keys are notes and are left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodesFile {
    pub learn_until: Option<EventTime>,
    pub end: Option<EventTime>,
    /// Ordered by start.
    pub episodes: Vec<Episode>,
}

impl EpisodesFile {
    /// # Errors
    /// [`Error::Read`]; [`Error::Episodes`] when it is not such JSON or an episode ends before it starts.
    pub fn read(path: &Path) -> Result<EpisodesFile, Error> {
        let text = std::fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        parse(&text).map_err(|problem| Error::Episodes { path: path.to_path_buf(), problem })
    }
}

#[derive(Deserialize)]
struct RawFile {
    learn_until: Option<RawTime>,
    end: Option<RawTime>,
    episodes: Vec<RawEpisode>,
}

#[derive(Deserialize)]
struct RawEpisode {
    name: String,
    device_id: OneOrMany,
    start: RawTime,
    end: RawTime,
    incident: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTime {
    Seconds(f64),
    Text(String),
}

impl RawTime {
    fn time(&self) -> Result<EventTime, String> {
        let (time, shown) = match self {
            RawTime::Seconds(seconds) => (EventTime::from_seconds(*seconds), seconds.to_string()),
            RawTime::Text(text) => (EventTime::parse(text), text.clone()),
        };
        time.ok_or_else(|| format!("`{shown}` is not a time, expected seconds since 1970 or 2026-01-01T00:00:00Z"))
    }
}

fn parse(text: &[u8]) -> Result<EpisodesFile, String> {
    let raw: RawFile = serde_json::from_slice(text).map_err(|error| format!("{error}; see docs/your-own-data.md"))?;
    let optional = |time: &Option<RawTime>| time.as_ref().map(RawTime::time).transpose();
    let mut episodes = Vec::with_capacity(raw.episodes.len());
    for episode in raw.episodes {
        let (start, end) = (episode.start.time()?, episode.end.time()?);
        if end < start {
            return Err(format!("`{}` ends at {end}, before its start at {start}; exchange the two", episode.name));
        }
        let device_ids = match episode.device_id {
            OneOrMany::One(id) => vec![id],
            OneOrMany::Many(ids) => ids,
        };
        episodes.push(Episode { name: episode.name, device_ids, start, end, incident: episode.incident });
    }
    episodes.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
    Ok(EpisodesFile { learn_until: optional(&raw.learn_until)?, end: optional(&raw.end)?, episodes })
}

/// What one device did in one file.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// First and last record.
    span: Option<(EventTime, EventTime)>,
    malicious: Vec<EventTime>,
}

/// Which devices are heard in which file, and when they were malicious: gathered in one pass over a set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sightings {
    heard: BTreeMap<(u32, SmolStr), Heard>,
}

impl Sightings {
    /// A flow between two devices is held against its originator; against the responder only when that is the one we know.
    pub fn add(&mut self, position: Position, time: EventTime, malicious: bool, devices: &[(SmolStr, Role)]) {
        let originated = devices.iter().any(|(_, role)| *role == Role::Originator);
        for (id, role) in devices {
            let heard = self.heard.entry((position.source, id.clone())).or_default();
            let (first, last) = heard.span.unwrap_or((time, time));
            heard.span = Some((first.min(time), last.max(time)));
            if malicious && (*role == Role::Originator || !originated) {
                heard.malicious.push(time);
            }
        }
    }

    /// Named after the file; with the device when several of its devices had one, and numbered when one had several.
    pub fn episodes(&self, derive: &Derive, file_name: impl Fn(u32) -> String) -> Vec<Episode> {
        let gap = derive.gap.map_or(i64::MAX, |span| i64::from(span.seconds) * MICROS_PER_SECOND);
        let mut episodes = Vec::new();
        for ((source, device), heard) in &self.heard {
            let mut times = heard.malicious.clone();
            times.sort_unstable();
            let runs: Vec<&[EventTime]> = times.chunk_by(|earlier, later| later.minus(*earlier) <= gap).collect();
            let others = self
                .heard
                .iter()
                .any(|((file, id), other)| file == source && id != device && !other.malicious.is_empty());
            for (index, run) in runs.iter().enumerate() {
                let [start, ..] = run else { continue };
                let is_last = index + 1 == runs.len();
                let last = match derive.until {
                    Until::LastRecord if is_last => heard.span.map(|(_, last)| last),
                    _ => run.last().copied(),
                };
                let begun = match derive.since {
                    Since::FirstRecord if index == 0 => heard.span.map_or(*start, |(first, _)| first),
                    _ => *start,
                };
                let mut name = file_name(*source);
                if others {
                    name = format!("{name}/{device}");
                }
                if runs.len() > 1 {
                    name = format!("{name}#{}", index + 1);
                }
                let end = EventTime(last.unwrap_or(*start).0.saturating_add(1));
                episodes.push(Episode {
                    name,
                    device_ids: vec![device.to_string()],
                    start: begun,
                    end,
                    incident: true,
                });
            }
        }
        episodes.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        episodes
    }

    /// Each device's first and last record, over all files.
    pub fn spans(&self) -> BTreeMap<SmolStr, (EventTime, EventTime)> {
        let mut spans: BTreeMap<SmolStr, (EventTime, EventTime)> = BTreeMap::new();
        for ((_, device), heard) in &self.heard {
            let Some((first, last)) = heard.span else { continue };
            let known = spans.entry(device.clone()).or_insert((first, last));
            *known = (known.0.min(first), known.1.max(last));
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Span;

    #[test]
    fn an_episodes_file_in_both_spellings() {
        let text = br#"{"learn_until": 1772755200.0, "end": "2026-03-08T00:00:00Z", "everyday": [], "episodes": [
            {"name": "b", "device_id": ["x", "y"], "start": 20, "end": 30, "incident": false},
            {"name": "a", "device_id": "z", "start": 10.5, "end": 11, "incident": true, "origin": "a note"}]}"#;
        let file = parse(text).unwrap();
        assert_eq!(file.learn_until, EventTime::parse("2026-03-06T00:00:00Z"));
        assert_eq!(file.episodes[0].name, "a");
        assert_eq!(file.episodes[0].start, EventTime(10_500_000));
        assert_eq!(file.episodes[1].device_ids, ["x", "y"]);
    }

    #[test]
    fn episodes_that_cannot_be() {
        let with = |start: &str, end: &str| {
            let text = format!(
                r#"{{"episodes": [{{"name": "a", "device_id": "z", "start": {start}, "end": {end}, "incident": true}}]}}"#
            );
            parse(text.as_bytes()).unwrap_err()
        };
        assert!(with("2", "1").contains("`a` ends"));
        assert!(with("\"soon\"", "1").contains("`soon`"));
        assert!(parse(b"{}").unwrap_err().contains("episodes"));
    }

    fn sightings(records: &[(u32, i64, bool, &str)]) -> Sightings {
        let mut sightings = Sightings::default();
        for (source, seconds, malicious, device) in records {
            let position = Position { source: *source, offset: 0 };
            let device = [(SmolStr::new(device), Role::Originator)];
            sightings.add(position, EventTime(seconds * MICROS_PER_SECOND), *malicious, &device);
        }
        sightings
    }

    #[test]
    fn derived_episodes_split_at_gaps_and_end_as_told() {
        let all = sightings(&[(0, 10, true, "a"), (0, 20, true, "a"), (0, 500, true, "a"), (0, 900, false, "a")]);
        let name = |_: u32| "34-1".to_string();
        let whole = all.episodes(&Derive::default(), name);
        assert_eq!(whole.len(), 1);
        assert_eq!((whole[0].name.as_str(), whole[0].end), ("34-1", EventTime(500_000_001)));
        let split = Derive { gap: Some(Span { seconds: 60 }), until: Until::LastRecord, since: Since::default() };
        let split = all.episodes(&split, name);
        assert_eq!(split.iter().map(|episode| episode.name.as_str()).collect::<Vec<_>>(), ["34-1#1", "34-1#2"]);
        assert_eq!(split[0].end, EventTime(20_000_001));
        assert_eq!(split[1].end, EventTime(900_000_001));
    }

    #[test]
    fn the_scanner_is_held_to_account_and_not_the_scanned() {
        let mut both = Sightings::default();
        let devices = [(SmolStr::new("infected"), Role::Originator), (SmolStr::new("victim"), Role::Responder)];
        both.add(Position::default(), EventTime(1), true, &devices);
        let episodes = both.episodes(&Derive::default(), |_| "f".to_string());
        assert_eq!(episodes.len(), 1);
        assert_eq!(episodes[0].device_ids, ["infected"]);
        let mut visited = Sightings::default();
        visited.add(Position::default(), EventTime(1), true, &devices[1..]);
        assert_eq!(visited.episodes(&Derive::default(), |_| "f".to_string())[0].device_ids, ["victim"]);
    }

    #[test]
    fn benign_records_give_no_episode() {
        assert!(sightings(&[(0, 10, false, "a")]).episodes(&Derive::default(), |_| String::new()).is_empty());
    }
}
