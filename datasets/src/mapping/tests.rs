use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt16Array,
};
use arrow::datatypes::Int32Type;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use fleet::reading::{Flow, Outcome, Protocol, SessionEvent};
use fleet::{EventTime, Kind, Reading};
use ingest::{Fetched, Source};

use super::*;
use crate::descriptor::Mapping;

const FLOWS: &str = "select ts as time, src as ip, dst as responder_ip, dport as responder_port, proto as protocol, \
                     sent as bytes_out, verdict as label from input";
const HEADER: &str = "ts,src,dst,dport,proto,sent,verdict\n";

fn mapping(input: Input, kind: RecordKind, select: &str) -> Mapping {
    Mapping { select: select.to_string(), kind, input, delimiter: ',' }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn open(path: &Path, mapping: &Mapping) -> Result<MappedSource, Error> {
    MappedSource::open(path, "f", 3, mapping, &ingest::Config::default(), &Config::default())
}

fn read(path: &Path, mapping: &Mapping) -> Fetched {
    let mut source = open(path, mapping).unwrap();
    let mut out = Fetched::default();
    while source.fetch(&mut out).unwrap() {}
    assert_eq!(source.progress(), 1.0);
    out
}

fn flow(reading: &Reading) -> &Flow {
    match &reading.kind {
        Kind::Flow(flow) => flow,
        other => panic!("{other:?}"),
    }
}

fn refused(select: &str) -> String {
    let folder = Folder::new();
    let path = folder.file("f.csv", HEADER.as_bytes());
    match open(&path, &mapping(Input::Csv, RecordKind::Flow, select)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("`{select}` was taken"),
    }
}

#[test]
fn csv_rows_become_flows_with_the_number_of_their_line() {
    let folder = Folder::new();
    let rows = "2026-03-04T10:00:00Z,10.0.0.11,203.0.113.9,443,tcp,812,benign\n\
                \n1772704800.5,10.0.0.11,\"198.51.100.7\",23,TCP,,telnet-scan\n";
    let path = folder.file("f.csv", format!("{HEADER}{rows}").as_bytes());
    let out = read(&path, &mapping(Input::Csv, RecordKind::Flow, FLOWS));
    assert_eq!(out.rejected, []);
    let [first, second] = out.readings.as_slice() else { panic!("{out:?}") };
    assert_eq!(Some(first.time), EventTime::parse("2026-03-04T10:00:00Z"));
    assert_eq!((first.position.source, first.position.offset, second.position.offset), (3, 1, 3));
    assert_eq!(first.identity.ip, "10.0.0.11".parse().ok());
    assert_eq!((flow(first).bytes_out, flow(second).bytes_out), (812, 0));
    assert_eq!((flow(second).responder.port, flow(second).protocol), (23, Protocol::Tcp));
    assert_eq!(second.time, EventTime(1_772_704_800_500_000));
    assert_eq!((first.malicious, second.malicious), (false, true));
}

#[test]
fn start_and_duration_give_the_end() {
    let folder = Folder::new();
    let path = folder.file("f.csv", b"ts,d,src,dst\n100,2.5,10.0.0.1,10.0.0.2\n");
    let select = "select ts as start, d as duration, src as ip, dst as responder_ip, 'udp' as protocol, \
                  'Unanswered' as outcome, upper('dns') as service from input";
    let out = read(&path, &mapping(Input::Csv, RecordKind::Flow, select));
    let [reading] = out.readings.as_slice() else { panic!("{out:?}") };
    assert_eq!(reading.time, EventTime(102_500_000));
    assert_eq!((flow(reading).duration, flow(reading).outcome), (2_500_000, Outcome::Unanswered));
    assert_eq!((flow(reading).protocol, flow(reading).service.as_str()), (Protocol::Udp, "dns"));
}

#[test]
fn a_bad_row_is_rejected_and_its_neighbours_are_not() {
    let folder = Folder::new();
    let good = "100,10.0.0.1,10.0.0.2,1,tcp,5,-\n";
    let bad = [
        ("100,10.0.0.1,10.0.0.2,1,tcp\n", "column_count", "5 columns"),
        ("NaN,10.0.0.1,10.0.0.2,1,tcp,5,-\n", "bad_field", "field `time` is `NaN`"),
        ("100,10.0.0.1,10.0.0.2,1,tcp,NaN,-\n", "bad_field", "field `bytes_out` is `NaN`"),
        ("100,10.0.0.1,10.0.0.2,1,tcp,-7,-\n", "bad_field", "field `bytes_out` is `-7`"),
        ("100,10.0.0.1,10.0.0.2,70000,tcp,5,-\n", "bad_field", "field `responder_port` is `70000`"),
        ("100,10.0.0.1,nowhere,1,tcp,5,-\n", "bad_field", "field `responder_ip` is `nowhere`"),
        ("100,,10.0.0.2,1,tcp,5,-\n", "missing_field", "field `ip` is missing"),
        (",10.0.0.1,10.0.0.2,1,tcp,5,-\n", "missing_field", "field `time` is missing"),
        ("1772704800000,10.0.0.1,10.0.0.2,1,tcp,5,-\n", "bad_field", "field `time` is `1772704800000`"),
        ("2099-01-01T00:00:00Z,10.0.0.1,10.0.0.2,1,tcp,5,-\n", "clock_ahead", "max_ahead_seconds"),
        ("100,10.0.0.1,\"10.0.0.2,1,tcp,5,-\n", "column_count", ""),
    ];
    for (line, reason, detail) in bad {
        let path = folder.file("f.csv", format!("{HEADER}{good}{line}{good}").as_bytes());
        let out = read(&path, &mapping(Input::Csv, RecordKind::Flow, FLOWS));
        assert_eq!(out.readings.len(), 2, "{line}");
        let [rejected] = out.rejected.as_slice() else { panic!("{line} {out:?}") };
        assert_eq!((rejected.reason.name(), rejected.position.offset), (reason, 2), "{line}");
        assert!(rejected.detail.contains(detail), "{}", rejected.detail);
        assert!(!rejected.sample().is_empty());
    }
}

#[test]
fn an_expression_that_fails_costs_its_row_only() {
    let folder = Folder::new();
    let rows: String = (0..100)
        .map(|row| format!("{row},10.0.0.1,10.0.0.2,1,tcp,{},-\n", if row == 77 { "x" } else { "5" }))
        .collect();
    let path = folder.file("f.csv", format!("{HEADER}{rows}").as_bytes());
    let select = FLOWS.replace("sent as", "cast(sent as bigint) * 2 as");
    let out = read(&path, &mapping(Input::Csv, RecordKind::Flow, &select));
    assert_eq!(out.readings.len(), 99);
    assert_eq!(flow(&out.readings[0]).bytes_out, 10);
    let [rejected] = out.rejected.as_slice() else { panic!() };
    assert_eq!(rejected.position.offset, 78);
    assert!(rejected.detail.contains("try_cast"), "{}", rejected.detail);
    assert!(String::from_utf8_lossy(rejected.sample()).contains("sent=x"));
}

#[test]
fn a_condition_keeps_rows_and_their_places() {
    let folder = Folder::new();
    let rows = "1,10.0.0.1,10.0.0.2,1,tcp,5,-\n2,10.0.0.1,10.0.0.2,1,udp,5,-\n3,10.0.0.1,10.0.0.2,1,,5,-\n4,10.0.0.1,10.0.0.2,1,tcp,5,-\n";
    let path = folder.file("f.csv", format!("{HEADER}{rows}").as_bytes());
    let out = read(&path, &mapping(Input::Csv, RecordKind::Flow, &format!("{FLOWS} where input.proto = 'tcp'")));
    let offsets: Vec<u64> = out.readings.iter().map(|reading| reading.position.offset).collect();
    assert_eq!(offsets, [1, 4]);
    assert_eq!(out.rejected, []);
}

#[test]
fn empty_files_give_nothing() {
    let folder = Folder::new();
    for (content, input) in [("", Input::Csv), (HEADER, Input::Csv), ("", Input::Jsonl)] {
        let out = read(&folder.file("f", content.as_bytes()), &mapping(input, RecordKind::Flow, FLOWS));
        assert!(out.readings.is_empty() && out.rejected.is_empty(), "{content}");
    }
    let empty = folder.file("f.parquet", b"");
    let message = open(&empty, &mapping(Input::Parquet, RecordKind::Flow, FLOWS)).err().unwrap().to_string();
    assert!(message.contains("f.parquet") && message.contains("Parquet"), "{message}");
}

#[test]
fn a_select_that_asks_for_more_is_refused() {
    for (select, part) in [
        (
            "select sum(sent) as bytes_out, ts as time, src as ip, dst as responder_ip, proto as protocol from input",
            "other records",
        ),
        ("select ts as time from input group by ts", "more than expressions"),
        ("select ts as time from input limit 3", "more than expressions"),
        ("select distinct ts as time from input", "more than expressions"),
        ("select ts as time from input order by ts", "more than expressions"),
        ("select ts as time from input join input as b on true", "more than expressions"),
        ("select ts as time from input, input", "several tables"),
        ("select ts as time from flows", "more than expressions"),
        ("select 1 as time", "nothing"),
        ("select * from input", "one by one"),
        ("select ts as time from input union all select ts as time from input", "must be"),
        ("drop table input", "must be"),
        ("selct ts", "cannot be parsed"),
        ("select ts || 'x' from input", "does not name"),
        (&FLOWS.replace("ts as time", "now() as time"), "from run to run"),
        (&FLOWS.replace("sent as", "(select 1) as"), "query of its own"),
        (&FLOWS.replace("sent as", "frobnicate(sent) as"), "cannot be planned"),
        (&format!("{FLOWS} where sent"), "neither true nor false"),
        ("select ts as time, dst as responder_ip, proto as protocol from input", "who did it"),
        ("select src as ip, dst as responder_ip, proto as protocol from input", "event time"),
        ("select ts as time, src as ip, dst as responder_ip from input", "`protocol`"),
    ] {
        let message = refused(select);
        assert!(message.contains(part) && message.contains("`f`"), "{select}: {message}");
    }
}

#[test]
fn misspelt_names_are_named_with_what_is_near() {
    let message = refused(&FLOWS.replace("as responder_ip", "as responder_ipp"));
    assert!(message.contains("did you mean `responder_ip`") && message.contains("bytes_in"), "{message}");
    let message = refused(&FLOWS.replace("src as", "srcc as"));
    assert!(
        message.contains("`srcc`") && message.contains("did you mean `src`") && message.contains("dport"),
        "{message}"
    );
    let message = refused(&FLOWS.replace("as label", "as topic"));
    assert!(message.contains("another `kind`"), "{message}");
    assert!(refused(&FLOWS.replace("as label", "as bytes_out")).contains("twice"));
}

#[test]
fn json_lines_of_every_kind() {
    let folder = Folder::new();
    let who = r#""who":"c1","At":"2026-01-01T00:00:00Z""#;
    let one = |line: &str, kind, select: &str| {
        let path = folder.file("f.jsonl", format!("{{{who},{line}}}\nnot json\n").as_bytes());
        let select = format!("select At as time, who as client_id, {select} from input");
        let out = read(&path, &mapping(Input::Jsonl, kind, &select));
        assert_eq!(out.rejected.len(), 1);
        assert_eq!((out.rejected[0].reason.name(), out.rejected[0].position.offset), ("not_json", 1));
        out.readings.into_iter().next().map(|reading| reading.kind)
    };
    let message = one(
        r#""m":{"topic":"a/b","n":3,"v":21.5}"#,
        RecordKind::Message,
        "m.topic as topic, m.n as payload_bytes, m.v as value",
    );
    let Some(Kind::Message(message)) = message else { panic!("{message:?}") };
    assert_eq!((message.topic.as_str(), message.payload_bytes, message.value), ("a/b", 3, Some(21.5)));
    let sign_in =
        one(r#""ok":false,"u":"root"}"#.trim_end_matches('}'), RecordKind::SignIn, "ok as success, u as \"user\"");
    let Some(Kind::SignIn(sign_in)) = sign_in else { panic!("{sign_in:?}") };
    assert_eq!((sign_in.success, sign_in.user.as_str()), (false, "root"));
    let session = one(r#""e":"taken_over","cc":"de""#, RecordKind::Session, "e as event, cc as country");
    let Some(Kind::Session(session)) = session else { panic!("{session:?}") };
    assert_eq!((session.event, session.country), (SessionEvent::TakenOver, Some(*b"DE")));
    let posture = one(r#""open":[22,80],"tpm":1"#, RecordKind::Posture, "open as listening_ports, tpm as attested");
    let Some(Kind::Posture(posture)) = posture else { panic!("{posture:?}") };
    assert_eq!((posture.listening_ports, posture.attested), (vec![22, 80], Some(true)));
    assert_eq!(
        one(r#""v":"NaN","t":"a""#, RecordKind::Message, "t as topic, nullif(v, 'NaN') as value")
            .map(|kind| kind.name()),
        Some("message")
    );
}

fn parquet(folder: &Folder, columns: Vec<(&str, ArrayRef)>, dictionary: bool) -> PathBuf {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.0.path().join("f.parquet");
    let properties = WriterProperties::builder().set_dictionary_enabled(dictionary).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

#[test]
fn parquet_texts_give_the_same_however_they_are_stored() {
    let folder = Folder::new();
    let rows = 20_000usize;
    let address = |row: usize| (row % 7 != 3).then(|| format!("2001:db8::{:x}", row % 300));
    let expected: Vec<u64> = (0..rows as u64).filter(|row| row % 7 != 3).collect();
    let addresses: Vec<Option<String>> = (0..rows).map(address).collect();
    let plain: ArrayRef = Arc::new(StringArray::from(addresses.clone()));
    let large: ArrayRef = Arc::new(LargeStringArray::from(addresses.clone()));
    let dictionary: ArrayRef = Arc::new(addresses.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>());
    for (stored, encoded) in [(plain.clone(), true), (plain, false), (large, true), (dictionary, true)] {
        let ts: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(0..rows as i64).with_timezone("UTC"));
        let path = parquet(&folder, vec![("ts", ts), ("src", stored)], encoded);
        let select = "select ts as time, src as ip, '10.0.0.2' as responder_ip, 'tcp' as protocol from input";
        let out = read(&path, &mapping(Input::Parquet, RecordKind::Flow, select));
        assert_eq!(out.readings.iter().map(|reading| reading.position.offset).collect::<Vec<_>>(), expected);
        assert_eq!(out.rejected.len(), rows - expected.len());
        for reading in &out.readings {
            let row = reading.position.offset as usize;
            assert_eq!(reading.time, EventTime(row as i64 * 1_000));
            assert_eq!(reading.identity.ip, addresses[row].as_ref().and_then(|text| text.parse().ok()));
        }
    }
}

#[test]
fn parquet_numbers_of_any_type() {
    let folder = Folder::new();
    let path = parquet(
        &folder,
        vec![
            ("ts", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), Some(3.0), None]))),
            ("port", Arc::new(UInt16Array::from(vec![1, 2, 3, 4]))),
            ("sent", Arc::new(Int64Array::from(vec![Some(7), Some(7), Some(-7), Some(7)]))),
            ("mean", Arc::new(Float64Array::from(vec![Some(62.0), Some(1.0), Some(1.0), Some(1.0)]))),
        ],
        true,
    );
    let select = "select ts as time, '10.0.0.1' as ip, '10.0.0.2' as responder_ip, 6 as protocol, port as responder_port, \
                  sent as bytes_out, mean as bytes_in from input";
    let out = read(&path, &mapping(Input::Parquet, RecordKind::Flow, select));
    let [reading] = out.readings.as_slice() else { panic!("{out:?}") };
    assert_eq!((reading.time, flow(reading).responder.port, flow(reading).bytes_in), (EventTime(1_500_000), 1, 62));
    assert_eq!(flow(reading).protocol, Protocol::Tcp);
    let reasons: Vec<String> = out.rejected.iter().map(|rejected| rejected.detail.clone()).collect();
    assert!(reasons[0].contains("`time` is `NaN`"), "{reasons:?}");
    assert!(reasons[1].contains("`bytes_out` is `-7`"), "{reasons:?}");
    assert!(reasons[2].contains("`time` is missing"), "{reasons:?}");
}

#[test]
fn a_listener_that_leaves_ends_the_scan() {
    let folder = Folder::new();
    let rows: String = (0..200_000).map(|row| format!("{row},10.0.0.1,10.0.0.2,1,tcp,5,-\n")).collect();
    let path = folder.file("f.csv", format!("{HEADER}{rows}").as_bytes());
    let mut source = open(&path, &mapping(Input::Csv, RecordKind::Flow, FLOWS)).unwrap();
    let mut out = Fetched::default();
    assert!(source.fetch(&mut out).unwrap());
    let (receiver, thread) = source.running.take().unwrap();
    drop(receiver);
    thread.join().unwrap();
}
