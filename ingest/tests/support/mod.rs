//! Shared by the tests of this folder; each uses a part.
#![allow(dead_code)]

pub mod log;
pub mod readings;
