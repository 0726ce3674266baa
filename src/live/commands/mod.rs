//! Commands beside `run`, each in the file of its name.

pub mod baselines;
pub mod check;
pub mod feed;
mod strangers;
pub mod topics;
