//! The admin listener: is it alive, is it ready, what is it at. On loopback unless the operator says otherwise.

use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use fleet::EventTime;
use prometheus::Registry;
use serde::Serialize;

use crate::config::RunConfig;
use crate::live::status::{LaneReport, RoleReport, Status};
use crate::live::stop::Stop;
use crate::live::{Role, now_millis};
use crate::telemetry::prometheus_text;

const LOOK_UP: Duration = Duration::from_millis(100);
/// Route sends every second, if only marks, and is not ready when nothing arrives for so long.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// What is asked, by whoever asks.
#[derive(Clone)]
pub struct Asked {
    status: Status,
    ready_lag_seconds: f64,
    registry: Registry,
}

impl Asked {
    pub fn new(config: &RunConfig, status: Status, registry: Registry) -> Asked {
        Asked { status, ready_lag_seconds: f64::from(config.ready_lag_seconds), registry }
    }
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    roles: Vec<RoleReadiness>,
    store: Option<StoreReadiness>,
    lanes: Vec<LaneReadiness>,
}

#[derive(Serialize)]
struct RoleReadiness {
    role: &'static str,
    ready: bool,
    /// In its group, with partitions or standing by.
    joined: bool,
    /// Route: since what it had to send arrived last.
    seconds_since_sent: Option<f64>,
}

#[derive(Serialize)]
struct StoreReadiness {
    ready: bool,
    seconds_since_answer: f64,
    failure: Option<String>,
}

#[derive(Serialize)]
struct LaneReadiness {
    lane: i32,
    ready: bool,
    /// It has loaded what it remembers.
    begun: bool,
    /// Seconds between when the broker took the last entry that was judged and now; of a lane that is level, how long
    /// nothing came. Null before the first entry, if there is one to read.
    behind_seconds: Option<f64>,
    closed_through: Option<EventTime>,
    closed_through_text: Option<String>,
    seconds_since_commit: Option<f64>,
    late: u64,
    duplicates: u64,
    forced: u64,
    failure: Option<String>,
}

/// Answers until asked to stop.
pub fn serve(config: &RunConfig, asked: Asked, stop: &Stop) -> anyhow::Result<()> {
    if config.admin.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&config.admin)
            .await
            .with_context(|| format!("`{}` cannot be listened on; set [run] admin", config.admin))?;
        tracing::info!(address = %listener.local_addr()?, "admin listener");
        let router = Router::new()
            .route("/healthz", get(|| async { "alive\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(asked);
        let stop = stop.clone();
        let stopped = async move {
            while !stop.is_asked() {
                tokio::time::sleep(LOOK_UP).await;
            }
        };
        axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
        Ok(())
    })
}

async fn metrics(State(asked): State<Asked>) -> (StatusCode, String) {
    match prometheus_text(&asked.registry) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")),
    }
}

async fn readyz(State(asked): State<Asked>) -> (StatusCode, Json<Readiness>) {
    let readiness = readiness(&asked.status, asked.ready_lag_seconds);
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness))
}

fn readiness(status: &Status, most_lag: f64) -> Readiness {
    let roles: Vec<RoleReadiness> = status.roles().iter().map(role_readiness).collect();
    let lanes: Vec<LaneReadiness> = status.lanes().into_iter().map(|lane| lane_readiness(lane, most_lag)).collect();
    let store = status.store().map(|store| StoreReadiness {
        ready: store.failure.is_none(),
        seconds_since_answer: store.seconds_since_answer,
        failure: store.failure,
    });
    let ready = roles.iter().all(|role| role.ready)
        && lanes.iter().all(|lane| lane.ready)
        && store.as_ref().is_none_or(|store| store.ready);
    Readiness { ready, roles, store, lanes }
}

fn role_readiness(report: &RoleReport) -> RoleReadiness {
    let arrives = report.role != Role::Route || report.since_sent.is_some_and(|since| since <= ARRIVES_WITHIN);
    RoleReadiness {
        role: report.role.name(),
        ready: report.joined && arrives,
        joined: report.joined,
        seconds_since_sent: report.since_sent.map(|since| since.as_secs_f64()),
    }
}

fn lane_readiness(report: LaneReport, most_lag: f64) -> LaneReadiness {
    let since = |millis: Option<i64>| millis.map(|at| (now_millis() - at) as f64 / 1e3);
    let behind = report.status.lag();
    let failure = report.failure.or(report.status.store_failure);
    LaneReadiness {
        lane: report.lane,
        ready: report.status.begun && failure.is_none() && behind.is_some_and(|seconds| seconds <= most_lag),
        begun: report.status.begun,
        behind_seconds: behind,
        closed_through: report.status.closed_through,
        closed_through_text: report.status.closed_through.map(|time| time.to_string()),
        seconds_since_commit: since(report.status.committed_at),
        late: report.status.counters.late,
        duplicates: report.status.counters.duplicates,
        forced: report.status.counters.forced,
        failure,
    }
}

#[cfg(test)]
mod tests {
    use ingest::windows::LaneCounters;

    use super::*;
    use crate::live::judge::lease::Lease;

    fn is_ready(status: &Status) -> bool {
        readiness(status, 300.0).ready
    }

    #[test]
    fn a_role_is_ready_once_it_is_in_its_group_also_when_it_stands_by() {
        let status = Status::default();
        [Role::Judge, Role::Act].into_iter().for_each(|role| status.left(role));
        assert!(!is_ready(&status), "nobody has joined");
        status.joined(Role::Judge);
        assert!(!is_ready(&status), "act has not joined");
        status.joined(Role::Act);
        assert!(is_ready(&status), "without lanes it stands by");
        status.left(Role::Judge);
        assert!(!is_ready(&status), "it begins again");
    }

    #[test]
    fn route_is_ready_while_what_it_sends_arrives() {
        let status = Status::default();
        status.left(Role::Route);
        status.sent();
        assert!(!is_ready(&status), "it has not joined");
        status.joined(Role::Route);
        assert!(is_ready(&status));
        let report = |since_sent| RoleReport { role: Role::Route, joined: true, since_sent };
        assert!(!role_readiness(&report(None)).ready, "nothing has arrived yet");
        assert!(role_readiness(&report(Some(Duration::from_secs(29)))).ready);
        assert!(!role_readiness(&report(Some(Duration::from_secs(31)))).ready);
    }

    #[test]
    fn a_lane_is_ready_once_it_has_begun_and_is_level() {
        let status = Status::default();
        let (idle, behind) = (Lease::default(), Lease::default());
        status.lane_runs(0, idle.clone());
        assert!(!is_ready(&status), "it loads what it remembers");
        idle.note_begun(true, None);
        assert!(is_ready(&status));
        assert_eq!(readiness(&status, 300.0).lanes[0].behind_seconds, Some(0.0), "there is nothing to read");
        status.lane_failed(1, "refused".to_owned());
        status.lane_runs(1, behind.clone());
        assert_eq!(readiness(&status, 300.0).lanes[1].failure.as_deref(), Some("refused"), "until it has begun");
        behind.note_begun(false, None);
        let lanes = readiness(&status, 300.0).lanes;
        assert_eq!((lanes[1].ready, lanes[1].behind_seconds, &lanes[1].failure), (false, None, &None), "it reads");
        behind.note(7, Some(now_millis() - 400_000), &LaneCounters::default());
        assert!(!is_ready(&status), "too far behind");
        behind.note(8, Some(now_millis()), &LaneCounters::default());
        assert!(is_ready(&status));
    }
}
