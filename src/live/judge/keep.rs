//! Keeps what a lane gave: published and stored, then committed. Nothing is stepped over: what fails for a
//! while is tried until it works, what is refused stops the lane.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use crossbeam_channel::Receiver;
use fleet::Resume;
use ingest::kafka::committed::{ToCommit, commit};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use rdkafka::consumer::{BaseConsumer, CommitMode};
use store::{DeviceNames, DeviceRow, RejectedRow, Store};

use crate::lane::Judged;
use crate::live::assignment::Member;
use crate::live::judge::lease::Lease;
use crate::live::judge::position::LanePosition;
use crate::live::judge::publisher::Publisher;
use crate::live::logs::EachMinute;
use crate::live::message::StepMessage;
use crate::live::metrics::{EPISODES, metrics, of_lane};
use crate::live::retry::until_it_works;
use crate::live::trace::Part;

/// One hand-over of a lane.
pub struct Kept {
    pub judged: Option<Judged>,
    /// Of the step, from its first entry to its commit.
    pub trace: Part,
    pub rejected: Vec<RejectedRow>,
    /// What to begin with after `Resume`.
    pub memory: Option<(Resume, Vec<u8>)>,
    pub names: Arc<DeviceNames>,
    pub devices: Vec<DeviceRow>,
    /// Milliseconds: when the broker had the mark that closed the step.
    pub mark_appended: Option<i64>,
    /// Readings too late, and seen before, since the last hand-over.
    pub late: u64,
    pub duplicates: u64,
    /// Ticks since then that were closed without waiting for every source.
    pub forced: u64,
}

pub struct Keep {
    pub lane: i32,
    pub topic: String,
    pub store: Arc<dyn Store>,
    pub publisher: Publisher,
    pub consumer: Arc<BaseConsumer<Member>>,
    pub lease: Lease,
    /// Offset that goes with the memory that is stored, and what was committed.
    pub offset: u64,
    pub position: LanePosition,
    /// A step of this life.
    pub has_stored: bool,
    /// `max_episodes_per_device`, and that more was forgotten.
    pub max_episodes: usize,
    pub said: EachMinute,
}

impl Keep {
    /// Until the lane hangs up, or the lease is withdrawn.
    pub fn run(mut self, steps: &Receiver<Kept>) -> anyhow::Result<()> {
        for kept in steps {
            let _entered = kept.trace.enter();
            match self.keep(&kept) {
                Ok(true) => {}
                Ok(false) => {
                    kept.trace.failed("the lane was given up".to_owned());
                    return Ok(());
                }
                Err(error) => {
                    kept.trace.failed(format!("{error:#}"));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// `false`: the lane is somebody else's by now.
    fn keep(&mut self, kept: &Kept) -> anyhow::Result<bool> {
        let store = Arc::clone(&self.store);
        let began = Instant::now();
        if let Some(judged) = &kept.judged {
            // Whoever is to act does not wait for a store that is slow. A life's first step may have been told before and refused,
            // so nobody is told again and again of what cannot be stored.
            let is_level = self.has_stored && judged.first_tick == judged.last_tick;
            if is_level && !self.publish(kept, judged)?
                || !self.store(kept, judged)?
                || !is_level && !self.publish(kept, judged)?
            {
                return Ok(false);
            }
            self.has_stored = true;
            self.position.step = judged.resume;
            self.count(kept, judged);
        }
        if let Some((resume, bytes)) = &kept.memory {
            let (lane, tick) = (self.lane, resume.closed_through);
            let bytes_stored = KeyValue::new("bytes", int(bytes.len()));
            let _remembering = kept.trace.within("remember", SpanKind::Client, [bytes_stored]);
            let stored = self.try_to("store what the lane remembers", || {
                store.write_devices(&format!("lane-{lane}"), &kept.devices)?;
                store.write_memory(&lane.to_string(), tick, bytes)
            })?;
            if !stored {
                return Ok(false);
            }
            self.position.memory = Some(tick);
            self.offset = resume.low;
        }
        let metadata = self.position.to_string();
        let to_commit =
            [ToCommit { topic: &self.topic, partition: self.lane, offset: self.offset, metadata: &metadata }];
        let offset = KeyValue::new("offset", i64::try_from(self.offset).unwrap_or(i64::MAX));
        let _committing = kept.trace.within("commit", SpanKind::Client, [offset]);
        let committed = self.lease.while_held(|| commit(&self.consumer, &to_commit, CommitMode::Async));
        match committed {
            None => return Ok(false),
            // The next step commits more; until then this one would be done again, with the same names.
            Some(Err(error)) => tracing::debug!(lane = self.lane, %error, "a step was not committed"),
            Some(Ok(())) => self.lease.note_commit(self.position.step.closed_through, crate::live::now_millis()),
        }
        let (all, lane) = (metrics(), of_lane(self.lane));
        all.late.add(kept.late, &lane);
        all.duplicates.add(kept.duplicates, &lane);
        all.forced.add(kept.forced, &lane);
        all.step_seconds.record(began.elapsed().as_secs_f64(), &[]);
        Ok(true)
    }

    fn publish(&self, kept: &Kept, judged: &Judged) -> anyhow::Result<bool> {
        let messages = StepMessage::of(judged, &kept.names)?;
        let publishing = kept.trace.within(
            "publish",
            SpanKind::Producer,
            [
                KeyValue::new("bytes", int(messages.iter().map(Vec::len).sum())),
                KeyValue::new("findings", int(judged.outcome.findings.len())),
            ],
        );
        for message in &messages {
            if !self.publisher.publish(message, publishing.header(), &|| self.lease.holds())? {
                return Ok(false);
            }
        }
        for finding in &judged.outcome.findings {
            metrics().findings.add(1, &[KeyValue::new("kind", finding.kind.name())]);
        }
        if let Some(appended) = kept.mark_appended {
            metrics().end_to_end.record((crate::live::now_millis() - appended) as f64 / 1e3, &[]);
        }
        Ok(true)
    }

    fn store(&self, kept: &Kept, judged: &Judged) -> anyhow::Result<bool> {
        let step = judged.step(&kept.names);
        let name = format!("{}-{}-{}", self.lane, judged.first_tick.0, judged.last_tick.0);
        let _storing = kept.trace.within(
            "store",
            SpanKind::Client,
            [
                KeyValue::new("windows", int(judged.windows.len())),
                KeyValue::new("evidence", int(judged.evidence.len())),
                KeyValue::new("rejected", int(kept.rejected.len())),
            ],
        );
        self.try_to("store a step", || {
            if !kept.rejected.is_empty() {
                self.store.write_rejected(&name, &kept.rejected)?;
            }
            self.store.write_step(&step)
        })
    }

    fn count(&mut self, kept: &Kept, judged: &Judged) {
        let (all, lane) = (metrics(), of_lane(self.lane));
        all.steps.add(1, &lane);
        all.baseline_in_force.record(u64::from(judged.resume.versions.baseline), &lane);
        all.windows.add(judged.windows.len() as u64, &lane);
        let forgotten = judged.forgotten;
        all.forgotten.add(forgotten.destinations, &[KeyValue::new("limit", EPISODES)]);
        if forgotten.destinations > 0 && self.said.is_due() {
            let device = forgotten.device.and_then(|key| kept.names.get(key)).map_or("", |device| device.id.as_str());
            tracing::warn!(
                lane = self.lane,
                device,
                destinations = forgotten.destinations,
                limit = self.max_episodes,
                "a device meets more destinations in a day than are remembered of it, and the oldest are forgotten; see what it does, \
                 and if it is meant to, raise `max_episodes_per_device` under [detect]"
            );
        }
    }

    fn try_to(&self, what: &str, mut work: impl FnMut() -> Result<(), store::Error>) -> anyhow::Result<bool> {
        let noted = || {
            let done = work();
            self.lease.note_store(done.as_ref().err().map(ToString::to_string));
            done
        };
        until_it_works(what, &|| self.lease.holds(), noted)
            .with_context(|| format!("lane {} stands still: cannot {what}", self.lane))
    }
}

/// As OpenTelemetry counts.
fn int(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
