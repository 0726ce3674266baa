//! What does not run is said loudly and counted. The test runner keeps to itself what a test that passes prints, so each skip
//! goes past it to the terminal, and is a line of `not-run.txt` in cargo's target folder: `make test` begins without that file
//! and ends by printing it. Test programs of all rooms take this one file in.

use std::io::Write;
use std::path::Path;

/// The calling test, or a part of it, does not run; `why` says what it is about and what it would need.
pub fn not_run(why: &str) {
    let thread = std::thread::current();
    let line = format!("NOT RUN: {}: {why}\n", thread.name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is there");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("not-run.txt");
    let mut file = std::fs::File::options().create(true).append(true).open(&path).expect("the target folder is there");
    file.write_all(line.as_bytes()).expect("the target folder can be written to");
}
