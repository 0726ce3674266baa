//! What is said otherwise to a cluster: there a table is `<name>_local` on each server, behind a Distributed one of the plain
//! name, and whatever changes tables goes to all servers.

use super::config::ClickHouseConfig;
use super::memory::quoted;

#[derive(Clone, Debug)]
pub struct Form {
    database: String,
    /// Empty: one server.
    cluster: String,
}

impl Form {
    pub fn of(config: &ClickHouseConfig) -> Form {
        Form { database: config.database().to_owned(), cluster: config.cluster.clone() }
    }

    pub fn is_cluster(&self) -> bool {
        !self.cluster.is_empty()
    }

    pub(super) fn on_cluster(&self) -> String {
        if self.is_cluster() { format!(" ON CLUSTER '{}'", self.cluster) } else { String::new() }
    }

    /// End of the names of tables that hold rows.
    pub(super) fn local(&self) -> &'static str {
        if self.is_cluster() { "_local" } else { "" }
    }

    /// Memories of `who` up to and with `tick` go. A Distributed table knows no `DELETE`.
    pub fn forget(&self, who: &str, tick: i64) -> String {
        format!(
            "DELETE FROM {}.lane_memory{}{} WHERE who = {} AND tick <= {tick}",
            self.database,
            self.local(),
            self.on_cluster(),
            quoted(who)
        )
    }

    /// What another replica took is fetched before it is asked for; `None`: there are no replicas.
    pub fn catch_up(&self, table: &str) -> Option<String> {
        let (on_cluster, database) = (self.on_cluster(), &self.database);
        self.is_cluster().then(|| format!("SYSTEM SYNC REPLICA{on_cluster} {database}.{table}_local LIGHTWEIGHT"))
    }

    pub fn make_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {}{}", self.database, self.on_cluster())
    }

    /// Statements for a cluster are queued in one order for all its servers, so here too only one can make the table.
    pub fn take_lock(&self, comment: &str) -> String {
        let ((database, table), on_cluster) = (self.lock(), self.on_cluster());
        format!(
            "CREATE TABLE {database}.{table}{on_cluster} (taken UInt8) ENGINE = MergeTree ORDER BY taken COMMENT {}",
            quoted(comment)
        )
    }

    pub fn give_lock_back(&self) -> String {
        let ((database, table), on_cluster) = (self.lock(), self.on_cluster());
        format!("DROP TABLE IF EXISTS {database}.{table}{on_cluster} SYNC")
    }

    /// Database and table.
    pub(super) fn lock(&self) -> (&str, &'static str) {
        (self.database.as_str(), "migrations_lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_told_where_rows_are() {
        let mut config = ClickHouseConfig::default();
        let one = Form::of(&config);
        assert_eq!(one.forget("a/0", 7), "DELETE FROM vedette.lane_memory WHERE who = 'a/0' AND tick <= 7");
        assert_eq!(one.catch_up("lane_memory"), None);
        config.cluster = "main".to_owned();
        let many = Form::of(&config);
        assert!(
            many.forget("it's", 7)
                .starts_with("DELETE FROM vedette.lane_memory_local ON CLUSTER 'main' WHERE who = 'it\\'s'")
        );
        assert!(many.catch_up("lane_memory").unwrap().contains("ON CLUSTER 'main' vedette.lane_memory_local"));
        for sql in [many.make_database(), many.take_lock("it's ours"), many.give_lock_back()] {
            assert!(sql.contains("ON CLUSTER 'main'"), "{sql}");
        }
    }
}
