//! The cases, in the order of the shipped set.

use super::*;

pub(super) fn all() -> Vec<Case> {
    let mut cases = posture_and_identity();
    cases.extend(behaviour());
    cases
}

fn firmware(device: u32, version: &str) -> Window {
    window(device, MORNING).details(|details| details.firmware = Some(version.into()))
}

fn configuration(time: &str, hash: &str) -> Window {
    window(CAMERA, time).details(|details| details.configuration = Some(hash.into()))
}

fn credential(device: u32, name: &str) -> Window {
    window(device, MORNING).details(|details| details.credential = Some(name.into()))
}

fn token(device: u32, name: &str, address: [u8; 4]) -> Window {
    window(device, MORNING).details(|details| {
        details.tokens = vec![name.into()];
        details.addresses = vec![IpAddr::from(address)];
    })
}

fn places(taken_over: u32, addresses: f32) -> Window {
    window(CAMERA, MORNING)
        .details(|details| details.taken_over = taken_over)
        .feature(Feature::SourceAddresses, addresses)
}

fn posture_and_identity() -> Vec<Case> {
    let flag = |change: fn(&mut Details)| window(CAMERA, MORNING).details(change);
    let clear = |share: f32, bytes: f32| {
        window(CAMERA, MORNING).feature(Feature::CleartextShare, share).feature(Feature::BytesOut, bytes)
    };
    vec![
        case("attestation-failed", vec![vec![flag(|it| it.attestation_failed = true)]], vec![vec![flag(|_| {})]]),
        case(
            "firmware-outdated",
            vec![vec![firmware(CAMERA, "1.10.9")]],
            vec![vec![firmware(CAMERA, "2.0.0")], vec![firmware(CAMERA, "2.0.10")], vec![flag(|_| {})]],
        ),
        case(
            "firmware-downgraded",
            vec![vec![firmware(CAMERA, "2.10.0"), firmware(CAMERA, "2.9.0")]],
            vec![
                vec![firmware(CAMERA, "2.9.0"), firmware(CAMERA, "2.10.0")],
                vec![firmware(CAMERA, "2.10.0"), firmware(OTHER_CAMERA, "2.9.0")],
            ],
        ),
        case(
            "configuration-changed-off-hours",
            vec![
                vec![configuration(NIGHT, "a"), configuration(NIGHT, "b")],
                vec![configuration(MORNING, "a"), configuration(SATURDAY, "b")],
            ],
            vec![
                vec![configuration(NIGHT, "a"), configuration(MORNING, "b")],
                vec![configuration(NIGHT, "a"), configuration(SATURDAY, "a")],
            ],
        ),
        case(
            "foreign-site",
            vec![vec![flag(|it| it.site = Some("south".into()))]],
            vec![vec![flag(|it| it.site = Some("north".into()))], vec![flag(|_| {})]],
        ),
        case(
            "new-country",
            vec![vec![flag(|it| it.countries = vec!["DE".into(), "KP".into()])]],
            vec![
                vec![flag(|it| it.countries = vec!["DE".into()])],
                vec![window(NOVELTY, MORNING).details(|it| it.countries = vec!["KP".into()])],
            ],
        ),
        case(
            "open-management-port",
            vec![vec![flag(|it| it.listening_ports = vec![443, 23])]],
            vec![vec![flag(|it| it.listening_ports = vec![443, 8883])]],
        ),
        case(
            "cleartext-protocol",
            vec![vec![clear(0.8, 20_000.0)]],
            vec![vec![clear(0.8, 500.0)], vec![clear(0.3, 20_000.0)]],
        ),
        case("default-credential", vec![vec![flag(|it| it.default_credential = true)]], vec![vec![flag(|_| {})]]),
        case(
            "shared-credential",
            vec![vec![credential(CAMERA, "key-1"), credential(OTHER_CAMERA, "key-1")]],
            vec![
                vec![credential(CAMERA, "key-1"), credential(OTHER_CAMERA, "key-2")],
                vec![credential(CAMERA, "key-1"), credential(CAMERA, "key-1")],
            ],
        ),
        case(
            "one-identity-two-places",
            vec![vec![places(2, 2.0)]],
            vec![vec![places(2, 1.0)], vec![places(1, 2.0)], vec![places(0, 2.0)]],
        ),
        case(
            "token-reused",
            vec![
                vec![token(CAMERA, "t", [10, 0, 0, 1]), token(OTHER_CAMERA, "t", [10, 0, 0, 1])],
                vec![token(CAMERA, "t", [10, 0, 0, 1]), token(CAMERA, "t", [10, 0, 0, 2])],
            ],
            vec![
                vec![token(CAMERA, "t", [10, 0, 0, 1]), token(CAMERA, "t", [10, 0, 0, 1])],
                vec![token(CAMERA, "t", [10, 0, 0, 1]), token(OTHER_CAMERA, "u", [10, 0, 0, 1])],
            ],
        ),
    ]
}

fn behaviour() -> Vec<Case> {
    let inbound = |service: &str, from: &str| window(CAMERA, MORNING).contact(service, from, Direction::Inbound);
    let says = |device: u32, kind: &str, word: &str| window(device, MORNING).contact(kind, word, Direction::Outbound);
    let to_peer = |device: u32, service: &str| says(device, service, "192.168.1.11").peer(OTHER_CAMERA);
    let counted = |feature: Feature, value: f32| window(CAMERA, MORNING).feature(feature, value);
    let publishes = |device: u32, time: &str, messages: f32| window(device, time).feature(Feature::Messages, messages);
    vec![
        case(
            "inbound-from-internet",
            vec![vec![counted(Feature::InboundExternal, 3.0)]],
            vec![vec![counted(Feature::InboundExternal, 2.0)]],
        ),
        case(
            "management-from-internet",
            vec![vec![inbound("telnet", "45.9.20.3")]],
            vec![
                vec![inbound("telnet", "45.9.20.3").refused()],
                vec![inbound("telnet", "192.168.1.9")],
                vec![inbound("ssl", "45.9.20.3")],
                vec![says(CAMERA, "telnet", "45.9.20.3")],
            ],
        ),
        case(
            "new-device-to-device",
            vec![vec![to_peer(CAMERA, "ssh")]],
            vec![
                vec![to_peer(CAMERA, "mqtt")],
                vec![to_peer(CAMERA, "ssh").refused()],
                vec![to_peer(NOVELTY, "ssh")],
                vec![says(CAMERA, "ssh", "192.168.1.77")],
            ],
        ),
        case(
            "command-never-used",
            vec![vec![says(CAMERA, Service::COMMAND, "wipe")]],
            vec![vec![says(CAMERA, Service::COMMAND, "capture")], vec![says(NOVELTY, Service::COMMAND, "wipe")]],
        ),
        case(
            "topic-never-used",
            vec![vec![says(CAMERA, Service::TOPIC, "camera/shell")]],
            vec![
                vec![says(CAMERA, Service::TOPIC, "camera/state")],
                vec![says(NOVELTY, Service::TOPIC, "camera/shell")],
            ],
        ),
        case(
            "sign-in-guessing",
            vec![vec![counted(Feature::SignInFailures, 5.0)]],
            vec![vec![counted(Feature::SignInFailures, 4.0)]],
        ),
        case(
            "outside-production-hours",
            vec![vec![publishes(CAMERA, NIGHT, 2.0)]],
            vec![
                vec![publishes(CAMERA, MORNING, 2.0)],
                vec![publishes(CAMERA, NIGHT, 0.0)],
                vec![publishes(NOVELTY, NIGHT, 2.0)],
            ],
        ),
    ]
}
