//! A `flow` event: both directions of a conversation, written when it has ended or was silent for long.

use fleet::reading::{Flow, Outcome, Peer, Protocol};
use fleet::{Identity, Kind, Mac, Reading};
use smol_str::SmolStr;

use super::{Event, Field, address, port};
use crate::decode::flows::{span, tcp};
use crate::decode::message::Context;
use crate::decode::reject::RejectReason;
use crate::decode::value::{Value, lower};

pub(super) fn reading(event: &Event<'_>, context: &Context<'_>) -> Result<Reading, RejectReason> {
    let details = event.get(Field::Flow);
    let proto = event.get(Field::Proto);
    let protocol = Protocol::parse(proto.text()?.ok_or_else(|| proto.missing())?);
    let (start, end) = (details.member("flow.start").instant()?, details.member("flow.end").instant()?);
    // Written when Suricata gives up waiting: by their ends, flows would be out of order by its timeouts. Of a recording
    // that is read in one go, the clock of writing is the earlier one.
    let written = event.get(Field::Timestamp).instant_or(end.or(context.time))?;
    let packets_in = details.member("flow.pkts_toclient").small_count()?.unwrap_or(0);
    let flow = Flow {
        responder: Peer {
            mac: mac(event, "ether.dest_mac", "ether.dest_macs")?,
            ip: address(event.get(Field::DestIp))?,
            port: port(event.get(Field::DestPort))?,
        },
        originator_port: port(event.get(Field::SrcPort))?,
        protocol,
        service: service(event.get(Field::AppProto))?,
        server_name: None,
        duration: span(start, end),
        bytes_out: details.member("flow.bytes_toserver").count()?.unwrap_or(0),
        bytes_in: details.member("flow.bytes_toclient").count()?.unwrap_or(0),
        packets_out: details.member("flow.pkts_toserver").small_count()?.unwrap_or(0),
        packets_in,
        outcome: outcome(event, protocol, packets_in)?,
        country: None,
    };
    let identity = Identity {
        mac: mac(event, "ether.src_mac", "ether.src_macs")?,
        ip: Some(address(event.get(Field::SrcIp))?),
        ..Identity::default()
    };
    Ok(Reading {
        time: end.map_or(written, |end| end.max(written)),
        position: context.position,
        identity,
        kind: Kind::Flow(flow),
        malicious: false,
    })
}

/// By the names that Zeek has for them, so that a baseline does not depend on the sensor.
fn service(app_proto: Value<'_>) -> Result<SmolStr, RejectReason> {
    Ok(match app_proto.text()? {
        None | Some("failed" | "unknown") => SmolStr::default(),
        Some("tls") => SmolStr::new_static("ssl"),
        Some("ftp-data") => SmolStr::new_static("ftp"),
        Some(name) => lower(name),
    })
}

/// A flow lists all it saw: several name no one device.
fn mac(event: &Event<'_>, single: &'static str, list: &'static str) -> Result<Option<Mac>, RejectReason> {
    let ether = event.get(Field::Ether);
    let mut seen = ether.member(list).items();
    match (seen.next(), seen.next()) {
        (Some(only), None) => only.mac(),
        _ => ether.member(single).mac(),
    }
}

fn outcome(event: &Event<'_>, protocol: Protocol, packets_in: u32) -> Result<Outcome, RejectReason> {
    if event.get(Field::Flow).member("flow.action").text()? == Some("drop") {
        return Ok(Outcome::Refused);
    }
    let details = event.get(Field::Tcp);
    let (both, of_responder) = (flags(details.member("tcp.tcp_flags"))?, flags(details.member("tcp.tcp_flags_tc"))?);
    if packets_in == 0 {
        return Ok(Outcome::Unanswered);
    }
    let (Protocol::Tcp, Some(both)) = (protocol, both) else {
        return Ok(Outcome::Established);
    };
    Ok(match of_responder {
        _ if both & tcp::SYN == 0 => Outcome::Partial,
        Some(flags) if flags & tcp::RST != 0 && flags & tcp::SYN == 0 => Outcome::Refused,
        _ if both & tcp::RST != 0 => Outcome::Reset,
        _ => Outcome::Established,
    })
}

/// Hexadecimal digits; none or zero where Suricata did not follow the stream.
fn flags(value: Value<'_>) -> Result<Option<u64>, RejectReason> {
    let Some(digits) = value.text()? else {
        return Ok(None);
    };
    let flags = u64::from_str_radix(digits, 16).map_err(|_| value.bad("TCP flags in hexadecimal such as 1b"))?;
    Ok(Some(flags).filter(|flags| *flags != 0))
}
