//! Every feature as its definition says, from readings that were worked out by hand.

mod support;

use fleet::reading::{Flow, Message, Outcome, Posture, Protocol, Session, SessionEvent, SignIn};
use fleet::window::Destination;
use fleet::{DeviceKey, Direction, Entry, Feature, Kind, Owner, Reading, Role, Window};
use ingest::Config;
use ingest::windows::Lane;
use support::readings::{at, flow, message, reading, sign_in, unanswered};

const OURS: &str = "- 192.168.1.10 sensor-7";
const DEVICE: DeviceKey = DeviceKey(4);

fn windows_of(readings: Vec<(Owner, Reading)>) -> Vec<Window> {
    let mut lane = Lane::new(&Config::default());
    let mut ticks = Vec::new();
    lane.push(0, Entry::Batch(readings.into_iter().collect()), &mut ticks);
    lane.finish(&mut ticks);
    ticks.into_iter().flat_map(|(tick, _)| tick.windows).collect()
}

fn routed(role: Role, peer: Option<u32>, reading: Reading) -> (Owner, Reading) {
    (Owner { device: DEVICE, role, peer: peer.map(DeviceKey) }, reading)
}

fn out(seconds: i64, kind: Kind) -> (Owner, Reading) {
    routed(Role::Originator, None, reading(seconds, OURS, kind))
}

fn window_of(readings: Vec<(Owner, Reading)>) -> Window {
    let mut windows = windows_of(readings);
    assert_eq!(windows.len(), 1);
    windows.remove(0)
}

#[track_caller]
fn expect(window: &Window, expected: &[(Feature, f32)]) {
    for (feature, value) in expected {
        let got = window.get(*feature);
        assert!((got - value).abs() <= value.abs() * 1e-5, "{} is {got}, expected {value}", feature.name());
    }
}

#[test]
fn flows() {
    let scan = |last: u32| out(10, Kind::Flow(unanswered(&format!("- 192.168.1.{last}"))));
    let mut readings: Vec<(Owner, Reading)> = (20..30).map(scan).collect();
    readings.push(out(20, Kind::Flow(flow("- 8.8.8.8"))));
    readings.push(out(30, Kind::Flow(Flow { service: "http".into(), ..flow("- 8.8.8.8") })));
    readings.push(out(
        40,
        Kind::Flow(Flow { responder: flow("- 8.8.4.4").responder, service: "dns".into(), ..flow("- 8.8.4.4") }),
    ));
    readings.push(out(50, Kind::Flow(unanswered("- 239.255.255.250"))));
    let inbound = reading(55, "- 9.9.9.9", Kind::Flow(flow("- 192.168.1.10")));
    readings.push(routed(Role::Responder, None, inbound));
    let from_peer = reading(56, "- 192.168.1.77", Kind::Flow(flow("- 192.168.1.10")));
    readings.push(routed(Role::Responder, Some(9), from_peer));
    let window = window_of(readings);
    expect(
        &window,
        &[
            (Feature::Flows, 16.0),
            (Feature::BytesOut, (10.0 + 3.0 + 1.0) * 100.0 + 2.0 * 1_000.0),
            (Feature::BytesIn, 3.0 * 1_000.0 + 2.0 * 100.0),
            (Feature::PacketsOut, 14.0 * 5.0 + 2.0 * 4.0),
            (Feature::PacketsIn, 3.0 * 4.0 + 2.0 * 5.0),
            (Feature::Destinations, 12.0),
            (Feature::Ports, 1.0),
            (Feature::FailedFlows, 10.0),
            (Feature::FailedShare, 10.0 / 13.0),
            (Feature::InternalFanOut, 10.0),
            (Feature::DeviceBytes, 1_100.0),
            (Feature::InboundExternal, 1.0),
            (Feature::UpDownRatio, (3_401.0f32 / 3_201.0).log2()),
            (Feature::SecondsSinceHeard, 0.0),
            (Feature::IntervalMean, 40.0 / 13.0),
            (Feature::ValueSpread, -1.0),
        ],
    );
    assert_eq!((window.records, window.device, window.start, window.end), (16, DEVICE, at(0), at(60)));
}

#[test]
fn the_share_in_cleartext_leaves_naming_and_time_out() {
    let with = |service: &str| out(1, Kind::Flow(Flow { service: service.into(), ..flow("- 8.8.8.8") }));
    expect(
        &window_of(vec![with("http"), with("ssl"), with("ssl"), with("dns"), with("ntp")]),
        &[(Feature::CleartextShare, 1.0 / 3.0), (Feature::Flows, 5.0)],
    );
    expect(&window_of(vec![with("dns")]), &[(Feature::CleartextShare, 0.0)]);
}

#[test]
fn distinct_counts_above_sixteen_are_close() {
    let to = |number: u32| {
        let host = format!("- 192.168.{}.{}", number / 200, number % 200 + 1);
        let mut flow = unanswered(&host);
        flow.responder.port = number as u16;
        out(1, Kind::Flow(flow))
    };
    let window = window_of((0..1_000).map(to).collect());
    for feature in [Feature::Destinations, Feature::Ports, Feature::InternalFanOut] {
        let count = window.get(feature);
        assert!((600.0..1_500.0).contains(&count), "{} is {count}", feature.name());
    }
    assert_eq!((window.contacts.len(), window.contacts[16].flows), (17, 984));
    expect(&window_of((0..16).map(to).collect()), &[(Feature::Destinations, 16.0), (Feature::Ports, 16.0)]);
}

#[test]
fn messages() {
    let said = |seconds: i64, message: Message| out(seconds, Kind::Message(message));
    let mut readings: Vec<(Owner, Reading)> = (0..20)
        .map(|number| said(number, Message { value: Some(f64::from(number as u32)), ..message("p/sensor-7/t", 100) }))
        .collect();
    readings
        .push(said(30, Message { command: Some("reboot".into()), refused: true, ..message("p/sensor-7/cmd", 900) }));
    readings.push(said(31, Message { inbound: true, ..message("p/sensor-7/set", 50) }));
    let window = window_of(readings);
    expect(
        &window,
        &[
            (Feature::Messages, 21.0),
            (Feature::MessagesReceived, 1.0),
            (Feature::PayloadMean, 2_900.0 / 21.0),
            (Feature::PayloadMax, 900.0),
            (Feature::BytesOut, 2_900.0),
            (Feature::BytesIn, 50.0),
            (Feature::Topics, 2.0),
            (Feature::Commands, 1.0),
            (Feature::AuthorisationRefusals, 1.0),
            (Feature::ValueMean, 9.5),
            (Feature::ValueSpread, 19.0),
            (Feature::IntervalMean, 30.0 / 20.0),
            (Feature::Flows, 0.0),
        ],
    );
    assert!((100.0..119.0).contains(&window.get(Feature::PayloadP95)));
    let named: Vec<(String, String, u64)> = window
        .contacts
        .iter()
        .map(|contact| (contact.service.to_string(), contact.destination.text().to_string(), contact.bytes_out))
        .collect();
    let row = |service: &str, destination: &str, bytes| (service.to_owned(), destination.to_owned(), bytes);
    assert_eq!(
        named,
        [
            row("topic", "p/+/t", 2_000),
            row("command", "reboot", 0),
            row("topic", "p/+/cmd", 900),
            row("topic", "p/+/set", 0),
        ]
    );
    assert_eq!((window.contacts[2].refused, window.contacts[3].direction), (1, Direction::Inbound));
}

#[test]
fn values_that_are_no_numbers_spoil_nothing() {
    let said = |value: f64| out(1, Kind::Message(Message { value: Some(value), ..message("t", 1) }));
    let window = window_of(vec![said(f64::NAN), said(f64::INFINITY), said(1e308), said(-1e308), said(3.0)]);
    assert!(window.features.iter().all(|value| value.is_finite()), "{:?}", window.features);
}

#[test]
fn sign_ins_sessions_and_posture() {
    let session = |event, from: &str| {
        Kind::Session(Session { event, address: from.parse().ok(), country: Some(*b"DE"), ..Session::default() })
    };
    let guess = SignIn { default_credential: true, ..sign_in(false, "192.168.1.66") };
    let own = SignIn { inbound: false, token: Some("tok".into()), ..sign_in(true, "8.8.8.8") };
    let posture = Posture {
        firmware: Some("2.1".into()),
        attested: Some(false),
        listening_ports: vec![80, 23, 80],
        ..Posture::default()
    };
    let guessed = |seconds| routed(Role::Responder, Some(3), reading(seconds, OURS, Kind::SignIn(guess.clone())));
    let window = window_of(vec![
        guessed(1),
        guessed(2),
        out(3, Kind::SignIn(own)),
        out(4, session(SessionEvent::Connected, "192.168.1.10")),
        out(5, session(SessionEvent::TakenOver, "8.8.4.4")),
        out(6, session(SessionEvent::Refused, "192.168.1.10")),
        out(7, session(SessionEvent::Subscribed, "192.168.1.10")),
        out(8, session(SessionEvent::Disconnected, "192.168.1.10")),
        out(9, Kind::Posture(posture)),
    ]);
    expect(
        &window,
        &[
            (Feature::SignInFailures, 2.0),
            (Feature::SignIns, 1.0),
            (Feature::Connects, 1.0),
            (Feature::Disconnects, 2.0),
            (Feature::AuthorisationRefusals, 1.0),
            (Feature::SourceAddresses, 2.0),
        ],
    );
    let guesses = &window.contacts[0];
    assert_eq!((guesses.service.0.as_str(), guesses.flows, guesses.refused), ("sign-in", 2, 2));
    assert_eq!((guesses.port, guesses.direction, guesses.peer), (0, Direction::Inbound, Some(DeviceKey(3))));
    assert_eq!(guesses.destination, Destination::parse("192.168.1.66"));
    let details = window.details.unwrap();
    assert!(details.attestation_failed && !details.default_credential, "a guess in vain is no default credential");
    assert_eq!((details.taken_over, details.listening_ports), (1, vec![23, 80]));
    assert_eq!((details.firmware.as_deref(), details.tokens.len(), details.countries.len()), (Some("2.1"), 1, 1));
}

#[test]
fn plain_windows_have_no_details() {
    let window = window_of(vec![out(1, Kind::Flow(flow("- 8.8.8.8"))), out(2, Kind::Message(message("t", 1)))]);
    assert_eq!(window.details, None);
}

#[test]
fn rhythm() {
    let every =
        |times: &[i64]| window_of(times.iter().map(|&seconds| out(seconds, Kind::Flow(flow("- 8.8.8.8")))).collect());
    expect(&every(&[0, 30, 10, 20]), &[(Feature::IntervalMean, 10.0), (Feature::IntervalVariation, 0.0)]);
    expect(&every(&[0, 1, 30]), &[(Feature::IntervalMean, 15.0), (Feature::IntervalVariation, 14.0 / 15.0)]);
    expect(&every(&[0, 30]), &[(Feature::IntervalMean, 30.0), (Feature::IntervalVariation, -1.0)]);
    expect(&every(&[5, 5, 5]), &[(Feature::IntervalMean, 0.0), (Feature::IntervalVariation, -1.0)]);
    expect(&every(&[5]), &[(Feature::IntervalMean, 0.0), (Feature::IntervalVariation, -1.0)]);
}

#[test]
fn silence_is_counted_in_whole_windows() {
    let spoke = |seconds: i64| out(seconds, Kind::Flow(flow("- 8.8.8.8")));
    let windows = windows_of(vec![spoke(3_610), spoke(5), spoke(59), spoke(60)]);
    let silences: Vec<f32> = windows.iter().map(|window| window.get(Feature::SecondsSinceHeard)).collect();
    assert_eq!(silences, [0.0, 0.0, 3_600.0 - 120.0]);
}

#[test]
fn a_contact_is_named_as_an_analyst_would() {
    let named = Flow { server_name: Some("cloud.example.com".into()), ..flow("- 8.8.8.8") };
    let unknown_port = Flow { protocol: Protocol::Udp, ..flow("- 8.8.8.8") };
    let mut unknown_port = unknown_port;
    unknown_port.responder.port = 6_668;
    let inbound = reading(3, "- 9.9.9.9", Kind::Flow(Flow { outcome: Outcome::Refused, ..flow("- 192.168.1.10") }));
    let window = window_of(vec![
        out(1, Kind::Flow(named)),
        out(2, Kind::Flow(unknown_port)),
        routed(Role::Responder, None, inbound),
    ]);
    let text: Vec<String> = window
        .contacts
        .iter()
        .map(|contact| {
            format!("{} {} {} {}", contact.service, contact.destination.text(), contact.port, contact.refused)
        })
        .collect();
    assert_eq!(text, ["ssl cloud.example.com 443 0", "udp/6668 8.8.8.8 6668 0", "ssl 9.9.9.9 443 1"]);
    assert_eq!((window.contacts[2].bytes_out, window.contacts[2].duration), (1_000, 1.5));
}
