-- Few rows a day, kept for long: a month is a partition. What belongs to one incident is on one shard.
CREATE TABLE IF NOT EXISTS {database}.findings{local}{on_cluster} (
    finding_id String CODEC(ZSTD(1)),
    incident_id String CODEC(ZSTD(1)),
    scope LowCardinality(String) CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(3)),
    devices String CODEC(ZSTD(1)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    severity LowCardinality(String) CODEC(ZSTD(1)),
    confidence LowCardinality(String) CODEC(ZSTD(1)),
    score Float64 CODEC(ZSTD(1)),
    line Float64 CODEC(ZSTD(1)),
    p_value Float64 CODEC(ZSTD(1)),
    detectors LowCardinality(String) CODEC(ZSTD(1)),
    technique LowCardinality(String) CODEC(ZSTD(1)),
    emitted_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    window_start DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    window_end DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    baseline_version UInt32 CODEC(ZSTD(1)),
    reasons String CODEC(ZSTD(1)),
    explanation String CODEC(ZSTD(1))
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMM(emitted_at)
ORDER BY (emitted_at, finding_id)
TTL emitted_at + INTERVAL {ttl_findings_days} DAY
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.findings{on_cluster} AS {database}.findings{local}
ENGINE = Distributed('{cluster}', '{database}', 'findings{local}', cityHash64(incident_id));

CREATE TABLE IF NOT EXISTS {database}.actions{local}{on_cluster} (
    action_id String CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    note LowCardinality(String) CODEC(ZSTD(1)),
    incident_id String CODEC(ZSTD(1)),
    finding_id String CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(3)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    level LowCardinality(String) CODEC(ZSTD(1)),
    mode LowCardinality(String) CODEC(ZSTD(1)),
    gateway LowCardinality(String) CODEC(ZSTD(1)),
    playbook LowCardinality(String) CODEC(ZSTD(1)),
    by LowCardinality(String) CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    decided_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    until Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMM(decided_at)
ORDER BY (decided_at, action_id, seq)
TTL decided_at + INTERVAL {ttl_findings_days} DAY
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.actions{on_cluster} AS {database}.actions{local}
ENGINE = Distributed('{cluster}', '{database}', 'actions{local}', cityHash64(incident_id));

CREATE TABLE IF NOT EXISTS {database}.verdicts{local}{on_cluster} (
    finding_id String CODEC(ZSTD(1)),
    verdict LowCardinality(String) CODEC(ZSTD(1)),
    author String CODEC(ZSTD(1)),
    given_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    note String CODEC(ZSTD(1))
)
ENGINE = {engine:MergeTree}
ORDER BY (given_at, finding_id, author)
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.verdicts{on_cluster} AS {database}.verdicts{local}
ENGINE = Distributed('{cluster}', '{database}', 'verdicts{local}', cityHash64(finding_id));

-- Kept for ever: old windows are explained by the version they were judged by.
CREATE TABLE IF NOT EXISTS {database}.baselines{local}{on_cluster} (
    version UInt32 CODEC(ZSTD(1)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    segment LowCardinality(String) CODEC(ZSTD(1)),
    from_time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    confidence LowCardinality(String) CODEC(ZSTD(1)),
    devices UInt32 CODEC(ZSTD(1)),
    windows UInt64 CODEC(T64, ZSTD(1)),
    days UInt32 CODEC(ZSTD(1)),
    body String CODEC(ZSTD(1))
)
ENGINE = {engine:MergeTree}
ORDER BY (version, device_type, segment)
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.baselines{on_cluster} AS {database}.baselines{local}
ENGINE = Distributed('{cluster}', '{database}', 'baselines{local}', cityHash64(device_type));

-- No partitions: a token holds within a partition, and a record may be rejected again after midnight.
CREATE TABLE IF NOT EXISTS {database}.rejected{local}{on_cluster} (
    file LowCardinality(String) CODEC(ZSTD(1)),
    source UInt32 CODEC(ZSTD(1)),
    offset UInt64 CODEC(T64, ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(1)),
    sample String CODEC(ZSTD(1)),
    -- Not among the columns of `SELECT *`: a record that cannot be read has no event time.
    received_at DateTime64(6, 'UTC') MATERIALIZED now64(6, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {engine:MergeTree}
ORDER BY (reason, file, offset)
TTL received_at + INTERVAL {ttl_rejected_days} DAY
SETTINGS {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.rejected{on_cluster} AS {database}.rejected{local}
ENGINE = Distributed('{cluster}', '{database}', 'rejected{local}', cityHash64(file, offset));
