//! What a decoder of columns hands on to the one that goes on behind it.

use fleet::Position;
use ingest::{Decoder, Format};

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

#[test]
fn a_first_line_of_csv_that_is_no_header_is_not_handed_on() {
    assert_eq!(after(Format::ZeekConnCsv, &[ROW]).header(), None);
    let first = after(Format::ZeekConnCsv, &[NAMES]);
    let mut second = Decoder::resume(Format::ZeekConnCsv, &first.header().unwrap());
    assert_eq!(second.decode(NAMES.as_bytes(), Position::default()), Ok(None), "files put together repeat it");
    let row = ROW.replace('?', "-").replace("none", "4120");
    assert!(matches!(second.decode(row.as_bytes(), Position::default()), Ok(Some(_))));
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
