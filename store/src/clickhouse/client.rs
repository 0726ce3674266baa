//! One server's HTTP interface. Every setting that results depend on is sent with every request: servers' defaults differ,
//! and change between versions.

use std::sync::OnceLock;
use std::time::Duration;

use clickhouse::Client;
use clickhouse::query::Query;

use super::config::ClickHouseConfig;
use super::form::Form;
use crate::error::Error;

/// Answered within, or asked again.
const CONNECT: Duration = Duration::from_secs(10);

/// Codes of what passes by itself: overload, memory, disk, replicas, timeouts, too many parts.
const PASSING: [u32; 22] =
    [159, 160, 199, 201, 202, 203, 209, 210, 225, 241, 242, 243, 244, 252, 254, 285, 286, 290, 319, 364, 439, 999];

pub(super) struct Server {
    runtime: tokio::runtime::Runtime,
    client: Client,
    timeout: Duration,
    /// Whether the server has the setting that supersedes `insert_deduplicate`; an older one would refuse it.
    has_newer_deduplication: OnceLock<bool>,
    pub(super) url: String,
}

impl Server {
    /// Nothing is asked yet.
    pub(super) fn new(config: &ClickHouseConfig) -> Result<Server, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("clickhouse")
            .enable_all()
            .build()
            .map_err(|error| Error::Engine(error.to_string()))?;
        let mut client = Client::default()
            .with_url(&config.url)
            .with_user(if config.user.is_empty() { "default" } else { &config.user })
            .with_product_info("vedette", env!("CARGO_PKG_VERSION"));
        if let Some(password) = config.password()? {
            client = client.with_password(password);
        }
        // Of nothing but our own inserts may the content decide; and no insert is answered before it is stored.
        for (setting, value) in [
            ("async_insert", "0"),
            ("wait_for_async_insert", "1"),
            ("deduplicate_blocks_in_dependent_materialized_views", "1"),
            ("insert_deduplicate", "1"),
            ("max_partitions_per_insert_block", "0"),
            ("max_insert_threads", "1"),
            ("max_insert_block_size", "1048576"),
            ("min_insert_block_size_rows", "1048576"),
            ("min_insert_block_size_bytes", "1073741824"),
            ("input_format_with_types_use_header", "1"),
            ("materialized_views_ignore_errors", "0"),
            // Of a cluster: an insert is answered when the shard has it, and half an answer is none.
            ("distributed_foreground_insert", "1"),
            ("insert_quorum_parallel", "1"),
            // Lists of device ids are long.
            ("max_query_size", "4194304"),
            ("max_ast_elements", "1000000"),
            ("max_expanded_ast_elements", "1000000"),
            ("select_sequential_consistency", "0"),
            ("skip_unavailable_shards", "0"),
            // Old memories go when it suits the server: a replica that is away is not waited for.
            ("lightweight_deletes_sync", "0"),
        ] {
            client = client.with_setting(setting, value);
        }
        let timeout = Duration::from_secs(config.timeout_seconds());
        // A cluster's servers have answered, or not, before we give up.
        client = client.with_setting("distributed_ddl_task_timeout", (config.timeout_seconds() * 3 / 4).to_string());
        Ok(Server { runtime, client, timeout, has_newer_deduplication: OnceLock::new(), url: config.url.clone() })
    }

    /// Statements: they are done to their end, also when nobody waits for them any more.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Error> {
        self.run(|query| async move { query.execute().await }, sql)
    }

    /// All rows of a question, in a format of ClickHouse's. The server gives up when we do: it would answer nobody, and be
    /// asked again meanwhile.
    pub(super) fn fetch(&self, sql: &str, format: &str) -> Result<Vec<u8>, Error> {
        let (format, seconds) = (format.to_owned(), self.timeout.as_secs().to_string());
        self.run(
            |query| async move {
                let query = query
                    .with_setting("cancel_http_readonly_queries_on_client_close", "1")
                    .with_setting("max_execution_time", seconds)
                    .with_setting("timeout_overflow_mode", "throw");
                let mut cursor = query.fetch_bytes(format)?;
                Ok(cursor.collect().await?.to_vec())
            },
            sql,
        )
    }

    /// On a cluster a question may be answered by a replica that is behind. One that cannot be reached holds nobody up: who
    /// asks knows what must be there.
    pub(super) fn catch_up(&self, form: &Form, table: &str) -> Result<(), Error> {
        match form.catch_up(table).map_or(Ok(()), |sql| self.execute(&sql)) {
            Err(error) if error.retry() => Ok(()),
            done => done,
        }
    }

    fn run<T, F>(&self, ask: impl FnOnce(Query) -> F, sql: &str) -> Result<T, Error>
    where
        F: Future<Output = Result<T, clickhouse::error::Error>>,
    {
        // Raw: a `?` in a text is a `?`.
        let query = self.client.query_raw(sql);
        let asked = async { tokio::time::timeout(self.timeout, ask(query)).await };
        match self.runtime.block_on(asked) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.unanswered()),
        }
    }

    /// Rows as RowBinary, under a token: sent again they leave one copy.
    pub(super) fn insert(&self, sql: &str, token: &str, rows: Vec<u8>) -> Result<(), Error> {
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_setting("insert_deduplication_token", token)
            .with_setting("wait_end_of_query", "1")
            .with_timeouts(Some(CONNECT.max(self.timeout)), Some(self.timeout));
        if self.has_newer_deduplication()? {
            insert = insert.with_setting("deduplicate_insert", "enable");
        }
        let sent = async {
            insert.send(rows.into()).await?;
            insert.end().await
        };
        self.runtime.block_on(sent).map_err(|error| self.failed(&error))
    }

    fn has_newer_deduplication(&self) -> Result<bool, Error> {
        if let Some(known) = self.has_newer_deduplication.get() {
            return Ok(*known);
        }
        let found = self.fetch("SELECT 1 FROM system.settings WHERE name = 'deduplicate_insert'", "RowBinary")?;
        Ok(*self.has_newer_deduplication.get_or_init(|| !found.is_empty()))
    }

    fn unanswered(&self) -> Error {
        let problem = format!("no answer within {} s", self.timeout.as_secs());
        Error::ClickHouse { url: self.url.clone(), problem, retry: true }
    }

    fn failed(&self, error: &clickhouse::error::Error) -> Error {
        use clickhouse::error::Error as Theirs;
        let (problem, retry) = match error {
            Theirs::BadResponse(text) => {
                let text = text.trim();
                // A front that is not the server itself (a proxy, a start page) answers without a code.
                (first_line(text), code(text).is_none_or(|code| PASSING.contains(&code)))
            }
            Theirs::Network(cause) => (format!("{error}: {}", causes(cause.as_ref())), true),
            Theirs::TimedOut => (format!("no answer within {} s", self.timeout.as_secs()), true),
            other => (other.to_string(), false),
        };
        Error::ClickHouse { url: self.url.clone(), problem, retry }
    }
}

/// The server's own words without the stack and version behind them.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(600).collect()
}

/// `Code: 252. DB::Exception: ...`
fn code(text: &str) -> Option<u32> {
    let after = text.split_once("Code: ")?.1;
    after.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        next = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_code_is_found_in_its_words() {
        assert_eq!(code("Code: 252. DB::Exception: Too many parts (300)"), Some(252));
        assert_eq!(code("<html>502 Bad Gateway</html>"), None);
        assert!(PASSING.contains(&243) && !PASSING.contains(&60));
    }
}
