//! What a user can get wrong about a data set as a whole: the message names the thing and the remedy.

use std::fs;
use std::path::Path;

use datasets::DataSet;
use tempfile::TempDir;

const SPLIT: &str = "[split]\nlearn_until = 2026-01-02T00:00:00Z\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn problem(folder: &TempDir, data: Option<&Path>) -> String {
    DataSet::load(&folder.path().join("set.toml"), data).unwrap_err().to_string()
}

fn toml(files: &str, rest: &str) -> String {
    format!("name = \"x\"\nhomepage = \"https://data.example.org\"\nfiles = [{files}]\n{rest}\n{SPLIT}")
}

#[test]
fn an_unknown_key_shows_file_line_and_caret() {
    let text = toml("{ path = \"a.jsonl\", format = \"native-json\" }", "lateness_seconds = 70");
    let folder = folder(&[("set.toml", &text), ("a.jsonl", "")]);
    let message = problem(&folder, None);
    for part in ["set.toml", "line 4", "lateness_seconds = 70", "^^^^", "`lateness`"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_folder_or_file_that_does_not_exist() {
    let folder = folder(&[("set.toml", &toml("{ path = \"a.jsonl\", format = \"native-json\" }", ""))]);
    let message = problem(&folder, Some(Path::new("no/such/folder")));
    for part in ["`no/such/folder`", "--path", "https://data.example.org"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let message = problem(&folder, Some(elsewhere.path()));
    for part in ["`a.jsonl`", &elsewhere.path().display().to_string(), "--path DIR", "https://data.example.org"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn the_given_folder_goes_before_the_descriptor_s_own() {
    let folder =
        folder(&[("set.toml", &toml("{ path = \"a.jsonl\", format = \"native-json\" }", "")), ("a.jsonl", "")]);
    let data = tempfile::tempdir().unwrap();
    let own = DataSet::load(&folder.path().join("set.toml"), Some(data.path())).unwrap();
    assert_eq!(own.files()[0].path, folder.path().join("a.jsonl"));
    fs::write(data.path().join("a.jsonl"), "").unwrap();
    let given = DataSet::load(&folder.path().join("set.toml"), Some(data.path())).unwrap();
    assert_eq!(given.files()[0].path, data.path().join("a.jsonl"));
}

#[test]
fn episodes_without_a_split_are_named() {
    let text = "name = \"x\"\nfiles = [{ path = \"a.jsonl\", format = \"native-json\" }]\n\
                [labels]\nepisodes = \"e.json\"\n[split]\nfrom = \"episodes\"\n";
    let folder = folder(&[("set.toml", text), ("a.jsonl", ""), ("e.json", "{\"episodes\": []}")]);
    let message = problem(&folder, None);
    assert!(message.contains("e.json") && message.contains("`learn_until`"), "{message}");
}

#[test]
fn a_select_is_checked_before_anything_is_read() {
    let mapping = "{ path = \"a.csv\", format = { input = \"csv\", kind = \"flow\", \
                   select = \"select ts as time, src as ip, dest as responder_ip, proto as protocol from input\" } }";
    let folder = folder(&[("set.toml", &toml(mapping, "")), ("a.csv", "ts,src,dst,proto\n")]);
    let set = DataSet::load(&folder.path().join("set.toml"), None).unwrap();
    let message = set.open(&ingest::Config::default()).err().unwrap().to_string();
    for part in ["`a.csv`", "`dest`", "did you mean `dst`"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn an_empty_file_is_an_empty_source() {
    let folder =
        folder(&[("set.toml", &toml("{ path = \"a.jsonl\", format = \"native-json\" }", "")), ("a.jsonl", "")]);
    let set = DataSet::load(&folder.path().join("set.toml"), None).unwrap();
    let mut source = set.open(&ingest::Config::default()).unwrap();
    let mut fetched = ingest::Fetched::default();
    while source.fetch(&mut fetched).unwrap() {}
    assert!(fetched.readings.is_empty() && fetched.rejected.is_empty());
    assert_eq!(set.episodes(&ingest::Config::default()).unwrap(), []);
    assert!(set.inventory().unwrap().devices().is_empty());
}
