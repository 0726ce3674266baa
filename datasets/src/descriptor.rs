//! The TOML file that describes a data set. Unknown keys are errors: a misspelt `lateness` must not silently be 70 s.

use std::fmt;
use std::path::{Path, PathBuf};

use fleet::EventTime;
use ingest::decode::Format;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::error::Error;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    pub name: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub citation: String,
    #[serde(default)]
    pub licence: String,
    /// Where to get the files, for the message when they are missing.
    pub homepage: Option<String>,
    /// Recorded or simulated benign traffic with incidents put into it; said wherever a score is shown.
    #[serde(default)]
    pub semi_synthetic: bool,
    /// How far records may be out of order in event time.
    #[serde(default = "default_lateness")]
    pub lateness: Span,
    #[serde(default)]
    pub order: Order,
    /// Each file is a recording of its own: from its last record on, the devices heard in it are no longer watched.
    #[serde(default)]
    pub recordings: bool,
    pub inventory: Option<InventoryFile>,
    pub files: Vec<FileSpec>,
    pub labels: Option<Labels>,
    pub split: SplitSpec,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As the records stand; event time is out of order by `lateness` at most.
    #[default]
    Arrival,
    /// Sorted by event time, in memory: for small sets whose files are in no order.
    EventTime,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryFile {
    pub file: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    pub path: PathBuf,
    /// For messages and the names of derived episodes; else the file's name up to its first dot.
    pub name: Option<String>,
    pub format: FileFormat,
    /// The first record's event time is moved to this instant, and all others with it.
    pub start: Option<Instant>,
}

/// A format that `ingest` knows, or a mapping.
#[derive(Clone, Debug)]
pub enum FileFormat {
    Known(Format),
    Mapped(Mapping),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// `select <expression> as <field>, ... from input [where ...]`
    pub select: String,
    pub kind: RecordKind,
    pub input: Input,
    /// Between the columns of a CSV file.
    #[serde(default = "comma")]
    pub delimiter: char,
}

/// Which [`fleet::Kind`] a mapping gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    Message,
    Flow,
    SignIn,
    Session,
    Posture,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// With a line of column names.
    Csv,
    /// One JSON object a line; a key within an object is reached by a dot (`"flow.bytes"`).
    Jsonl,
    Parquet,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    pub episodes: Option<PathBuf>,
    pub derive: Option<Derive>,
}

/// Episodes from the labels of the records: one for each device and file, or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derive {
    /// Malicious records of a device further apart than this belong to two episodes.
    pub gap: Option<Span>,
    #[serde(default)]
    pub since: Since,
    #[serde(default)]
    pub until: Until,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// The episode begins with its first malicious record.
    #[default]
    FirstMalicious,
    /// With the device's first record in the file: it was infected before the recording began.
    FirstRecord,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The episode ends with its last malicious record.
    #[default]
    LastMalicious,
    /// It lasts to the device's last record in the file: who is infected and never cleaned stays infected.
    LastRecord,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSpec {
    pub learn_until: Option<Instant>,
    pub end: Option<Instant>,
    pub from: Option<SplitFrom>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitFrom {
    /// The episodes file has `learn_until` and `end`.
    Episodes,
}

/// `70s`, `15m`, `1h`, `2d`: whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub seconds: u32,
}

/// RFC 3339, quoted or as a TOML date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub EventTime);

fn default_lateness() -> Span {
    Span { seconds: 70 }
}

fn comma() -> char {
    ','
}

impl Descriptor {
    /// # Errors
    /// [`Error::Read`]; [`Error::Descriptor`] with line and caret.
    pub fn read(path: &Path) -> Result<Descriptor, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        Descriptor::parse(&text).map_err(|problem| Error::Descriptor { path: path.to_path_buf(), problem })
    }

    fn parse(text: &str) -> Result<Descriptor, String> {
        let descriptor: Descriptor = toml::from_str(text).map_err(|error| error.to_string())?;
        descriptor.check()?;
        Ok(descriptor)
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("no files; name at least one with [[files]]".to_string());
        }
        let episodes_file = self.labels.as_ref().and_then(|labels| labels.episodes.as_ref());
        if let Some(labels) = &self.labels
            && labels.episodes.is_some() == labels.derive.is_some()
        {
            return Err("[labels] takes either `episodes` (a file) or `derive`, one of the two".to_string());
        }
        match (self.split.learn_until, self.split.from) {
            (None, None) => {
                Err("[split] lacks `learn_until`, the instant that ends learning and begins judging".to_string())
            }
            (Some(_), Some(_)) => Err("[split] takes either `learn_until` or `from`, not both".to_string()),
            (None, Some(SplitFrom::Episodes)) if episodes_file.is_none() => {
                Err("[split] is from the episodes, yet [labels] names no `episodes` file".to_string())
            }
            (Some(learn_until), None) if self.split.end.is_some_and(|end| end.0 <= learn_until.0) => {
                Err("[split] `end` is not after `learn_until`".to_string())
            }
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for FileFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FileFormat, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = FileFormat;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(
                    "the name of a format such as \"native-json\", or a table with `select`, `kind` and `input`",
                )
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<FileFormat, E> {
                Format::deserialize(de::value::StrDeserializer::new(name)).map(FileFormat::Known)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<FileFormat, M::Error> {
                Mapping::deserialize(MapAccessDeserializer::new(map)).map(FileFormat::Mapped)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || {
            de::Error::custom(format!("`{text}` is not a length of time, expected such as `70s`, `15m`, `1h` or `2d`"))
        };
        let unit = match text.bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            _ => return Err(bad()),
        };
        let count: u32 = text[..text.len() - 1].parse().map_err(|_| bad())?;
        count.checked_mul(unit).map(|seconds| Span { seconds }).ok_or_else(bad)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Instant;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an instant such as 2026-01-02T00:00:00Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Instant, E> {
                let bad = || E::custom(format!("`{text}` is not an instant, expected such as 2026-01-02T00:00:00Z"));
                EventTime::parse(text).map(Instant).ok_or_else(bad)
            }

            // A bare TOML date and time reaches serde as a map of one private key.
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Instant, M::Error> {
                let bare = toml::value::Datetime::deserialize(MapAccessDeserializer::new(map))?;
                self.visit_str(&bare.to_string())
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = \"x\"\nfiles = [{ path = \"a.jsonl\", format = \"native-json\" }]\n";

    #[test]
    fn the_least_descriptor_and_its_defaults() {
        let text = format!("{LEAST}[split]\nlearn_until = 2026-01-02T00:00:00Z\n");
        let descriptor = Descriptor::parse(&text).unwrap();
        assert_eq!(descriptor.lateness.seconds, 70);
        assert_eq!(descriptor.order, Order::Arrival);
        let quoted = Descriptor::parse(&text.replace("2026-01-02T00:00:00Z", "\"2026-01-02T01:00:00+01:00\"")).unwrap();
        assert_eq!(descriptor.split.learn_until, quoted.split.learn_until);
    }

    #[test]
    fn an_unknown_key_is_shown_with_line_and_caret() {
        for (line, misspelt) in [("lateness = \"70s\"", "latness"), ("order = \"arrival\"", "ordre")] {
            let (key, value) = line.split_once(' ').unwrap();
            assert!(key != misspelt);
            let text = format!("{misspelt} {value}\n{LEAST}[split]\nlearn_until = 2026-01-02T00:00:00Z\n");
            let message = Descriptor::parse(&text).unwrap_err();
            assert!(message.contains("line 1") && message.contains(misspelt) && message.contains("^^^"), "{message}");
        }
        let nested = "name = \"x\"\n[[files]]\npath = \"a.csv\"\n\
                      format = { select = \"select 1\", kind = \"flow\", input = \"csv\", delimeter = \";\" }\n\
                      [split]\nlearn_until = 2026-01-02T00:00:00Z\n";
        let message = Descriptor::parse(nested).unwrap_err();
        assert!(message.contains("line 4") && message.contains("`delimeter`") && message.contains('^'), "{message}");
    }

    #[test]
    fn what_does_not_fit_together() {
        let with = |rest: &str| Descriptor::parse(&format!("{LEAST}{rest}")).unwrap_err();
        assert!(with("[split]\n").contains("`learn_until`"));
        assert!(with("[split]\nfrom = \"episodes\"\n").contains("`episodes` file"));
        assert!(with("[labels]\n[split]\nlearn_until = 2026-01-02T00:00:00Z\n").contains("one of the two"));
        let backwards = "[split]\nlearn_until = 2026-01-02T00:00:00Z\nend = 2026-01-01T00:00:00Z\n";
        assert!(with(backwards).contains("not after"));
        assert!(with("[split]\nlearn_until = \"tomorrow\"\n").contains("`tomorrow`"));
        let unknown_format =
            format!("{LEAST}[split]\nlearn_until = 2026-01-02T00:00:00Z\n").replace("native-json", "pcap");
        assert!(Descriptor::parse(&unknown_format).unwrap_err().contains("`pcap`"));
    }

    #[test]
    fn lengths_of_time() {
        let span = |text: &str| Span::deserialize(de::value::StrDeserializer::<de::value::Error>::new(text));
        assert_eq!(span("90s").unwrap().seconds, 90);
        assert_eq!(span("15m").unwrap().seconds, 900);
        assert_eq!(span("2d").unwrap().seconds, 172_800);
        for bad in ["", "s", "70", "-1s", "1 h", "99999999d", "70µ"] {
            assert!(span(bad).unwrap_err().to_string().contains(&format!("`{bad}`")), "{bad}");
        }
    }
}
