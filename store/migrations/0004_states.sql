-- Latest states. The greatest version of a row wins, whoever writes it and how often, so tokens would only do harm: with them
-- a state that comes back under an old name is dropped. Written as `<name>_state`, read as `<name>`.
--
-- An incident only grows, and closes when nothing more comes: so a write that was on its way while another process took over
-- never replaces what that one wrote. A device without a version is the newest when the server has it.
CREATE TABLE IF NOT EXISTS {database}.incidents_state{local}{on_cluster} (
    incident_id String CODEC(ZSTD(1)),
    scope LowCardinality(String) CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(3)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    severity LowCardinality(String) CODEC(ZSTD(1)),
    opened_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    closed_at Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    first_window DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    last_window DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    findings UInt32 CODEC(ZSTD(1)),
    version UInt64 DEFAULT 2 * toUInt64(findings) + isNotNull(closed_at) CODEC(Delta, ZSTD(1))
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY incident_id
TTL last_window + INTERVAL {ttl_findings_days} DAY
SETTINGS {no_tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.incidents_state{on_cluster} AS {database}.incidents_state{local}
ENGINE = Distributed('{cluster}', '{database}', 'incidents_state{local}', cityHash64(incident_id));

CREATE VIEW IF NOT EXISTS {database}.incidents{on_cluster} AS
SELECT incident_id, scope, device_id, device_type, kind, severity, opened_at, closed_at, first_window, last_window,
    findings
FROM {database}.incidents_state FINAL;

CREATE TABLE IF NOT EXISTS {database}.devices_state{local}{on_cluster} (
    device_id String CODEC(ZSTD(3)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    site LowCardinality(String) CODEC(ZSTD(1)),
    segment LowCardinality(String) CODEC(ZSTD(1)),
    owner LowCardinality(String) CODEC(ZSTD(1)),
    criticality LowCardinality(String) CODEC(ZSTD(1)),
    firmware LowCardinality(String) CODEC(ZSTD(1)),
    protocol LowCardinality(String) CODEC(ZSTD(1)),
    purpose LowCardinality(String) CODEC(ZSTD(1)),
    standing LowCardinality(String) CODEC(ZSTD(1)),
    first_seen Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    last_seen Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    version UInt64 DEFAULT toUnixTimestamp64Nano(now64(9, 'UTC')) CODEC(Delta, ZSTD(1))
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY device_id
SETTINGS {no_tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.devices_state{on_cluster} AS {database}.devices_state{local}
ENGINE = Distributed('{cluster}', '{database}', 'devices_state{local}', cityHash64(device_id));

CREATE VIEW IF NOT EXISTS {database}.devices{on_cluster} AS
SELECT device_id, device_type, site, segment, owner, criticality, firmware, protocol, purpose, standing, first_seen,
    last_seen
FROM {database}.devices_state FINAL;

-- What lanes and roles remember, in parts of a few MiB. Who writes deletes what is too old to be resumed from; the TTL is for
-- those who have left, and long: a lane that hears nothing for months begins again at what its last commit names. No partitions:
-- what is deleted takes room until its part is merged, and parts of days gone by would never be. `tick` is a lane's event time,
-- or another number that ascends.
CREATE TABLE IF NOT EXISTS {database}.lane_memory{local}{on_cluster} (
    who String CODEC(ZSTD(1)),
    tick Int64 CODEC(Delta, ZSTD(1)),
    part UInt32,
    parts UInt32,
    bytes String CODEC(ZSTD(1)),
    written DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = {engine:ReplacingMergeTree(written)}
ORDER BY (who, tick, part)
TTL written + INTERVAL {ttl_memory_days} DAY
SETTINGS {no_tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.lane_memory{on_cluster} AS {database}.lane_memory{local}
ENGINE = Distributed('{cluster}', '{database}', 'lane_memory{local}', cityHash64(who));
