//! The room table of ARCHITECTURE.md against what the manifests say, both ways: nothing more is named, nothing less.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::{PURE_ROOMS, ROOMS, files_below, is_rust, read, root, shown, without_tests};

/// What a room names: rooms of the workspace, and crates from outside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    rooms: BTreeSet<String>,
    crates: BTreeSet<String>,
}

/// Rows of the table under "## The rooms": `| room | takes | gives | rooms | crates |`.
fn documented() -> BTreeMap<String, Named> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let section = text.split("\n## The rooms\n").nth(1).expect("ARCHITECTURE.md has a section `The rooms`");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut table = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [room, _, _, rooms, crates] = cells[..] else {
            panic!("the row `{line}` does not have five cells");
        };
        table.insert(room.trim_matches('`').to_owned(), Named { rooms: names(rooms), crates: names(crates) });
    }
    table
}

/// `all`: every room; `-`: none; else names between commas.
fn names(cell: &str) -> BTreeSet<String> {
    match cell {
        "all" => ROOMS.iter().map(|room| (*room).to_owned()).collect(),
        "-" => BTreeSet::new(),
        names => names.split(',').map(|name| name.trim().to_owned()).collect(),
    }
}

fn manifests() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages are a list").clone()
}

/// `vedette` (the front door) is the row `src`.
fn room_of(package: &Value) -> &str {
    match package["name"].as_str().expect("a package has a name") {
        "vedette" => "src",
        name => name,
    }
}

fn dependencies(package: &Value, wanted: impl Fn(Option<&str>) -> bool) -> Named {
    let mut named = Named::default();
    for dependency in package["dependencies"].as_array().expect("dependencies are a list") {
        if !wanted(dependency["kind"].as_str()) {
            continue;
        }
        let name = dependency["name"].as_str().expect("a dependency has a name").to_owned();
        if dependency["path"].is_string() {
            named.rooms.insert(name);
        } else {
            named.crates.insert(name);
        }
    }
    named
}

#[test]
fn rooms_name_what_the_table_says() {
    let table = documented();
    let mut rooms = BTreeSet::new();
    for package in manifests() {
        let room = room_of(&package);
        let said = table.get(room).unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for `{room}`"));
        let found = dependencies(&package, |kind| kind.is_none());
        assert_eq!(said, &found, "`{room}`: the table in ARCHITECTURE.md (left) and its Cargo.toml (right) differ");
        rooms.insert(room.to_owned());
    }
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), rooms, "rows of the table, and packages");
}

/// Tests and build scripts may use other crates, not other rooms.
#[test]
fn tests_reach_no_further_than_their_room() {
    let table = documented();
    for package in manifests() {
        let room = room_of(&package);
        let found = dependencies(&package, |kind| kind.is_some());
        let further: Vec<_> = found.rooms.difference(&table[room].rooms).collect();
        assert!(further.is_empty(), "`{room}` names {further:?} in its tests; the table in ARCHITECTURE.md does not");
    }
}

/// The arrow is straight: only these rooms name another besides `fleet`. A change here is a change of the design.
#[test]
fn the_arrow_is_straight() {
    let allowed = [
        ("src", "ingest"),
        ("src", "baseline"),
        ("src", "detect"),
        ("src", "responders"),
        ("src", "store"),
        ("src", "datasets"),
        ("detect", "baseline"),
        ("store", "baseline"),
        ("datasets", "ingest"),
        ("datasets", "store"),
    ];
    for (room, named) in documented() {
        for other in named.rooms {
            assert!(other == "fleet" || allowed.contains(&(room.as_str(), other.as_str())), "`{room}` names `{other}`");
        }
    }
}

/// Clippy's `disallowed-methods` (clippy.toml of the rooms) says it with types; this says it where clippy is not run. Scoped
/// threads are let be: they end where they began, and their number changes no result.
#[test]
fn pure_rooms_have_no_clock_no_io_and_no_async() {
    let forbidden = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "thread::spawn",
        "thread::sleep",
        "Instant::now",
        "SystemTime",
        "std::env::",
        "async fn",
        "tokio",
    ];
    let windows = root().join("ingest/src/windows");
    let folders = PURE_ROOMS.iter().map(|room| root().join(room).join("src")).chain([windows]);
    for path in folders.flat_map(|folder| files_below(&folder)).filter(|path| is_rust(path)) {
        // A secret is read where its type is: three rooms have secrets, and one way to read them.
        if shown(&path) == "fleet/src/secret.rs" {
            continue;
        }
        let text = without_tests(&path);
        for word in forbidden {
            assert!(!text.contains(word), "`{}` is pure and names `{word}`", shown(&path));
        }
    }
}

#[test]
fn every_room_has_its_parts() {
    for room in ROOMS {
        let folder = root().join(room);
        let readme = read(&folder.join("README.md"));
        assert!(readme.lines().count() <= 20, "{room}/README.md has more than 20 lines");
        for word in ["takes", "gives", "may touch", "may not"] {
            let readme = readme.to_lowercase().replace("**", "");
            let said = readme.contains(word) || (word == "may touch" && readme.contains("may read"));
            assert!(said, "{room}/README.md does not say what the room {word}");
        }
        let mut parts = vec!["lib.rs"];
        if room != "fleet" {
            parts.extend(["config.rs", "error.rs"]);
        }
        for part in parts {
            assert!(folder.join("src").join(part).is_file(), "{room}/src/{part} is missing");
        }
        if room == "fleet" {
            continue;
        }
        let config = read(&folder.join("src/config.rs"));
        assert!(
            config.contains("deny_unknown_fields") && config.contains("for Config"),
            "{room}: Config is strict, with defaults"
        );
        assert!(
            read(&folder.join("src/error.rs")).contains("fn retry(&self) -> bool"),
            "{room}: errors say whether to retry"
        );
    }
}

/// A dry run is enforced in one place because nobody else can make the permit that every call to a gateway needs.
#[test]
fn only_the_one_place_that_sends_makes_permits() {
    let below = ["responders/src", "src"].map(|folder| files_below(&root().join(folder)));
    for path in below.into_iter().flatten().filter(|path| is_rust(path)) {
        let is_tests = path.file_name().is_some_and(|name| name == "tests.rs")
            || path.components().any(|part| part.as_os_str() == "tests");
        let name = shown(&path).to_string();
        if is_tests || name.ends_with("gateways/mod.rs") {
            continue;
        }
        let text = without_tests(&path);
        assert!(!text.contains("Permit::for_tests"), "`{name}` makes a permit that is for tests");
        let may = name.contains("responders/src/send");
        assert!(
            may || !text.contains("Permit::until"),
            "`{name}` makes a permit, which is for `responders/src/send` alone"
        );
    }
}
