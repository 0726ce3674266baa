//! A large table of flow records for the speed bench, with the column names of Zeek's conn.log.
//!
//! Simpler than the fleet (its devices have destinations, sizes and a pace, but no days and no script): the bench asks
//! how fast rows are read, not what they mean. Written as real collectors do, sorted by time, repeated texts as
//! dictionaries.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt16Array, UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use super::clock::{MINUTE, START};
use super::random::Random;

const TYPES: usize = 10;
const HOSTS_PER_TYPE: usize = 24;
const ROWS_PER_BATCH: usize = 65_536;
const ROWS_PER_GROUP: usize = 1 << 20;

const PROTOCOLS: [&str; 2] = ["tcp", "udp"];
const SERVICES: [&str; 4] = ["", "ssl", "dns", "ntp"];
const STATES: [&str; 3] = ["SF", "S0", "REJ"];
/// Protocol, service, port, bytes out, bytes in and seconds of what a host is called for. A row may draw a factor of
/// 1.4: the ends of flows that are sorted by their beginnings stay in order within a lateness of 70 s.
const CALLS: [(i32, i32, u16, f64, f64, f64); 6] = [
    (0, 1, 443, 1_200.0, 5_200.0, 1.0),
    (1, 2, 53, 45.0, 130.0, 0.02),
    (0, 1, 8883, 620.0, 240.0, 40.0),
    (1, 3, 123, 48.0, 48.0, 0.04),
    (1, 0, 8000, 220.0, 140.0, 30.0),
    (0, 0, 16386, 41.0, 13.0, 0.2),
];

/// `rows` flows of `devices` devices over `minutes` minutes, from 2026-03-02T00:00:00Z on. Columns: `ts` (timestamp,
/// microseconds, UTC), `orig_l2_addr`, `id.orig_h`, `id.orig_p`, `id.resp_h`, `id.resp_p`, `proto`, `service`,
/// `duration` (seconds), `orig_bytes`, `resp_bytes`, `orig_pkts`, `resp_pkts`, `conn_state`.
///
/// # Errors
/// What the file system or the Parquet writer says.
pub fn write_flow_parquet(path: &Path, rows: usize, devices: usize, minutes: usize, seed: u64) -> io::Result<()> {
    let file = File::create(path)?;
    let table = Table::new(devices);
    let schema = table.schema.clone();
    std::thread::scope(|scope| {
        let (batches, received) = sync_channel(4);
        let writer = scope.spawn(move || write_batches(file, schema, &received));
        let mut random = Random::named(seed, &["flow table"]);
        let span = minutes as f64 * MINUTE as f64;
        let mut first = 0;
        while first < rows {
            let count = ROWS_PER_BATCH.min(rows - first);
            let batch = table.batch(first, count, span / rows as f64, &mut random)?;
            first += count;
            if batches.send(batch).is_err() {
                break;
            }
        }
        drop(batches);
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")))
    })
}

/// The inventory of the table's devices.
pub fn flow_inventory_csv(devices: usize) -> String {
    let mut csv = String::from("device_id,device_type,mac,ip,site,segment,owner,criticality\n");
    for device in 0..devices {
        let kind = device % TYPES;
        // Writing to a string cannot fail.
        let _ = writeln!(csv, "device-{device:05},type-{kind},{},{},works,lan,it,medium", mac(device), address(device));
    }
    csv
}

fn mac(device: usize) -> String {
    format!("02:00:00:{:02x}:{:02x}:{:02x}", device >> 16 & 255, device >> 8 & 255, device & 255)
}

fn address(device: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, (device / 62_500) as u8, (device / 250 % 250) as u8, (1 + device % 250) as u8)
}

fn write_batches(file: File, schema: SchemaRef, batches: &Receiver<RecordBatch>) -> io::Result<()> {
    let level = ZstdLevel::try_new(1)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties))?;
    for batch in batches {
        writer.write(&batch)?;
    }
    writer.into_inner()?.sync_all()
}

/// The texts that repeat, once.
struct Table {
    schema: SchemaRef,
    devices: usize,
    macs: ArrayRef,
    addresses: ArrayRef,
    hosts: ArrayRef,
    protocols: ArrayRef,
    services: ArrayRef,
    states: ArrayRef,
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn dictionary(keys: Vec<i32>, values: &ArrayRef) -> io::Result<ArrayRef> {
    let array = DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values.clone());
    Ok(Arc::new(array.map_err(io::Error::other)?))
}

impl Table {
    fn new(devices: usize) -> Table {
        let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let column = |name: &str, data_type| Field::new(name, data_type, false);
        let schema = Schema::new(vec![
            column("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            column("orig_l2_addr", text()),
            column("id.orig_h", text()),
            column("id.orig_p", DataType::UInt16),
            column("id.resp_h", text()),
            column("id.resp_p", DataType::UInt16),
            column("proto", text()),
            column("service", text()),
            column("duration", DataType::Float64),
            column("orig_bytes", DataType::UInt64),
            column("resp_bytes", DataType::UInt64),
            column("orig_pkts", DataType::UInt32),
            column("resp_pkts", DataType::UInt32),
            column("conn_state", text()),
        ]);
        let host = |number: usize| {
            let kind = number / HOSTS_PER_TYPE;
            Ipv4Addr::new(52, 10 + kind as u8, (number * 37 % 250) as u8, 1 + (number % HOSTS_PER_TYPE) as u8)
                .to_string()
        };
        Table {
            schema: Arc::new(schema),
            devices,
            macs: texts((0..devices).map(mac)),
            addresses: texts((0..devices).map(|device| address(device).to_string())),
            hosts: texts((0..TYPES * HOSTS_PER_TYPE).map(host)),
            protocols: texts(PROTOCOLS.iter().map(|text| (*text).to_string())),
            services: texts(SERVICES.iter().map(|text| (*text).to_string())),
            states: texts(STATES.iter().map(|text| (*text).to_string())),
        }
    }

    /// Rows `first..first + count`, `spacing` microseconds apart on average.
    fn batch(&self, first: usize, count: usize, spacing: f64, random: &mut Random) -> io::Result<RecordBatch> {
        let mut times = Vec::with_capacity(count);
        let (mut devices, mut hosts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut own_ports, mut ports) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut protocols, mut services) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut durations, mut states) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut bytes_out, mut bytes_in) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut packets_out, mut packets_in) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for row in first..first + count {
            let bits = random.bits();
            let device = ((bits >> 40) as usize * self.devices) >> 24;
            // A device uses eight of its type's hosts, the first ones more often.
            let choice = (bits & 7).min(bits >> 3 & 7) as usize;
            let host = device % TYPES * HOSTS_PER_TYPE + (device / TYPES + choice * 5) % HOSTS_PER_TYPE;
            let (protocol, service, port, out, back, seconds) = CALLS[host % CALLS.len()];
            let factor = 0.6 + (bits >> 6 & 1023) as f64 / 1280.0;
            let failed = bits >> 16 & 255 == 0;
            let (out, back) = if failed { (0, 0) } else { ((out * factor) as u64, (back * factor) as u64) };
            times.push(START.0 + (row as f64 * spacing) as i64);
            devices.push(device as i32);
            hosts.push(host as i32);
            own_ports.push(32_768 + (bits >> 24 & 0x3fff) as u16);
            ports.push(port);
            protocols.push(protocol);
            services.push(service);
            durations.push(if failed { 0.0 } else { (seconds * factor * 1e6).round() / 1e6 });
            states.push(if failed { 1 + (bits >> 14 & 1) as i32 } else { 0 });
            bytes_out.push(out);
            bytes_in.push(back);
            packets_out.push(1 + (out / 1200) as u32);
            packets_in.push(if failed { 0 } else { 1 + (back / 1200) as u32 });
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            dictionary(devices.clone(), &self.macs)?,
            dictionary(devices, &self.addresses)?,
            Arc::new(UInt16Array::from(own_ports)),
            dictionary(hosts, &self.hosts)?,
            Arc::new(UInt16Array::from(ports)),
            dictionary(protocols, &self.protocols)?,
            dictionary(services, &self.services)?,
            Arc::new(Float64Array::from(durations)),
            Arc::new(UInt64Array::from(bytes_out)),
            Arc::new(UInt64Array::from(bytes_in)),
            Arc::new(UInt32Array::from(packets_out)),
            Arc::new(UInt32Array::from(packets_in)),
            dictionary(states, &self.states)?,
        ];
        RecordBatch::try_new(self.schema.clone(), columns).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::TimestampMicrosecondType;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn the_table_has_its_rows_in_order_of_time_and_devices_of_the_inventory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.parquet");
        let rows = ROWS_PER_BATCH + 1_000;
        write_flow_parquet(&path, rows, 40, 30, 1).unwrap();
        let inventory = flow_inventory_csv(40);
        let known: HashSet<&str> = inventory.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
        let (mut times, mut devices) = (Vec::new(), HashSet::new());
        for batch in reader {
            let batch = batch.unwrap();
            times.extend_from_slice(batch.column(0).as_primitive::<TimestampMicrosecondType>().values());
            let macs = batch.column(1).as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
            devices.extend(macs.into_iter().flatten().map(str::to_owned));
        }
        assert_eq!(times.len(), rows);
        assert!(times.is_sorted() && times[0] == START.0 && times[rows - 1] < START.0 + 30 * MINUTE);
        assert!(devices.len() == 40 && devices.iter().all(|mac| known.contains(mac.as_str())), "{devices:?}");
    }
}
