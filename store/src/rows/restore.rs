//! Windows and contacts read back as they were closed, for whoever learns from them.

use arrow::array::{
    Array, DictionaryArray, Float32Array, PrimitiveArray, StringArray, TimestampMicrosecondArray, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type};
use arrow::record_batch::RecordBatch;
use fleet::reading::{Position, Protocol};
use fleet::window::Destination;
use fleet::{Contact, DeviceKey, Direction, EventTime, FEATURES, Feature, Service, Window};
use smol_str::SmolStr;

use super::columns::Columns;
use super::windows::{DIRECTIONS, PROTOCOLS};
use crate::dictionary::Table;
use crate::error::Error;

/// What a device id means in this run; `None` leaves its windows out.
pub(crate) type Keys<'k> = dyn Fn(&str) -> Option<DeviceKey> + Sync + 'k;

/// Appends the windows of a batch that start in `from..until`, still without contacts.
pub(crate) fn windows(
    batch: &RecordBatch,
    range: &std::ops::Range<EventTime>,
    keys: &Keys<'_>,
    out: &mut Vec<Window>,
) -> Result<(), Error> {
    let columns = Columns { table: Table::Windows, batch };
    let device = Decoded::new(&columns, "device_id", keys)?;
    let start: &TimestampMicrosecondArray = columns.get("window_start")?;
    let end: &TimestampMicrosecondArray = columns.get("window_end")?;
    let mut features: Vec<&[f32]> = Vec::with_capacity(FEATURES);
    for feature in Feature::definitions() {
        features.push(columns.get::<Float32Array>(feature.name)?.values());
    }
    let features_of = |row: usize| std::array::from_fn(|feature| features[feature][row]);
    let records: &UInt32Array = columns.get("records")?;
    let malicious: &UInt32Array = columns.get("malicious")?;
    let details: &StringArray = columns.get("details")?;
    let (first, last) = (Positions::new(&columns, "first")?, Positions::new(&columns, "last")?);
    out.reserve(batch.num_rows());
    for row in 0..batch.num_rows() {
        if !range.contains(&EventTime(start.value(row))) {
            continue;
        }
        let Some(Some(device)) = device.get(row) else { continue };
        let details = if details.is_valid(row) {
            let read = serde_json::from_str(details.value(row));
            Some(read.map_err(|error| columns.unknown(format!("details that cannot be read: {error}")))?)
        } else {
            None
        };
        out.push(Window {
            device: *device,
            start: EventTime(start.value(row)),
            end: EventTime(end.value(row)),
            features: features_of(row),
            contacts: Vec::new(),
            details,
            first_record: first.get(row),
            last_record: last.get(row),
            records: records.value(row),
            malicious: malicious.value(row),
        });
    }
    Ok(())
}

/// Hands over device and start of the windows of a batch that start in `from..until`.
pub(crate) fn starts(
    batch: &RecordBatch,
    range: &std::ops::Range<EventTime>,
    mut take: impl FnMut(&str, EventTime),
) -> Result<(), Error> {
    let columns = Columns { table: Table::Windows, batch };
    let device = Decoded::new(&columns, "device_id", &|text: &str| SmolStr::new(text))?;
    let start: &TimestampMicrosecondArray = columns.get("window_start")?;
    for row in 0..batch.num_rows() {
        let start = EventTime(start.value(row));
        if range.contains(&start)
            && let Some(device) = device.get(row)
        {
            take(device, start);
        }
    }
    Ok(())
}

/// Hands over the contacts of a batch whose windows start in `from..until`, with their windows' start and device.
pub(crate) fn contacts(
    batch: &RecordBatch,
    range: &std::ops::Range<EventTime>,
    keys: &Keys<'_>,
    mut take: impl FnMut(EventTime, DeviceKey, Contact),
) -> Result<(), Error> {
    let columns = Columns { table: Table::Contacts, batch };
    let device = Decoded::new(&columns, "device_id", keys)?;
    let start: &TimestampMicrosecondArray = columns.get("window_start")?;
    let service = Decoded::new(&columns, "service", &|text: &str| Service(SmolStr::new(text)))?;
    let destination = Decoded::new(&columns, "destination", &Destination::parse)?;
    let port: &UInt16Array = columns.get("port")?;
    let protocol = Decoded::new(&columns, "protocol", &protocol)?;
    let direction = Decoded::new(&columns, "direction", &direction)?;
    let peer = Decoded::new(&columns, "peer_device_id", keys)?;
    let flows: &UInt32Array = columns.get("flows")?;
    let refused: &UInt32Array = columns.get("refused")?;
    let bytes_out: &UInt64Array = columns.get("bytes_out")?;
    let bytes_in: &UInt64Array = columns.get("bytes_in")?;
    let packets_out: &UInt32Array = columns.get("packets_out")?;
    let packets_in: &UInt32Array = columns.get("packets_in")?;
    let duration: &Float32Array = columns.get("duration")?;
    let (first, last) = (Positions::new(&columns, "first")?, Positions::new(&columns, "last")?);
    for row in 0..batch.num_rows() {
        if !range.contains(&EventTime(start.value(row))) {
            continue;
        }
        let Some(Some(device)) = device.get(row) else { continue };
        let missing = |name: &str| columns.unknown(format!("a null or unknown `{name}`"));
        let contact = Contact {
            service: service.get(row).ok_or_else(|| missing("service"))?.clone(),
            destination: destination.get(row).ok_or_else(|| missing("destination"))?.clone(),
            port: port.value(row),
            protocol: protocol.get(row).copied().flatten().ok_or_else(|| missing("protocol"))?,
            direction: direction.get(row).copied().flatten().ok_or_else(|| missing("direction"))?,
            peer: peer.get(row).copied().flatten(),
            flows: flows.value(row),
            refused: refused.value(row),
            bytes_out: bytes_out.value(row),
            bytes_in: bytes_in.value(row),
            packets_out: packets_out.value(row),
            packets_in: packets_in.value(row),
            duration: duration.value(row),
            first_record: first.get(row),
            last_record: last.get(row),
        };
        take(EventTime(start.value(row)), *device, contact);
    }
    Ok(())
}

fn protocol(name: &str) -> Option<Protocol> {
    PROTOCOLS.into_iter().find(|protocol| protocol.name() == name)
}

fn direction(name: &str) -> Option<Direction> {
    DIRECTIONS.into_iter().find(|(_, known)| *known == name).map(|(direction, _)| direction)
}

/// A dictionary column with each of its distinct values converted once.
struct Decoded<'a, V> {
    array: &'a DictionaryArray<Int32Type>,
    values: Vec<V>,
}

impl<'a, V> Decoded<'a, V> {
    fn new(columns: &Columns<'a>, name: &str, convert: &dyn Fn(&str) -> V) -> Result<Decoded<'a, V>, Error> {
        let array: &DictionaryArray<Int32Type> = columns.get(name)?;
        let texts: &StringArray = array
            .values()
            .as_any()
            .downcast_ref()
            .ok_or_else(|| columns.unknown(format!("`{}` in column `{name}`", array.data_type())))?;
        let values = texts.iter().map(|text| convert(text.unwrap_or_default())).collect();
        Ok(Decoded { array, values })
    }

    fn get(&self, row: usize) -> Option<&V> {
        self.values.get(self.array.key(row)?)
    }
}

/// `<prefix>_source` and `<prefix>_offset`.
struct Positions<'a> {
    source: &'a [u32],
    offset: &'a [u64],
}

impl<'a> Positions<'a> {
    fn new(columns: &Columns<'a>, prefix: &str) -> Result<Positions<'a>, Error> {
        fn values<'a, T: ArrowPrimitiveType>(columns: &Columns<'a>, name: &str) -> Result<&'a [T::Native], Error> {
            Ok(columns.get::<PrimitiveArray<T>>(name)?.values())
        }
        Ok(Positions {
            source: values::<arrow::datatypes::UInt32Type>(columns, &format!("{prefix}_source"))?,
            offset: values::<arrow::datatypes::UInt64Type>(columns, &format!("{prefix}_offset"))?,
        })
    }

    fn get(&self, row: usize) -> Position {
        Position { source: self.source[row], offset: self.offset[row] }
    }
}
