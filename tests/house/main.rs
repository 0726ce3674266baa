//! The house rules that a compiler does not check: which room may name which, how long a file may be, what every room has,
//! and whether the files around the program fit it and each other.

mod compose;
mod dashboards;
mod files;
mod rooms;
mod yaml;

use std::path::{Path, PathBuf};

const ROOMS: [&str; 7] = ["fleet", "ingest", "baseline", "detect", "responders", "store", "datasets"];
/// What they say follows from their arguments alone.
const PURE_ROOMS: [&str; 3] = ["fleet", "baseline", "detect"];

/// Cargo runs a package's tests in its folder. (`env!` would name the clone that compiled them, which may be another.)
fn root() -> &'static Path {
    Path::new(".")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("`{}` cannot be read: {error}", path.display()))
}

/// For messages: relative to the root.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Every file below `folder`, ours only: no build output, no results, no version control.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder's entry can be read").path();
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            if name == ".git" || name == "target" || (name.starts_with("out") && path.parent() == Some(root())) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// A source's text up to its unit tests; empty for files that are tests altogether.
fn without_tests(path: &Path) -> String {
    if path.file_name().is_some_and(|name| name == "tests.rs") {
        return String::new();
    }
    let text = read(path);
    let before = |text: &str, tests: &str| text.split(tests).next().unwrap_or_default().to_owned();
    before(&before(&text, "#[cfg(test)]\nmod tests {"), "#[cfg(test)]\npub(super) mod tests {")
}
