-- Before all others, each time: it makes the table that remembers which files were applied.
CREATE DATABASE IF NOT EXISTS {database}{on_cluster};

CREATE TABLE IF NOT EXISTS {database}.migrations{local}{on_cluster} (
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = {engine:ReplacingMergeTree(applied_at)}
ORDER BY number
SETTINGS {no_tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.migrations{on_cluster} AS {database}.migrations{local}
ENGINE = Distributed('{cluster}', '{database}', 'migrations{local}', cityHash64(number));
