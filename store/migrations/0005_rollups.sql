-- Roll-ups that outlive what they are made of. Parts are summed when they are merged, so always ask with the aggregate:
-- `SELECT hour, sum(bytes_out) FROM windows_1h GROUP BY hour`. Views stand at the local tables, where the rows are.
CREATE TABLE IF NOT EXISTS {database}.windows_1h{local}{on_cluster} (
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(3)),
    hour DateTime('UTC') CODEC(Delta, ZSTD(1)),
    windows SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    readings SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    messages SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    bytes_out SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    bytes_in SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    max_score SimpleAggregateFunction(max, Float32) CODEC(ZSTD(1)),
    max_evidence SimpleAggregateFunction(max, Float32) CODEC(ZSTD(1))
)
ENGINE = {engine:AggregatingMergeTree}
PARTITION BY toYYYYMM(hour)
ORDER BY (device_type, device_id, hour)
TTL hour + INTERVAL {ttl_rollups_days} DAY
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.windows_1h{on_cluster} AS {database}.windows_1h{local}
ENGINE = Distributed('{cluster}', '{database}', 'windows_1h{local}');

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.windows_to_windows_1h{on_cluster}
TO {database}.windows_1h{local} AS
SELECT
    device_type, device_id, toStartOfHour(window_start) AS hour, count() AS windows, sum(windows.records) AS readings,
    sum(toFloat64(windows.messages)) AS messages, sum(toFloat64(windows.bytes_out)) AS bytes_out,
    sum(toFloat64(windows.bytes_in)) AS bytes_in, max(score) AS max_score, max(evidence) AS max_evidence
FROM {database}.windows{local} AS windows
GROUP BY device_type, device_id, hour;

CREATE TABLE IF NOT EXISTS {database}.findings_1d{local}{on_cluster} (
    day Date CODEC(Delta, ZSTD(1)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    severity LowCardinality(String) CODEC(ZSTD(1)),
    findings SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = {engine:AggregatingMergeTree}
ORDER BY (day, device_type, kind, severity)
TTL day + INTERVAL {ttl_rollups_days} DAY
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.findings_1d{on_cluster} AS {database}.findings_1d{local}
ENGINE = Distributed('{cluster}', '{database}', 'findings_1d{local}');

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.findings_to_findings_1d{on_cluster}
TO {database}.findings_1d{local} AS
SELECT toDate(emitted_at) AS day, device_type, kind, severity, count() AS findings
FROM {database}.findings{local}
GROUP BY day, device_type, kind, severity;

-- Kept for ever: what was ever talked to is few, and new means new.
CREATE TABLE IF NOT EXISTS {database}.destinations_first_seen{local}{on_cluster} (
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    destination LowCardinality(String) CODEC(ZSTD(1)),
    direction LowCardinality(String) CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = {engine:AggregatingMergeTree}
ORDER BY (device_type, service, destination, direction)
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.destinations_first_seen{on_cluster} AS {database}.destinations_first_seen{local}
ENGINE = Distributed('{cluster}', '{database}', 'destinations_first_seen{local}');

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.contacts_to_destinations_first_seen{on_cluster}
TO {database}.destinations_first_seen{local} AS
SELECT
    device_type, service, destination, direction, min(window_start) AS first_seen, max(window_end) AS last_seen
FROM {database}.contacts{local}
GROUP BY device_type, service, destination, direction;
