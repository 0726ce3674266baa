//! Traces: one of each step of a lane, from its first entry to its commit, and one of each message `act` takes, linked to
//! the steps its findings come from. Spans are made after the fact, so a mark that closes nothing costs nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt};
use opentelemetry::{Array, Context, ContextGuard, KeyValue, StringValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::lane::Judged;
use crate::live::now;

/// The header of a message that names the span it was sent in (W3C Trace Context).
pub const PARENT: &str = "traceparent";
/// A span names so many findings at most.
const NAMED: usize = 64;

fn tracer() -> BoxedTracer {
    global::tracer("vedette")
}

/// A span; it ends when it is dropped.
pub struct Part(Context);

impl Part {
    /// Of no trace: whatever is within it is of none either.
    pub fn none() -> Part {
        Part(Context::new())
    }

    fn root(builder: SpanBuilder) -> Part {
        let none = Context::new();
        Part(none.with_span(builder.start_with_context(&tracer(), &none)))
    }

    pub fn within<const N: usize>(&self, name: &'static str, kind: SpanKind, attributes: [KeyValue; N]) -> Part {
        self.since(name, kind, now(), attributes)
    }

    fn since<const N: usize>(
        &self,
        name: &'static str,
        kind: SpanKind,
        since: SystemTime,
        attributes: [KeyValue; N],
    ) -> Part {
        if !self.0.span().is_recording() {
            return Part::none();
        }
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_start_time(since).with_attributes(attributes);
        Part(self.0.with_span(builder.start_with_context(&tracer(), &self.0)))
    }

    /// Log lines of this thread belong to the span until the guard is dropped.
    pub fn enter(&self) -> ContextGuard {
        self.0.clone().attach()
    }

    pub fn failed(&self, why: String) {
        self.0.span().set_status(Status::error(why));
    }

    /// For the message that goes out from here.
    pub fn header(&self) -> Option<String> {
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(&self.0, &mut headers);
        headers.remove(PARENT)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.span().end();
    }
}

/// Where a message came from, by its header.
pub fn origin(header: &[u8]) -> Option<SpanContext> {
    let text = std::str::from_utf8(header).ok()?;
    let headers = HashMap::from([(PARENT.to_owned(), text.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// What a lane took since its last step.
#[derive(Default)]
pub struct Taken {
    since: Option<SystemTime>,
    entries: i64,
    readings: i64,
    bytes: i64,
    offsets: (i64, i64),
    busy: Duration,
}

impl Taken {
    pub fn entry(&mut self, offset: u64, bytes: usize) {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        if self.since.is_none() {
            self.since = Some(now());
            self.offsets.0 = offset;
        }
        self.offsets.1 = offset;
        self.entries += 1;
        self.bytes += bytes as i64;
    }

    pub fn readings(&mut self, count: usize, began: Instant) {
        self.readings += count as i64;
        self.busy += began.elapsed();
    }

    /// Begins the trace of the step that all this led to; its windows were closed and judged from `judging` until now.
    pub fn step(&mut self, lane: i32, judging: SystemTime, judged: &Judged) -> Part {
        let taken = std::mem::take(self);
        let ticks = [
            KeyValue::new("lane", i64::from(lane)),
            KeyValue::new("ticks", judged.ticks as i64),
            KeyValue::new("first_tick", judged.first_tick.to_string()),
            KeyValue::new("last_tick", judged.last_tick.to_string()),
            KeyValue::new("windows", judged.windows.len() as i64),
            KeyValue::new("findings", finding_ids(judged.outcome.findings.iter())),
        ];
        let since = taken.since.unwrap_or(judging);
        let step = Part::root(SpanBuilder::from_name("step").with_start_time(since).with_attributes(ticks));
        // A mark may close more than one step; only the first one took anything.
        if taken.entries > 0 {
            let fetched = [
                KeyValue::new("entries", taken.entries),
                KeyValue::new("readings", taken.readings),
                KeyValue::new("bytes", taken.bytes),
                KeyValue::new("first_offset", taken.offsets.0),
                KeyValue::new("last_offset", taken.offsets.1),
                KeyValue::new("busy_seconds", taken.busy.as_secs_f64()),
            ];
            let fetch = step.since("fetch", SpanKind::Consumer, since, fetched);
            fetch.0.span().end_with_timestamp(judging);
        }
        let scored = [KeyValue::new("evidence", judged.evidence.len() as i64)];
        drop(step.since("judge", SpanKind::Internal, judging, scored));
        step
    }
}

/// `act` took a message at `since`; what it `told` may have come with earlier ones.
pub fn acted(since: SystemTime, from: &[SpanContext], taken: Value, told: Value, lane: usize, offset: u64) -> Part {
    let links = from.iter().map(|origin| Link::new(origin.clone(), vec![KeyValue::new("findings", taken.clone())], 0));
    let attributes = [
        KeyValue::new("lane", lane as i64),
        KeyValue::new("offset", i64::try_from(offset).unwrap_or(i64::MAX)),
        KeyValue::new("findings", taken.clone()),
        KeyValue::new("told", told),
    ];
    Part::root(
        SpanBuilder::from_name("act")
            .with_kind(SpanKind::Consumer)
            .with_start_time(since)
            .with_links(links.collect())
            .with_attributes(attributes),
    )
}

/// The first of them, by id.
pub fn finding_ids<'f>(findings: impl Iterator<Item = &'f fleet::Finding>) -> Value {
    let ids = findings.take(NAMED).map(|finding| StringValue::from(finding.finding_id.to_string()));
    Value::Array(Array::String(ids.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_nonsense_is_none() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = origin(text.as_bytes()).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(Part(Context::new().with_remote_span_context(context)).header().unwrap(), text);
        for wrong in ["", "00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "\u{e9}"] {
            assert!(origin(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn without_a_collector_nothing_has_a_name() {
        let part = Part::root(SpanBuilder::from_name("step"));
        assert!(part.header().is_none());
        assert!(part.within("store", SpanKind::Client, []).header().is_none());
    }
}
