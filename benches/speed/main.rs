//! How fast, and in how much memory: the released binary on real files, beside DataFusion on the same ones.
//!
//! ```text
//! cargo run --release --example speed -- fleet ../shared/data/fleet     readings/s, end to end, two lanes
//! cargo run --release --example speed -- parquet [ROWS]                 the whole pipeline over DataFusion's group by
//! cargo run --release --example speed -- memory [DEVICES]               bytes per idle and per active device
//! ```
//!
//! Machines are noisy: what is compared runs in turns (A B A B), and the ratio of the medians is what counts.

mod memory;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use datafusion::prelude::{ParquetReadOptions, SessionContext};
use datasets::simulate::parquet_bench::write_flow_parquet;

const ROUNDS: usize = 5;
const DEVICES: usize = 2_000;
const MINUTES: usize = 500;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fleet", folder] => fleet(Path::new(folder)),
        ["parquet"] => parquet(10_000_000),
        ["parquet", rows] => parquet(rows.parse()?),
        ["memory"] => memory::run(1_000_000),
        ["memory", devices] => memory::run(devices.parse()?),
        _ => Err("expected `fleet DIR`, `parquet [ROWS]` or `memory [DEVICES]`".into()),
    }
}

/// The released binary, which stands beside the folder this example was built into.
fn vedette() -> Result<PathBuf, Failure> {
    let example = std::env::current_exe()?;
    let binary = example.ancestors().nth(2).ok_or("the example has no folder")?.join("vedette");
    if binary.exists() { Ok(binary) } else { Err("build the binary first: cargo build --release".into()) }
}

struct Replayed {
    seconds: f64,
    readings: f64,
}

fn replay(dataset: &Path, data: &Path, out: &Path) -> Result<Replayed, Failure> {
    let output = Command::new(vedette()?)
        .args(["replay", "--quiet", "--lanes", "2", "--out"])
        .arg(out)
        .arg("--path")
        .arg(data)
        .arg(dataset)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let card: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("scorecard.json"))?)?;
    let number = |name: &str| card[name].as_f64().ok_or_else(|| format!("the score card has no `{name}`"));
    Ok(Replayed { seconds: number("seconds")?, readings: number("readings")? })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn fleet(data: &Path) -> Result<(), Failure> {
    let scratch = tempfile::tempdir()?;
    let here = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("start it with `cargo run`")?;
    let dataset = Path::new(&here).join("datasets/fleet.toml");
    let mut rates = Vec::new();
    println!("round,readings,seconds,readings_per_second");
    for round in 1..=ROUNDS {
        // A new folder each: starting over has an earlier replay's files to remove.
        let run = replay(&dataset, data, &scratch.path().join(format!("out-{round}")))?;
        println!("{round},{},{:.3},{:.0}", run.readings, run.seconds, run.readings / run.seconds);
        rates.push(run.readings / run.seconds);
    }
    println!("median readings/s: {:.0}", median(rates));
    Ok(())
}

/// One file, two programs: DataFusion groups it by device and minute; Vedette decodes, resolves, windows, learns, judges
/// and stores it.
fn parquet(rows: usize) -> Result<(), Failure> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("flows.parquet");
    eprintln!("writing {rows} flows of {DEVICES} devices over {MINUTES} minutes");
    write_flow_parquet(&file, rows, DEVICES, MINUTES, 7)?;
    let dataset = scratch.path().join("bench.toml");
    std::fs::write(&dataset, include_str!("flows.toml"))?;
    write_inventory(&scratch.path().join("devices.csv"), &file)?;
    let (mut grouped, mut replayed) = (Vec::new(), Vec::new());
    println!("round,datafusion_seconds,vedette_seconds,ratio");
    for round in 1..=ROUNDS {
        let a = group_by(&file)?;
        let b = replay(&dataset, scratch.path(), &scratch.path().join(format!("out-{round}")))?.seconds;
        println!("{round},{a:.3},{b:.3},{:.3}", a / b);
        grouped.push(a);
        replayed.push(b);
    }
    let (a, b) = (median(grouped), median(replayed));
    println!(
        "rows/s: DataFusion {:.0}, Vedette {:.0}; ratio of medians {:.3}",
        rows as f64 / a,
        rows as f64 / b,
        a / b
    );
    Ok(())
}

const GROUP_BY: &str = "select orig_l2_addr, date_bin(interval '1 minute', ts) as minute, count(*), sum(orig_bytes), \
                        sum(resp_bytes) from flows group by 1, 2";

fn group_by(file: &Path) -> Result<f64, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let session = SessionContext::new();
        let path = file.to_str().ok_or("the path is not UTF-8")?;
        session.register_parquet("flows", path, ParquetReadOptions::default()).await?;
        let begun = Instant::now();
        let groups: usize = session.sql(GROUP_BY).await?.collect().await?.iter().map(|batch| batch.num_rows()).sum();
        let seconds = begun.elapsed().as_secs_f64();
        if groups < DEVICES {
            Err(format!("{groups} groups: the file is not what it should be").into())
        } else {
            Ok(seconds)
        }
    })
}

/// Every device of the file, ten types.
fn write_inventory(inventory: &Path, file: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let batches = runtime.block_on(async {
        let session = SessionContext::new();
        let path = file.to_str().ok_or("the path is not UTF-8")?;
        session.register_parquet("flows", path, ParquetReadOptions::default()).await?;
        let sql = "select distinct cast(orig_l2_addr as varchar) from flows order by 1";
        Ok::<_, Failure>(session.sql(sql).await?.collect().await?)
    })?;
    let mut text = String::from("device_id,device_type,mac\n");
    let mut number = 0;
    for batch in &batches {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        let macs: &arrow::array::StringArray = column.as_any().downcast_ref().ok_or("the MACs are no text")?;
        for mac in macs.iter().flatten() {
            text.push_str(&format!("device-{number},type-{},{mac}\n", number % 10));
            number += 1;
        }
    }
    Ok(std::fs::write(inventory, text)?)
}
