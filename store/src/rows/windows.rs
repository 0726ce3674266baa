//! Windows and contacts of a step as columns.
//!
//! These two tables are most of what is written, so nothing here is done per cell: texts are dictionaries (one entry for
//! each device of the step, whose four columns share the same keys), and features are transposed in blocks that fit the
//! second-level cache.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, PrimitiveArray, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type};
use arrow::record_batch::RecordBatch;
use fleet::reading::Protocol;
use fleet::window::Destination;
use fleet::{Contact, Device, DeviceKey, Direction, FEATURES};
use rustc_hash::FxHashMap;

use super::{DeviceNames, ScoredWindow, Step};
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;

/// Windows transposed at once: 512 of about 300 bytes stay in the second-level cache.
const BLOCK: usize = 512;

/// Names of [`Protocol`] and of [`Direction`], by their numbers as dictionary keys.
pub(super) const PROTOCOLS: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp, Protocol::Other];
pub(super) const DIRECTIONS: [(Direction, &str); 2] =
    [(Direction::Outbound, "outbound"), (Direction::Inbound, "inbound")];

/// The rows of table `windows`, text as dictionaries.
///
/// # Errors
/// A window of a device that `step.devices` does not know.
pub fn window_batch(step: &Step<'_>) -> Result<RecordBatch, Error> {
    let rows = step.windows;
    let mut devices = StepDevices::new(step.devices);
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        keys.push(devices.key(row.window.device)?);
    }
    let keys = Int32Array::from(keys);
    let mut columns = vec![
        devices.column(&keys, |device| &device.id)?,
        devices.column(&keys, |device| &device.device_type)?,
        devices.column(&keys, |device| &device.segment)?,
        devices.column(&keys, |device| &device.site)?,
        times(rows.iter().map(|row| row.window.start.0)),
        times(rows.iter().map(|row| row.window.end.0)),
    ];
    columns.extend(feature_columns(rows));
    columns.extend([
        column(rows.iter().map(|row| row.window.records), UInt32Array::from),
        column(rows.iter().map(|row| row.window.first_record.source), UInt32Array::from),
        column(rows.iter().map(|row| row.window.first_record.offset), UInt64Array::from),
        column(rows.iter().map(|row| row.window.last_record.source), UInt32Array::from),
        column(rows.iter().map(|row| row.window.last_record.offset), UInt64Array::from),
        column(rows.iter().map(|row| row.window.malicious), UInt32Array::from),
        details(rows)?,
        column(rows.iter().map(|row| row.score), Float32Array::from),
        column(rows.iter().map(|row| row.p_value), Float32Array::from),
        column(rows.iter().map(|row| row.evidence), Float32Array::from),
        column(rows.iter().map(|row| row.line), Float32Array::from),
    ]);
    batch(Table::Windows, columns)
}

/// The rows of table `contacts`, text as dictionaries. A peer that `step.devices` does not know is left null.
///
/// # Errors
/// A window of a device that `step.devices` does not know.
pub fn contact_batch(step: &Step<'_>) -> Result<RecordBatch, Error> {
    let total = step.windows.iter().map(|row| row.window.contacts.len()).sum();
    let mut devices = StepDevices::new(step.devices);
    let mut services = Dictionary::new(|contact: &Contact| &contact.service, |service| service.0.clone());
    let mut destinations = Dictionary::new(|contact: &Contact| &contact.destination, Destination::text);
    let mut contacts: Vec<&Contact> = Vec::with_capacity(total);
    let mut device_keys = Vec::with_capacity(total);
    let mut starts = Vec::with_capacity(total);
    let mut ends = Vec::with_capacity(total);
    let mut ordinals: Vec<u16> = Vec::with_capacity(total);
    for row in step.windows {
        let window = &row.window;
        let device = devices.key(window.device)?;
        for (ordinal, contact) in window.contacts.iter().enumerate() {
            contacts.push(contact);
            device_keys.push(device);
            starts.push(window.start.0);
            ends.push(window.end.0);
            ordinals.push(ordinal as u16);
            services.push(contact);
            destinations.push(contact);
        }
    }
    let peers: Int32Array =
        contacts.iter().map(|contact| contact.peer.and_then(|peer| devices.key(peer).ok())).collect();
    let device_keys = Int32Array::from(device_keys);
    let protocols = contacts.iter().map(|contact| contact.protocol as i32).collect();
    let directions = contacts.iter().map(|contact| contact.direction as i32).collect();
    let contacts = contacts.iter();
    let columns = vec![
        devices.column(&device_keys, |device| &device.id)?,
        devices.column(&device_keys, |device| &device.device_type)?,
        times(starts.into_iter()),
        times(ends.into_iter()),
        Arc::new(UInt16Array::from(ordinals)),
        services.finish()?,
        destinations.finish()?,
        column(contacts.clone().map(|contact| contact.port), UInt16Array::from),
        names(protocols, PROTOCOLS.iter().map(|protocol| protocol.name()))?,
        names(directions, DIRECTIONS.iter().map(|(_, name)| *name))?,
        devices.column(&peers, |device| &device.id)?,
        column(contacts.clone().map(|contact| contact.flows), UInt32Array::from),
        column(contacts.clone().map(|contact| contact.refused), UInt32Array::from),
        column(contacts.clone().map(|contact| contact.bytes_out), UInt64Array::from),
        column(contacts.clone().map(|contact| contact.bytes_in), UInt64Array::from),
        column(contacts.clone().map(|contact| contact.packets_out), UInt32Array::from),
        column(contacts.clone().map(|contact| contact.packets_in), UInt32Array::from),
        column(contacts.clone().map(|contact| contact.duration), Float32Array::from),
        column(contacts.clone().map(|contact| contact.first_record.source), UInt32Array::from),
        column(contacts.clone().map(|contact| contact.first_record.offset), UInt64Array::from),
        column(contacts.clone().map(|contact| contact.last_record.source), UInt32Array::from),
        column(contacts.map(|contact| contact.last_record.offset), UInt64Array::from),
    ];
    batch(Table::Contacts, columns)
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    RecordBatch::try_new(table.schema(TextLayout::Dictionary), columns)
        .map_err(|source| Error::Encode { table, source })
}

fn column<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = T::Native>,
    array: impl Fn(Vec<T::Native>) -> PrimitiveArray<T>,
) -> ArrayRef {
    Arc::new(array(values.collect()))
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.collect::<Vec<i64>>()).with_timezone("UTC"))
}

fn feature_columns(rows: &[ScoredWindow]) -> impl Iterator<Item = ArrayRef> {
    let mut columns: Vec<Vec<f32>> = (0..FEATURES).map(|_| Vec::with_capacity(rows.len())).collect();
    for block in rows.chunks(BLOCK) {
        for (feature, column) in columns.iter_mut().enumerate() {
            column.extend(block.iter().map(|row| row.window.features[feature]));
        }
    }
    columns.into_iter().map(|column| Arc::new(Float32Array::from(column)) as ArrayRef)
}

fn details(rows: &[ScoredWindow]) -> Result<ArrayRef, Error> {
    let mut column = StringBuilder::with_capacity(rows.len(), 0);
    for row in rows {
        let Some(details) = &row.window.details else {
            column.append_null();
            continue;
        };
        let text = serde_json::to_string(details).map_err(|error| Error::UnknownContent {
            table: Table::Windows,
            problem: format!("details that are no JSON: {error}"),
        })?;
        column.append_value(text);
    }
    Ok(Arc::new(column.finish()))
}

fn dictionary(keys: Int32Array, values: StringArray) -> Result<ArrayRef, Error> {
    let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))
        .map_err(|source| Error::Encode { table: Table::Windows, source })?;
    Ok(Arc::new(array))
}

fn names(keys: Int32Array, names: impl Iterator<Item = &'static str>) -> Result<ArrayRef, Error> {
    dictionary(keys, StringArray::from_iter_values(names))
}

/// The devices that occur in a step, numbered in the order met: the keys of all columns about devices.
struct StepDevices<'a> {
    names: &'a DeviceNames,
    keys: FxHashMap<DeviceKey, i32>,
    devices: Vec<&'a Device>,
}

impl<'a> StepDevices<'a> {
    fn new(names: &'a DeviceNames) -> StepDevices<'a> {
        StepDevices { names, keys: FxHashMap::default(), devices: Vec::new() }
    }

    fn key(&mut self, device: DeviceKey) -> Result<i32, Error> {
        if let Some(key) = self.keys.get(&device) {
            return Ok(*key);
        }
        let found = self.names.get(device).ok_or(Error::UnknownDevice { key: device })?;
        let key = self.devices.len() as i32;
        self.devices.push(found);
        self.keys.insert(device, key);
        Ok(key)
    }

    fn column<T: AsRef<str>>(&self, keys: &Int32Array, text: impl Fn(&'a Device) -> T) -> Result<ArrayRef, Error> {
        dictionary(keys.clone(), StringArray::from_iter_values(self.devices.iter().map(|device| text(device))))
    }
}

/// A dictionary column over one field of the contacts.
struct Dictionary<'a, V, Field, Text> {
    field: Field,
    text: Text,
    keys: Vec<i32>,
    known: FxHashMap<&'a V, i32>,
    values: StringBuilder,
}

impl<'a, V, Field, Text, T> Dictionary<'a, V, Field, Text>
where
    V: Eq + std::hash::Hash,
    Field: Fn(&'a Contact) -> &'a V,
    Text: Fn(&V) -> T,
    T: AsRef<str>,
{
    fn new(field: Field, text: Text) -> Dictionary<'a, V, Field, Text> {
        Dictionary { field, text, keys: Vec::new(), known: FxHashMap::default(), values: StringBuilder::new() }
    }

    fn push(&mut self, contact: &'a Contact) {
        let value = (self.field)(contact);
        let next = self.known.len() as i32;
        let key = *self.known.entry(value).or_insert_with(|| {
            self.values.append_value((self.text)(value));
            next
        });
        self.keys.push(key);
    }

    fn finish(mut self) -> Result<ArrayRef, Error> {
        dictionary(Int32Array::from(self.keys), self.values.finish())
    }
}
