//! A lane's rules, one by one; `resume.rs` has the property that joins them.

mod support;

use fleet::reading::{Flow, Message, Posture, Session, SessionEvent};
use fleet::{DeviceKey, Entry, EventTime, Fact, Kind, Mac, Mark, Owner, Position, Reading, Resume, Role, Tick};
use ingest::Config;
use ingest::windows::{LONGEST_EMPTY_STRETCH, Lane};
use support::log::unknown_device;
use support::readings::{at, flow, message, reading};

struct Writer {
    lane: Lane,
    offset: u64,
    ticks: Vec<(Tick, Resume)>,
}

impl Writer {
    fn new(lane: Lane) -> Writer {
        Writer { lane, offset: 0, ticks: Vec::new() }
    }

    fn push(&mut self, entry: Entry) -> &mut Writer {
        self.lane.push(self.offset, entry, &mut self.ticks);
        self.offset += 1;
        self
    }

    fn says(&mut self, seconds: i64) -> &mut Writer {
        self.push(batch([record(0, self.offset, seconds)]))
    }

    fn mark(&mut self, source: u32, roster: &[u32], seconds: i64) -> &mut Writer {
        self.push(Entry::Mark(Mark { source, roster: roster.into(), through: at(seconds), below: 0 }))
    }

    fn fact(&mut self, fact: Fact) -> &mut Writer {
        self.push(Entry::Fact(fact))
    }

    /// Ends of the ticks since the last call, in seconds, and how many windows each has.
    fn closed(&mut self) -> Vec<(i64, usize)> {
        let ticks = self.ticks.drain(..);
        ticks.map(|(tick, _)| (tick.end.seconds_since(at(0)) as i64, tick.windows.len())).collect()
    }
}

fn batch<const N: usize>(records: [(Owner, Reading); N]) -> Entry {
    Entry::Batch(records.into_iter().collect())
}

fn owner(device: u32, role: Role) -> Owner {
    Owner { device: DeviceKey(device), role, peer: None }
}

fn record(source: u32, offset: u64, seconds: i64) -> (Owner, Reading) {
    let reading =
        Reading { position: Position { source, offset }, ..reading(seconds, "-", Kind::Message(message("t", 1))) };
    (owner(0, Role::Originator), reading)
}

fn writer() -> Writer {
    Writer::new(Lane::new(&Config::default()))
}

#[test]
fn windows_that_end_together_close_together_and_in_order() {
    let mut log = writer();
    log.says(130).says(5).says(61).says(20);
    assert!(log.mark(1, &[1], 59).closed().is_empty());
    assert_eq!(log.mark(1, &[1], 60).closed(), [(60, 1)]);
    assert_eq!(log.mark(1, &[1], 185).closed(), [(120, 1), (180, 1)]);
}

#[test]
fn a_quiet_fleet_still_ticks() {
    let mut log = writer();
    log.says(5).mark(1, &[1], 60);
    assert_eq!(log.closed(), [(60, 1)]);
    assert_eq!(log.mark(1, &[1], 250).closed(), [(120, 0), (180, 0), (240, 0)]);
    let mut silent = writer();
    assert!(silent.mark(1, &[1], 60).closed().is_empty());
    assert_eq!(silent.mark(1, &[1], 120).closed(), [(120, 0)], "also when nobody ever spoke");
}

#[test]
fn years_between_captures_are_skipped() {
    let day = LONGEST_EMPTY_STRETCH / 1_000_000;
    let mut log = writer();
    log.says(5).mark(1, &[1], 60).mark(1, &[1], 60 + day);
    assert_eq!(log.closed().len(), 1 + 1_440, "a day is ticked through");
    log.says(10 * day + 5).mark(1, &[1], 10 * day + 60);
    assert_eq!(log.closed(), [(10 * day + 60, 1)]);
    log.mark(1, &[1], 20 * day);
    assert!(log.closed().is_empty());
    log.says(20 * day - 5);
    assert_eq!(log.lane.counters().late, 1, "what was skipped is closed");
}

#[test]
fn nothing_closes_before_every_source_has_a_mark() {
    let mut log = writer();
    log.says(5).mark(1, &[1, 2], 600);
    assert!(log.closed().is_empty());
    assert_eq!(log.mark(2, &[1, 2], 90).closed(), [(60, 1)], "the slowest source holds the rest open");
    log.mark(2, &[1, 2], 30);
    assert_eq!(log.fact(Fact::SourceRemoved { source: 2 }).closed().len(), 9);
}

#[test]
fn a_late_reading_is_counted_and_dropped() {
    let mut log = writer();
    log.says(5).mark(1, &[1], 120).says(60).says(119).says(120);
    assert_eq!(log.lane.counters().late, 2);
    assert_eq!(log.mark(1, &[1], 180).closed(), [(60, 1), (120, 0), (180, 1)]);
}

#[test]
fn a_repeated_position_is_dropped_where_positions_ascend() {
    let both = |offset| {
        let flow = Kind::Flow(flow("- 192.168.1.11"));
        let reading = Reading { position: Position { source: 1, offset }, ..reading(5, "-", flow) };
        batch([(owner(0, Role::Originator), reading.clone()), (owner(1, Role::Responder), reading)])
    };
    let mut log = Writer::new(Lane::new(&Config::default()).with_ordered_sources());
    log.push(both(7)).push(both(7)).push(both(6)).push(both(8));
    log.push(batch([record(2, 0, 5)]));
    assert_eq!((log.lane.counters().duplicates, log.lane.counters().accepted), (4, 5), "both sides of a flow are kept");
    log.push(Entry::Mark(Mark { source: 2, roster: [1, 2].into(), through: at(0), below: 40 }));
    log.push(batch([record(2, 39, 5), record(2, 40, 5)]));
    assert_eq!(log.lane.counters().duplicates, 5, "a mark says what stands before it");

    let mut files = writer();
    files.push(both(7)).push(both(3));
    assert_eq!((files.lane.counters().duplicates, files.lane.counters().accepted), (0, 4), "files sorted by time");
}

#[test]
fn too_many_open_windows_leave_the_slowest_source_behind() {
    let config = Config { max_open_windows: 3, ..Config::default() };
    let mut log = Writer::new(Lane::new(&config));
    log.mark(1, &[1, 2], 0).mark(2, &[1, 2], 0);
    (0..5).for_each(|window| _ = log.says(window * 60 + 5));
    assert!(log.closed().is_empty(), "nobody vouches for these, and they may be few");
    assert_eq!(log.mark(1, &[1, 2], 290).closed(), [(60, 1)]);
    let counters = *log.lane.counters();
    assert_eq!((counters.forced, counters.not_waited_for), (1, Some(2)));
    log.says(20);
    assert_eq!(log.lane.counters().late, 1);
    assert_eq!(log.mark(2, &[1, 2], 290).closed(), [(120, 1), (180, 1), (240, 1)]);
}

#[test]
fn facts_come_with_the_tick_from_which_they_hold() {
    let mut log = writer();
    let left = Fact::Left { device: DeviceKey(0), from: at(30) };
    log.fact(Fact::Baseline { version: 7, from: at(60) }).fact(left.clone()).says(5).mark(1, &[1], 120);
    let [(first, at_first), (second, _)] = log.ticks.as_slice() else { panic!("two ticks") };
    assert_eq!((first.baseline_version, &first.facts), (0, &vec![left]));
    assert_eq!((second.baseline_version, second.facts.len()), (7, 1));
    assert_eq!((at_first.low, at_first.versions.baseline), (0, 0), "the waiting baseline is to be read again");
}

#[test]
fn a_baseline_far_ahead_does_not_hold_what_has_a_memory() {
    let mut log = writer();
    log.fact(Fact::Baseline { version: 7, from: at(90) }).says(5).mark(1, &[1], 60).says(61);
    let memory = log.lane.memory();
    assert_eq!((log.ticks[0].1.low, memory.at.low), (0, 2), "the mark stands, and what stood before it is not needed");
    let mut again = Writer { offset: 2, ..Writer::new(Lane::recalled(&Config::default(), &memory)) };
    again.mark(1, &[1], 60).says(61).mark(1, &[1], 120);
    assert_eq!(again.ticks.last().map(|(tick, _)| tick.baseline_version), Some(7));
}

/// Two routers meet a device, one at second 70, one at 130; a record from second 5 comes last.
#[test]
fn a_device_is_announced_at_the_latest_with_its_first_window() {
    let announced = |from: EventTime| Fact::Device { device: unknown_device(0), from };
    let (at_70, at_130) = (announced(at(70)), announced(at(130)));
    let mut log = writer();
    log.fact(announced(EventTime::MIN)).mark(1, &[1], 0).mark(1, &[1], 60);
    log.fact(at_130.clone()).says(130).fact(at_70.clone()).says(70).mark(1, &[1], 120).mark(1, &[1], 180);
    let facts = |log: &mut Writer| log.ticks.drain(..).map(|(tick, _)| tick.facts).collect::<Vec<_>>();
    let expected = [vec![announced(EventTime::MIN)], vec![at_70.clone(), at_130.clone()], vec![at_130.clone()]];
    assert_eq!(facts(&mut log), expected);

    let mut disordered = writer();
    disordered.fact(at_70.clone()).says(70).says(5).mark(1, &[1], 120);
    assert_eq!(facts(&mut disordered), [vec![at_70.clone()], vec![at_70]]);
}

#[test]
fn what_a_log_carries_survives_a_format_that_does_not_describe_itself() {
    let mac = "02:00:00:00:00:07".parse().ok();
    let flow =
        Flow { server_name: Some("a.example".into()), country: Some(*b"DE"), ..flow("02:00:00:00:00:09 fe80::1") };
    let posture = Posture { attested: Some(false), listening_ports: vec![23, 80], ..Posture::default() };
    let said = Message { value: Some(-0.1), command: Some("reboot".into()), ..message("a/b", 7) };
    let kinds = [
        Kind::Message(said),
        Kind::Flow(flow),
        Kind::SignIn(support::readings::sign_in(true, "8.8.8.8")),
        Kind::Session(Session { event: SessionEvent::TakenOver, ..Session::default() }),
        Kind::Posture(posture),
    ];
    let readings = kinds.map(|kind| {
        let mut reading = reading(5, "- 192.168.1.10 sensor-7", kind);
        (reading.identity.mac, reading.position) = (mac, Position { source: 3, offset: u64::MAX });
        (Owner { device: DeviceKey(4), role: Role::Responder, peer: Some(DeviceKey(9)) }, reading)
    });
    let bytes = postcard::to_stdvec(&readings).unwrap();
    assert_eq!(postcard::from_bytes::<[(Owner, Reading); 5]>(&bytes).unwrap(), readings);
    let mark = Mark { source: 2, roster: [1, 2].into(), through: at(5), below: 9 };
    assert_eq!(postcard::from_bytes::<Mark>(&postcard::to_stdvec(&mark).unwrap()).unwrap(), mark);
    assert_eq!(postcard::to_stdvec(&mac.unwrap_or(Mac([0; 6]))).unwrap(), [2, 0, 0, 0, 0, 7]);
}

#[test]
fn the_end_of_all_sources_closes_what_is_open() {
    let mut log = writer();
    log.says(5).says(200);
    log.lane.finish(&mut log.ticks);
    assert_eq!(log.closed(), [(60, 1), (120, 0), (180, 0), (240, 1)]);
    log.lane.finish(&mut log.ticks);
    assert!(log.closed().is_empty());
}

#[test]
fn a_tick_says_from_where_to_go_on() {
    let mut log = writer();
    log.says(5).says(70).mark(1, &[1], 60).says(80).mark(1, &[1], 61).mark(1, &[1], 120);
    let positions: Vec<Resume> = log.ticks.iter().map(|(_, at)| *at).collect();
    let of = |low, seconds, frontier| Resume { low, closed_through: at(seconds), frontier, ..Resume::START };
    assert_eq!(positions, [of(1, 60, 3), of(5, 120, 6)]);
}

#[test]
fn no_time_makes_it_panic() {
    let mut log = writer();
    for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        let (owner, reading) = record(0, 0, 0);
        log.push(batch([(owner, Reading { time: EventTime(time), ..reading })]));
        let through = EventTime(time);
        log.push(Entry::Mark(Mark { source: 1, roster: [1].into(), through, below: u64::MAX }));
        log.push(Entry::Fact(Fact::Baseline { version: 1, from: through }));
    }
    log.lane.finish(&mut log.ticks);
    assert!(log.lane.counters().accepted > 0);
}
