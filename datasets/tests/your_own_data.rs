//! The page `docs/your-own-data.md` is true: its example runs, and its table of fields is the code's.

use std::fs;

use datasets::DataSet;
use datasets::mapping::fields::FIELDS;
use fleet::Kind;
use ingest::Fetched;

fn page() -> String {
    fs::read_to_string("../docs/your-own-data.md").unwrap()
}

/// The `number`th fenced block of this language.
fn block(page: &str, language: &str, number: usize) -> String {
    let opening = format!("```{language}\n");
    page.split(&opening).nth(number + 1).and_then(|rest| rest.split("```").next()).unwrap().to_string()
}

#[test]
fn the_example_runs_as_printed() {
    let page = page();
    let folder = tempfile::tempdir().unwrap();
    let toml = block(&page, "toml", 0);
    assert_eq!(toml.lines().count(), 20, "the page promises twenty lines");
    fs::write(folder.path().join("mine.toml"), &toml).unwrap();
    fs::write(folder.path().join("devices.csv"), block(&page, "csv", 0)).unwrap();
    fs::write(folder.path().join("flows.csv"), block(&page, "csv", 1)).unwrap();
    let set = DataSet::load(&folder.path().join("mine.toml"), Some(folder.path())).unwrap();
    assert_eq!((set.name.as_str(), set.lateness_seconds), ("mine", 300));
    let config = ingest::Config::default();
    let mut source = set.open(&config).unwrap();
    let mut fetched = Fetched::default();
    while source.fetch(&mut fetched).unwrap() {}
    assert_eq!(fetched.rejected, []);
    let [benign, scan] = fetched.readings.as_slice() else { panic!("{fetched:?}") };
    assert_eq!((benign.malicious, scan.malicious), (false, true));
    assert!(matches!(&scan.kind, Kind::Flow(flow) if flow.responder.port == 23));
    assert!(benign.time < set.split().learn_until && scan.time > set.split().learn_until);
    let episodes = set.episodes(&config).unwrap();
    assert_eq!(episodes.len(), 1);
    assert_eq!(episodes[0].device_ids, ["lamp-1"]);
}

#[test]
fn the_episodes_example_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let page = page();
    fs::write(folder.path().join("e.json"), block(&page, "json", 0)).unwrap();
    let file = datasets::labels::EpisodesFile::read(&folder.path().join("e.json")).unwrap();
    assert_eq!(file.episodes.len(), 2);
    assert!(file.learn_until.is_some() && file.end > file.learn_until);
}

#[test]
fn the_table_of_fields_is_the_code_s() {
    let page = page();
    for field in FIELDS {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", field.name)) && line.contains(field.meaning));
        let row =
            row.unwrap_or_else(|| panic!("`{}` is not on the page as in the code: {}", field.name, field.meaning));
        assert!(row.contains(field.expected), "{row} lacks {}", field.expected);
        let cell = row.split('|').nth(2).unwrap().trim();
        if field.kinds.len() < 5 {
            assert_eq!(cell.split(", ").count(), field.kinds.len(), "{row}");
        } else {
            assert_eq!(cell, "all");
        }
    }
    let rows = page
        .split("| field | kinds |")
        .nth(1)
        .unwrap()
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .count();
    assert_eq!(rows, FIELDS.len());
}
