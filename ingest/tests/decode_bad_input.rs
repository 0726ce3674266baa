//! What reaches us broken: each ends as a named rejection or an error with a remedy, and reading goes on where it can.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use fleet::Kind;
use ingest::{Config, Error, Fetched, FileSource, Format, Rejected, Source, Tally};
use tempfile::TempDir;

const ZEEK: &str = r#"{"ts":1767225600.25,"uid":"CX1","id.orig_h":"192.168.1.20","id.orig_p":49152,"id.resp_h":"203.0.113.9","id.resp_p":443,"proto":"tcp","duration":1.25,"orig_bytes":517,"resp_bytes":4120,"conn_state":"SF","orig_pkts":9,"resp_pkts":8}"#;

fn read(content: &[u8], format: Format) -> (Fetched, Tally) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flows.log");
    fs::write(&path, content).unwrap();
    read_path(&path, format).unwrap()
}

fn read_path(path: &Path, format: Format) -> Result<(Fetched, Tally), Error> {
    let mut source = FileSource::open(path, "flows.log", 3, format, &Config::default())?;
    let (mut all, mut tally) = (Fetched::default(), Tally::default());
    loop {
        let mut batch = Fetched::default();
        let before = source.progress();
        let more = source.fetch(&mut batch)?;
        assert!(before <= source.progress() && source.progress() <= 1.0);
        tally.add(&batch);
        all.readings.append(&mut batch.readings);
        all.rejected.append(&mut batch.rejected);
        if !more {
            assert_eq!(source.progress(), 1.0);
            return Ok((all, tally));
        }
    }
}

fn reasons(fetched: &Fetched) -> Vec<&'static str> {
    fetched.rejected.iter().map(|rejected| rejected.reason.name()).collect()
}

fn only_rejection(line: &str, format: Format) -> Rejected {
    let (mut fetched, _) = read(line.as_bytes(), format);
    assert_eq!((fetched.readings.len(), fetched.rejected.len()), (0, 1), "{line}: {fetched:?}");
    fetched.rejected.remove(0)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_empty_file_is_no_reading_and_no_failure() {
    for format in Format::ALL {
        let (fetched, tally) = read(b"", format);
        assert_eq!((fetched.readings.len(), fetched.rejected.len()), (0, 0));
        assert!(tally.check(0.05).is_ok());
    }
    let (fetched, _) = read(&gzip(""), Format::Native);
    assert_eq!(fetched.readings.len() + fetched.rejected.len(), 0);
}

#[test]
fn compression_is_told_by_content() {
    let text = format!("{ZEEK}\n").repeat(1_000);
    let members = [gzip(&text[..text.len() / 3]), gzip(&text[text.len() / 3..])].concat();
    let frames = [
        zstd::encode_all(&text.as_bytes()[..5_000], 1).unwrap(),
        zstd::encode_all(&text.as_bytes()[5_000..], 1).unwrap(),
    ];
    for content in [text.clone().into_bytes(), gzip(&text), members, frames.concat()] {
        let (fetched, _) = read(&content, Format::ZeekConnJson);
        assert_eq!((fetched.readings.len(), fetched.rejected.len()), (1_000, 0));
        assert_eq!(fetched.readings[999].position, fleet::Position { source: 3, offset: 999 });
    }
}

#[test]
fn a_truncated_file_gives_what_came_before_and_one_row() {
    let lines: Vec<String> = (0..20_000).map(|n| ZEEK.replace("49152", &(n % 65_536).to_string())).collect();
    let text = lines.join("\n");
    for whole in [gzip(&text), zstd::encode_all(text.as_bytes(), 1).unwrap()] {
        let (fetched, tally) = read(&whole[..whole.len() / 2], Format::ZeekConnJson);
        assert_eq!(reasons(&fetched), ["truncated_file"]);
        let count = fetched.readings.len();
        assert!((4_000..16_000).contains(&count), "{count}");
        let row = &fetched.rejected[0];
        assert_eq!(row.position.offset as usize, count);
        assert!(row.detail.contains("`flows.log`") && row.detail.contains("fetch it again"), "{}", row.detail);
        assert!(tally.check(0.0).is_ok(), "a cut-off file is no share of bad lines");
    }
    let (fetched, tally) = read(&gzip(&text)[..12], Format::ZeekConnJson);
    assert_eq!((fetched.readings.len(), reasons(&fetched)), (0, vec!["truncated_file"]));
    assert!(tally.check(0.05).is_err(), "nothing at all was read");
}

#[test]
fn damaged_data_is_told_from_truncated_data() {
    let text = (0..20_000).map(|n| format!("{n} {}\n", n * 7_919)).collect::<String>();
    let mut content = gzip(&text);
    let middle = content.len() / 2;
    for byte in &mut content[middle..middle + 64] {
        *byte ^= 0xa5;
    }
    let (fetched, _) = read(&content, Format::Native);
    assert_eq!(fetched.rejected.last().unwrap().reason.name(), "damaged_file");
    let trailing = [gzip(ZEEK), b"these bytes are no gzip member".to_vec()].concat();
    let (fetched, _) = read(&trailing, Format::ZeekConnJson);
    assert_eq!(fetched.rejected.last().unwrap().reason.name(), "damaged_file");
}

#[test]
fn a_line_of_ten_megabytes_is_one_row_and_the_next_line_is_read() {
    let long = "x".repeat(10_000_000);
    let content = format!("{ZEEK}\n{long}\n{ZEEK}\n{long}");
    for bytes in [content.clone().into_bytes(), gzip(&content)] {
        let (fetched, _) = read(&bytes, Format::ZeekConnJson);
        assert_eq!(fetched.readings.len(), 2);
        assert_eq!(reasons(&fetched), ["line_too_long", "line_too_long"]);
        let rows = &fetched.rejected;
        assert_eq!(rows[0].sample(), &long.as_bytes()[..200]);
        assert_eq!([rows[0].position.offset, rows[1].position.offset], [1, 3]);
        assert!(rows[0].detail.contains("max_line_bytes"), "{}", rows[0].detail);
    }
    let limit = Config::default().max_line_bytes;
    let fits = format!("{}{}", ZEEK, " ".repeat(limit - ZEEK.len()));
    let (fetched, _) = read(format!("{fits}\n{fits} \n").as_bytes(), Format::ZeekConnJson);
    assert_eq!((fetched.readings.len(), reasons(&fetched)), (1, vec!["line_too_long"]));
}

#[test]
fn a_clock_in_2099_is_rejected_against_the_files_own_time() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flows.log");
    let ahead = |seconds: u64| ZEEK.replace("1767225600.25", &(1_767_225_600 + seconds).to_string());
    fs::write(
        &path,
        [ahead(0), ahead(80_000), ahead(90_000), ZEEK.replace("1767225600.25", "\"2099-01-01T00:00:00Z\"")].join("\n"),
    )
    .unwrap();
    let modified = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let (fetched, _) = read_path(&path, Format::ZeekConnJson).unwrap();
    assert_eq!((fetched.readings.len(), reasons(&fetched)), (2, vec!["clock_ahead", "clock_ahead"]));
    let detail = &fetched.rejected[1].detail;
    assert!(detail.contains("2099-01-01") && detail.contains("max_ahead_seconds"), "{detail}");
}

#[test]
fn numbers_that_are_none_name_their_field() {
    for (from, to, field) in [
        ("1.25", "NaN", "duration"),
        ("1.25", "-Infinity", "duration"),
        ("1.25", "1e999", "duration"),
        ("1.25", "-0.5", "duration"),
        ("1.25", "\"nan\"", "duration"),
        ("517", "-517", "orig_bytes"),
        ("517", "1.5", "orig_bytes"),
        ("443", "65536", "id.resp_p"),
        ("1767225600.25", "NaN", "ts"),
        ("1767225600.25", "1e300", "ts"),
        ("\"SF\"", "\"S9\"", "conn_state"),
        ("203.0.113.9", "203.0.113", "id.resp_h"),
    ] {
        let rejected = only_rejection(&ZEEK.replacen(from, to, 1), Format::ZeekConnJson);
        assert_eq!(rejected.reason.name(), "bad_field", "{}", rejected.detail);
        let shown = to.trim_matches('"');
        assert!(rejected.detail.contains(&format!("`{field}`")), "{}", rejected.detail);
        assert!(rejected.detail.contains(&format!("`{shown}`")) || to == "1e300", "{}", rejected.detail);
    }
    let native = r#"{"kind":"message","time":1.0,"client_id":"a","topic":"t","value":NaN}"#;
    assert_eq!(only_rejection(native, Format::Native).detail, "field `value` is `NaN`, expected a finite number");
}

#[test]
fn what_is_no_record_says_why() {
    for (line, reason) in [
        ("{\"kind\":", "not_json"),
        ("[1, 2]", "not_json"),
        ("42", "not_json"),
        ("{} {}", "not_json"),
        ("{}", "missing_field"),
        (r#"{"kind":"gossip","time":1}"#, "unknown_kind"),
        (r#"{"kind":"posture","time":1}"#, "missing_field"),
    ] {
        assert_eq!(only_rejection(line, Format::Native).reason.name(), reason, "{line}");
    }
    let (fetched, _) = read(b"{\"kind\":\"\xff\"}\n", Format::Native);
    assert_eq!(reasons(&fetched), ["not_utf8"]);
    let deep = format!("{{\"value\":{}", "[".repeat(100_000));
    assert_eq!(only_rejection(&deep, Format::Native).reason.name(), "not_json");
}

#[test]
fn a_table_without_a_column_rejects_every_row_and_the_run_says_which() {
    let header = "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_bytes\tconn_state\torig_pkts\tresp_pkts";
    let row = "1767225600.25\tC1\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\t1\t2\tSF\t1\t1";
    let (fetched, tally) = read(format!("{header}\n{row}\n{row}\n{row}\n{row}\n").as_bytes(), Format::ZeekConnTsv);
    assert_eq!(reasons(&fetched), ["missing_column"; 4]);
    let message = tally.check(0.05).unwrap_err().to_string();
    assert_eq!(message.matches("column `resp_bytes` is missing from the header").count(), 3, "{message}");
    for part in ["4 of 4 lines", "missing_column 4", "flows.log, line 2:", "1767225600.25", "max_rejected_share"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let (fetched, _) = read(row.as_bytes(), Format::ZeekConnTsv);
    assert_eq!(reasons(&fetched), ["no_header"]);
}

#[test]
fn rows_that_do_not_fit_the_header_are_counted_apart() {
    let names = "ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,duration,orig_bytes,resp_bytes,conn_state,orig_pkts,resp_pkts,note";
    let row = "1767225600.25,10.0.0.1,1,10.0.0.2,2,tcp,1,2,-,SF,1,1";
    let content = format!("{names}\n{row},\n{row}\n{row},a,b\n{row},\"a,\"\"b\"\"\"\n{row},\"open\n{names}\n");
    let (fetched, tally) = read(content.as_bytes(), Format::ZeekConnCsv);
    assert_eq!((fetched.readings.len(), reasons(&fetched)), (3, vec!["column_count", "column_count"]));
    assert_eq!(fetched.rejected[0].detail, "12 columns, expected the header's 13");
    assert!(tally.check(0.5).is_ok() && tally.check(0.39).is_err());
}

#[test]
fn zeek_headers_decide_separator_and_marks() {
    let names = "ts id.orig_h id.orig_p id.resp_h id.resp_p proto duration orig_bytes resp_bytes conn_state orig_pkts resp_pkts service";
    let row = "1767225600.25 10.0.0.1 1 10.0.0.2 2 tcp ? ? 7 SF 1 1 none";
    let head = format!("#separator \\x7c\n#unset_field ?\n#empty_field none\n#fields {names}\n").replacen(
        "separator|",
        "separator ",
        1,
    );
    let content = format!("{head}{row}\n").replace(' ', "|").replacen("#separator|", "#separator ", 1);
    let (fetched, _) = read(content.as_bytes(), Format::ZeekConnTsv);
    assert_eq!(fetched.rejected, []);
    let Kind::Flow(flow) = &fetched.readings[0].kind else { panic!() };
    assert_eq!((flow.duration, flow.bytes_out, flow.bytes_in, flow.service.as_str()), (0, 0, 7, ""));
}

#[test]
fn line_ends_marks_and_blanks_are_forgiven() {
    let (fetched, _) = read(format!("\u{feff}{ZEEK}\r\n\r\n  \n{ZEEK}\r\n{ZEEK}").as_bytes(), Format::ZeekConnJson);
    assert_eq!((fetched.readings.len(), fetched.rejected.len()), (3, 0));
    assert_eq!(fetched.readings[2].position.offset, 4);
}

#[test]
fn files_that_cannot_be_lines_are_errors_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("absent").join("flows.log");
    let error = read_path(&missing, Format::Native).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }) && !error.retry());
    assert!(error.to_string().contains("absent") && error.to_string().contains("--path"), "{error}");
    let error = read_path(folder.path(), Format::Native).unwrap_err();
    assert!(matches!(error, Error::IsFolder { .. }), "{error}");
    let parquet = folder.path().join("flows.parquet");
    fs::write(&parquet, b"PAR1....").unwrap();
    let error = read_path(&parquet, Format::Native).unwrap_err();
    assert!(error.to_string().contains("Parquet") && error.to_string().contains("select"), "{error}");
}
