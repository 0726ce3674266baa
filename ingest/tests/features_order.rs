//! A window is a function of the set of its readings. Several sources of one lane interleave as they please, and a replay
//! of the same readings from files must give the same windows, to the last bit.

mod support;

use fleet::reading::{Flow, Message, Outcome, Posture, Protocol, Session, SessionEvent, SignIn};
use fleet::window::MAX_CONTACTS;
use fleet::{DeviceKey, Entry, EventTime, Kind, Owner, Position, Reading, Role, Window};
use ingest::Config;
use ingest::windows::Lane;
use proptest::prelude::*;
use support::readings::{at, flow, message, reading, sign_in};

const OURS: &str = "- 192.168.1.10 sensor-7";

fn window_of(readings: Vec<(Owner, Reading)>) -> Window {
    let mut lane = Lane::new(&Config::default());
    let mut ticks = Vec::new();
    // Several entries, as several sources' batches are.
    for (offset, part) in (0..).zip(readings.chunks(7)) {
        lane.push(offset, Entry::Batch(part.iter().cloned().collect()), &mut ticks);
    }
    lane.finish(&mut ticks);
    let mut windows: Vec<Window> = ticks.into_iter().flat_map(|(tick, _)| tick.windows).collect();
    assert_eq!(windows.len(), 1);
    windows.remove(0)
}

#[derive(Clone, Debug)]
struct Said {
    micros: i64,
    kind: u8,
    /// Which destination, topic, port, ...
    which: u32,
    salt: u32,
}

/// Whole seconds half of the time, so that many have the same time; few destinations a third of the time.
fn said(contacts: u32) -> impl Strategy<Value = Said> {
    let micros = prop_oneof![(0i64..60).prop_map(|seconds| seconds * 1_000_000), 0i64..60_000_000];
    let which = prop_oneof![1 => 0u32..5, 2 => 0..contacts];
    (micros, 0u8..12, which, any::<u32>()).prop_map(|(micros, kind, which, salt)| Said { micros, kind, which, salt })
}

/// At most `contacts` (of [`said`]) and 25 different contacts.
fn reading_of(number: usize, said: &Said) -> (Owner, Reading) {
    let Said { micros, kind, which, salt } = *said;
    let text = |from: &str| Some(format!("{from}-{}", salt % 7).into());
    let country =
        Some([*b"DE", *b"FR", *b"NL", *b"AT", *b"CH", *b"BE", *b"PL", *b"DK", *b"SE", *b"NO"][salt as usize % 10]);
    let (mut role, mut peer) = (Role::Originator, None);
    let kind = match kind {
        0 => Kind::Message(Message {
            inbound: salt.is_multiple_of(5),
            command: (salt % 7 == 3).then(|| "reboot".into()),
            value: (salt % 3 > 0).then(|| f64::from(salt) * 10f64.powi(salt as i32 % 37 - 18) - 0.3),
            refused: salt % 11 == 4,
            ..message(&format!("t/x{}", which % 5), salt % 3_000)
        }),
        1 => Kind::SignIn(SignIn {
            inbound: salt.is_multiple_of(2),
            token: text("token").filter(|_| salt.is_multiple_of(3)),
            country,
            default_credential: salt % 9 == 1,
            ..sign_in(salt.is_multiple_of(4), &format!("10.0.0.{}", which % 3 + 1))
        }),
        2 => Kind::Session(Session {
            event: [SessionEvent::Connected, SessionEvent::TakenOver, SessionEvent::Refused][salt as usize % 3],
            address: format!("10.0.1.{}", salt % 20).parse().ok(),
            country,
            token: Some(format!("session-{}", salt % 13).into()),
            ..Session::default()
        }),
        3 => Kind::Posture(Posture {
            firmware: text("firmware").filter(|_| salt.is_multiple_of(2)),
            configuration: text("configuration"),
            credential: text("credential").filter(|_| salt.is_multiple_of(3)),
            site: text("site"),
            attested: Some(!salt.is_multiple_of(50)),
            listening_ports: vec![which as u16, salt as u16 % 30, 22],
            ..Posture::default()
        }),
        4 => {
            role = Role::Responder;
            Kind::Flow(flow("- 192.168.1.10"))
        }
        5 => {
            // One name, now a host's and then a group's; with the service recognised or told by the port.
            let to = if salt.is_multiple_of(2) { "- 239.1.1.1" } else { "- 8.8.8.8" };
            let service = if salt.is_multiple_of(3) { "ssl" } else { "" };
            Kind::Flow(Flow { server_name: Some("a.example".into()), service: service.into(), ..flow(to) })
        }
        _ => {
            peer = (which % 9 == 2).then_some(DeviceKey(5 + salt % 2));
            let outcomes = [Outcome::Established, Outcome::Refused, Outcome::Reset, Outcome::Unanswered];
            let mut flow = Flow {
                protocol: if which.is_multiple_of(2) { Protocol::Tcp } else { Protocol::Udp },
                duration: i64::from(salt % 5_000_000),
                bytes_out: u64::from(salt),
                bytes_in: u64::from(salt / 3),
                outcome: outcomes[salt as usize % 4],
                ..flow(&format!("- 192.168.{}.{}", which % 3, which % 200))
            };
            flow.responder.port = [23, 443, 6_668, 50_000, 53][which as usize % 5];
            Kind::Flow(flow)
        }
    };
    let who = if role == Role::Responder { "- 9.9.9.9" } else { OURS };
    let position = Position { source: number as u32 % 3, offset: number as u64 };
    let time = EventTime(at(0).0 + micros);
    let reading = Reading { time, position, malicious: salt.is_multiple_of(13), ..reading(0, who, kind) };
    (Owner { device: DeviceKey(4), role, peer }, reading)
}

/// `PartialEq` takes zeros of both signs for one.
fn bits(window: &Window) -> Vec<u32> {
    window.features.iter().map(|value| value.to_bits()).collect()
}

fn shuffled() -> impl Strategy<Value = (Vec<Said>, Vec<usize>)> {
    let all = prop_oneof![proptest::collection::vec(said(20), 1..120), proptest::collection::vec(said(70), 100..300)];
    all.prop_flat_map(|all| {
        let order = (0..all.len()).collect::<Vec<usize>>();
        (Just(all), Just(order).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn readings_in_any_order_give_the_same_window((all, order) in shuffled()) {
        let readings: Vec<(Owner, Reading)> = all.iter().enumerate().map(|(n, said)| reading_of(n, said)).collect();
        let permuted = order.iter().map(|&number| readings[number].clone()).collect();
        let (one, other) = (window_of(readings), window_of(permuted));
        prop_assert_eq!(bits(&one), bits(&other));
        prop_assert_eq!(one, other);
    }

    /// However many contacts there are, when each source's records ascend in time and no contact is of two sources.
    #[test]
    fn ordered_sources_interleaved_in_any_way_give_the_same_window(
        all in proptest::collection::vec(said(600), 300..1_500),
        turns in proptest::collection::vec((any::<bool>(), 1usize..200), 1..40),
    ) {
        let mut flows: Vec<(Owner, Reading)> =
            all.iter().enumerate().map(|(n, said)| reading_of(n, &Said { kind: 9, ..said.clone() })).collect();
        flows.sort_by_key(|(_, reading)| (reading.time, reading.position));
        let straight = window_of(flows.clone());
        let of_one = |(_, reading): &(Owner, Reading)| {
            matches!(&reading.kind, Kind::Flow(flow) if flow.responder.port.is_multiple_of(2))
        };
        let (one, two): (Vec<_>, Vec<_>) = flows.into_iter().partition(of_one);
        let (mut one, mut two) = (one.into_iter(), two.into_iter());
        let mut mixed = Vec::new();
        for (first, count) in turns {
            let source = if first { &mut one } else { &mut two };
            mixed.extend(source.take(count));
        }
        mixed.extend(two.chain(one));
        prop_assert_eq!(straight, window_of(mixed));
    }
}

#[test]
fn in_order_the_first_sixteen_are_kept() {
    let to = |number: usize| Said { micros: number as i64 * 1_000, kind: 9, which: number as u32, salt: 40 };
    let window = window_of((0..300).map(|number| reading_of(number, &to(number))).collect());
    assert_eq!(window.contacts.len(), MAX_CONTACTS + 1);
    let (rest, kept) = window.contacts.split_last().unwrap();
    assert!(kept.iter().zip(0..).all(|(contact, number)| contact.first_record.offset == number && contact.flows == 1));
    assert_eq!((rest.flows, rest.first_record.offset, rest.last_record.offset), (284, 16, 299));
    assert_eq!((window.first_record.offset, window.last_record.offset), (0, 299));
}
