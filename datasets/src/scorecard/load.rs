//! A finished (or interrupted) replay, opened for reading: its tables, its `run.json`, and the score card they give.

use std::path::{Path, PathBuf};

use arrow::array::{Array, BooleanArray, Float32Array};
use fleet::{Action, Finding};
use serde::de::DeserializeOwned;
use store::{DeviceRow, ParquetStore};

use super::curve::CurveInput;
use super::run::RunInfo;
use super::{Inputs, JudgedDevice, JudgedWindow, ScoreCard};
use crate::error::Error;

pub const RUN_FILE: &str = "run.json";
pub const CURVE_FILE: &str = "curve.json";

pub struct Stored {
    pub store: ParquetStore,
    pub run: RunInfo,
    pub dir: PathBuf,
}

impl Stored {
    /// # Errors
    /// [`Error::Store`] when `dir` is no store, [`Error::Run`] when its `run.json` is missing or cannot be read.
    pub fn open(dir: &Path) -> Result<Stored, Error> {
        let store = ParquetStore::open(dir)?;
        Ok(Stored { store, run: read(&dir.join(RUN_FILE))?, dir: dir.to_path_buf() })
    }

    /// What the score card is computed from.
    ///
    /// # Errors
    /// [`Error::Store`] when a table cannot be read; [`Error::Run`] for a `curve.json` that is none.
    pub fn inputs(&self) -> Result<Inputs, Error> {
        let curve = self.dir.join(CURVE_FILE);
        let devices = self.store.rows::<DeviceRow>()?;
        Ok(Inputs {
            run: self.run.clone(),
            findings: self.store.rows::<Finding>()?,
            actions: fleet::action::latest(&self.store.rows::<Action>()?),
            // Who was never heard was not watched either, and dilutes no rate.
            devices: devices
                .into_iter()
                .filter(|row| row.first_seen.is_some())
                .map(|row| JudgedDevice { id: row.device_id, device_type: row.device_type, standing: row.standing })
                .collect(),
            windows: self.judged_windows()?,
            curve: if curve.exists() { read(&curve)? } else { CurveInput::default() },
        })
    }

    /// # Errors
    /// As [`Stored::inputs`].
    pub fn score_card(&self) -> Result<ScoreCard, Error> {
        Ok(ScoreCard::compute(&self.inputs()?))
    }

    /// Rows of a query as values of a type whose fields are its columns. Times are best cast to bigint, which gives
    /// microseconds, the unit of [`fleet::EventTime`].
    ///
    /// # Errors
    /// [`Error::Store`] for a query that is wrong; [`Error::Rows`] for rows that do not fit the type.
    pub fn select<Row: DeserializeOwned>(&self, sql: &str) -> Result<Vec<Row>, Error> {
        select(&self.store, sql)
    }

    fn judged_windows(&self) -> Result<Vec<JudgedWindow>, Error> {
        let sql = format!(
            "select score, malicious > 0 as malicious from windows \
             where cast(window_end as bigint) > {} and cast(window_start as bigint) < {}",
            self.run.learn_until.0, self.run.end.0
        );
        let mut windows = Vec::new();
        for batch in self.store.query(&sql)? {
            let wrong =
                || Error::Rows("columns `score` and `malicious` are not as the dictionary has them".to_string());
            let scores: &Float32Array = batch.column(0).as_any().downcast_ref().ok_or_else(wrong)?;
            let malicious: &BooleanArray = batch.column(1).as_any().downcast_ref().ok_or_else(wrong)?;
            let rows = scores.values().iter().enumerate();
            windows.extend(rows.map(|(row, score)| JudgedWindow { score: *score, malicious: malicious.value(row) }));
        }
        Ok(windows)
    }
}

/// As [`Stored::select`], of a store that is still being written.
pub fn select<Row: DeserializeOwned>(store: &ParquetStore, sql: &str) -> Result<Vec<Row>, Error> {
    let batches = store.query(sql)?;
    let mut text = Vec::new();
    let mut writer = arrow::json::ArrayWriter::new(&mut text);
    let batches: Vec<_> = batches.iter().collect();
    writer.write_batches(&batches).and_then(|()| writer.finish()).map_err(|error| Error::Rows(error.to_string()))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text).map_err(|error| Error::Rows(error.to_string()))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    serde_json::from_slice(&text).map_err(|error| Error::Run { path: path.to_path_buf(), problem: error.to_string() })
}

/// A text as SQL has it, quotes included.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet::device::Standing;
    use fleet::{Cohort, Criticality, Device, DeviceKey, EventTime, FEATURES, Position, Profile, Window};
    use serde::Deserialize;
    use store::{Config, DeviceNames, ScoredWindow, Step, Store};

    use super::*;
    use crate::scorecard::run::{Episode, RunState};

    fn at(seconds: i64) -> EventTime {
        EventTime::default().plus_seconds(seconds)
    }

    fn device() -> Arc<Device> {
        Arc::new(Device {
            key: DeviceKey(0),
            id: "it's-1".into(),
            criticality: Criticality::Medium,
            standing: Standing::Active,
            profile: Arc::new(Profile {
                device_type: "camera".into(),
                site: "".into(),
                segment: "".into(),
                owner: "".into(),
                firmware: "".into(),
                protocol: "".into(),
                purpose: "".into(),
                cohort: Cohort { device_type: "camera".into(), segment: "".into(), shard: 0 },
            }),
        })
    }

    fn window(end: i64, score: f32, malicious: u32) -> ScoredWindow {
        let window = Window {
            device: DeviceKey(0),
            start: at(end - 60),
            end: at(end),
            features: [0.0; FEATURES],
            contacts: vec![],
            details: None,
            first_record: Position::default(),
            last_record: Position::default(),
            records: 1,
            malicious,
        };
        ScoredWindow { window, score, p_value: 0.5, evidence: score, line: 10.0 }
    }

    fn run() -> RunInfo {
        RunInfo {
            dataset: "tiny".into(),
            title: "".into(),
            semi_synthetic: false,
            seed: 1,
            version: "0.1.0".into(),
            baseline_version: 1,
            budget: 20.0,
            learn_until: at(600),
            end: at(86_400 + 600),
            days_watched: None,
            episodes: vec![Episode {
                name: "visit".into(),
                device_ids: vec!["it's-1".into()],
                start: at(700),
                end: at(800),
                incident: true,
            }],
            sources: vec![],
            topics: vec![],
            readings: 3,
            rejected: Default::default(),
            late: 0,
            seconds: 1.0,
            state: RunState::Complete,
        }
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Row {
        device_id: String,
        time: EventTime,
    }

    #[test]
    fn the_card_comes_from_the_stored_tables() {
        let folder = tempfile::tempdir().unwrap();
        let store = ParquetStore::create(folder.path(), Config::default()).unwrap();
        let devices = [device()];
        let names = DeviceNames::new(&devices);
        // The first is of the learning part, whatever its score.
        let windows = [window(540, 9.0, 1), window(660, 1.0, 0), window(720, 5.0, 2)];
        let step = Step {
            lane: 0,
            first_tick: at(540),
            last_tick: at(720),
            devices: &names,
            windows: &windows,
            evidence: &[],
        };
        store.write_step(&step).unwrap();
        let mut unheard = DeviceRow::new(&devices[0], None, None);
        unheard.device_id = "never-heard".into();
        store
            .write_devices(::store::WHOLE, &[DeviceRow::new(&devices[0], Some(at(480)), Some(at(720))), unheard])
            .unwrap();
        std::fs::write(folder.path().join(RUN_FILE), serde_json::to_vec(&run()).unwrap()).unwrap();

        let stored = Stored::open(folder.path()).unwrap();
        let card = stored.score_card().unwrap();
        assert_eq!((card.devices, card.device_days_judged), (1, 1.0), "who was never heard is not counted");
        assert_eq!((card.incidents_total, card.incidents_detected), (1, 0));
        assert_eq!(card.window_roc_auc, Some(1.0));
        assert!(card.operating_curve.is_empty());

        let sql = format!(
            "select device_id, cast(window_end as bigint) as time from windows where device_id = {} order by 2 desc limit 1",
            quoted("it's-1")
        );
        assert_eq!(stored.select::<Row>(&sql).unwrap(), [Row { device_id: "it's-1".into(), time: at(720) }]);
        assert_eq!(stored.select::<Row>(&sql.replace("limit 1", "limit 0")).unwrap(), []);
    }

    #[test]
    fn a_record_of_a_topic_is_named_by_partition_and_offset() {
        let topics = vec![crate::scorecard::run::RawTopic { name: "vedette.raw".into(), id: "b5xY".into() }];
        let live = RunInfo { topics, ..run() };
        let position = |source| Position { source, offset: 41 };
        assert_eq!(live.place_of(position(fleet::id::source_id("b5xY", 17))), "vedette.raw/17 offset 41");
        assert!(live.place_of(position(fleet::id::source_id("other", 17))).starts_with("source "));
    }

    #[test]
    fn a_folder_that_is_no_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |folder: &Path| Stored::open(folder).err().map_or(String::new(), |error| error.to_string());
        assert!(message(&folder.path().join("none")).contains("none` does not exist"));
        drop(ParquetStore::create(folder.path(), Config::default()).unwrap());
        assert!(message(folder.path()).contains("run.json"));
        std::fs::write(folder.path().join(RUN_FILE), "{").unwrap();
        assert!(message(folder.path()).contains("replay again"), "{}", message(folder.path()));
    }
}
