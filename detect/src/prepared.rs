//! One version of the baselines, made ready for judging: looked up fast, rates pooled, forests fitted, lines set. Lanes
//! share it and nothing changes it.

use baseline::{Baselines, DestinationIndex, TypeBaseline};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::calibration::Calibration;
use crate::config::Config;
use crate::detectors::statistics::TypeModels;
use crate::error::Error;
use crate::rates::Rates;

pub struct Prepared {
    pub version: u32,
    pub rates: Rates,
    pub calibration: Calibration,
    types: FxHashMap<(SmolStr, SmolStr), PreparedType>,
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

impl Prepared {
    /// Fits what is fitted from a baseline's sample; deterministic in `version` and `config`.
    pub fn new(version: Version, config: &Config) -> Result<Prepared, Error> {
        let rates = Rates::pooled(&version.baselines);
        let mut types = FxHashMap::default();
        for learned in version.baselines.types {
            let models = TypeModels::fit(&learned, config)?;
            let key = (learned.device_type.clone(), learned.segment.clone());
            types.insert(key, PreparedType { index: learned.destinations.index(), models, learned });
        }
        Ok(Prepared { version: version.baselines.version, rates, calibration: version.calibration, types })
    }

    /// Before anything was learned: no type is known, only attack shapes and rules speak.
    pub fn nothing_learned() -> Prepared {
        let nothing = Baselines {
            version: 0,
            from: fleet::EventTime::MIN,
            learned_since: fleet::EventTime::MIN,
            learned_until: fleet::EventTime::MIN,
            types: Vec::new(),
        };
        Prepared {
            version: 0,
            rates: Rates::pooled(&nothing),
            calibration: Calibration::default(),
            types: FxHashMap::default(),
        }
    }

    pub fn of(&self, device_type: &SmolStr, segment: &SmolStr) -> Option<&PreparedType> {
        self.types.get(&(device_type.clone(), segment.clone()))
    }
}
