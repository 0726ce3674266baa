//! The role `route`: raw topics to the readings log.
//!
//! Once a second ([`beats`]) everything in hand is sent, each owned partition's mark after it, and what the epoch was made of
//! is committed when it has arrived. After a crash records are sent again from there; lanes drop what they have seen.

mod beats;
mod cohorts;
mod epochs;
pub mod identities;
pub mod inventory;
mod look;
mod metadata;
pub mod outbox;
pub mod partitions;
pub mod sources;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fleet::{Cohort, EventTime, Fact, Owner, Position, Reading};
use ingest::Rejected;
use ingest::decode::Message as Record;
use ingest::identity::{LaneTable, Router, RouterCounters, Routes};
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::committed::bounds_within;
use ingest::kafka::native::{BatchQueue, RawRecord};
use ingest::kafka::topics;
use ingest::log::{BatchDraft, DeviceRecord, LoggedFact, LoggedMark, Message, RejectedRecord, encode};
use opentelemetry::KeyValue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::types::RDKafkaErrorCode;
use smol_str::SmolStr;

use crate::config::Config;
use crate::live::assignment::{Change, Member, leave};
use crate::live::logs::EachMinute;
use crate::live::metrics::metrics;
use crate::live::route::beats::{BEAT, Beat, Beats};
use crate::live::route::cohorts::Cohorts;
use crate::live::route::epochs::Positions;
use crate::live::route::identities::Identities;
use crate::live::route::inventory::InventoryFile;
use crate::live::route::outbox::{Outbox, Outgoing};
use crate::live::route::partitions::{Beginning, Quiet};
use crate::live::route::sources::{HEARTBEAT, RawPartition, RosterNow, rejected};
use crate::live::status::Status;
use crate::live::stop::Stop;
use crate::live::{Role, now_millis, our_topic, readings_topic};

/// Records taken from librdkafka with one call.
const AT_ONCE: usize = 1_000;
/// Readings whose devices are looked up together.
const TOGETHER: usize = 32;
/// Readings, or bytes, of one message of the log.
const BATCH_READINGS: usize = 1_000;
const BATCH_BYTES: usize = 512 << 10;
const BATCH_FACTS: usize = 256;
/// No source's number, as good as never.
const NOBODY: u32 = 0;
/// How often partitions are compared.
const ALIGN: Duration = Duration::from_millis(50);
/// For an answer about one partition, while all others wait.
const ASK: Duration = Duration::from_millis(500);
/// How often the brokers are asked for partitions, and the inventory's file is looked at.
const LOOK_AROUND: Duration = Duration::from_secs(10);

pub fn run(config: &Config, status: Status, stop: &Stop) -> anyhow::Result<()> {
    let route = Route::start(config, status, stop.clone())?;
    let consumer = Arc::clone(&route.consumer);
    let done = route.work();
    leave(consumer, stop);
    done
}

struct Route<'c> {
    config: &'c Config,
    status: Status,
    stop: Stop,
    consumer: Arc<BaseConsumer<Member>>,
    queue: Option<BatchQueue<Member>>,
    outbox: Outbox,
    router: Router,
    table: LaneTable,
    cohorts: Cohorts<'c>,
    identities: Identities<'c>,
    inventory: InventoryFile,
    /// That a changed one has to wait.
    waits: EachMinute,
    /// All its devices were told to their lanes.
    announced: bool,
    /// Routings of others whose word was answered by telling all again.
    answered: BTreeSet<String>,
    /// Which lanes cohorts have: by which topics.
    places: String,
    /// Of the records in hand, [`TOGETHER`] at most.
    decoded: Vec<Reading>,
    drafts: Vec<BatchDraft>,
    rejects: Vec<RejectedRecord>,
    routes: Routes,
    owned: Vec<RawPartition>,
    /// Place in `owned` of the last record's partition.
    last: usize,
    roster: RosterNow,
    /// Ended epochs with what may be committed once they have arrived.
    waiting: VecDeque<(u64, Positions)>,
    /// Records and readings since the last beat.
    read: u64,
    sent: u64,
    beats: Beats,
    looked: Instant,
    aligned: Instant,
    /// Assigned, and not yet begun. Last tried at `tried`.
    to_begin: Vec<Beginning>,
    tried: Instant,
    /// Sees all that partitions hold, open transactions included.
    watcher: BaseConsumer<Quiet>,
    /// Milliseconds, by the broker's clock.
    now: i64,
    /// What was told of so far.
    counted: RouterCounters,
    /// Topics of which that was told.
    troubled: BTreeMap<String, RDKafkaErrorCode>,
}

impl<'c> Route<'c> {
    fn start(config: &'c Config, status: Status, stop: Stop) -> anyhow::Result<Route<'c>> {
        let kafka = &config.source.kafka;
        let admin = topics::admin(kafka)?;
        let readings = readings_topic(admin.inner(), kafka)?;
        let cohorts = our_topic(admin.inner(), &kafka.cohorts)?;
        our_topic(admin.inner(), &kafka.identities)?;
        let lanes = readings.partitions.len();
        let inventory = InventoryFile::read(config)?;
        let router = Router::new(inventory.parse()?, &config.ingest).telling();
        let member = Member::default();
        let consumer: Arc<BaseConsumer<Member>> = Arc::new(create(kafka, Purpose::Member { role: "route" }, member)?);
        let queue = BatchQueue::new(Arc::clone(&consumer), AT_ONCE);
        consumer.context().forward_to(queue.forwarder());
        let names: Vec<&str> = kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
        anyhow::ensure!(!names.is_empty(), "no raw topic to read; name one under [[source.kafka.topics]]");
        let mut route = Route {
            config,
            status,
            stop,
            queue: Some(queue),
            outbox: Outbox::new(kafka)?,
            router,
            table: LaneTable::empty(lanes),
            cohorts: Cohorts::new(kafka, &readings.id),
            identities: Identities::new(kafka)?,
            inventory,
            waits: EachMinute::default(),
            announced: false,
            answered: BTreeSet::new(),
            places: fleet::id::stable_id(&[&readings.id, &cohorts.id]),
            decoded: Vec::new(),
            drafts: (0..lanes).map(|_| BatchDraft::default()).collect(),
            rejects: Vec::new(),
            routes: Routes::default(),
            owned: Vec::new(),
            last: 0,
            roster: RosterNow::default(),
            waiting: VecDeque::new(),
            read: 0,
            sent: 0,
            beats: Beats::new(Instant::now()),
            looked: Instant::now(),
            aligned: Instant::now(),
            to_begin: Vec::new(),
            tried: Instant::now(),
            watcher: create(kafka, Purpose::Watcher, Quiet)?,
            now: now_millis(),
            counted: RouterCounters::default(),
            troubled: BTreeMap::new(),
            consumer,
        };
        route.ask_the_time()?;
        route.cohorts.settle(route.router.devices(), &mut route.table, &route.stop)?;
        route.identities.catch_up(&mut route.router, &route.inventory.version())?;
        route.table.renew(route.router.devices());
        route.refresh_roster()?;
        route.consumer.subscribe(&names).context("subscribing to the raw topics")?;
        Ok(route)
    }

    fn work(mut self) -> anyhow::Result<()> {
        while !self.stop.is_asked() {
            self.turn()?;
        }
        self.finish()
    }

    /// An entry that says nothing comes back with the broker's time: our own clock may be wrong, and no record is to be
    /// measured by it alone.
    fn ask_the_time(&self) -> anyhow::Result<()> {
        self.send(0, &encode(&Message::Rejected(Vec::new())), Some(NOBODY))?;
        self.outbox.flush(BEAT * 20)
    }

    /// Takes what there is, and does what is due.
    fn turn(&mut self) -> anyhow::Result<()> {
        self.serve()?;
        let mut failure = None;
        let mut problems = Vec::new();
        self.now = self.outbox.brokers_time().unwrap_or_else(now_millis);
        let Some(mut queue) = self.queue.take() else { return Ok(()) };
        queue.consume(
            BEAT / 10,
            |record| {
                if failure.is_none() {
                    failure = self.take(record).err();
                }
            },
            |problem| problems.push(problem),
        );
        self.queue = Some(queue);
        if let Some(error) = failure {
            return Err(error);
        }
        self.route_decoded()?;
        problems.into_iter().for_each(|problem| self.meet(&problem));
        self.go_back()?;
        self.align()?;
        match self.beats.due(!self.owned.is_empty(), Instant::now()) {
            Some(beat) => self.beat(beat),
            None => Ok(()),
        }
    }

    /// Group events, on this thread.
    fn serve(&mut self) -> anyhow::Result<()> {
        match self.consumer.poll(Duration::ZERO) {
            // The client's context has told of it.
            Some(Err(_)) => {}
            // It was not forwarded to our queue, and must not be passed over: all is read again from what was committed.
            Some(Ok(record)) => {
                return Err(ingest::Error::Kafka {
                    doing: format!("reading `{}/{}`", record.topic(), record.partition()),
                    problem: format!("the record at {} came past the queue", record.offset()),
                    retry: true,
                }
                .into());
            }
            None => {}
        }
        for change in self.consumer.context().changes() {
            self.owned.iter_mut().for_each(|source| source.doubted = true);
            match change {
                Change::Assigned(partitions) => {
                    self.to_begin.extend(partitions.into_iter().map(Beginning::assigned));
                    // What their former owner learned; what does not come now is followed.
                    if let Err(error) = self.identities.catch_up(&mut self.router, &self.inventory.version()) {
                        tracing::debug!(%error, "partitions begin with what is known here");
                    }
                    self.begin_all()?;
                    self.status.joined(Role::Route);
                }
                Change::Revoked(partitions) => {
                    let is_revoked =
                        |source: &RawPartition| partitions.iter().any(|(topic, number)| source.is(topic, *number));
                    self.owned.retain(|source| !is_revoked(source));
                    self.to_begin.retain(|begun| !partitions.iter().any(|(topic, number)| begun.is(topic, *number)));
                }
            }
        }
        if !self.to_begin.is_empty() && self.tried.elapsed() >= BEAT {
            self.begin_all()?;
        }
        Ok(self.consumer.context().check()?)
    }

    fn take(&mut self, record: &RawRecord<'_>) -> anyhow::Result<()> {
        if !self.owned.get(self.last).is_some_and(|source| source.is(record.topic, record.partition)) {
            self.last = match self.owned.iter().position(|source| source.is(record.topic, record.partition)) {
                Some(place) => place,
                None => return Ok(()),
            };
        }
        let source = &mut self.owned[self.last];
        if !source.comes_to(record.offset) {
            return Ok(());
        }
        source.next = record.offset + 1;
        self.read += 1;
        let headers = record.headers();
        if let Some(time) = heartbeat(&headers) {
            // Where devices speak as things happen, none of them may vouch for the rest.
            if !source.topic.live && !source.is_ahead(time, dated(record, self.now), &self.config.ingest) {
                source.observe(time);
            }
            return Ok(());
        }
        let position = Position { source: source.id, offset: record.offset };
        let message = Record { key: record.key, value: record.value, headers: &headers };
        let (reason, value) = match source.decoder.decode_message(&message, position) {
            Ok(None) => return Ok(()),
            Ok(Some(reading)) => match source.refuse_ahead(&reading, dated(record, self.now), &self.config.ingest) {
                None => {
                    source.observe(reading.time);
                    self.decoded.push(reading);
                    return if self.decoded.len() < TOGETHER { Ok(()) } else { self.route_decoded() };
                }
                Some(reason) => (reason, record.value.unwrap_or_default()),
            },
            Err(reason) => (reason, record.value.unwrap_or_default()),
        };
        let rejected = rejected(source, record.offset, reason, value);
        self.reject(rejected, record)
    }

    fn route_decoded(&mut self) -> anyhow::Result<()> {
        let mut decoded = std::mem::take(&mut self.decoded);
        self.router.touch(&decoded);
        decoded.iter_mut().try_for_each(|reading| self.route(reading))?;
        decoded.clear();
        self.decoded = decoded;
        Ok(())
    }

    fn route(&mut self, reading: &mut Reading) -> anyhow::Result<()> {
        self.router.route(reading, &mut self.routes);
        if !self.routes.facts.is_empty() {
            let facts = std::mem::take(&mut self.routes.facts);
            self.tell(&facts)?;
        }
        let owners = std::mem::take(&mut self.routes.owners);
        // A flow between two devices of one lane stands there once, with two owners.
        let mut done = 0;
        while done < owners.len() {
            let lane_of = |owner: &Owner| self.table.lane_of_device(owner.device);
            let lane = lane_of(&owners[done]);
            let together = owners[done..].iter().take_while(|owner| lane_of(owner) == lane).count();
            let devices = self.router.devices();
            let id_of = |key: fleet::DeviceKey| devices[key.0 as usize].id.clone();
            let draft = &mut self.drafts[lane];
            draft.push(reading, &owners[done..done + together], id_of);
            done += together;
            if self.drafts[lane].len() >= BATCH_READINGS || self.drafts[lane].bytes() >= BATCH_BYTES {
                self.flush(lane)?;
            }
        }
        self.routes.owners = owners;
        self.routes.owners.clear();
        Ok(())
    }

    fn flush(&mut self, lane: usize) -> anyhow::Result<()> {
        if self.drafts[lane].is_empty() {
            return Ok(());
        }
        self.tell_learned()?;
        self.sent += self.drafts[lane].len() as u64;
        let message = self.drafts[lane].take();
        self.send(lane, &message, None)
    }

    fn tell_learned(&mut self) -> anyhow::Result<()> {
        for learned in self.router.take_learned() {
            self.identities.tell(learned, &self.inventory.version(), &self.outbox, || self.still_wanted())?;
        }
        Ok(())
    }

    fn send(&self, lane: usize, payload: &[u8], mark_of: Option<u32>) -> anyhow::Result<()> {
        let message = Outgoing {
            topic: &self.config.source.kafka.readings,
            partition: Some(lane as i32),
            payload: Some(payload),
            mark_of,
            ..Outgoing::default()
        };
        self.outbox.send(message, || self.still_wanted())
    }

    /// While Kafka takes nothing more we stay in the group and wait, unless asked to stop.
    fn still_wanted(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.stop.is_asked(), "asked to stop while Kafka takes nothing");
        Ok(())
    }

    /// Facts stand before the readings they hold for: what the lane's draft has was routed before them.
    fn tell(&mut self, facts: &[(Cohort, Fact)]) -> anyhow::Result<()> {
        let mut by_lane: BTreeMap<usize, Vec<LoggedFact>> = BTreeMap::new();
        for (cohort, fact) in facts {
            let lane = match fact {
                Fact::Device { device, .. } => self.table.announce(device),
                _ => self.table.lane_of(cohort),
            };
            by_lane.entry(lane).or_default().extend(logged(fact, self.router.devices()));
        }
        for (lane, facts) in by_lane {
            self.flush(lane)?;
            for some in facts.chunks(BATCH_FACTS) {
                self.send(lane, &encode(&Message::Facts(some.to_vec())), None)?;
            }
        }
        Ok(())
    }

    /// Every device, once: what this process sends later stands behind it in every lane.
    fn announce_all(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.announced, true) {
            return Ok(());
        }
        let mut routes = Routes::default();
        self.router.announce_all(&mut routes);
        self.tell(&routes.facts)?;
        self.tell_members()
    }

    fn reject(&mut self, rejected: Rejected, record: &RawRecord<'_>) -> anyhow::Result<()> {
        let dead_letter = &self.config.source.kafka.dead_letter;
        if !dead_letter.is_empty() {
            let position = format!("{}/{}", rejected.file, record.offset);
            let headers = OwnedHeaders::new()
                .insert(Header { key: "vedette-reason", value: Some(rejected.reason.name()) })
                .insert(Header { key: "vedette-detail", value: Some(&rejected.detail) })
                .insert(Header { key: "vedette-position", value: Some(&position) });
            let (payload, headers) = (Some(record.value.unwrap_or_default()), Some(headers));
            let letter = Outgoing { topic: dead_letter, payload, headers, is_copy: true, ..Outgoing::default() };
            self.outbox.send(letter, || self.still_wanted())?;
        }
        metrics().rejected.add(1, &[KeyValue::new("reason", rejected.reason.name())]);
        self.rejects.push(RejectedRecord {
            source: rejected.position.source,
            offset: rejected.position.offset,
            name: SmolStr::new(&rejected.file),
            reason: SmolStr::new_static(rejected.reason.name()),
            sample: rejected.sample().to_vec(),
            detail: rejected.detail,
        });
        if self.rejects.len() >= BATCH_READINGS {
            self.flush_rejects()?;
        }
        Ok(())
    }

    /// A source's rejected records always go to the same lane, in their order.
    fn flush_rejects(&mut self) -> anyhow::Result<()> {
        let mut by_lane: BTreeMap<usize, Vec<RejectedRecord>> = BTreeMap::new();
        for record in std::mem::take(&mut self.rejects) {
            by_lane.entry(record.source as usize % self.drafts.len()).or_default().push(record);
        }
        for (lane, records) in by_lane {
            self.flush(lane)?;
            self.send(lane, &encode(&Message::Rejected(records)), None)?;
        }
        Ok(())
    }

    fn beat(&mut self, beat: Beat) -> anyhow::Result<()> {
        metrics().records.add(std::mem::take(&mut self.read), &[]);
        metrics().readings.add(std::mem::take(&mut self.sent), &[]);
        self.count_routed();
        self.outbox.check()?;
        self.count_lost();
        self.flush_rejects()?;
        (0..self.drafts.len()).try_for_each(|lane| self.flush(lane))?;
        self.tell_learned()?;
        self.router.tell_again();
        self.identities.follow(&mut self.router, &self.inventory.version());
        self.mark(beat)?;
        let positions = self.positions();
        let epoch = self.outbox.end_epoch();
        self.waiting.push_back((epoch, positions));
        self.commit();
        if self.looked.elapsed() >= LOOK_AROUND {
            self.looked = Instant::now();
            self.refresh_roster()?;
            self.refresh_inventory()?;
        }
        Ok(())
    }

    fn count_routed(&mut self) {
        let (now, before) = (*self.router.counters(), self.counted);
        let told = |reason, count| metrics().unattributed.add(count, &[KeyValue::new("reason", reason)]);
        told("max_devices", now.too_many_devices - before.too_many_devices);
        told("shared", now.shared - before.shared);
        metrics().unknown_devices.add(now.unknown_devices - before.unknown_devices, &[]);
        if before.too_many_devices == 0 && now.too_many_devices > 0 {
            let limit = self.config.ingest.max_devices;
            tracing::error!(
                limit,
                "more devices than `max_devices` under [ingest]: readings of further ones are dropped"
            );
        }
        self.counted = now;
    }

    fn mark(&mut self, beat: Beat) -> anyhow::Result<()> {
        self.pass_markers();
        let mut marks = Vec::new();
        for source in &mut self.owned {
            let appended = self.outbox.mark_appended(source.id);
            let is_quiet = beat == Beat::Whole && !std::mem::take(&mut source.heard);
            let mut quiet_since = None;
            if source.topic.live && is_quiet && appended.is_some() && source.may_be_asked() {
                match bounds_within(&self.watcher, &source.topic.name, source.partition, ASK) {
                    Ok((_, end)) if source.next >= end => quiet_since = appended,
                    Ok(_) => {}
                    Err(error) => {
                        source.ask_at = Some(Instant::now() + LOOK_AROUND);
                        tracing::debug!(%error, "not vouching for a partition that cannot be asked");
                    }
                }
            }
            if source.has_time() {
                let through = source.through(quiet_since);
                marks.push(LoggedMark {
                    source: source.id,
                    topic: source.topic.name.as_str().into(),
                    topic_id: source.topic_id.clone(),
                    partition: source.partition,
                    roster: self.roster.ids.clone(),
                    through,
                    below: source.next,
                });
            }
        }
        if marks.is_empty() && !self.owned.is_empty() {
            // Nothing to vouch for yet. A lane is level when it has come to the present, so there is always something of it.
            let nothing = encode(&Message::Rejected(Vec::new()));
            (0..self.drafts.len()).try_for_each(|lane| self.send(lane, &nothing, Some(NOBODY)))?;
        }
        for mark in marks {
            let source = mark.source;
            let message = encode(&Message::Mark(mark));
            for lane in 0..self.drafts.len() {
                self.send(lane, &message, Some(source))?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.flush_rejects()?;
        (0..self.drafts.len()).try_for_each(|lane| self.flush(lane))?;
        self.tell_learned()?;
        // Whoever goes on may find nothing left to read, and so nothing to vouch by.
        self.mark(Beat::Early)?;
        let positions = self.positions();
        let epoch = self.outbox.end_epoch();
        self.waiting.push_back((epoch, positions));
        self.outbox.flush(Duration::from_secs(10))?;
        self.commit();
        self.consumer.unsubscribe();
        tracing::info!("route has stopped");
        Ok(())
    }
}

impl Drop for Route<'_> {
    fn drop(&mut self) {
        self.consumer.context().stop_forwarding();
        self.queue = None;
    }
}

/// When the broker had the record, milliseconds. A producer's own timestamp may be as wrong as its records, so it counts
/// only up to `now`.
fn dated(record: &RawRecord<'_>, now: i64) -> i64 {
    record.timestamp.filter(|at| record.is_appended || *at < now).unwrap_or(now)
}

fn heartbeat(headers: &[(&str, Option<&[u8]>)]) -> Option<EventTime> {
    let (_, value) = headers.iter().find(|(name, _)| *name == HEARTBEAT)?;
    std::str::from_utf8((*value)?).ok()?.parse().ok().map(EventTime)
}

fn logged(fact: &Fact, devices: &[Arc<fleet::Device>]) -> Option<LoggedFact> {
    let id = |key: &fleet::DeviceKey| devices.get(key.0 as usize).map(|device| device.id.clone());
    Some(match fact {
        Fact::Device { device, from } => {
            LoggedFact::Device { device: DeviceRecord::from(device.as_ref()), from: *from }
        }
        Fact::Left { device, from } => LoggedFact::Left { device: id(device)?, from: *from },
        Fact::Baseline { version, from } => LoggedFact::Baseline { version: *version, from: *from },
        // The operator's, written by `vedette topics remove`, and those of `act`.
        Fact::SourceRemoved { .. } | Fact::Restricted { .. } | Fact::Freed { .. } => return None,
        Fact::RetiredSpoke { device, at } => LoggedFact::RetiredSpoke { device: id(device)?, at: *at },
    })
}
