//! What is normal: learned per device type (and segment) from stored windows. Pure: no I/O, no clock.
//!
//! * [`learn`](mod@learn): windows in, one version of [`Baselines`] out
//! * [`learn_destinations`]: whom a type talks to, and how often its devices do something else
//! * [`exclude`]: what never trains
//! * [`model`], [`destinations`]: what a version holds
//! * [`keys`], [`behaviour`]: when two contacts are the same destination, and what a device can do there
//! * [`robust`]: location and scale on a log scale
//! * [`still`]: values that stand still, and for how long
//! * [`render`]: a baseline as a person reads it

pub mod behaviour;
pub mod config;
pub mod destinations;
pub mod error;
pub mod exclude;
pub mod keys;
pub mod learn;
pub mod learn_destinations;
pub mod model;
pub mod render;
pub mod robust;
pub mod still;

pub use behaviour::{Behaviour, Exchange};
pub use config::Config;
pub use destinations::{DestinationIndex, DestinationUse, Destinations};
pub use error::Error;
pub use keys::{Application, Category, ContactClass, ContactKey, Target};
pub use learn::{Period, learn};
pub use model::{Baselines, FeatureBaseline, TypeBaseline};
