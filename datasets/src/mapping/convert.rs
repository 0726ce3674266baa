//! Selected columns to readings of the mapping's kind. The rules are those of the native formats (`ingest::decode`): the
//! same text gives the same reading, whichever way it came.

use std::net::IpAddr;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use fleet::reading::{Flow, Message, Outcome, Peer, Posture, Protocol, Session, SessionEvent, SignIn};
use fleet::{EventTime, Identity, Kind, Mac, Position, Reading};
use smol_str::SmolStr;

use super::columns::{Cell, Counts, Durations, Flags, Numbers, Parsed, Times};
use super::fields::FIELDS;
use crate::descriptor::RecordKind;
use arrow::datatypes::Float64Type;

/// The field that kept a row from becoming a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub field: &'static str,
    /// There was something, but not what was expected.
    pub bad: bool,
}

/// The arrays of one batch, by field.
pub(super) struct Columns<'a>(pub &'a [(usize, ArrayRef)]);

impl Columns<'_> {
    pub fn array(&self, field: &str) -> Option<&ArrayRef> {
        self.0.iter().find(|(index, _)| FIELDS[*index].name == field).map(|(_, array)| array)
    }

    fn column<C>(
        &self,
        field: &'static str,
        read: impl Fn(&ArrayRef) -> Result<C, ArrowError>,
    ) -> Result<Column<C>, ArrowError> {
        Ok(Column { field, cells: self.array(field).map(read).transpose()? })
    }

    fn parsed<T>(
        &self,
        field: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Column<Parsed<T>>, ArrowError> {
        self.column(field, |array| Parsed::new(array, &parse))
    }

    fn texts(&self, field: &'static str) -> Result<Column<Parsed<SmolStr>>, ArrowError> {
        self.parsed(field, text)
    }
}

/// A column that the `select` may not have.
struct Column<C> {
    field: &'static str,
    cells: Option<C>,
}

impl<C> Column<C> {
    #[inline(always)]
    fn optional<T>(&self, cell: impl Fn(&C) -> Cell<T>) -> Result<Option<T>, Fault> {
        match self.cells.as_ref().map(cell) {
            Some(Cell::Value(value)) => Ok(Some(value)),
            Some(Cell::Unset) | None => Ok(None),
            Some(Cell::Bad) => Err(Fault { field: self.field, bad: true }),
        }
    }

    fn missing(&self) -> Fault {
        Fault { field: self.field, bad: false }
    }
}

impl<T: Clone> Column<Parsed<T>> {
    #[inline]
    fn get(&self, row: usize) -> Result<Option<T>, Fault> {
        self.optional(|parsed| parsed.cell(row).clone())
    }
}

impl Column<Flags> {
    fn get(&self, row: usize) -> Result<Option<bool>, Fault> {
        self.optional(|flags| flags.cell(row))
    }
}

impl Column<Counts> {
    #[inline]
    fn get(&self, row: usize) -> Result<u64, Fault> {
        Ok(self.optional(|counts| counts.cell(row))?.unwrap_or(0))
    }

    /// Kept in 32 bits; what is beyond them is as good as the greatest.
    #[inline]
    fn small(&self, row: usize) -> Result<u32, Fault> {
        Ok(u32::try_from(self.get(row)?).unwrap_or(u32::MAX))
    }

    #[inline]
    fn port(&self, row: usize) -> Result<Option<u16>, Fault> {
        let Some(number) = self.optional(|counts| counts.cell(row))? else {
            return Ok(None);
        };
        u16::try_from(number).map(Some).map_err(|_| Fault { field: self.field, bad: true })
    }
}

/// What every kind has.
struct Common {
    time: Column<Times>,
    client_id: Column<Parsed<SmolStr>>,
    mac: Column<Parsed<Mac>>,
    ip: Column<Parsed<IpAddr>>,
    certificate: Column<Parsed<SmolStr>>,
    label: Column<Parsed<bool>>,
}

impl Common {
    fn new(columns: &Columns) -> Result<Common, ArrowError> {
        Ok(Common {
            time: columns.column("time", Times::new)?,
            client_id: columns.texts("client_id")?,
            mac: columns.parsed("mac", mac)?,
            ip: columns.parsed("ip", ip)?,
            certificate: columns.texts("certificate")?,
            label: columns.parsed("label", |text| Some(is_malicious(text)))?,
        })
    }

    #[inline]
    fn time(&self, row: usize) -> Result<EventTime, Fault> {
        self.time.optional(|times| times.cell(row))?.ok_or_else(|| self.time.missing())
    }

    #[inline]
    fn reading(&self, row: usize, position: Position, time: EventTime, kind: Kind) -> Result<Reading, Fault> {
        let identity = Identity {
            client_id: self.client_id.get(row)?,
            mac: self.mac.get(row)?,
            ip: self.ip.get(row)?,
            certificate: self.certificate.get(row)?,
        };
        let Identity { client_id, mac, ip, certificate } = &identity;
        if client_id.is_none() && mac.is_none() && ip.is_none() && certificate.is_none() {
            let all = [
                (self.client_id.cells.is_some(), "client_id"),
                (self.mac.cells.is_some(), "mac"),
                (self.ip.cells.is_some(), "ip"),
            ];
            let field = all.iter().find(|(given, _)| *given).map_or("certificate", |(_, field)| field);
            return Err(Fault { field, bad: false });
        }
        Ok(Reading { time, position, identity, kind, malicious: self.label.get(row)?.unwrap_or(false) })
    }
}

/// Calls `each` with every row's reading or fault, in order.
///
/// # Errors
/// A column of a type that no such field can be made of.
pub(super) fn readings(
    kind: RecordKind,
    columns: &Columns,
    rows: usize,
    position: impl Fn(usize) -> Position,
    mut each: impl FnMut(usize, Result<Reading, Fault>),
) -> Result<(), ArrowError> {
    let common = Common::new(columns)?;
    let mut run = |row_kind: &dyn Fn(usize) -> Result<Kind, Fault>| {
        for row in 0..rows {
            let reading = row_kind(row).and_then(|kind| common.reading(row, position(row), common.time(row)?, kind));
            each(row, reading);
        }
    };
    match kind {
        RecordKind::Flow => return flows(&common, columns, rows, position, each),
        RecordKind::Message => {
            let (inbound, refused) = (columns.column("inbound", Flags::new)?, columns.column("refused", Flags::new)?);
            let (topic, command) = (columns.texts("topic")?, columns.texts("command")?);
            let payload_bytes = columns.column("payload_bytes", Counts::counts)?;
            let value = columns.column("value", Numbers::<Float64Type>::reals)?;
            run(&|row| {
                Ok(Kind::Message(Message {
                    inbound: inbound.get(row)?.unwrap_or(false),
                    topic: topic.get(row)?.ok_or_else(|| topic.missing())?,
                    payload_bytes: payload_bytes.small(row)?,
                    command: command.get(row)?,
                    value: value.optional(|reals| match reals.cell(row) {
                        Cell::Value(real) if !real.is_finite() => Cell::Bad,
                        cell => cell,
                    })?,
                    refused: refused.get(row)?.unwrap_or(false),
                }))
            });
        }
        RecordKind::SignIn => {
            let (inbound, success) = (columns.column("inbound", Flags::new)?, columns.column("success", Flags::new)?);
            let default_credential = columns.column("default_credential", Flags::new)?;
            let (method, user, token) = (columns.texts("method")?, columns.texts("user")?, columns.texts("token")?);
            let (address, country) = (columns.parsed("address", ip)?, columns.parsed("country", country_code)?);
            run(&|row| {
                Ok(Kind::SignIn(SignIn {
                    inbound: inbound.get(row)?.unwrap_or(false),
                    success: success.get(row)?.ok_or_else(|| success.missing())?,
                    method: method.get(row)?.unwrap_or_default(),
                    user: user.get(row)?.unwrap_or_default(),
                    address: address.get(row)?,
                    country: country.get(row)?,
                    default_credential: default_credential.get(row)?.unwrap_or(false),
                    token: token.get(row)?,
                }))
            });
        }
        RecordKind::Session => {
            let event = columns.parsed("event", session_event)?;
            let (address, country) = (columns.parsed("address", ip)?, columns.parsed("country", country_code)?);
            let (topic, token, reason) = (columns.texts("topic")?, columns.texts("token")?, columns.texts("reason")?);
            run(&|row| {
                Ok(Kind::Session(Session {
                    event: event.get(row)?.ok_or_else(|| event.missing())?,
                    address: address.get(row)?,
                    country: country.get(row)?,
                    topic: topic.get(row)?,
                    token: token.get(row)?,
                    reason: reason.get(row)?,
                }))
            });
        }
        RecordKind::Posture => {
            let (firmware, configuration) = (columns.texts("firmware")?, columns.texts("configuration")?);
            let (credential, site) = (columns.texts("credential")?, columns.texts("site")?);
            let attested = columns.column("attested", Flags::new)?;
            let default_credential = columns.column("default_credential", Flags::new)?;
            let listening_ports = columns.parsed("listening_ports", ports)?;
            let country = columns.parsed("country", country_code)?;
            run(&|row| {
                Ok(Kind::Posture(Posture {
                    firmware: firmware.get(row)?,
                    attested: attested.get(row)?,
                    configuration: configuration.get(row)?,
                    listening_ports: listening_ports.get(row)?.unwrap_or_default(),
                    default_credential: default_credential.get(row)?.unwrap_or(false),
                    credential: credential.get(row)?,
                    site: site.get(row)?,
                    country: country.get(row)?,
                }))
            });
        }
    }
    Ok(())
}

/// Apart from the other kinds: this loop runs for tens of millions of rows, so nothing in it is a call through a pointer.
fn flows(
    common: &Common,
    columns: &Columns,
    rows: usize,
    position: impl Fn(usize) -> Position,
    mut each: impl FnMut(usize, Result<Reading, Fault>),
) -> Result<(), ArrowError> {
    let start = columns.column("start", Times::new)?;
    let duration = columns.column("duration", Durations::new)?;
    let responder_ip = columns.parsed("responder_ip", ip)?;
    let responder_mac = columns.parsed("responder_mac", mac)?;
    let responder_port = columns.column("responder_port", Counts::counts)?;
    let originator_port = columns.column("originator_port", Counts::counts)?;
    let protocol = columns.parsed("protocol", |text| Some(Protocol::parse(text)))?;
    let service = columns.parsed("service", |name| text(name).map(lower))?;
    let server_name = columns.parsed("server_name", host)?;
    let country = columns.parsed("country", country_code)?;
    let outcome = columns.parsed("outcome", outcome)?;
    let bytes_out = columns.column("bytes_out", Counts::counts)?;
    let bytes_in = columns.column("bytes_in", Counts::counts)?;
    let packets_out = columns.column("packets_out", Counts::counts)?;
    let packets_in = columns.column("packets_in", Counts::counts)?;
    let one = |row: usize| -> Result<Reading, Fault> {
        let duration = duration.optional(|durations| durations.cell(row))?.unwrap_or(0);
        let time = match start.optional(|times| times.cell(row))? {
            Some(start) => EventTime(start.0 + duration),
            None => common.time(row)?,
        };
        let flow = Flow {
            responder: Peer {
                mac: responder_mac.get(row)?,
                ip: responder_ip.get(row)?.ok_or_else(|| responder_ip.missing())?,
                port: responder_port.port(row)?.unwrap_or(0),
            },
            originator_port: originator_port.port(row)?.unwrap_or(0),
            protocol: protocol.get(row)?.ok_or_else(|| protocol.missing())?,
            service: service.get(row)?.unwrap_or_default(),
            server_name: server_name.get(row)?.flatten(),
            duration,
            bytes_out: bytes_out.get(row)?,
            bytes_in: bytes_in.get(row)?,
            packets_out: packets_out.small(row)?,
            packets_in: packets_in.small(row)?,
            outcome: outcome.get(row)?.unwrap_or_default(),
            country: country.get(row)?,
        };
        common.reading(row, position(row), time, Kind::Flow(flow))
    };
    for row in 0..rows {
        each(row, one(row));
    }
    Ok(())
}

fn text(value: &str) -> Option<SmolStr> {
    const MAX_TEXT: usize = 1_024;
    (value.len() <= MAX_TEXT).then(|| SmolStr::new(value))
}

fn lower(name: SmolStr) -> SmolStr {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name }
}

/// IPv4 mapped into IPv6 is IPv4; a zone (`fe80::1%eth0`) is dropped.
fn ip(value: &str) -> Option<IpAddr> {
    let address = value.split('%').next().unwrap_or(value);
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

fn mac(value: &str) -> Option<Mac> {
    value.parse().ok()
}

/// Lower case without its last dot; an address in the place of a name is no name.
fn host(value: &str) -> Option<Option<SmolStr>> {
    let name = value.trim_end_matches('.');
    if name.is_empty() || name.parse::<IpAddr>().is_ok() {
        return Some(None);
    }
    text(name).map(|name| Some(lower(name)))
}

fn country_code(value: &str) -> Option<[u8; 2]> {
    match value.as_bytes() {
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
            Some([a.to_ascii_uppercase(), b.to_ascii_uppercase()])
        }
        _ => None,
    }
}

/// Its own names, or Zeek's connection states.
fn outcome(value: &str) -> Option<Outcome> {
    Outcome::from_zeek(value).or_else(|| Outcome::from_name(&value.to_ascii_lowercase()))
}

fn session_event(value: &str) -> Option<SessionEvent> {
    match value {
        "connected" => Some(SessionEvent::Connected),
        "disconnected" => Some(SessionEvent::Disconnected),
        "taken_over" => Some(SessionEvent::TakenOver),
        "subscribed" => Some(SessionEvent::Subscribed),
        "refused" => Some(SessionEvent::Refused),
        _ => None,
    }
}

fn ports(value: &str) -> Option<Vec<u16>> {
    value.split([',', ' ']).filter(|port| !port.is_empty()).map(|port| port.parse().ok()).collect()
}

/// As the native formats, and numbers and truth values besides: sets of flows write labels in all of these ways.
fn is_malicious(label: &str) -> bool {
    const HARMLESS: [&str; 8] = ["benign", "-", "(empty)", "background", "normal", "0", "0.0", "false"];
    !HARMLESS.iter().any(|harmless| label.eq_ignore_ascii_case(harmless))
}
