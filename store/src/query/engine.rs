//! DataFusion over lists of files: a session, its runtime, and the tables registered in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::SortExpr;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext, ident};
use tokio::runtime::{Builder, Runtime};

use super::explain::{Names, explain};
use crate::config::Config;
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;

const FILE_ENDING: &str = ".parquet";

pub(crate) struct Engine {
    context: SessionContext,
    runtime: Runtime,
}

impl Engine {
    pub(crate) fn new(config: &Config) -> Result<Engine, Error> {
        let environment = RuntimeEnvBuilder::new()
            .with_memory_limit(config.memory_mib << 20, 1.0)
            .build_arc()
            .map_err(|error| Error::Engine(error.strip_backtrace()))?;
        let context = SessionContext::new_with_config_rt(session_config(), environment);
        // Decoding happens on the runtime's own threads; they live as long as this.
        let runtime =
            Builder::new_multi_thread().enable_all().build().map_err(|error| Error::Engine(error.to_string()))?;
        Ok(Engine { context, runtime })
    }

    pub(crate) fn register(&self, table: Table, files: &[PathBuf]) -> Result<(), Error> {
        let provider = provider(table, files)?;
        self.context.register_table(table.name(), provider).map_err(|error| Error::Engine(error.strip_backtrace()))?;
        Ok(())
    }

    /// Hands over the answer batch by batch; returns its schema.
    pub(crate) fn select(
        &self,
        sql: &str,
        names: &Names,
        take: impl FnMut(RecordBatch) -> Result<(), Error>,
    ) -> Result<SchemaRef, Error> {
        let questions_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        self.runtime.block_on(async {
            let explained = |error: &DataFusionError| Error::Sql(explain("query", error, sql, names));
            let frame = self.context.sql_with_options(sql, questions_only).await.map_err(|error| explained(&error))?;
            let stream = frame.execute_stream().await.map_err(|error| explained(&error))?;
            drain(stream, take).await
        })
    }

    /// All rows of `files` in the table's order.
    pub(crate) fn sorted(
        &self,
        table: Table,
        files: &[PathBuf],
        mut take: impl FnMut(&RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let provider = provider(table, files)?;
        let order: Vec<SortExpr> = table.order().iter().map(|column| ident(*column).sort(true, false)).collect();
        self.runtime.block_on(async {
            let frame = self.context.read_table(provider).and_then(|frame| frame.sort(order));
            let frame = frame.map_err(|error| Error::running(&error))?;
            let stream = frame.execute_stream().await.map_err(|error| Error::running(&error))?;
            drain(stream, |batch| take(&batch)).await
        })?;
        Ok(())
    }
}

/// Spans are what places the caret under a mistake.
pub(crate) fn session_config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true);
    config.options_mut().sql_parser.collect_spans = true;
    config
}

async fn drain(
    stream: SendableRecordBatchStream,
    mut take: impl FnMut(RecordBatch) -> Result<(), Error>,
) -> Result<SchemaRef, Error> {
    let schema = stream.schema();
    let mut stream = stream;
    while let Some(batch) = next(&mut stream).await {
        take(batch.map_err(|error| Error::running(&error))?)?;
    }
    Ok(schema)
}

/// One item of the stream, without a crate for it.
async fn next(stream: &mut SendableRecordBatchStream) -> Option<Result<RecordBatch, DataFusionError>> {
    std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
}

fn provider(table: Table, files: &[PathBuf]) -> Result<Arc<dyn TableProvider>, Error> {
    let schema = table.schema(TextLayout::View);
    if files.is_empty() {
        return Ok(Arc::new(EmptyTable::new(schema)));
    }
    let failed = |error: DataFusionError| Error::Engine(error.strip_backtrace());
    let mut urls = Vec::with_capacity(files.len());
    for file in files {
        urls.push(ListingTableUrl::parse(file_url(file)?).map_err(failed)?);
    }
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(FILE_ENDING);
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config).map_err(failed)?))
}

/// A `file:` URL (RFC 8089). As plain paths, names with `*`, `?` or `[` would be taken for patterns.
fn file_url(path: &Path) -> Result<String, Error> {
    let path = std::path::absolute(path).map_err(Error::read(path))?;
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            url.push(*byte as char);
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_name_becomes_a_url() {
        assert_eq!(file_url(Path::new("/a b/[x]*/ü.parquet")).unwrap(), "file:///a%20b/%5Bx%5D%2A/%C3%BC.parquet");
    }
}
