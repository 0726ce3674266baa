//! The property everything else rests on: a lane stopped after any tick, and resumed from what that tick committed,
//! gives the ticks it would have given. And: how many lanes there are changes no window.

mod support;

use fleet::{Entry, Fact, Resume, Tick};
use ingest::Config;
use ingest::windows::{Lane, LaneCounters, LaneMemory};
use proptest::prelude::*;
use support::log::{Log, Plan, plan, plan_with_zombies};

fn config(max_open_windows: usize) -> Config {
    Config { max_open_windows, ..Config::default() }
}

fn lane(config: &Config, ordered: bool, at: Resume) -> Lane {
    let lane = Lane::resume(config, at);
    if ordered { lane.with_ordered_sources() } else { lane }
}

fn run(mut lane: Lane, log: &[(u64, Entry)]) -> (Vec<(Tick, Resume)>, Lane) {
    let mut ticks = Vec::new();
    for (offset, entry) in log {
        lane.push(*offset, entry.clone(), &mut ticks);
    }
    lane.finish(&mut ticks);
    (ticks, lane)
}

fn stopped_after_every_tick(plan: &Plan, max_open: usize) -> Result<usize, TestCaseError> {
    let log = Log::written_by(plan);
    let config = config(max_open);
    let (straight, straight_lane) = run(lane(&config, plan.crashes, Resume::START), &log.entries);
    let dropped = |lane: &Lane| lane.counters().late + lane.counters().duplicates;
    for stop in 0..straight.len() {
        let at: Resume = straight[stop].1.to_string().parse().map_err(TestCaseError::fail)?;
        let mut resumed = lane(&config, plan.crashes, at);
        let stored = straight[..=stop].iter().flat_map(|(tick, _)| &tick.windows);
        resumed.recall(stored.map(|window| (window.device, window.end)));
        let from = log.entries.partition_point(|(offset, _)| *offset < at.low);
        let (rest, resumed_lane) = run(resumed, &log.entries[from..]);
        prop_assert_eq!(rest.len(), straight.len() - stop - 1, "ticks after a stop at tick {}", stop);
        for (index, (got, wanted)) in rest.iter().zip(&straight[stop + 1..]).enumerate() {
            prop_assert_eq!(got, wanted, "tick {} after a stop at tick {}", stop + 1 + index, stop);
        }
        let before = log.entries.partition_point(|(offset, _)| *offset < at.frontier);
        let mut stopped = lane(&config, plan.crashes, Resume::START);
        for (offset, entry) in &log.entries[..before] {
            stopped.push(*offset, entry.clone(), &mut Vec::new());
        }
        let once = dropped(&stopped) + dropped(&resumed_lane);
        prop_assert_eq!(once, dropped(&straight_lane), "each dropped reading is counted once");
    }
    Ok(straight.len())
}

/// A lane's ticks, and its memory after each entry that closed some, with the counters of then.
struct Remembered {
    ticks: Vec<Tick>,
    memories: Vec<(usize, Vec<u8>, LaneCounters)>,
    last: (LaneMemory, LaneCounters),
}

fn remembered(mut lane: Lane, log: &[(u64, Entry)]) -> Result<Remembered, TestCaseError> {
    let (mut ticks, mut memories) = (Vec::new(), Vec::new());
    for (offset, entry) in log {
        let before = ticks.len();
        let known = lane.memory();
        lane.push(*offset, entry.clone(), &mut ticks);
        if ticks.len() == before {
            prop_assert_eq!(known, lane.memory(), "of the last tick, however much was read since");
            continue;
        }
        let memory = lane.memory();
        let (_, at) = ticks.last().expect("there are more than before");
        prop_assert_eq!(Resume { low: at.low, ..memory.at }, *at);
        prop_assert!(memory.at.low >= at.low);
        let bytes = postcard::to_stdvec(&memory).map_err(|error| TestCaseError::fail(error.to_string()))?;
        memories.push((ticks.len(), bytes, *lane.counters()));
    }
    lane.finish(&mut ticks);
    let ticks = ticks.into_iter().map(|(tick, _)| tick).collect();
    Ok(Remembered { ticks, memories, last: (lane.memory(), *lane.counters()) })
}

/// From a memory the ticks after it follow, those committed since included; and the same memories.
fn recalled_after_every_entry(plan: &Plan, max_open: usize) -> Result<usize, TestCaseError> {
    let log = Log::written_by(plan);
    let config = config(max_open);
    let straight = remembered(lane(&config, true, Resume::START), &log.entries)?;
    for (closed, bytes, counters) in &straight.memories {
        let memory: LaneMemory = postcard::from_bytes(bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let from = log.entries.partition_point(|(offset, _)| *offset < memory.at.low);
        let again = Lane::recalled(&config, &memory).with_ordered_sources();
        let again = remembered(again, &log.entries[from..])?;
        prop_assert_eq!(&again.ticks, &straight.ticks[*closed..], "ticks after a memory of {} ticks", closed);
        prop_assert_eq!(&again.last.0, &straight.last.0);
        let rest = &again.last.1;
        let both =
            (counters.accepted + rest.accepted, counters.late + rest.late, counters.duplicates + rest.duplicates);
        let all = &straight.last.1;
        prop_assert_eq!(both, (all.accepted, all.late, all.duplicates), "each reading is counted once");
    }
    Ok(straight.memories.len())
}

fn windows_of(ticks: Vec<(Tick, Resume)>) -> Vec<fleet::Window> {
    let mut windows: Vec<fleet::Window> = ticks.into_iter().flat_map(|(tick, _)| tick.windows).collect();
    windows.sort_by_key(|window| (window.end, window.device));
    windows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn stopping_after_any_tick_changes_nothing(plan in plan(), max_open in prop_oneof![Just(1_440usize), 2usize..8]) {
        stopped_after_every_tick(&plan, max_open)?;
    }

    #[test]
    fn what_a_memory_leaves_out_follows_from_the_log(
        plan in plan_with_zombies(),
        max_open in prop_oneof![Just(1_440usize), 2usize..8],
    ) {
        recalled_after_every_entry(&plan, max_open)?;
    }

    #[test]
    fn one_two_and_seven_lanes_give_the_same_windows(plan in plan()) {
        let log = Log::written_by(&plan);
        let config = config(1_440);
        let mut results = Vec::new();
        for lanes in [1u32, 2, 7] {
            let mut ticks = Vec::new();
            let mut late = 0;
            for number in 0..lanes {
                let own = log.entries_of_lane(number, lanes);
                let (lane_ticks, finished) = run(lane(&config, plan.crashes, Resume::START), &own);
                prop_assert!(lane_ticks.windows(2).all(|pair| pair[0].0.end < pair[1].0.end), "ticks in order");
                late += finished.counters().late;
                ticks.extend(lane_ticks);
            }
            results.push((windows_of(ticks), late));
        }
        prop_assert_eq!(&results[0], &results[1]);
        prop_assert_eq!(&results[0], &results[2]);
    }

    #[test]
    fn every_reading_is_in_exactly_one_window_or_counted(plan in plan()) {
        let log = Log::written_by(&plan);
        let (ticks, finished) = run(lane(&config(1_440), plan.crashes, Resume::START), &log.entries);
        let counters = finished.counters();
        let in_windows: u64 = windows_of(ticks).iter().map(|window| u64::from(window.records)).sum();
        prop_assert_eq!(in_windows + counters.late + counters.duplicates, log.readings());
        if plan.crashes {
            prop_assert!(in_windows + counters.late == log.distinct_readings());
        }
    }
}

/// The plans must be hard enough: a property nothing strains proves nothing.
#[test]
fn the_logs_are_disordered_late_repeated_and_quiet() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut late, mut duplicates, mut forced, mut empty, mut skipped, mut many, mut waiting) = (0, 0, 0, 0, 0, 0, 0);
    let mut restricted = 0;
    for _ in 0..200 {
        let Ok(tree) = plan().new_tree(&mut runner) else { panic!("no plan") };
        let plan = tree.current();
        let log = Log::written_by(&plan);
        let (ticks, finished) = run(lane(&config(6), plan.crashes, Resume::START), &log.entries);
        late += usize::from(finished.counters().late > 0);
        duplicates += usize::from(finished.counters().duplicates > 0);
        forced += usize::from(finished.counters().forced > 0);
        empty += usize::from(ticks.iter().any(|(tick, _)| tick.windows.is_empty()));
        let far = |pair: &[(Tick, Resume)]| pair[1].0.end.seconds_since(pair[0].0.end) > 86_400.0;
        skipped += usize::from(ticks.windows(2).any(far));
        many += usize::from(ticks.len() > 20);
        let versions: Vec<u32> = ticks.iter().map(|(tick, _)| tick.baseline_version).collect();
        let of_act = |fact: &Fact| matches!(fact, Fact::Restricted { .. } | Fact::Freed { .. });
        restricted +=
            usize::from(ticks.iter().flat_map(|(tick, _)| &tick.facts).filter(|fact| of_act(fact)).count() > 1);
        waiting += usize::from(versions.windows(2).any(|pair| pair[0] != pair[1]));
    }
    let seen = [late, duplicates, forced, empty, skipped, many, waiting, restricted];
    let names = "late, duplicates, forced, empty, skipped, many, waiting, restricted";
    assert!(seen.iter().all(|&count| count >= 20), "{names}: {seen:?}");
}
