//! `vedette replay`: a labelled data set through the pipeline, into a store, and what that was worth.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use datasets::scorecard::ScoreCard;
use datasets::scorecard::load::{CURVE_FILE, RUN_FILE, Stored};
use datasets::scorecard::run::{Episode, RunInfo, RunState};
use datasets::{DataSet, Split};
use fleet::{EventTime, Mode};
use store::{DeviceRow, ParquetStore, Store};

use crate::config::{Config, Misuse};
use crate::demo;
use crate::pipeline::{self, Outcome};
use crate::progress::Progress;
use crate::respond::playbooks;

const SCORE_CARD: &str = "scorecard.json";
/// From this share of late readings on something is wrong with the order of the files, or with `lateness`.
const MANY_LATE: f64 = 0.05;
/// Steps are large when catching up; only when there are more of them than this is merging their files worth its time.
const MANY_STEPS: usize = 512;

#[derive(Args, Clone)]
pub struct ReplayArgs {
    /// The data set: a TOML file, such as datasets/fleet.toml (docs/your-own-data.md says how to write one)
    #[arg(value_name = "DATASET")]
    pub dataset: PathBuf,
    /// Folder with the files the data set names; else beside the TOML file
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Folder to write the store, the score card and the run's facts to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Alert budget: false findings per 1,000 device-days that are borne [default: 20, or the configuration's]
    #[arg(long, value_name = "N")]
    pub budget: Option<f64>,
    /// Seed of samples and forests [default: 7, or the configuration's]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Lanes to judge in; the result does not depend on it [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub lanes: Option<u16>,
    /// Folder of playbooks [default: the configuration's, or the shipped ones]
    #[arg(long, value_name = "DIR")]
    pub playbooks: Option<PathBuf>,
    /// As if every playbook, and everything else, were in this mode: observe, approve or auto. Nobody is reached: a gateway
    /// that records stands for all
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub mode: Option<Mode>,
    /// No progress and no score card on the terminal
    #[arg(long)]
    pub quiet: bool,
}

pub fn run(args: &ReplayArgs) -> anyhow::Result<ScoreCard> {
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(budget) = args.budget {
        config.detect.budget = budget;
    }
    if let Some(seed) = args.seed {
        config.detect.seed = seed;
        config.baseline.seed = seed;
    }
    if let Some(mode) = args.mode {
        config.responders.mode = mode;
    }
    config.check().map_err(|error| Misuse(format!("{error:#}")))?;
    let mut playbooks = playbooks::load(args.playbooks.as_deref().or(config.responders.playbooks.as_deref()))?;
    if let Some(mode) = args.mode {
        playbooks = playbooks.in_mode(mode);
    }
    let (dataset, _made) = demo::open(&args.dataset, args.path.as_deref())?;
    config.ingest.lateness_seconds = dataset.lateness_seconds;
    config.detect.lateness_seconds = dataset.lateness_seconds;
    let mut progress = Progress::start(args.quiet);
    // Whatever is wrong with the data set is said before an earlier replay's tables are removed.
    let mut info = describe(&dataset, &config)?;
    let inventory = dataset.inventory().map_err(misuse)?;
    let source = dataset.open(&config.ingest).map_err(misuse)?;
    let departures = dataset.departures(&config.ingest)?;
    let store = Arc::new(fresh_store(&args.out, &config, &progress)?);
    save(&args.out, RUN_FILE, &info)?;
    let lanes = args.lanes.map_or_else(default_lanes, usize::from);
    let outcome = pipeline::run(
        pipeline::Run {
            config: &config,
            inventory,
            source,
            departures,
            learn_until: Some(dataset.split().learn_until),
            lanes,
            store: Arc::clone(&store),
            playbooks,
        },
        &mut progress,
    )?;
    store.write_devices(store::WHOLE, &device_rows(&outcome))?;
    let steps = (0..lanes as u32).map(|lane| Ok(store.steps(lane)?.len())).sum::<anyhow::Result<usize>>()?;
    if steps > MANY_STEPS {
        store.compact(EventTime::MAX)?;
    }
    complete(&mut info, &dataset, &outcome, config.ingest.window_seconds, &progress);
    save(&args.out, CURVE_FILE, &outcome.curve)?;
    save(&args.out, RUN_FILE, &info)?;
    drop(store);
    progress.finish();
    let card = Stored::open(&args.out)?.score_card()?;
    save(&args.out, SCORE_CARD, &card)?;
    for note in notes(&config, &dataset, &outcome) {
        eprintln!("note: {note}");
    }
    if !args.quiet {
        print!("{}", card.render());
    }
    Ok(card)
}

pub fn mode(name: &str) -> Result<Mode, String> {
    Mode::from_name(name).ok_or_else(|| format!("`{name}` is no mode, expected observe, approve or auto"))
}

/// What a user can mend in the data set is a misuse: exit code 2.
fn misuse(error: datasets::Error) -> anyhow::Error {
    Misuse(error.to_string()).into()
}

fn default_lanes() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// A replay always starts over: half a run cannot be gone on with, because its files are read from their beginning.
fn fresh_store(out: &Path, config: &Config, progress: &Progress) -> anyhow::Result<ParquetStore> {
    let earlier = unfinished_run(out)?;
    let mark = || earlier.map_or(Ok(()), |text| store::write_file(&out.join(RUN_FILE), &text));
    if out.exists() && ParquetStore::start_over(out, mark)? {
        progress.warn(&format!("`{}` holds an earlier replay: starting over, its tables are removed", out.display()));
    }
    // `run.json` stays until it is written anew: it is what tells this folder from a stranger's.
    for name in [CURVE_FILE, SCORE_CARD] {
        let path = out.join(name);
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("`{}` cannot be removed", path.display()))?;
        }
    }
    Ok(ParquetStore::create(out, config.store.clone())?)
}

/// The earlier replay's `run.json` as of one that has not ended: what it is from when its tables are removed,
/// whenever we are stopped.
fn unfinished_run(out: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let path = out.join(RUN_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(&path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let Ok(mut info) = serde_json::from_slice::<RunInfo>(&text) else {
        return Err(Misuse(format!("`{}` is no replay's; choose another --out", path.display())).into());
    };
    if info.state == RunState::Live {
        return Err(Misuse(format!("`{}` is the store of `vedette run`; choose another --out", out.display())).into());
    }
    info.state = RunState::Running;
    Ok(Some(serde_json::to_vec_pretty(&info)?))
}

fn describe(dataset: &DataSet, config: &Config) -> anyhow::Result<RunInfo> {
    let Split { learn_until, end } = dataset.split();
    let episodes = dataset.episodes(&config.ingest)?;
    let file_name = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(RunInfo {
        dataset: dataset.name.clone(),
        title: dataset.title.clone(),
        semi_synthetic: dataset.semi_synthetic,
        seed: config.detect.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        baseline_version: 0,
        budget: config.detect.budget,
        learn_until,
        end: end.unwrap_or(learn_until),
        days_watched: dataset.days_watched(&config.ingest)?,
        episodes: episodes
            .into_iter()
            .map(|episode| Episode {
                name: episode.name,
                device_ids: episode.device_ids,
                start: episode.start,
                end: episode.end,
                incident: episode.incident,
            })
            .collect(),
        sources: dataset.files().iter().map(|file| file_name(&file.path)).collect(),
        topics: vec![],
        readings: 0,
        rejected: Default::default(),
        late: 0,
        seconds: 0.0,
        state: RunState::Running,
    })
}

fn complete(info: &mut RunInfo, dataset: &DataSet, outcome: &Outcome, window_seconds: u32, progress: &Progress) {
    info.state = RunState::Complete;
    info.baseline_version = outcome.version.as_ref().map_or(0, |version| version.baselines.version);
    // The last window counts as a whole.
    let reached = outcome.reached.map(|time| time.plus_seconds(i64::from(window_seconds)));
    info.end = dataset.split().end.or(reached).unwrap_or(info.learn_until);
    info.readings = outcome.tally.readings;
    info.rejected = outcome.tally.by_reason.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    info.late = outcome.lanes.late;
    info.seconds = progress.elapsed().as_secs_f64();
}

/// Everyone in the inventory or met on the way, with when they were heard.
fn device_rows(outcome: &Outcome) -> Vec<DeviceRow> {
    let row = |device: &Arc<fleet::Device>| {
        let heard = outcome.heard.get(&device.key);
        DeviceRow::new(device, heard.map(|(first, _)| *first), heard.map(|(_, last)| *last))
    };
    outcome.devices.iter().map(row).collect()
}

fn save(out: &Path, name: &str, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(value)?;
    Ok(store::write_file(&out.join(name), &text)?)
}

/// What a reader of the score card should know before believing it.
fn notes(config: &Config, dataset: &DataSet, outcome: &Outcome) -> Vec<String> {
    let Outcome { tally, lanes, reached, version, .. } = outcome;
    let mut notes = Vec::new();
    for rejected in tally.first_of_each_reason() {
        let (count, line) = (tally.by_reason[rejected.reason.name()], rejected.position.offset + 1);
        let rejected = format!("{}, line {line}: {}", rejected.file, rejected.detail);
        notes.push(format!("{count} rejected, the first at {rejected} (all: `select * from rejected`)"));
    }
    if tally.readings == 0 {
        let files: Vec<String> = dataset.files().iter().map(|file| format!("`{}`", file.path.display())).collect();
        notes.push(format!("no reading came of {}: are these the right files, in the format named?", files.join(", ")));
    }
    let late = lanes.late as f64 / (tally.readings as f64).max(1.0);
    if late > MANY_LATE {
        notes.push(format!(
            "{} of {} readings came after their window had closed and were dropped; raise `lateness` (now {} s), or \
             set `order = \"event_time\"` if the files are not in the order of time",
            lanes.late, tally.readings, config.ingest.lateness_seconds
        ));
    }
    let learn_until = dataset.split().learn_until;
    if reached.is_some_and(|reached| reached <= learn_until) {
        notes.push(format!("the records end before `learn_until` ({learn_until}): nothing was judged"));
    } else if tally.readings > 0 && version.is_none() {
        notes.push(format!("nothing was learned before `learn_until` ({learn_until}): judged by peers and rules only"));
    }
    if outcome.forgotten.destinations > 0 {
        let device = outcome.forgotten.device.and_then(|key| outcome.devices.get(key.0 as usize));
        notes.push(format!(
            "{} destinations were forgotten though devices met them within the day, of `{}` for one; raise \
             `max_episodes_per_device` under [detect] (now {})",
            outcome.forgotten.destinations,
            device.map_or("", |device| device.id.as_str()),
            config.detect.max_episodes_per_device
        ));
    }
    if let Some((destinations, most)) = version.as_ref().and_then(|version| version.baselines.forgotten()) {
        notes.push(format!(
            "{destinations} known destinations were forgotten, most of type `{}`: going there again is rare to it; raise \
             `max_destinations` under [baseline] (now {})",
            most.device_type, config.baseline.max_destinations
        ));
    }
    if let Some(version) = version.as_ref().filter(|version| !version.calibration.bears(config.detect.budget)) {
        notes.push(format!(
            "a budget of {} false findings per 1,000 device-days is less than one in the {} device-days learned from; \
             the line is extrapolated; learn from more days, or allow a greater budget",
            config.detect.budget, version.calibration.device_days
        ));
    }
    notes
}
