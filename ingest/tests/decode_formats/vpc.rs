//! AWS VPC flow logs.

use fleet::Position;
use ingest::Format::VpcFlowLog;
use ingest::{Decoder, to_native_json};

use super::{means, rejects};

const LINE: &str = "2 123456789010 eni-1 10.20.0.42 203.0.113.9 49152 443 6 20 4249 1767225600 1767225660 ACCEPT OK";
const MEANT: &str = r#"{"kind":"flow","time":"2026-01-01T00:01:00Z","ip":"10.20.0.42","responder_ip":"203.0.113.9","responder_port":443,"originator_port":49152,"protocol":"tcp","duration":60.0,"bytes_out":4249,"packets_out":20}"#;
const HEADER: &str = "srcaddr dstaddr srcport dstport protocol tcp-flags packets bytes start end action";

/// Of a whole file: native lines, or the names of reasons.
fn file(lines: &str) -> Vec<String> {
    let mut decoder = Decoder::new(VpcFlowLog);
    let decoded = lines.lines().map(|line| decoder.decode(line.as_bytes(), Position::default()));
    decoded
        .filter_map(|line| match line {
            Ok(reading) => reading.as_ref().map(to_native_json),
            Err(reason) => Some(reason.name().to_string()),
        })
        .collect()
}

#[test]
fn lines_of_version_2_need_no_header() {
    let refused = MEANT.replace('}', r#","outcome":"refused"}"#);
    let answer = LINE.replace("10.20.0.42 203.0.113.9 49152 443", "203.0.113.9 10.20.0.42 443 49152");
    let answered = MEANT.replace("_out", "_in");
    let ping = LINE.replace("49152 443 6", "0 0 1");
    let pinged =
        MEANT.replace(r#""responder_port":443,"originator_port":49152,"protocol":"tcp""#, r#""protocol":"icmp""#);
    means(
        VpcFlowLog,
        &[
            (LINE, MEANT),
            (&LINE.replace("ACCEPT", "REJECT"), &refused),
            (&answer, &answered),
            (&ping, &pinged),
            (&LINE.replace(" OK", " SKIPDATA"), ""),
            ("2 1 eni-1 - - - - - - - 1767225600 1767225660 - NODATA", ""),
            ("version account-id interface-id srcaddr dstaddr srcport dstport", ""),
        ],
    );
    let told = super::native(VpcFlowLog, &answer.replace("ACCEPT", "REJECT"), None).unwrap().unwrap();
    assert!(told.contains(r#""ip":"203.0.113.9""#) && told.contains("refused"), "{told}");
}

#[test]
fn a_header_is_the_schema_of_what_follows() {
    let row = |from: &str, flags: u64| format!("10.0.0.1 10.0.0.2 {from} {flags} 1 44 1767225600 1767225660 ACCEPT");
    let [call, answer, ports, reset] =
        [row("40000 22 6", 2), row("9999 61022 6", 19), row("22 40000 6", 1), row("40000 22 6", 6)];
    let log = format!("{LINE}\n{HEADER}\n{call}\n{answer}\n{ports}\n{reset}\n{LINE}\n- - - - - - - - 1 2 -\n");
    let told = file(&log);
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(told[0], MEANT);
    assert!(told[1].contains(r#""ip":"10.0.0.1""#) && !told[1].contains("outcome"), "{}", told[1]);
    for answered in &told[2..4] {
        assert!(answered.contains(r#""ip":"10.0.0.2""#) && answered.contains("bytes_in"), "{answered}");
    }
    assert!(told[4].contains(r#""ip":"10.0.0.1""#) && told[4].contains("reset"), "{}", told[4]);
    assert_eq!(told[5], "column_count");
}

#[test]
fn a_line_with_a_column_s_name_in_it_is_not_yet_a_header() {
    let odd = LINE.replace("eni-1", "start").replace("123456789010", "end");
    let told = file(&format!("{odd}\nversion account-id interface-id srcaddr\nthe end\n{LINE}\n"));
    assert_eq!(told, [MEANT, "column_count", "column_count", MEANT]);
}

#[test]
fn addresses_of_the_packet_come_first() {
    let names = HEADER.replace("dstaddr", "dstaddr pkt-srcaddr pkt-dstaddr");
    let told =
        file(&format!("{names}\n10.0.0.1 10.0.0.2 198.51.100.4 - 40000 22 6 2 1 44 1767225600 1767225660 ACCEPT\n"));
    assert!(told[0].contains(r#""ip":"198.51.100.4","responder_ip":"10.0.0.2""#), "{told:?}");
    let only = names.replace("srcaddr dstaddr ", "").replace("pkt-pkt-", "pkt-");
    let told = file(&format!("{only}\n10.0.0.1 10.0.0.2 40000 22 6 2 1 44 1767225600 1767225660 ACCEPT\n"));
    assert!(told[0].contains(r#""ip":"10.0.0.1""#), "{told:?}");
}

#[test]
fn what_is_no_line_says_why() {
    rejects(
        VpcFlowLog,
        LINE,
        &[
            (" OK", "", "column_count: 13 columns, expected the header's 14"),
            ("10.20.0.42", "-", "missing_field: field `srcaddr`"),
            ("10.20.0.42", "10.20.0", "bad_field: field `srcaddr`"),
            (" 443 ", " x ", "bad_field: field `dstport`"),
            ("4249", "-4249", "bad_field: field `bytes`"),
            ("1767225660", "-", "missing_field: field `end`"),
            ("1767225660", "noon", "bad_field: field `end`"),
            (" 6 ", " - ", "missing_field: field `protocol`"),
        ],
    );
    for column in ["srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "end"] {
        let header = HEADER.replace(column, "x");
        assert_eq!(file(&format!("{header}\n{LINE}\n")), ["missing_column"], "{header}");
    }
}
