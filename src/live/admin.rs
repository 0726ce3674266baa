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
use crate::live::now_millis;
use crate::live::status::{LaneReport, Status};
use crate::live::stop::Stop;
use crate::telemetry::prometheus_text;

const LOOK_UP: Duration = Duration::from_millis(100);

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
    store: Option<StoreReadiness>,
    lanes: Vec<LaneReadiness>,
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
    /// Seconds between when the broker took the last entry that was judged and now; of a lane that is level, how long
    /// nothing came.
    behind_seconds: Option<f64>,
    closed_through: Option<EventTime>,
    closed_through_text: Option<String>,
    seconds_since_commit: Option<f64>,
    late: u64,
    duplicates: u64,
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
    let lanes: Vec<LaneReadiness> =
        asked.status.lanes().into_iter().map(|lane| lane_readiness(lane, asked.ready_lag_seconds)).collect();
    let store = asked.status.store().map(|store| StoreReadiness {
        ready: store.failure.is_none(),
        seconds_since_answer: store.seconds_since_answer,
        failure: store.failure,
    });
    let ready = lanes.iter().all(|lane| lane.ready) && store.as_ref().is_none_or(|store| store.ready);
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Readiness { ready, store, lanes }))
}

fn lane_readiness(report: LaneReport, most_lag: f64) -> LaneReadiness {
    let since = |millis: Option<i64>| millis.map(|at| (now_millis() - at) as f64 / 1e3);
    let behind = since(report.status.appended);
    let failure = report.failure.or(report.status.store_failure);
    LaneReadiness {
        lane: report.lane,
        ready: failure.is_none() && behind.is_none_or(|seconds| seconds <= most_lag),
        behind_seconds: behind,
        closed_through: report.status.closed_through,
        closed_through_text: report.status.closed_through.map(|time| time.to_string()),
        seconds_since_commit: since(report.status.committed_at),
        late: report.status.counters.late,
        duplicates: report.status.counters.duplicates,
        failure,
    }
}
