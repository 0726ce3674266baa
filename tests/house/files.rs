//! How long, how many, and which words: what keeps files readable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{ROOMS, files_below, is_rust, read, root, shown, without_tests};

const LONGEST: usize = 600;
const MEDIAN: usize = 170;
/// Files of a folder, its table of contents (`lib.rs`, `main.rs`, `mod.rs`) not counted.
const FOLDER: usize = 12;
/// The front door has one file for each stage and each command.
const FRONT_DOOR: usize = 14;

fn sources() -> Vec<PathBuf> {
    files_below(root()).into_iter().filter(|path| is_rust(path)).collect()
}

/// Sources of the rooms and the front door, tests left out.
fn product() -> Vec<PathBuf> {
    let folders = ROOMS.iter().map(|room| root().join(room).join("src")).chain([root().join("src")]);
    folders.flat_map(|folder| files_below(&folder)).filter(|path| is_rust(path)).collect()
}

#[test]
fn files_are_short() {
    let mut lengths = Vec::new();
    for path in sources() {
        let lines = read(&path).lines().count();
        assert!(lines <= LONGEST, "`{}` has {lines} lines, at most {LONGEST} are allowed: split it", shown(&path));
        lengths.push(lines);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MEDIAN, "the median file has {median} lines, at most {MEDIAN} are allowed");
}

#[test]
fn folders_are_small() {
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let contents =
        |path: &Path| path.file_name().is_some_and(|name| name == "lib.rs" || name == "main.rs" || name == "mod.rs");
    for path in sources().into_iter().filter(|path| !contents(path)) {
        *folders.entry(path.parent().expect("a file is in a folder").to_path_buf()).or_default() += 1;
    }
    for (folder, files) in folders {
        let most = if folder == root().join("src") { FRONT_DOOR } else { FOLDER };
        assert!(files <= most, "`{}` has {files} files, at most {most} are allowed: make a folder", shown(&folder));
    }
}

#[test]
fn every_file_says_why_it_exists() {
    for path in product() {
        let is_tests = path.file_name().is_some_and(|name| name == "tests.rs");
        let text = read(&path);
        assert!(is_tests || text.starts_with("//! "), "`{}` does not begin with `//!`", shown(&path));
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Written apart, so that this file does not find itself.
    let words = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["FIX", "ME"].concat(),
        ["place", "holder"].concat(),
    ];
    let text_file = |path: &PathBuf| path.extension().is_some_and(|end| end == "rs" || end == "toml" || end == "md");
    for path in files_below(root()).into_iter().filter(text_file) {
        let text = read(&path);
        for word in &words {
            assert!(!text.contains(word.as_str()), "`{}` holds `{word}`", shown(&path));
        }
    }
}

/// An invariant may be relied on where its reason is said: `.expect("the length was checked above")`.
#[test]
fn the_product_never_unwraps() {
    for path in product() {
        let text = without_tests(&path);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let place = format!("`{}:{}`", shown(&path), number + 1);
            for word in [".unwrap()", "panic!("] {
                assert!(!line.contains(word), "{place} calls `{word}`: give an error");
            }
            if let Some((_, after)) = line.split_once(".expect(") {
                let reason = after.trim_start_matches('"').split('"').next().unwrap_or_default();
                assert!(reason.split(' ').count() >= 3, "{place} expects without a reason");
            }
        }
    }
}

#[test]
fn no_file_knows_a_machine() {
    let folders = ["home", "root", "Users", "work", "tmp"].map(|name| format!("/{name}/"));
    for path in files_below(root()) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for folder in &folders {
            // A quoted or spaced absolute path; `shared/work/` or a URL is none.
            for before in [" ", "\"", "`", "'", "=", "("] {
                let absolute = format!("{before}{folder}");
                assert!(!text.contains(&absolute), "`{}` names `{folder}`", shown(&path));
            }
        }
    }
}
