//! The inventory's file: what is taken, and what is refused with a word that names the thing and the remedy.

#[path = "../../tests/not_run/mod.rs"]
mod not_run;

use fleet::device::Standing;
use fleet::{Criticality, Mac};
use ingest::Error;
use ingest::identity::{COLUMNS, Inventory};
use not_run::not_run;
use proptest::prelude::*;

fn read(text: &str) -> Result<Inventory, Error> {
    Inventory::from_csv(text.as_bytes(), "inventory.csv")
}

fn refusal(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("taken: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_documented_example_is_taken_and_every_column_is_documented() {
    let page = include_str!("../../docs/inventory.md");
    let documented: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(documented, COLUMNS);
    let example = page.split("```csv\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let inventory = read(example).unwrap();
    let [camera, plug] = inventory.devices() else { panic!("two devices") };
    assert_eq!(
        (camera.id.as_str(), camera.criticality, camera.standing),
        ("camera-01", Criticality::High, Standing::Active)
    );
    assert_eq!((plug.standing, plug.segment.as_str()), (Standing::Retired, ""));
}

#[test]
fn spellings() {
    let text = "\u{feff}device, type ,mac,criticality\n a1 ,plug, 54EF44A00001 ,HIGH\n";
    let inventory = read(text).unwrap();
    assert_eq!(inventory.devices()[0].id, "a1");
    assert_eq!(inventory.devices()[0].criticality, Criticality::High);
    assert!(read("device_id,device_type\n").unwrap().devices().is_empty());
    assert!("54EF44A00001".parse::<Mac>().is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (text, words) in [
        ("device_id\na\n", &["line 1", "`device_type` is missing"][..]),
        ("device_id,device_type,mac_addr\na,b,c\n", &["`mac_addr` is unknown", "certificate", "rename or remove"]),
        ("device_id,type,device_type\na,b,c\n", &["`device_type`", "twice"]),
        ("device_id,device_type\na,plug\nb,plug\na,plug\n", &["line 4", "`a`", "line 2"]),
        (
            "device_id,device_type,mac\na,plug,02:00:00:00:00:01\nb,plug,020000000001\n",
            &["line 3", "`02:00:00:00:00:01`", "`b`", "`a`", "line 2"],
        ),
        ("device_id,device_type,mac\na,plug,ff:ff:ff:ff:ff:ff\n", &["group", "`a`"]),
        ("device_id,device_type,mac\na,plug,02:00\n", &["line 2", "`02:00`"]),
        ("device_id,device_type,ip\na,plug,192.168.1.999\n", &["`192.168.1.999`", "IP address"]),
        ("device_id,device_type,status\na,plug,gone\n", &["`gone`", "retired"]),
        ("device_id,device_type,criticality\na,plug,urgent\n", &["`urgent`", "critical"]),
        ("device_id,device_type,valid_from\na,plug,yesterday\n", &["`valid_from`", "`yesterday`"]),
        ("device_id,device_type,valid_from,valid_until\na,plug,2026-03-02,2026-03-01\n", &["`a`", "not after"]),
        ("device_id,device_type\na,\n", &["`a`", "device_type"]),
        ("device_id,device_type\nunknown:x,plug\n", &["`unknown:x`", "another id"]),
        ("device_id,device_type\n,plug\n", &["`device_id` is empty"]),
        ("device_id,device_type\na,plug\nb,plug,lab\n", &["line 3", "3 columns", "expected 2"]),
    ] {
        let message = refusal(text);
        assert!(message.contains("inventory.csv"), "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "`{word}` is not in: {message}"));
    }
    let not_utf8 = Inventory::from_csv(&b"device_id,device_type\n\xff,plug\n"[..], "inventory.csv");
    assert!(not_utf8.err().unwrap().to_string().contains("UTF-8"));
}

#[test]
fn the_fleets_inventories_are_taken() {
    for set in ["fleet", "fleet-b"] {
        let root = std::env::var("VEDETTE_DATA").unwrap_or_else(|_| "../../shared/data".to_owned());
        let path = format!("{root}/{set}/inventory.csv");
        match std::fs::File::open(&path) {
            Ok(file) => assert_eq!(Inventory::from_csv(file, &path).unwrap().devices().len(), 56),
            Err(_) => not_run(&format!("`{path}` is not there; VEDETTE_DATA names the folder that holds it")),
        }
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "(device_id|device_type|mac|ip|,|\n|a|\"|02:00:00:00:00:01|é| ){0,40}") {
        let _ = read(&text);
        let _ = read(&format!("device_id,device_type,mac,ip\n{text}"));
    }
}
