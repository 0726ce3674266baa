//! One version of the baselines, made ready for judging: looked up fast, rates pooled, forests fitted, lines set. Lanes
//! share it and nothing changes it.

use std::sync::Arc;

use baseline::{Baselines, DestinationIndex, TypeBaseline};
use fleet::{Device, EventTime, Profile};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::calibration::Calibration;
use crate::config::Config;
use crate::detectors::statistics::TypeModels;
use crate::error::Error;
use crate::rates::Rates;

#[derive(Clone)]
pub struct Prepared {
    pub version: u32,
    pub rates: Arc<Rates>,
    pub calibration: Calibration,
    types: Arc<FxHashMap<(SmolStr, SmolStr), PreparedType>>,
}

pub struct PreparedType {
    pub learned: TypeBaseline,
    pub index: DestinationIndex,
    pub models: TypeModels,
}

/// Days of learning from which on "never seen" says something.
const SEASONED_DAYS: u32 = 2;

impl PreparedType {
    /// A single day shows little of what a type talks to: until then only attack shapes count, as for a type never seen.
    pub fn is_seasoned(&self) -> bool {
        self.learned.days >= SEASONED_DAYS
    }
}

/// What is stored of a version: enough to prepare it again without the windows it was learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub baselines: Baselines,
    pub calibration: Calibration,
}

impl Version {
    /// From what is stored of it, in any order: one row a type, and the calibration. Since when it was learned is not stored,
    /// and nothing is judged by it.
    pub fn of_stored(number: u32, from: EventTime, types: Vec<TypeBaseline>, calibration: Calibration) -> Version {
        let mut types = types;
        types.sort_by(|a, b| (&a.device_type, &a.segment).cmp(&(&b.device_type, &b.segment)));
        let baselines = Baselines { version: number, from, learned_since: EventTime::MIN, learned_until: from, types };
        Version { baselines, calibration }
    }
}

/// The same [`Prepared`] that [`crate::train()`] gave with the version, to the last bit.
pub fn prepare(version: &Version, config: &Config) -> Result<Prepared, Error> {
    Prepared::new(version, config)
}

impl Prepared {
    /// Fits what is fitted from a baseline's sample; deterministic in `version` and `config`.
    pub fn new(version: &Version, config: &Config) -> Result<Prepared, Error> {
        let Version { baselines, calibration } = version;
        let prepare = |learned: &TypeBaseline| {
            let models = TypeModels::fit(learned, config)?;
            let key = (learned.device_type.clone(), learned.segment.clone());
            Ok((key, PreparedType { index: learned.destinations.index(), models, learned: learned.clone() }))
        };
        let types: Result<FxHashMap<_, _>, Error> = baselines.types.par_iter().map(prepare).collect();
        Ok(Prepared {
            version: baselines.version,
            rates: Arc::new(Rates::pooled(baselines)),
            calibration: calibration.clone(),
            types: Arc::new(types?),
        })
    }

    /// The same baselines, held to other lines.
    pub fn with_calibration(&self, calibration: Calibration) -> Prepared {
        Prepared { calibration, ..self.clone() }
    }

    /// Before anything was learned: no type is known, only attack shapes and rules speak.
    pub fn nothing_learned() -> Prepared {
        let nothing = Baselines {
            version: 0,
            from: EventTime::MIN,
            learned_since: EventTime::MIN,
            learned_until: EventTime::MIN,
            types: Vec::new(),
        };
        Prepared {
            version: 0,
            rates: Arc::new(Rates::pooled(&nothing)),
            calibration: Calibration::default(),
            types: Arc::default(),
        }
    }

    pub fn of(&self, device_type: &SmolStr, segment: &SmolStr) -> Option<&PreparedType> {
        self.types.get(&(device_type.clone(), segment.clone()))
    }

    /// For many devices in a row.
    pub fn of_devices(&self) -> OfDevices<'_> {
        OfDevices { prepared: self, found: FxHashMap::default() }
    }
}

/// The types of devices, looked up by name once for each profile: devices share them.
pub struct OfDevices<'p> {
    prepared: &'p Prepared,
    found: FxHashMap<*const Profile, Option<&'p PreparedType>>,
}

impl<'p> OfDevices<'p> {
    pub fn of(&mut self, device: &Device) -> Option<&'p PreparedType> {
        let prepared = self.prepared;
        let found = self.found.entry(Arc::as_ptr(&device.profile));
        *found.or_insert_with(|| prepared.of(&device.device_type, &device.segment))
    }
}
