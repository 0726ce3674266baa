//! Flows that GoFlow2 collected (NetFlow, IPFIX, sFlow) and wrote as JSON.
//!
//! Fields: GoFlow2's `pb/flow.proto`, in snake case. Sampled counts are scaled here, once, so that nothing later has to
//! know who sampled.

use fleet::reading::{Outcome, Peer, Protocol};
use fleet::{EventTime, Mac, Reading};

use super::{OneWay, span, tcp};
use crate::decode::message::Context;
use crate::decode::record::{Names, Record, fields};
use crate::decode::reject::RejectReason;
use crate::decode::value::{Scalar, Value};

fields! { Field, GOFLOW2:
    SamplingRate "sampling_rate", ReceivedNs "time_received_ns", StartNs "time_flow_start_ns",
    EndNs "time_flow_end_ns", Received "time_received", Start "time_flow_start", End "time_flow_end",
    Bytes "bytes", Packets "packets", SrcAddr "src_addr", DstAddr "dst_addr", Etype "etype", Proto "proto",
    SrcPort "src_port", DstPort "dst_port", SrcMac "src_mac", DstMac "dst_mac", TcpFlags "tcp_flags",
}

const FIELDS: usize = GOFLOW2.names.len();
static NAMES: Names<FIELDS> = GOFLOW2;

type Sample<'a> = Record<'a, FIELDS>;

pub(in crate::decode) fn decode(line: &str, context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
    let sample = Sample::from_json(&NAMES, line)?;
    if is_not_ip(&sample)? {
        return Ok(None);
    }
    let protocol = protocol(sample.get(Field::Proto))?;
    let has_ports = matches!(protocol, Protocol::Tcp | Protocol::Udp);
    let side = |address: Field, port: Field, mac: Field| -> Result<Peer, RejectReason> {
        let address = sample.get(address);
        Ok(Peer {
            mac: self::mac(sample.get(mac))?,
            ip: address.ip()?.ok_or_else(|| address.missing())?,
            // ICMP's type and code stand here in NetFlow 5.
            port: if has_ports { sample.get(port).port()?.unwrap_or(0) } else { 0 },
        })
    };
    let end = first_of(&sample, [Field::EndNs, Field::End])?;
    let time = match end {
        Some(time) => time,
        None => first_of(&sample, [Field::ReceivedNs, Field::Received])?
            .or(context.time)
            .ok_or_else(|| sample.get(Field::EndNs).missing())?,
    };
    let scale = sample.get(Field::SamplingRate).count()?.unwrap_or(1).max(1);
    let flags = sample.get(Field::TcpFlags).count()?.unwrap_or(0);
    let mut flow = OneWay {
        time,
        from: side(Field::SrcAddr, Field::SrcPort, Field::SrcMac)?,
        to: side(Field::DstAddr, Field::DstPort, Field::DstMac)?,
        protocol,
        bytes: sample.get(Field::Bytes).count()?.unwrap_or(0).saturating_mul(scale),
        packets: sample.get(Field::Packets).count()?.unwrap_or(0).saturating_mul(scale),
        duration: span(first_of(&sample, [Field::StartNs, Field::Start])?, end),
        outcome: outcome(protocol, flags),
    };
    let is_answer = flow.looks_like_an_answer() && flow.outcome != Outcome::Unanswered;
    // Of a sample, the rest of the answer may not have been drawn.
    if is_answer && scale == 1 && flags | tcp::ACK == tcp::RST | tcp::ACK {
        flow.outcome = Outcome::Refused;
    }
    Ok(Some(flow.reading(is_answer, context.position)))
}

/// Frames without addresses (ARP, LLDP ...), which sFlow samples as well.
fn is_not_ip(sample: &Sample<'_>) -> Result<bool, RejectReason> {
    let addresses = [sample.get(Field::SrcAddr).text()?, sample.get(Field::DstAddr).text()?];
    if addresses.iter().any(Option::is_some) {
        return Ok(false);
    }
    Ok(match sample.get(Field::Etype).scalar {
        Scalar::Text(name) => !matches!(name.as_ref(), "IPv4" | "IPv6"),
        Scalar::Count(number) => !matches!(number, 0x0800 | 0x86dd),
        _ => false,
    })
}

/// Zero is a time that the exporter did not give.
fn first_of(sample: &Sample<'_>, fields: [Field; 2]) -> Result<Option<EventTime>, RejectReason> {
    for field in fields {
        if let Some(time) = sample.get(field).instant()?.filter(|time| time.0 > 0) {
            return Ok(Some(time));
        }
    }
    Ok(None)
}

/// A name, a number, or nothing where GoFlow2 has no name for it.
fn protocol(value: Value<'_>) -> Result<Protocol, RejectReason> {
    if let Scalar::Count(number) = value.scalar {
        return Ok(Protocol::parse(&number.to_string()));
    }
    Ok(match value.text()? {
        Some("ICMPv6") => Protocol::Icmp,
        Some(name) => Protocol::parse(name),
        None => Protocol::Other,
    })
}

/// A text, or the 48 bits as a number; none when all are zero.
fn mac(value: Value<'_>) -> Result<Option<Mac>, RejectReason> {
    let mac = match value.scalar {
        Scalar::Count(bits) if *bits >> 48 == 0 => {
            let [_, _, bytes @ ..] = bits.to_be_bytes();
            Some(Mac(bytes))
        }
        _ => value.mac()?,
    };
    Ok(mac.filter(|mac| mac.0 != [0; 6]))
}

/// `flags`: all that this side set, 0 when the exporter does not say.
fn outcome(protocol: Protocol, flags: u64) -> Outcome {
    match protocol {
        Protocol::Tcp if flags & tcp::RST != 0 => Outcome::Reset,
        Protocol::Tcp if flags & tcp::SYN != 0 && flags & tcp::ACK == 0 => Outcome::Unanswered,
        _ => Outcome::Established,
    }
}
