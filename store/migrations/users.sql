-- Users of a server that an administrator sets up; the compose file has its own (deploy/clickhouse/). Not a migration: run it
-- once, with `printf %s PASSWORD | sha256sum` in the place of the two hashes, so that no password is in a file or a query log.
CREATE SETTINGS PROFILE IF NOT EXISTS vedette_writer{on_cluster} SETTINGS
    -- `vedette` sends these itself; here they also hold for whoever else writes.
    async_insert = 0,
    deduplicate_blocks_in_dependent_materialized_views = 1,
    distributed_foreground_insert = 1,
    insert_quorum = 'auto';

CREATE USER IF NOT EXISTS vedette_writer{on_cluster} IDENTIFIED WITH sha256_hash BY '{writer_password_sha256}'
SETTINGS PROFILE 'vedette_writer';

GRANT{on_cluster} SELECT, INSERT, ALTER DELETE ON {database}.* TO vedette_writer;

GRANT{on_cluster} SYSTEM SYNC REPLICA ON {database}.* TO vedette_writer;

-- On a cluster, old memories are deleted, and replicas waited for, on all of its servers.
GRANT{on_cluster} CLUSTER ON *.* TO vedette_writer;

-- For `migrate = true`. Without these three an administrator runs `vedette migrate`.
GRANT{on_cluster} CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE ON {database}.* TO vedette_writer;

-- Whoever migrates gives the lock back, and can drop nothing else.
GRANT{on_cluster} DROP TABLE ON {database}.migrations_lock TO vedette_writer;

-- Whoever makes a Distributed table needs it. It reaches every table of every cluster that the server knows.
GRANT{on_cluster} REMOTE ON *.* TO vedette_writer;

-- Grafana sets limits of its own with each query, which `readonly = 1` would refuse; `2` refuses everything that writes.
CREATE SETTINGS PROFILE IF NOT EXISTS vedette_reader{on_cluster} SETTINGS
    readonly = 2,
    -- As SQL has it, and the embedded store: one question, one answer.
    join_use_nulls = 1,
    aggregate_functions_null_for_empty = 1,
    prefer_column_name_to_alias = 1,
    max_execution_time = 60 MAX 300,
    max_memory_usage = 4000000000 MAX 4000000000,
    max_threads = 4 MAX 8;

CREATE USER IF NOT EXISTS vedette_reader{on_cluster} IDENTIFIED WITH sha256_hash BY '{reader_password_sha256}'
SETTINGS PROFILE 'vedette_reader';

CREATE QUOTA IF NOT EXISTS vedette_reader{on_cluster} FOR INTERVAL 1 minute MAX queries = 1200, execution_time = 600
TO vedette_reader;

GRANT{on_cluster} SELECT ON {database}.* TO vedette_reader;

GRANT{on_cluster} SELECT ON system.parts TO vedette_reader;
