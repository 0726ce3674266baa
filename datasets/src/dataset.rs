//! A data set found on disk: every file it names exists, or the error says where it was looked for and where to get it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fleet::{EventTime, Owner};
use ingest::{Fetched, Inventory, Router, Routes, Source};
use smol_str::SmolStr;

use crate::config::Config;
use crate::descriptor::{Derive, Descriptor, FileFormat, FileSpec, Order};
use crate::error::Error;
use crate::labels::{Episode, EpisodesFile, Sightings};
use crate::source;

/// A set that can be opened. Readings' `position.source` is the number of a file.
#[derive(Clone, Debug)]
pub struct DataSet {
    pub name: String,
    /// One line for a person; the name when the descriptor gives none.
    pub title: String,
    pub citation: String,
    pub licence: String,
    pub semi_synthetic: bool,
    /// How far records may be out of order in event time.
    pub lateness_seconds: u32,
    pub order: Order,
    /// Each file is a recording of its own; see [`DataSet::departures`].
    pub recordings: bool,
    pub limits: Config,
    files: Vec<FileEntry>,
    inventory: Option<PathBuf>,
    derive: Option<Derive>,
    episodes: Option<EpisodesFile>,
    split: Split,
}

/// A file of the set; its number is its index.
#[derive(Clone, Debug)]
pub struct FileEntry {
    /// For messages: the name in the descriptor, else the file's name up to its first dot.
    pub name: String,
    pub path: PathBuf,
    pub format: FileFormat,
    /// The first record's event time is moved to this instant.
    pub start: Option<EventTime>,
    pub bytes: u64,
}

/// Learning is before `learn_until`, judging from there to `end` (`None`: to the last record).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    pub learn_until: EventTime,
    pub end: Option<EventTime>,
}

/// From `from` on the device is no longer watched: its recording ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    pub device_id: SmolStr,
    pub from: EventTime,
}

impl DataSet {
    /// Reads the descriptor, the episodes, and looks for every file: in `data_dir` first, then beside the descriptor.
    ///
    /// # Errors
    /// [`Error::Descriptor`], [`Error::MissingFolder`], [`Error::MissingFile`], [`Error::Episodes`], [`Error::Read`].
    pub fn load(descriptor: &Path, data_dir: Option<&Path>) -> Result<DataSet, Error> {
        let Descriptor {
            name,
            title,
            citation,
            licence,
            homepage,
            semi_synthetic,
            lateness,
            order,
            recordings,
            inventory,
            files,
            labels,
            split,
        } = Descriptor::read(descriptor)?;
        if let Some(folder) = data_dir
            && !folder.is_dir()
        {
            return Err(Error::MissingFolder { path: folder.to_path_buf(), homepage });
        }
        let beside = descriptor.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut folders: Vec<PathBuf> = data_dir.map(Path::to_path_buf).into_iter().chain([beside]).collect();
        folders.dedup();
        let find = |what, path: &Path| find(what, path, &folders, &homepage);
        let files = files.into_iter().map(|file| entry(file, &find)).collect::<Result<Vec<_>, _>>()?;
        let inventory = inventory.map(|inventory| find("inventory", &inventory.file)).transpose()?;
        let (mut derive, mut episodes) = (None, None);
        if let Some(labels) = labels {
            derive = labels.derive;
            let path = labels.episodes.map(|file| find("episodes file", &file)).transpose()?;
            episodes = path.map(|path| Ok::<_, Error>((EpisodesFile::read(&path)?, path))).transpose()?;
        }
        let from_file = episodes.as_ref().map(|(file, path)| (file.learn_until, file.end, path));
        let split = match (split.learn_until, from_file) {
            (Some(learn_until), _) => Split { learn_until: learn_until.0, end: split.end.map(|end| end.0) },
            (None, Some((Some(learn_until), end, _))) => Split { learn_until, end: split.end.map(|end| end.0).or(end) },
            (None, from_file) => {
                let path = from_file.map_or(descriptor, |(_, _, path)| path.as_path()).to_path_buf();
                return Err(Error::Episodes {
                    path,
                    problem: "`learn_until` is missing; the split is taken from it".to_string(),
                });
            }
        };
        let title = if title.is_empty() { name.clone() } else { title };
        Ok(DataSet {
            name,
            title,
            citation,
            licence,
            semi_synthetic,
            lateness_seconds: lateness.seconds,
            order,
            recordings,
            limits: Config::default(),
            files,
            inventory,
            derive,
            episodes: episodes.map(|(file, _)| file),
            split,
        })
    }

    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    pub fn split(&self) -> Split {
        self.split
    }

    /// Empty when the set has none: then every device is an unknown one.
    ///
    /// # Errors
    /// [`Error::Read`], and [`Error::Ingest`] naming line and column.
    pub fn inventory(&self) -> Result<Inventory, Error> {
        let Some(path) = &self.inventory else {
            return Ok(Inventory::empty());
        };
        let file = std::fs::File::open(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Ok(Inventory::from_csv(file, &path.display().to_string())?)
    }

    /// All files as one source: merged by event time, each in its own order, or sorted where the set says so.
    ///
    /// # Errors
    /// A file that is not what the descriptor says ([`Error::Select`], [`Error::Parquet`], [`Error::Ingest`]).
    pub fn open(&self, config: &ingest::Config) -> Result<Box<dyn Source + Send>, Error> {
        source::open(self, config)
    }

    /// What happened, by the episodes file or the records' labels; empty without labels. Labels of records take a pass
    /// over the whole set.
    pub fn episodes(&self, config: &ingest::Config) -> Result<Vec<Episode>, Error> {
        if let Some(file) = &self.episodes {
            return Ok(file.episodes.clone());
        }
        let Some(derive) = &self.derive else {
            return Ok(Vec::new());
        };
        let name = |source: u32| self.files.get(source as usize).map_or(String::new(), |file| file.name.clone());
        Ok(self.sightings(config)?.episodes(derive, name))
    }

    /// When devices stop being watched, in a set of recordings that end at different times; else empty. Ordered by time.
    pub fn departures(&self, config: &ingest::Config) -> Result<Vec<Departure>, Error> {
        if !self.recordings {
            return Ok(Vec::new());
        }
        let spans = self.sightings(config)?.spans();
        let after = |(device_id, (_, last)): (SmolStr, (EventTime, EventTime))| Departure {
            device_id,
            from: EventTime(last.0.saturating_add(1)),
        };
        let mut departures: Vec<Departure> = spans.into_iter().map(after).collect();
        departures.sort_by(|a, b| (a.from, &a.device_id).cmp(&(b.from, &b.device_id)));
        Ok(departures)
    }

    /// Days from first to last record of each device of the inventory in the judged part; `None` unless the set is of
    /// recordings: then every device is watched throughout.
    pub fn days_watched(&self, config: &ingest::Config) -> Result<Option<BTreeMap<SmolStr, f64>>, Error> {
        if !self.recordings {
            return Ok(None);
        }
        let spans = self.sightings(config)?.spans();
        let inventory = self.inventory()?;
        let mut days = BTreeMap::new();
        for device in inventory.devices() {
            let Some((first, last)) = spans.get(&device.id) else { continue };
            let end = self.split.end.map_or(*last, |end| end.min(*last));
            let seconds = end.seconds_since((*first).max(self.split.learn_until)).max(0.0);
            days.insert(device.id.clone(), seconds / 86_400.0);
        }
        Ok(Some(days))
    }

    fn sightings(&self, config: &ingest::Config) -> Result<Sightings, Error> {
        let mut source = self.open(config)?;
        let mut router = Router::new(self.inventory()?, config);
        let mut sightings = Sightings::default();
        let (mut fetched, mut routes) = (Fetched::default(), Routes::default());
        loop {
            let more = source.fetch(&mut fetched)?;
            for mut reading in fetched.readings.drain(..) {
                router.route(&mut reading, &mut routes);
                let id = |owner: &Owner| Some((router.devices().get(owner.device.0 as usize)?.id.clone(), owner.role));
                let devices: Vec<_> = routes.owners.iter().filter_map(id).collect();
                sightings.add(reading.position, reading.time, reading.malicious, &devices);
                routes.owners.clear();
                routes.facts.clear();
            }
            fetched.rejected.clear();
            if !more {
                return Ok(sightings);
            }
        }
    }
}

fn entry(file: FileSpec, find: &dyn Fn(&'static str, &Path) -> Result<PathBuf, Error>) -> Result<FileEntry, Error> {
    let path = find("file", &file.path)?;
    let bytes = std::fs::metadata(&path).map_err(|source| Error::Read { path: path.clone(), source })?.len();
    let file_name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let short = file_name.split('.').next().unwrap_or_default().to_string();
    Ok(FileEntry {
        name: file.name.unwrap_or(short),
        path,
        format: file.format,
        start: file.start.map(|start| start.0),
        bytes,
    })
}

fn find(what: &'static str, path: &Path, folders: &[PathBuf], homepage: &Option<String>) -> Result<PathBuf, Error> {
    if let Some(found) = folders.iter().map(|folder| folder.join(path)).find(|candidate| candidate.is_file()) {
        return Ok(found);
    }
    let looked_in = if path.is_absolute() { Vec::new() } else { folders.to_vec() };
    Err(Error::MissingFile { what, name: path.display().to_string(), looked_in, homepage: homepage.clone() })
}
