//! AWS VPC flow logs: cells between blanks, in the order of version 2 unless a header line says another.
//!
//! Fields: AWS documentation, "Flow log records". A line tells one direction of what a network interface saw in an
//! aggregation interval of up to ten minutes.

use fleet::reading::{Outcome, Peer, Protocol};
use fleet::{Position, Reading};

use super::{OneWay, span, tcp};
use crate::decode::record::{Names, Record, fields};
use crate::decode::reject::RejectReason;
use crate::decode::value::Scalar;
use crate::decode::without_mark;

fields! { Field, VPC:
    SrcAddr "srcaddr", DstAddr "dstaddr", PktSrcAddr "pkt-srcaddr", PktDstAddr "pkt-dstaddr", SrcPort "srcport",
    DstPort "dstport", Protocol "protocol", Packets "packets", Bytes "bytes", Start "start", End "end",
    Action "action", LogStatus "log-status", TcpFlags "tcp-flags",
}

const FIELDS: usize = VPC.names.len();
static NAMES: Names<FIELDS> = VPC;

const VERSION_2: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                         action log-status";

/// A custom format may leave out the rest, but without these it tells no flow. Addresses: of the interface, or those of
/// the packet.
const REQUIRED: [[Field; 2]; 8] = [
    [Field::SrcAddr, Field::PktSrcAddr],
    [Field::DstAddr, Field::PktDstAddr],
    [Field::SrcPort; 2],
    [Field::DstPort; 2],
    [Field::Protocol; 2],
    [Field::Packets; 2],
    [Field::Bytes; 2],
    [Field::End; 2],
];

/// The columns, as the last header named them.
#[derive(Debug)]
pub(in crate::decode) struct Vpc {
    slots: Vec<Option<usize>>,
    missing: Option<&'static str>,
}

impl Vpc {
    pub fn new() -> Vpc {
        Vpc::with_header(VERSION_2)
    }

    /// As the last header, without the names of columns that are not read.
    pub fn header(&self) -> Option<String> {
        if self.slots == Vpc::new().slots {
            return None;
        }
        let names: Vec<&str> = self.slots.iter().map(|slot| slot.map_or("-", |slot| NAMES.names[slot])).collect();
        Some(names.join(" "))
    }

    pub fn with_header(line: &str) -> Vpc {
        let slots: Vec<Option<usize>> = line.split_ascii_whitespace().map(NAMES.find).collect();
        let missing = REQUIRED.iter().find(|either| !has_one(&slots, either));
        let missing = missing.map(|[field, _]| NAMES.names[*field as usize]);
        Vpc { slots, missing }
    }

    /// The header that the line is, if it is one: it names at least half of what has to be there. A row that is spoilt does
    /// not, and must not take the place of the header.
    fn names_in(line: &str) -> Option<Vpc> {
        let header = Vpc::with_header(line);
        let named = REQUIRED.iter().filter(|either| has_one(&header.slots, either)).count();
        (2 * named >= REQUIRED.len()).then_some(header)
    }

    /// `Ok(None)`: a header, or an interval without data (`NODATA`, `SKIPDATA`).
    pub fn decode(&mut self, line: &str, position: Position) -> Result<Option<Reading>, RejectReason> {
        let row = self.row(line, position);
        // Names are no row under any header: rows that are fine need not be looked at for them.
        if row.is_err()
            && let Some(header) = Vpc::names_in(without_mark(line))
        {
            *self = header;
            return Ok(None);
        }
        row
    }

    fn row(&self, line: &str, position: Position) -> Result<Option<Reading>, RejectReason> {
        let cells = line.split_ascii_whitespace();
        if let Some(column) = self.missing {
            return Err(RejectReason::MissingColumn { column });
        }
        let found = cells.clone().count();
        if found != self.slots.len() {
            return Err(RejectReason::ColumnCount { found, expected: self.slots.len() });
        }
        let mut row = Record::empty(&NAMES);
        for (slot, cell) in self.slots.iter().zip(cells) {
            if let Some(slot) = slot
                && cell != "-"
            {
                *row.slot(*slot) = Scalar::Text(cell.into());
            }
        }
        // A custom format may have no status: then it shows by what is not there.
        let is_empty =
            [Field::SrcAddr, Field::PktSrcAddr, Field::Bytes].iter().all(|field| row.get(*field).is_missing());
        if is_empty || matches!(row.get(Field::LogStatus).text()?, Some("NODATA" | "SKIPDATA")) {
            return Ok(None);
        }
        reading(&row, position).map(Some)
    }
}

fn has_one(slots: &[Option<usize>], either: &[Field; 2]) -> bool {
    either.iter().any(|field| slots.contains(&Some(*field as usize)))
}

fn reading(row: &Record<'_, FIELDS>, position: Position) -> Result<Reading, RejectReason> {
    let protocol = row.get(Field::Protocol);
    let protocol = Protocol::parse(protocol.text()?.ok_or_else(|| protocol.missing())?);
    let has_ports = matches!(protocol, Protocol::Tcp | Protocol::Udp);
    // Behind a NAT gateway or a load balancer, the packet's address is the one that spoke.
    let side = |packet: Field, interface: Field, port: Field| -> Result<Peer, RejectReason> {
        let interface = row.get(interface);
        let ip = row.get(packet).ip()?.or(interface.ip()?).ok_or_else(|| interface.missing())?;
        let port = if has_ports { row.get(port).port()?.unwrap_or(0) } else { 0 };
        Ok(Peer { mac: None, ip, port })
    };
    let end = row.get(Field::End);
    let time = end.time()?;
    let start = row.get(Field::Start).instant()?;
    let flags = row.get(Field::TcpFlags).count()?.unwrap_or(0);
    let refused = row.get(Field::Action).text()? == Some("REJECT");
    let flow = OneWay {
        time,
        from: side(Field::PktSrcAddr, Field::SrcAddr, Field::SrcPort)?,
        to: side(Field::PktDstAddr, Field::DstAddr, Field::DstPort)?,
        protocol,
        bytes: row.get(Field::Bytes).count()?.unwrap_or(0),
        packets: row.get(Field::Packets).count()?.unwrap_or(0),
        duration: span(start, Some(time)),
        outcome: match refused {
            true => Outcome::Refused,
            false if protocol == Protocol::Tcp && flags & tcp::RST != 0 => Outcome::Reset,
            false => Outcome::Established,
        },
    };
    // AWS writes ACK only with the SYN that it answers.
    let is_answer = match flags & (tcp::SYN | tcp::ACK) {
        _ if refused => false,
        tcp::SYN => false,
        both if both == tcp::SYN | tcp::ACK => true,
        _ => flow.looks_like_an_answer(),
    };
    Ok(flow.reading(is_answer, position))
}
