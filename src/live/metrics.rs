//! Every metric of the service, by name; `docs/metrics.md` has the same table, and a test holds the two together.

use std::sync::OnceLock;

use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};

pub const RECORDS: &str = "vedette_records";
pub const READINGS: &str = "vedette_readings";
pub const REJECTED: &str = "vedette_rejected";
pub const UNATTRIBUTED: &str = "vedette_unattributed";
pub const UNKNOWN_DEVICES: &str = "vedette_unknown_devices";
pub const RETENTION_LOST: &str = "vedette_retention_lost";
pub const LANE_LAG: &str = "vedette_lane_lag";
pub const LANE_CLOSED: &str = "vedette_lane_closed_through";
pub const LATE: &str = "vedette_late";
pub const DUPLICATES: &str = "vedette_duplicates";
pub const STEPS: &str = "vedette_steps";
pub const WINDOWS: &str = "vedette_windows";
pub const STEP_SECONDS: &str = "vedette_step";
pub const END_TO_END: &str = "vedette_end_to_end";
pub const STORE_RETRIES: &str = "vedette_store_retries";
pub const FINDINGS: &str = "vedette_findings";

/// Seconds.
const DELAYS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

pub struct Metrics {
    pub records: Counter<u64>,
    pub readings: Counter<u64>,
    pub rejected: Counter<u64>,
    pub unattributed: Counter<u64>,
    pub unknown_devices: Counter<u64>,
    pub retention_lost: Counter<u64>,
    pub lane_lag: Gauge<f64>,
    pub lane_closed: Gauge<f64>,
    pub late: Counter<u64>,
    pub duplicates: Counter<u64>,
    pub steps: Counter<u64>,
    pub windows: Counter<u64>,
    pub step_seconds: Histogram<f64>,
    pub end_to_end: Histogram<f64>,
    pub store_retries: Counter<u64>,
    pub findings: Counter<u64>,
}

/// The process's metrics; they go nowhere before telemetry is started.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let meter = global::meter("vedette");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        let gauge = |name, text| meter.f64_gauge(name).with_description(text).with_unit("s").build();
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
            lane_lag: gauge(LANE_LAG, "age of the last entry a lane judged, by lane"),
            lane_closed: gauge(LANE_CLOSED, "event time up to which a lane has closed and stored everything"),
            late: counter(LATE, "readings that came after their window had closed"),
            duplicates: counter(DUPLICATES, "readings a lane had seen before"),
            steps: counter(STEPS, "steps stored, published and committed"),
            windows: counter(WINDOWS, "windows stored"),
            step_seconds: histogram(STEP_SECONDS, "to store, publish and commit a step"),
            end_to_end: histogram(
                END_TO_END,
                "from when the broker had the mark that closed a window to when its findings are published",
            ),
            store_retries: counter(STORE_RETRIES, "writes that the store did not take at once"),
            findings: counter(FINDINGS, "findings published, by kind"),
        }
    })
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
            LATE,
            DUPLICATES,
            STEPS,
            WINDOWS,
            STEP_SECONDS,
            END_TO_END,
            STORE_RETRIES,
            FINDINGS,
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
