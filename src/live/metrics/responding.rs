//! Metrics of responding: told by the process that acts, as long as it does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use fleet::{Action, State};
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};
use responders::book::Book;
use responders::journal::entry::{Body, Entry};
use responders::send::Load;
use smol_str::SmolStr;

pub const ACTIONS: &str = "vedette_actions";
pub const ISOLATION: &str = "vedette_isolation";
pub const APPROVALS_WAITING: &str = "vedette_approvals_waiting";
pub const GATEWAY_QUEUED: &str = "vedette_gateway_queued";
pub const GATEWAY_LEFT_ALONE: &str = "vedette_gateway_left_alone";
pub const TELL_QUEUED: &str = "vedette_tell_queued";
pub const TELL_LOST: &str = "vedette_tell_lost";
pub const MIRROR_AGE: &str = "vedette_mirror_age";

/// Seconds; with approvals, people are most of it.
const DELAYS: [f64; 14] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

struct Metrics {
    actions: Counter<u64>,
    isolation: Histogram<f64>,
    tell_lost: Counter<u64>,
}

fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let meter = global::meter("vedette");
        let counter = |name, text| meter.u64_counter(name).with_description(text).build();
        Metrics {
            actions: counter(ACTIONS, "transitions of actions, by the state they came to, level and gateway"),
            isolation: meter
                .f64_histogram(ISOLATION)
                .with_description("from when an action was proposed to when its gateway was first read back holding it")
                .with_unit("s")
                .with_boundaries(DELAYS.to_vec())
                .build(),
            tell_lost: counter(TELL_LOST, "messages that a sink did not take and that were given up, by sink"),
        }
    })
}

/// Since when something waits for the store; nothing while nothing does.
pub type WaitingSince = Arc<Mutex<Option<Instant>>>;

/// How responding stands now.
pub struct Standing {
    gateways: Vec<(SmolStr, Load)>,
    mirror: WaitingSince,
    approvals: AtomicU64,
    /// Messages that wait, by sink.
    sinks: Mutex<Vec<(SmolStr, usize)>>,
}

impl Standing {
    /// Shown from now on, in place of whatever was, until it is dropped.
    pub fn show(gateways: Vec<(SmolStr, Load)>, mirror: WaitingSince) -> Arc<Standing> {
        let standing = Standing { gateways, mirror, approvals: AtomicU64::new(0), sinks: Mutex::default() };
        let standing = Arc::new(standing);
        *lock(&SHOWN) = Arc::downgrade(&standing);
        standing
    }

    /// Actions that wait for a person, and messages for each sink.
    pub fn set(&self, approvals: usize, sinks: Vec<(SmolStr, usize)>) {
        self.approvals.store(approvals as u64, Ordering::Relaxed);
        *lock(&self.sinks) = sinks;
    }
}

static SHOWN: Mutex<Weak<Standing>> = Mutex::new(Weak::new());

/// None while another process acts.
fn shown() -> Option<Arc<Standing>> {
    lock(&SHOWN).upgrade()
}

/// Of each gateway the calls that wait for it, the one in hand included, and whether it is left alone; none while another process
/// acts.
pub fn gateways() -> Option<BTreeMap<SmolStr, (usize, bool)>> {
    let standing = shown()?;
    let of_each = |(name, load): &(SmolStr, Load)| (name.clone(), (load.waiting(), load.is_left_alone()));
    Some(standing.gateways.iter().map(of_each).collect())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gauges that are read when somebody asks.
pub fn begin() {
    let meter = global::meter("vedette");
    let gauge = |name, text| meter.u64_observable_gauge(name).with_description(text);
    gauge(APPROVALS_WAITING, "actions that wait for a person")
        .with_callback(|gauge| {
            if let Some(standing) = shown() {
                gauge.observe(standing.approvals.load(Ordering::Relaxed), &[]);
            }
        })
        .build();
    gauge(GATEWAY_QUEUED, "calls that wait for a gateway, the one in hand included")
        .with_callback(|gauge| {
            for (name, load) in shown().iter().flat_map(|standing| &standing.gateways) {
                gauge.observe(load.waiting() as u64, &[of("gateway", name)]);
            }
        })
        .build();
    gauge(GATEWAY_LEFT_ALONE, "1 while nothing is sent to a gateway because it did not answer, else 0")
        .with_callback(|gauge| {
            for (name, load) in shown().iter().flat_map(|standing| &standing.gateways) {
                gauge.observe(u64::from(load.is_left_alone()), &[of("gateway", name)]);
            }
        })
        .build();
    gauge(TELL_QUEUED, "messages that wait for a sink")
        .with_callback(|gauge| {
            let Some(standing) = shown() else { return };
            for (name, queued) in lock(&standing.sinks).iter() {
                gauge.observe(*queued as u64, &[of("sink", name)]);
            }
        })
        .build();
    meter
        .f64_observable_gauge(MIRROR_AGE)
        .with_description("how long the entry of the journal that is next has waited for the table of actions")
        .with_unit("s")
        .with_callback(|gauge| {
            if let Some(standing) = shown() {
                let since = *lock(&standing.mirror);
                gauge.observe(since.map_or(0.0, |since| since.elapsed().as_secs_f64()), &[]);
            }
        })
        .build();
}

/// An entry that was written; `book` has it.
pub fn written(entry: &Entry, book: &Book) {
    let Body::Moved(moved) = &entry.body else { return };
    let Some(action) = book.action(&moved.action_id).filter(|_| moved.to == State::Verified) else { return };
    // The first time alone: later ones are repairs.
    if action.verified_at == Some(entry.at) {
        let labels = [of("gateway", &action.gateway), KeyValue::new("mode", action.proposal.mode.name())];
        metrics().isolation.record(entry.at.seconds_since(action.proposed_at), &labels);
    }
}

/// A transition of an action; notes are none.
pub fn transition(row: &Action) {
    if row.note.is_empty() {
        let labels = [
            KeyValue::new("state", row.state.name()),
            KeyValue::new("level", row.level.name()),
            of("gateway", &row.gateway),
        ];
        metrics().actions.add(1, &labels);
    }
}

/// Also of none, so that the first one is seen.
pub fn lost(sink: &SmolStr, messages: u64) {
    metrics().tell_lost.add(messages, &[of("sink", sink)]);
}

fn of(label: &'static str, name: &SmolStr) -> KeyValue {
    KeyValue::new(label, name.to_string())
}
