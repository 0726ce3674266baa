//! `query`: SQL over a store's tables, to standard output.

use std::io::Write;

use clap::Args;
use store::{Format, ParquetStore};

use crate::cli::StoreArg;

#[derive(Args)]
pub struct QueryArgs {
    /// A question, as "select device_type, count(*) from findings group by 1"; tables and columns are in docs/tables.md
    #[arg(value_name = "SQL")]
    sql: String,
    #[command(flatten)]
    store: StoreArg,
    /// table, csv or json
    #[arg(long, default_value = "table")]
    format: Format,
}

pub fn query(args: &QueryArgs) -> anyhow::Result<()> {
    let store = ParquetStore::open(&args.store.store)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    store.query_to(&args.sql, args.format, &mut out)?;
    out.flush()?;
    Ok(())
}
