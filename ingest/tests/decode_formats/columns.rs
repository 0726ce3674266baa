//! Headers of columns: which lines are one, and what a decoder hands on to the one that goes on behind it.

use fleet::Position;
use ingest::{Decoder, Format, to_native_json};

const NAMES: &str = "ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,service,duration,orig_bytes,resp_bytes,conn_state,\
                     orig_pkts,resp_pkts";
const ROW: &str = "1767225600,10.0.0.1,49152,203.0.113.9,443,tcp,ssl,?,517,none,SF,9,8";

/// A decoder that has seen these lines, none of which is a record.
fn after(format: Format, lines: &[&str]) -> Decoder {
    let mut decoder = Decoder::new(format);
    for line in lines {
        assert_eq!(decoder.decode(line.as_bytes(), Position::default()), Ok(None), "{line}");
    }
    decoder
}

#[test]
fn separators_and_what_is_unset_are_handed_on() {
    for (separator, written) in [(";", r"\x3b"), ("|", "|"), ("→", "→")] {
        let [names, row] = [NAMES, ROW].map(|line| line.replace(',', separator));
        let headers = [
            format!("#separator {written}"),
            format!("#unset_field{separator}?"),
            format!("#empty_field{separator}none"),
            format!("#fields{separator}{names}"),
        ];
        let mut first = after(Format::ZeekConnTsv, &headers.each_ref().map(String::as_str));
        let mut second = Decoder::resume(Format::ZeekConnTsv, &first.header().unwrap());
        let expected = first.decode(row.as_bytes(), Position::default());
        assert!(matches!(expected, Ok(Some(_))), "{expected:?}");
        assert_eq!(second.decode(row.as_bytes(), Position::default()), expected);
        assert_eq!(second.header(), first.header());
    }
}

#[test]
fn headers_before_the_names_are_handed_on() {
    let first = after(Format::ZeekConnTsv, &[r"#separator \x2c", "#unset_field,?", "#empty_field,none"]);
    let mut second = Decoder::resume(Format::ZeekConnTsv, &first.header().unwrap());
    let names = format!("#fields,{NAMES}");
    assert_eq!(second.decode(names.as_bytes(), Position::default()), Ok(None));
    assert!(matches!(second.decode(ROW.as_bytes(), Position::default()), Ok(Some(_))));
}

/// As Zeek leaves out what is unset.
fn row() -> String {
    ROW.replace('?', "-").replace("none", "4120")
}

/// Native lines, or the names of reasons.
fn told(decoder: &mut Decoder, lines: &[&str]) -> Vec<String> {
    let decoded = lines.iter().map(|line| decoder.decode(line.as_bytes(), Position::default()));
    decoded
        .filter_map(|line| match line {
            Ok(reading) => reading.as_ref().map(to_native_json),
            Err(reason) => Some(reason.name().to_owned()),
        })
        .collect()
}

#[test]
fn a_first_line_of_csv_that_is_no_header_is_rejected() {
    let mut decoder = Decoder::new(Format::ZeekConnCsv);
    let why = decoder.decode(row().as_bytes(), Position::default()).unwrap_err();
    assert_eq!(why.name(), "no_header");
    assert!(why.to_string().contains("`ts,uid,id.orig_h`, at the beginning of the file"), "{why}");
    assert_eq!(decoder.header(), None);
    assert_eq!(decoder.decode(NAMES.as_bytes(), Position::default()), Ok(None));
    let mut second = Decoder::resume(Format::ZeekConnCsv, &decoder.header().unwrap());
    assert_eq!(second.decode(NAMES.as_bytes(), Position::default()), Ok(None), "files put together repeat it");
    assert!(matches!(second.decode(row().as_bytes(), Position::default()), Ok(Some(_))));
}

#[test]
fn a_byte_order_mark_before_a_header_hides_no_name() {
    let marked = |line: &str| format!("\u{feff}{line}");
    let quoted = NAMES.split(',').map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    let (csv, quoted, row) = (marked(NAMES), marked(&quoted), row());
    let fields = format!("#fields\t{NAMES}").replace(',', "\t");
    let (directive, fields) = (marked("#separator \\x09"), marked(&fields));
    let flows = marked("srcaddr dstaddr srcport dstport protocol packets bytes end");
    let tabs = row.replace(',', "\t");
    let flow = "10.0.0.1 203.0.113.9 49152 443 6 20 4249 1767225660";
    for (format, headers, row) in [
        (Format::ZeekConnCsv, &[csv.as_str(), quoted.as_str()][..], row.as_str()),
        (Format::ZeekConnTsv, &[directive.as_str(), fields.as_str()][..], tabs.as_str()),
        (Format::VpcFlowLog, &[flows.as_str()][..], flow),
    ] {
        let mut first = after(format, headers);
        let mut second = Decoder::resume(format, &first.header().unwrap());
        let all = told(&mut first, &[row]);
        assert!(all[0].contains(r#""ip":"10.0.0.1""#), "{all:?}");
        assert_eq!(told(&mut second, &[headers[0], row]), all, "also in the middle, and of what is handed on");
    }
}

#[test]
fn a_later_line_of_names_says_which_columns_follow() {
    let reverse = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
    let (row, names) = (row(), reverse(NAMES));
    let (reversed, longer) = (reverse(&row), format!("{row},note"));
    let longer_names = format!("{NAMES},note");
    let mut decoder = Decoder::new(Format::ZeekConnCsv);
    let lines: [&str; 8] = [NAMES, &row, &names, &reversed, &row, &longer_names, &longer, &row];
    let all = told(&mut decoder, &lines);
    let first = all[0].as_str();
    assert!(first.contains(r#""ip":"10.0.0.1""#), "{all:?}");
    assert_eq!(all, [first, first, "bad_field", first, "column_count"]);
    let mut second = Decoder::resume(Format::ZeekConnCsv, &decoder.header().unwrap());
    assert_eq!(told(&mut second, &[&longer]), all[..1]);
}

#[test]
fn a_spoilt_row_that_names_some_columns_is_no_header() {
    let row = row();
    let spoilt = row.replacen("1767225600,10.0.0.1,49152", "ts,id.orig_h,id.orig_p", 1);
    let mut decoder = Decoder::new(Format::ZeekConnCsv);
    let all = told(&mut decoder, &[NAMES, &spoilt, "proto,service", &row]);
    assert_eq!(all[..2], ["bad_field", "column_count"]);
    assert!(all[2].contains(r#""ip":"10.0.0.1""#), "{all:?}");
    // What names most of them is one all the same: by the columns before, rows would be read as something else.
    let incomplete = NAMES.replace("conn_state", "state");
    assert_eq!(told(&mut decoder, &[&incomplete, &row]), ["missing_column"]);
    let mut second = Decoder::resume(Format::ZeekConnCsv, &decoder.header().unwrap());
    assert_eq!(told(&mut second, &[&row, NAMES, &row])[..1], ["missing_column"]);
    assert!(told(&mut second, &[&row])[0].contains(r#""ip":"10.0.0.1""#));
}

#[test]
fn flow_logs_of_version_2_hand_nothing_on() {
    assert_eq!(after(Format::VpcFlowLog, &[]).header(), None);
    let header = "srcaddr dstaddr az-id srcport dstport protocol packets bytes start end action";
    let first = after(Format::VpcFlowLog, &[header]);
    let handed_on = first.header().unwrap();
    let mut second = Decoder::resume(Format::VpcFlowLog, &handed_on);
    let row = "10.0.0.1 203.0.113.9 euc1-az1 49152 443 6 20 4249 1767225600 1767225660 ACCEPT";
    assert!(matches!(second.decode(row.as_bytes(), Position::default()), Ok(Some(_))));
    assert_eq!(second.header(), Some(handed_on));
}
