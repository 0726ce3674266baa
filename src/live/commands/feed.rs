//! `vedette feed`: a labelled set into the raw topic, at any speed, as its devices would have sent it.
//!
//! Records go out in the order of event time, as native JSON; lines that cannot be decoded as they are. Heartbeats in
//! every partition say how far event time is, so that history closes its windows at the speed it is fed with; the last
//! ones say that the set's own lateness is over too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use fleet::{EventTime, MICROS_PER_SECOND, Reading};
use ingest::identity::{Router, Routes};
use ingest::kafka::config::KafkaConfig;
use ingest::kafka::topics;
use ingest::{Fetched, Rejected, to_native_json};
use rdkafka::message::{Header, OwnedHeaders};

use crate::config::{Config, Misuse};
use crate::demo;
use crate::live::route::outbox::{Outbox, Outgoing};
use crate::live::route::sources::HEARTBEAT;
use crate::progress::Progress;

/// Of a topic that is made.
const PARTITIONS: i32 = 4;
/// Event time between heartbeats, at most; and wall time.
const BEAT_EVENT_SECONDS: i64 = 3_600;
const BEAT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Key {
    /// By the device that sent it: its records stay in order.
    Device,
    /// By the file it is of, as a collector would.
    Collector,
    /// None: spread over all partitions.
    None,
}

#[derive(Args, Clone)]
pub struct FeedArgs {
    /// The data set: a TOML file, such as datasets/demo.toml
    #[arg(value_name = "DATASET")]
    pub dataset: PathBuf,
    /// Folder with the files the data set names; else beside the TOML file
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Brokers, `host:port`
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "config")]
    pub brokers: Option<String>,
    /// Configuration with brokers, properties and secrets
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Topic to write to; made with four partitions if it is not there
    #[arg(long, default_value = "vedette.raw")]
    pub topic: String,
    /// So many times as fast as it happened; 0: as fast as possible
    #[arg(long, default_value_t = 600.0)]
    pub speed: f64,
    #[arg(long, value_enum, default_value_t = Key::Device)]
    pub key: Key,
    /// Leave out the last heartbeats: windows that more data may follow into stay open
    #[arg(long)]
    pub open_end: bool,
    /// No progress on the terminal
    #[arg(long)]
    pub quiet: bool,
}

pub fn run(args: &FeedArgs) -> anyhow::Result<()> {
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(brokers) = &args.brokers {
        config.source.kafka.brokers.clone_from(brokers);
    }
    if !(args.speed.is_finite() && (args.speed == 0.0 || args.speed >= 1e-3)) {
        return Err(Misuse(format!("`--speed {}` is no speed, expected 0, or 0.001 and more", args.speed)).into());
    }
    let (dataset, _made) = demo::open(&args.dataset, args.path.as_deref())?;
    config.ingest.lateness_seconds = dataset.lateness_seconds;
    let mut source = dataset.open(&config.ingest).map_err(|error| Misuse(error.to_string()))?;
    let router = Router::new(dataset.inventory()?, &config.ingest);
    let partitions = ready(&config.source.kafka, &args.topic)?;
    let mut feed = Feed::new(&config, args, router, partitions)?;
    let mut progress = Progress::start(args.quiet);
    let (mut sent, mut undecodable) = (0, 0);
    let not_all_taken = || {
        format!(
            "`{}` did not take all that was fed; do the brokers answer, may the user write there, and is its \
             `max.message.bytes` large enough?",
            args.topic
        )
    };
    loop {
        let mut batch = Fetched::default();
        let more = source.fetch(&mut batch)?;
        // As they are: what replay rejects is to be rejected here too.
        for rejected in batch.rejected.iter().filter(|rejected| !rejected.line.is_empty()) {
            feed.send_as_it_is(rejected)?;
            undecodable += 1;
        }
        for reading in batch.readings {
            feed.send(reading)?;
            sent += 1;
        }
        feed.outbox.check().with_context(not_all_taken)?;
        progress.update(source.progress(), sent, feed.reached());
        if !more {
            break;
        }
    }
    feed.finish(args.open_end, i64::from(config.ingest.window_seconds), i64::from(dataset.lateness_seconds))
        .with_context(not_all_taken)?;
    progress.finish();
    println!("fed {sent} records to `{}`", args.topic);
    if undecodable > 0 {
        println!("and {undecodable} lines that cannot be decoded, as they are");
    }
    Ok(())
}

/// The topic's partitions, made if need be.
fn ready(kafka: &KafkaConfig, topic: &str) -> anyhow::Result<i32> {
    for made in topics::create_missing(kafka, &[topics::raw_topic(topic, PARTITIONS)])? {
        println!("made topic {made}");
    }
    let described = topics::describe(topics::admin(kafka)?.inner(), &[topic])?;
    let found = described.first().with_context(|| format!("no broker knows topic `{topic}`"))?;
    match found.problem {
        None => Ok(found.partitions.len() as i32),
        Some(problem) => Err(anyhow!("topic `{topic}` cannot be written to: {problem}")),
    }
}

struct Feed<'a> {
    outbox: Outbox,
    args: &'a FeedArgs,
    router: Router,
    routes: Routes,
    partitions: i32,
    first: Option<(EventTime, Instant)>,
    greatest: EventTime,
    beaten: (EventTime, Instant),
    next: i32,
}

impl<'a> Feed<'a> {
    fn new(config: &Config, args: &'a FeedArgs, router: Router, partitions: i32) -> anyhow::Result<Feed<'a>> {
        let outbox = Outbox::new(&config.source.kafka)?;
        let beaten = (EventTime::MIN, Instant::now());
        Ok(Feed {
            outbox,
            args,
            router,
            routes: Routes::default(),
            partitions,
            first: None,
            greatest: EventTime::MIN,
            beaten,
            next: 0,
        })
    }

    fn reached(&self) -> Option<EventTime> {
        (self.greatest > EventTime::MIN).then_some(self.greatest)
    }

    fn send(&mut self, mut reading: Reading) -> anyhow::Result<()> {
        self.wait_for(reading.time)?;
        self.greatest = self.greatest.max(reading.time);
        let line = to_native_json(&reading);
        let key = match self.args.key {
            Key::Device => {
                self.router.route(&mut reading, &mut self.routes);
                let owner = self.routes.owners.first().map(|owner| owner.device);
                let id = owner.map(|device| self.router.devices()[device.0 as usize].id.to_string());
                self.routes.owners.clear();
                self.routes.facts.clear();
                Some(id.unwrap_or_default())
            }
            Key::Collector => Some(format!("collector-{}", reading.position.source)),
            Key::None => None,
        };
        let partition = match &key {
            Some(key) => (fleet::id::stable_hash(&[key]) % self.partitions as u64) as i32,
            None => {
                self.next = (self.next + 1) % self.partitions;
                self.next
            }
        };
        self.put(partition, key.as_deref(), Some(line.as_bytes()), None)?;
        let (event, at) = self.beaten;
        let far = event == EventTime::MIN || self.greatest.seconds_since(event) >= BEAT_EVENT_SECONDS as f64;
        if far || at.elapsed() >= BEAT {
            self.beat(self.greatest)?;
        }
        Ok(())
    }

    fn send_as_it_is(&self, rejected: &Rejected) -> anyhow::Result<()> {
        let partition = i32::try_from(rejected.position.offset % self.partitions as u64).unwrap_or(0);
        self.put(partition, None, Some(&rejected.line), None)
    }

    /// Keeps the pace; heartbeats go on while nothing is due.
    fn wait_for(&mut self, time: EventTime) -> anyhow::Result<()> {
        let (first, began) = *self.first.get_or_insert((time, Instant::now()));
        if self.args.speed == 0.0 {
            return Ok(());
        }
        let due = Duration::from_secs_f64(time.seconds_since(first).max(0.0) / self.args.speed);
        while let Some(left) = due.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left.min(BEAT));
        }
        Ok(())
    }

    fn beat(&mut self, through: EventTime) -> anyhow::Result<()> {
        self.beaten = (self.greatest, Instant::now());
        let text = through.0.to_string();
        for partition in 0..self.partitions {
            let headers = OwnedHeaders::new().insert(Header { key: HEARTBEAT, value: Some(text.as_bytes()) });
            self.put(partition, None, None, Some(headers))?;
        }
        Ok(())
    }

    fn put(
        &self,
        partition: i32,
        key: Option<&str>,
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> anyhow::Result<()> {
        let message = Outgoing {
            topic: &self.args.topic,
            partition: Some(partition),
            key: key.map(str::as_bytes),
            payload: value,
            headers,
            ..Outgoing::default()
        };
        self.outbox.send(message, || Ok(()))
    }

    /// The last heartbeats say that the last window with a record is complete, lateness included.
    fn finish(mut self, open_end: bool, window_seconds: i64, lateness_seconds: i64) -> anyhow::Result<()> {
        if !open_end && self.greatest > EventTime::MIN {
            let end = self.greatest.window_end(window_seconds * MICROS_PER_SECOND);
            self.beat(end.plus_seconds(lateness_seconds))?;
        }
        self.outbox.flush(Duration::from_secs(60))
    }
}
