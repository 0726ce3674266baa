//! The playbooks that come with the program, for whoever has none of their own: a start for a careful team, all of them in
//! mode `observe`.

use super::{Playbook, Playbooks};
use crate::error::Error;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("playbooks/", $name, ".toml"), include_str!(concat!("../../../playbooks/", $name, ".toml")))),*]
    };
}

/// Path in the repository, and content.
pub const FILES: &[(&str, &str)] = files![
    "camera-upload",
    "certain-compromise",
    "critical-controllers",
    "doubtful-compromise",
    "exfiltration",
    "fault",
    "group-change",
    "probation",
    "repeat-offender",
    "retired-device",
    "unknown-device",
    "worm",
];

/// # Errors
/// None in a build whose tests passed.
pub fn shipped() -> Result<Playbooks, Vec<Error>> {
    let read: Result<Vec<Playbook>, Error> = FILES.iter().map(|(file, text)| Playbook::parse(text, file)).collect();
    Playbooks::new(read.map_err(|error| vec![error])?)
}
