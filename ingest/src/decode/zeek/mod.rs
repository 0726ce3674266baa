//! Zeek's conn.log, whatever file format it is written in: its fields, and a flow made of them.
//!
//! Event time is `ts + duration`: a record is written when the connection ends (or once a minute, where a long one is
//! reported in parts), and by start time the files of week-long connections would be out of order by a week.
//! Fields: Zeek documentation, `logs/conn`; MACs come from `policy/protocols/conn/mac-logging`.

pub(super) mod delimited;
pub(super) mod json;
pub(super) mod kafka;

use fleet::reading::{Flow, Outcome, Peer, Protocol};
use fleet::{Identity, Kind, Position, Reading};
use smol_str::SmolStr;

use crate::decode::record::{Names, Record, fields};
use crate::decode::reject::RejectReason;
use crate::decode::value::{Value, lower};

fields! { ConnField, CONN:
    Ts "ts", OrigH "id.orig_h", OrigP "id.orig_p", RespH "id.resp_h", RespP "id.resp_p", Proto "proto",
    Service "service", Duration "duration", OrigBytes "orig_bytes", RespBytes "resp_bytes", ConnState "conn_state",
    OrigPkts "orig_pkts", RespPkts "resp_pkts", OrigL2 "orig_l2_addr", RespL2 "resp_l2_addr",
    ServerName "server_name", Host "host", OrigCc "orig_cc", RespCc "resp_cc", Label "label",
}

const CONN_FIELDS: usize = CONN.names.len();
static CONN_NAMES: Names<CONN_FIELDS> = CONN;

/// Columns without which a delimited conn.log is not one: a JSON line may leave a field out when it is unset, a table
/// that lacks the column would read as a fleet that never sent a byte.
const REQUIRED_COLUMNS: [ConnField; 12] = [
    ConnField::Ts,
    ConnField::OrigH,
    ConnField::OrigP,
    ConnField::RespH,
    ConnField::RespP,
    ConnField::Proto,
    ConnField::Duration,
    ConnField::OrigBytes,
    ConnField::RespBytes,
    ConnField::ConnState,
    ConnField::OrigPkts,
    ConnField::RespPkts,
];

/// `ts`, both addresses, the responder's port, `proto` and `conn_state` are always set by Zeek; all else may be unset.
fn reading(conn: &Record<'_, CONN_FIELDS>, position: Position) -> Result<Reading, RejectReason> {
    let start = conn.get(ConnField::Ts).instant_or(None)?;
    let originator = conn.get(ConnField::OrigH);
    let originator_ip = originator.ip()?.ok_or_else(|| originator.missing())?;
    let responder = conn.get(ConnField::RespH);
    let responder_ip = responder.ip()?.ok_or_else(|| responder.missing())?;
    let responder_port = conn.get(ConnField::RespP);
    let proto = conn.get(ConnField::Proto);
    let protocol = Protocol::parse(proto.text()?.ok_or_else(|| proto.missing())?);
    let duration = conn.get(ConnField::Duration).duration()?.unwrap_or(0);
    let server_name = match conn.get(ConnField::ServerName).host()? {
        Some(name) => Some(name),
        None => conn.get(ConnField::Host).host()?,
    };
    let country = match conn.get(ConnField::RespCc).country()? {
        Some(country) => Some(country),
        None => conn.get(ConnField::OrigCc).country()?,
    };
    let flow = Flow {
        responder: Peer {
            mac: conn.get(ConnField::RespL2).mac()?,
            ip: responder_ip,
            port: responder_port.port()?.ok_or_else(|| responder_port.missing())?,
        },
        originator_port: conn.get(ConnField::OrigP).port()?.unwrap_or(0),
        protocol,
        service: service(conn.get(ConnField::Service))?,
        server_name,
        duration,
        bytes_out: conn.get(ConnField::OrigBytes).count()?.unwrap_or(0),
        bytes_in: conn.get(ConnField::RespBytes).count()?.unwrap_or(0),
        packets_out: conn.get(ConnField::OrigPkts).small_count()?.unwrap_or(0),
        packets_in: conn.get(ConnField::RespPkts).small_count()?.unwrap_or(0),
        outcome: outcome(conn.get(ConnField::ConnState))?,
        country,
    };
    let mac = conn.get(ConnField::OrigL2).mac()?;
    let identity = Identity { client_id: None, mac, ip: Some(originator_ip), certificate: None };
    Ok(Reading {
        time: fleet::EventTime(start.0 + duration),
        position,
        identity,
        kind: Kind::Flow(flow),
        malicious: conn.get(ConnField::Label).malicious()?,
    })
}

fn outcome(state: Value<'_>) -> Result<Outcome, RejectReason> {
    let name = state.text()?.ok_or_else(|| state.missing())?;
    Outcome::from_zeek(name).ok_or_else(|| state.bad("a Zeek connection state such as SF, S0 or REJ"))
}

/// Several analysers give a list whose order differs from record to record; the alphabetically last is taken (`ssl` of
/// `http,ssl`, `smb` of `gssapi,smb`). A leading `-` marks one that gave up.
fn service(value: Value<'_>) -> Result<SmolStr, RejectReason> {
    let Some(text) = value.text()? else {
        return Ok(SmolStr::default());
    };
    if !text.contains([',', '-']) {
        return Ok(lower(text));
    }
    let recognised = text.split(',').filter(|name| !name.starts_with('-')).max().unwrap_or("");
    Ok(lower(recognised))
}
