//! Every metric of the service, by name; `docs/metrics.md` has the same table, and a test holds the two together.

pub mod responding;

use std::sync::OnceLock;

use fleet::FindingKind;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};

use crate::config::Config;
use crate::live::status::Status;

pub const RECORDS: &str = "vedette_records";
pub const READINGS: &str = "vedette_readings";
pub const REJECTED: &str = "vedette_rejected";
pub const UNATTRIBUTED: &str = "vedette_unattributed";
pub const UNKNOWN_DEVICES: &str = "vedette_unknown_devices";
pub const RETENTION_LOST: &str = "vedette_retention_lost";
pub const LANE_LAG: &str = "vedette_lane_lag";
pub const LANE_CLOSED: &str = "vedette_lane_closed_through";
pub const LANE_PAUSED: &str = "vedette_lane_paused";
pub const LATE: &str = "vedette_late";
pub const DUPLICATES: &str = "vedette_duplicates";
pub const FORCED: &str = "vedette_forced";
pub const FORGOTTEN: &str = "vedette_forgotten";
pub const STEPS: &str = "vedette_steps";
pub const WINDOWS: &str = "vedette_windows";
pub const STEP_SECONDS: &str = "vedette_step";
pub const END_TO_END: &str = "vedette_end_to_end";
pub const STORE_UP: &str = "vedette_store_up";
pub const STORE_RETRIES: &str = "vedette_store_retries";
pub const FINDINGS: &str = "vedette_findings";
pub const BASELINE_IN_FORCE: &str = "vedette_baseline_in_force";
pub const BASELINES_LEARNED: &str = "vedette_baselines_learned";
pub const TRAINING_SECONDS: &str = "vedette_training";

/// Settings that bound what is remembered: values of the label `limit`.
pub const EPISODES: &str = "max_episodes_per_device";
pub const DESTINATIONS: &str = "max_destinations";

/// Seconds.
const DELAYS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

pub struct Metrics {
    pub records: Counter<u64>,
    pub readings: Counter<u64>,
    pub rejected: Counter<u64>,
    pub unattributed: Counter<u64>,
    pub unknown_devices: Counter<u64>,
    pub retention_lost: Counter<u64>,
    pub late: Counter<u64>,
    pub duplicates: Counter<u64>,
    pub forced: Counter<u64>,
    pub forgotten: Counter<u64>,
    pub steps: Counter<u64>,
    pub windows: Counter<u64>,
    pub step_seconds: Histogram<f64>,
    pub end_to_end: Histogram<f64>,
    pub store_retries: Counter<u64>,
    pub findings: Counter<u64>,
    pub baseline_in_force: Gauge<u64>,
    pub baselines_learned: Counter<u64>,
    pub training_seconds: Histogram<f64>,
}

/// The process's metrics; they go nowhere before telemetry is started.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let meter = global::meter("vedette");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        let histogram = |name, text| {
            meter.f64_histogram(name).with_description(text).with_unit("s").with_boundaries(DELAYS.to_vec()).build()
        };
        Metrics {
            records: counter(RECORDS, "raw records read"),
            readings: counter(READINGS, "readings sent to lanes"),
            rejected: counter(REJECTED, "records that could not be used, by reason"),
            unattributed: counter(UNATTRIBUTED, "readings that are no device's, by reason"),
            unknown_devices: counter(UNKNOWN_DEVICES, "devices met that the inventory does not know"),
            retention_lost: counter(RETENTION_LOST, "entries that retention deleted before they were read"),
            late: counter(LATE, "readings that came after their window had closed"),
            duplicates: counter(DUPLICATES, "readings a lane had seen before"),
            forced: counter(
                FORCED,
                "ticks closed before every source vouched for them, because too many windows were open",
            ),
            forgotten: counter(FORGOTTEN, "destinations beyond what is remembered, by the setting that bounds it"),
            steps: counter(STEPS, "steps published, stored and committed"),
            windows: counter(WINDOWS, "windows stored"),
            step_seconds: histogram(STEP_SECONDS, "to publish, store and commit a step"),
            end_to_end: histogram(
                END_TO_END,
                "from when the broker had the mark that closed a window to when its findings are published",
            ),
            store_retries: counter(STORE_RETRIES, "writes that the store did not take at once"),
            findings: counter(FINDINGS, "findings published, by kind"),
            baseline_in_force: meter
                .u64_gauge(BASELINE_IN_FORCE)
                .with_description("version of the baselines a lane judges by")
                .build(),
            baselines_learned: counter(BASELINES_LEARNED, "versions learned on schedule, by outcome"),
            training_seconds: histogram(TRAINING_SECONDS, "to learn, check and store a version"),
        }
    })
}

/// Gauges that are read when somebody asks, and zeros of what has not happened yet, so that its first time is seen.
pub fn begin(config: &Config, status: &Status) {
    let all = metrics();
    [&all.records, &all.readings, &all.store_retries].into_iter().for_each(|counter| counter.add(0, &[]));
    [EPISODES, DESTINATIONS].iter().for_each(|limit| all.forgotten.add(0, &[KeyValue::new("limit", *limit)]));
    FindingKind::ALL.iter().for_each(|kind| all.findings.add(0, &[KeyValue::new("kind", kind.name())]));
    let kafka = &config.source.kafka;
    for topic in kafka.topics.iter().map(|topic| &topic.name).chain([&kafka.readings]) {
        all.retention_lost.add(0, &[KeyValue::new("topic", topic.clone())]);
    }
    let meter = global::meter("vedette");
    let lanes = status.clone();
    meter
        .f64_observable_gauge(LANE_LAG)
        .with_description("age of the last entry a lane judged, by lane")
        .with_unit("s")
        .with_callback(move |gauge| {
            for lane in lanes.lanes() {
                lane.status.lag().into_iter().for_each(|age| gauge.observe(age, &of_lane(lane.lane)));
            }
        })
        .build();
    let lanes = status.clone();
    meter
        .f64_observable_gauge(LANE_CLOSED)
        .with_description("event time up to which a lane has closed and stored everything")
        .with_unit("s")
        .with_callback(move |gauge| {
            for lane in lanes.lanes() {
                let closed = lane.status.closed_through.map(|time| time.seconds());
                closed.into_iter().for_each(|time| gauge.observe(time, &of_lane(lane.lane)));
            }
        })
        .build();
    let lanes = status.clone();
    meter
        .u64_observable_gauge(LANE_PAUSED)
        .with_description("1 while a lane has as much waiting as it may and is given nothing more, else 0")
        .with_callback(move |gauge| {
            for lane in lanes.lanes() {
                gauge.observe(u64::from(lane.status.paused), &of_lane(lane.lane));
            }
        })
        .build();
    let store = status.clone();
    meter
        .u64_observable_gauge(STORE_UP)
        .with_description("1 while the store answers and takes what it is given, else 0")
        .with_callback(move |gauge| {
            if let Some(store) = store.store() {
                gauge.observe(u64::from(store.failure.is_none()), &[]);
            }
        })
        .build();
    responding::begin();
}

pub fn of_lane(lane: i32) -> [KeyValue; 1] {
    [KeyValue::new("lane", i64::from(lane))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_metric() {
        let page = include_str!("../../docs/metrics.md");
        let documented: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `vedette_")?.split('`').next())
            .map(|name| name.split('{').next().unwrap_or(name))
            .collect();
        let named = [
            RECORDS,
            READINGS,
            REJECTED,
            UNATTRIBUTED,
            UNKNOWN_DEVICES,
            RETENTION_LOST,
            LANE_LAG,
            LANE_CLOSED,
            LANE_PAUSED,
            LATE,
            DUPLICATES,
            FORCED,
            FORGOTTEN,
            STEPS,
            WINDOWS,
            STEP_SECONDS,
            END_TO_END,
            STORE_UP,
            STORE_RETRIES,
            FINDINGS,
            BASELINE_IN_FORCE,
            BASELINES_LEARNED,
            TRAINING_SECONDS,
            responding::ACTIONS,
            responding::ISOLATION,
            responding::APPROVALS_WAITING,
            responding::GATEWAY_QUEUED,
            responding::GATEWAY_LEFT_ALONE,
            responding::TELL_QUEUED,
            responding::TELL_LOST,
            responding::MIRROR_AGE,
        ];
        for name in named {
            let name = name.strip_prefix("vedette_").unwrap_or(name);
            let is_this =
                |shown: &&&str| shown.strip_prefix(name).is_some_and(|rest| matches!(rest, "_total" | "_seconds" | ""));
            assert_eq!(documented.iter().filter(is_this).count(), 1, "{name} in docs/metrics.md");
        }
        assert_eq!(documented.len(), named.len(), "{documented:?}");
    }
}
