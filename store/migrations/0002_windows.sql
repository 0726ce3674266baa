-- What lanes write by the hundred thousand: a day is a partition, and goes as a whole. Sorted for a device's timeline and a
-- type's comparison, which is also how rows compress best: some 10 bytes a window. Codecs were measured on simulated fleets:
-- Gorilla doubles these floats, Delta saves on times and offsets, T64 on bytes.
CREATE TABLE IF NOT EXISTS {database}.windows{local}{on_cluster} (
    device_id String CODEC(ZSTD(3)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    segment LowCardinality(String) CODEC(ZSTD(1)),
    site LowCardinality(String) CODEC(ZSTD(1)),
    window_start DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    window_end DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    messages Float32 CODEC(ZSTD(1)),
    messages_received Float32 CODEC(ZSTD(1)),
    payload_mean Float32 CODEC(ZSTD(1)),
    payload_p95 Float32 CODEC(ZSTD(1)),
    payload_max Float32 CODEC(ZSTD(1)),
    bytes_out Float32 CODEC(ZSTD(1)),
    bytes_in Float32 CODEC(ZSTD(1)),
    packets_out Float32 CODEC(ZSTD(1)),
    packets_in Float32 CODEC(ZSTD(1)),
    flows Float32 CODEC(ZSTD(1)),
    destinations Float32 CODEC(ZSTD(1)),
    ports Float32 CODEC(ZSTD(1)),
    failed_share Float32 CODEC(ZSTD(1)),
    failed_flows Float32 CODEC(ZSTD(1)),
    internal_fan_out Float32 CODEC(ZSTD(1)),
    device_bytes Float32 CODEC(ZSTD(1)),
    inbound_external Float32 CODEC(ZSTD(1)),
    cleartext_share Float32 CODEC(ZSTD(1)),
    sign_in_failures Float32 CODEC(ZSTD(1)),
    sign_ins Float32 CODEC(ZSTD(1)),
    authorisation_refusals Float32 CODEC(ZSTD(1)),
    connects Float32 CODEC(ZSTD(1)),
    disconnects Float32 CODEC(ZSTD(1)),
    topics Float32 CODEC(ZSTD(1)),
    commands Float32 CODEC(ZSTD(1)),
    interval_mean Float32 CODEC(ZSTD(1)),
    interval_variation Float32 CODEC(ZSTD(1)),
    up_down_ratio Float32 CODEC(ZSTD(1)),
    seconds_since_heard Float32 CODEC(ZSTD(1)),
    value_mean Float32 CODEC(ZSTD(1)),
    value_spread Float32 CODEC(ZSTD(1)),
    source_addresses Float32 CODEC(ZSTD(1)),
    records UInt32 CODEC(ZSTD(1)),
    first_source UInt32 CODEC(ZSTD(1)),
    first_offset UInt64 CODEC(Delta, ZSTD(1)),
    last_source UInt32 CODEC(ZSTD(1)),
    last_offset UInt64 CODEC(Delta, ZSTD(1)),
    malicious UInt32 CODEC(ZSTD(1)),
    details Nullable(String) CODEC(ZSTD(1)),
    score Float32 CODEC(ZSTD(1)),
    p_value Float32 CODEC(ZSTD(1)),
    evidence Float32 CODEC(ZSTD(1)),
    line Float32 CODEC(ZSTD(1))
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMMDD(window_start)
ORDER BY (device_type, device_id, window_start)
TTL window_start + INTERVAL {ttl_windows_days} DAY
SETTINGS ttl_only_drop_parts = 1, {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.windows{on_cluster} AS {database}.windows{local}
ENGINE = Distributed('{cluster}', '{database}', 'windows{local}', cityHash64(device_id));

CREATE TABLE IF NOT EXISTS {database}.contacts{local}{on_cluster} (
    device_id String CODEC(ZSTD(3)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    window_start DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    window_end DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ordinal UInt16 CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    destination LowCardinality(String) CODEC(ZSTD(1)),
    port UInt16 CODEC(ZSTD(1)),
    protocol LowCardinality(String) CODEC(ZSTD(1)),
    direction LowCardinality(String) CODEC(ZSTD(1)),
    peer_device_id Nullable(String) CODEC(ZSTD(3)),
    flows UInt32 CODEC(ZSTD(1)),
    refused UInt32 CODEC(ZSTD(1)),
    bytes_out UInt64 CODEC(T64, ZSTD(1)),
    bytes_in UInt64 CODEC(T64, ZSTD(1)),
    packets_out UInt32 CODEC(ZSTD(1)),
    packets_in UInt32 CODEC(ZSTD(1)),
    duration Float32 CODEC(ZSTD(1)),
    first_source UInt32 CODEC(ZSTD(1)),
    first_offset UInt64 CODEC(Delta, ZSTD(1)),
    last_source UInt32 CODEC(ZSTD(1)),
    last_offset UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMMDD(window_start)
ORDER BY (device_type, device_id, window_start, ordinal)
TTL window_start + INTERVAL {ttl_contacts_days} DAY
SETTINGS ttl_only_drop_parts = 1, {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.contacts{on_cluster} AS {database}.contacts{local}
ENGINE = Distributed('{cluster}', '{database}', 'contacts{local}', cityHash64(device_id));

CREATE TABLE IF NOT EXISTS {database}.evidence{local}{on_cluster} (
    device_id String CODEC(ZSTD(3)),
    device_type LowCardinality(String) CODEC(ZSTD(1)),
    window_start DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    window_end DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    detector LowCardinality(String) CODEC(ZSTD(1)),
    subject String CODEC(ZSTD(1)),
    observed String CODEC(ZSTD(1)),
    expected_type Nullable(String) CODEC(ZSTD(1)),
    expected_device Nullable(String) CODEC(ZSTD(1)),
    peers_now Nullable(String) CODEC(ZSTD(1)),
    technique LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    evidence Float64 CODEC(ZSTD(1)),
    total Float64 CODEC(ZSTD(1)),
    line Float64 CODEC(ZSTD(1)),
    first_source Nullable(UInt32) CODEC(ZSTD(1)),
    first_offset Nullable(UInt64) CODEC(Delta, ZSTD(1)),
    last_source Nullable(UInt32) CODEC(ZSTD(1)),
    last_offset Nullable(UInt64) CODEC(Delta, ZSTD(1))
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMMDD(window_start)
ORDER BY (device_type, device_id, window_start, detector, subject)
TTL window_start + INTERVAL {ttl_evidence_days} DAY
SETTINGS ttl_only_drop_parts = 1, {tokens};

-- cluster:
CREATE TABLE IF NOT EXISTS {database}.evidence{on_cluster} AS {database}.evidence{local}
ENGINE = Distributed('{cluster}', '{database}', 'evidence{local}', cityHash64(device_id));
