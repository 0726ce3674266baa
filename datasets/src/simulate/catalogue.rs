//! The device types of the simulated fleet and their habits.
//!
//! The mix is made to exercise every kind of reading and of destination: names and rotating raw addresses, a broker
//! inside, devices that talk to devices, devices without any address of their own.

use super::clock::Activity;
use super::types::{
    ACCESS_SERVER, Act, BROKER, Call, DeviceType, Habit, Measure, RECORDER, RESOLVER, Rhythm, Size, Target,
};

pub(super) const TYPES: &[DeviceType] = &[
    DeviceType {
        name: "camera",
        count: 32,
        works_only: false,
        segment: "video",
        vendor: Some([0x7c, 0x25, 0xda]),
        certificate: false,
        owner: "security",
        criticality: "medium",
        protocol: "rtsps",
        purpose: "surveillance",
        firmware: "5.7.1",
        listens: &[80, 554],
        habits: &[
            every(
                90.0,
                0.05,
                busy(
                    udp(Target::Cloud([[47, 112], [120, 78]]), 8000, "", size(220.0, 0.35), size(140.0, 0.3), 45.0),
                    Activity::Even,
                    0.0,
                ),
            ),
            every(
                300.0,
                0.01,
                busy(
                    tcp(Target::Server(RECORDER), 7441, "ssl", size(9.0e6, 0.25), size(90e3, 0.2), 299.0),
                    Activity::Office,
                    0.3,
                ),
            ),
            daily(
                45.0,
                Activity::Office,
                Act::Call(tcp(
                    Target::Name("clips-#.opticam.example"),
                    443,
                    "ssl",
                    size(650e3, 0.8),
                    size(9e3, 0.4),
                    9.0,
                )),
            ),
            names(900.0),
            time(3600.0),
            posture(6.0 * 3600.0),
        ],
    },
    DeviceType {
        name: "thermostat",
        count: 36,
        works_only: false,
        segment: "building",
        vendor: Some([0x44, 0x61, 0x32]),
        certificate: false,
        owner: "facilities",
        criticality: "low",
        protocol: "mqtt",
        purpose: "heating and cooling",
        firmware: "3.12.0",
        listens: &[],
        habits: &[
            every(
                120.0,
                0.04,
                Act::Report {
                    topic: "building/{site}/{id}/temperature",
                    payload: size(84.0, 0.06),
                    value: measure(20.5, 1.2, Activity::Household, 0.8, 0.15),
                },
            ),
            daily(
                8.0,
                Activity::Office,
                Act::Receive {
                    topic: "building/{site}/{id}/set",
                    names: &["set_temperature", "set_mode"],
                    payload: size(60.0, 0.1),
                    answer: "building/{site}/{id}/state",
                },
            ),
            broker(300.0, 900.0, 260.0),
            every(
                1800.0,
                0.1,
                Act::Call(tcp(
                    Target::Name("forecast.klima.example"),
                    443,
                    "ssl",
                    size(900.0, 0.15),
                    size(6200.0, 0.25),
                    0.8,
                )),
            ),
            names(1800.0),
            time(6.0 * 3600.0),
            posture(12.0 * 3600.0),
            daily(0.8, Activity::Even, Act::Reconnect),
        ],
    },
    DeviceType {
        name: "plug",
        count: 40,
        works_only: false,
        segment: "building",
        vendor: Some([0xd8, 0xf1, 0x5b]),
        certificate: false,
        owner: "facilities",
        criticality: "low",
        protocol: "udp",
        purpose: "switched outlet",
        firmware: "1.0.9",
        listens: &[6668],
        habits: &[
            every(
                118.0,
                0.02,
                busy(
                    tcp(Target::Cloud([[39, 105], [8, 129]]), 16386, "", size(41.0, 0.2), size(13.0, 0.15), 0.15),
                    Activity::Household,
                    0.2,
                ),
            ),
            daily(
                20.0,
                Activity::Household,
                Act::Call(tcp(
                    Target::Cloud([[39, 105], [8, 129]]),
                    16386,
                    "",
                    size(260.0, 0.3),
                    size(190.0, 0.3),
                    0.4,
                )),
            ),
            names(1800.0),
            time(7200.0),
            posture(24.0 * 3600.0),
        ],
    },
    DeviceType {
        name: "door_lock",
        count: 20,
        works_only: false,
        segment: "access",
        vendor: Some([0x00, 0x17, 0x7a]),
        certificate: true,
        owner: "security",
        criticality: "critical",
        protocol: "mqtt",
        purpose: "door lock",
        firmware: "2.2.4",
        listens: &[],
        habits: &[
            every(
                120.0,
                0.02,
                Act::Report { topic: "access/{site}/{id}/alive", payload: size(46.0, 0.03), value: None },
            ),
            daily(
                60.0,
                Activity::Office,
                Act::Receive {
                    topic: "access/{site}/{id}/set",
                    names: &["unlock", "lock"],
                    payload: size(96.0, 0.08),
                    answer: "access/{site}/{id}/state",
                },
            ),
            broker(300.0, 700.0, 420.0),
            every(
                600.0,
                0.05,
                Act::Call(tcp(
                    Target::Name("api-#.lockwerk.example"),
                    443,
                    "ssl",
                    size(1200.0, 0.2),
                    size(2100.0, 0.25),
                    1.2,
                )),
            ),
            names(1800.0),
            time(4.0 * 3600.0),
            posture(6.0 * 3600.0),
            daily(0.6, Activity::Even, Act::Reconnect),
        ],
    },
    DeviceType {
        name: "badge_reader",
        count: 20,
        works_only: false,
        segment: "access",
        vendor: Some([0x00, 0x06, 0x8e]),
        certificate: true,
        owner: "security",
        criticality: "high",
        protocol: "mqtt",
        purpose: "badge reader",
        firmware: "4.0.2",
        listens: &[22],
        habits: &[
            every(
                90.0,
                0.02,
                Act::Report { topic: "access/{site}/{id}/alive", payload: size(52.0, 0.02), value: None },
            ),
            daily(160.0, Activity::Office, Act::SignIn { method: "badge", users: 400, failure_share: 0.02 }),
            every(
                600.0,
                0.02,
                busy(
                    tcp(Target::Server(ACCESS_SERVER), 8443, "ssl", size(3600.0, 0.3), size(1500.0, 0.2), 560.0),
                    Activity::Office,
                    0.5,
                ),
            ),
            names(3600.0),
            time(4.0 * 3600.0),
            posture(6.0 * 3600.0),
            daily(0.4, Activity::Even, Act::Reconnect),
        ],
    },
    DeviceType {
        name: "air_sensor",
        count: 36,
        works_only: false,
        segment: "sensors",
        vendor: None,
        certificate: false,
        owner: "facilities",
        criticality: "low",
        protocol: "zigbee",
        purpose: "air quality",
        firmware: "1.4.0",
        listens: &[],
        habits: &[
            every(
                75.0,
                0.05,
                Act::Report {
                    topic: "air/{site}/{id}/co2",
                    payload: size(118.0, 0.05),
                    value: measure(480.0, 130.0, Activity::Office, 25.0, 12.0),
                },
            ),
            every(
                900.0,
                0.02,
                Act::Report {
                    topic: "air/{site}/{id}/battery",
                    payload: size(64.0, 0.02),
                    value: measure(82.0, 0.0, Activity::Even, 9.0, 0.2),
                },
            ),
            daily(0.5, Activity::Even, Act::Reconnect),
        ],
    },
    DeviceType {
        name: "controller",
        count: 12,
        works_only: true,
        segment: "production",
        vendor: Some([0x00, 0x0e, 0x8c]),
        certificate: true,
        owner: "production",
        criticality: "critical",
        protocol: "modbus",
        purpose: "line control",
        firmware: "8.1.0",
        listens: &[102, 502],
        habits: &[
            every(
                60.0,
                0.005,
                Act::Call(tcp(Target::Device("meter"), 502, "modbus", size(720.0, 0.02), size(1140.0, 0.02), 59.0)),
            ),
            every(
                120.0,
                0.005,
                Act::Call(tcp(Target::Device("gateway"), 4840, "opcua", size(9800.0, 0.08), size(3700.0, 0.05), 119.0)),
            ),
            every(
                60.0,
                0.01,
                Act::Report {
                    topic: "works/line/{id}/speed",
                    payload: size(140.0, 0.03),
                    value: measure(5.0, 55.0, Activity::Production, 2.0, 1.5),
                },
            ),
            daily(
                220.0,
                Activity::Production,
                Act::Command {
                    topic: "works/line/{id}/cmd",
                    names: &["set_speed", "open_valve", "close_valve", "start_pump", "stop_pump"],
                    payload: size(72.0, 0.1),
                },
            ),
            broker(300.0, 5600.0, 900.0),
            time(3600.0),
            posture(6.0 * 3600.0),
            daily(0.15, Activity::Even, Act::Reconnect),
        ],
    },
    DeviceType {
        name: "gateway",
        count: 8,
        works_only: false,
        segment: "production",
        vendor: Some([0xb0, 0xf8, 0x93]),
        certificate: true,
        owner: "it",
        criticality: "high",
        protocol: "mqtt",
        purpose: "protocol gateway",
        firmware: "6.3.2",
        listens: &[22, 443, 4840],
        habits: &[
            every(
                60.0,
                0.03,
                busy(
                    tcp(
                        Target::Name("ingest-#.fabrikcloud.example"),
                        8883,
                        "ssl",
                        size(42e3, 0.3),
                        size(5e3, 0.25),
                        58.0,
                    ),
                    Activity::Production,
                    0.4,
                ),
            ),
            every(
                60.0,
                0.02,
                Act::Report {
                    topic: "gateways/{site}/{id}/status",
                    payload: size(410.0, 0.08),
                    value: measure(31.0, 12.0, Activity::Production, 4.0, 3.0),
                },
            ),
            every(
                120.0,
                0.1,
                Act::Call(tcp(
                    Target::Name("time-series.fabrikcloud.example"),
                    443,
                    "ssl",
                    size(15e3, 0.4),
                    size(2e3, 0.3),
                    3.0,
                )),
            ),
            broker(120.0, 26e3, 3e3),
            names(300.0),
            time(1800.0),
            posture(6.0 * 3600.0),
            daily(0.2, Activity::Even, Act::Reconnect),
        ],
    },
    DeviceType {
        name: "lamp",
        count: 28,
        works_only: false,
        segment: "building",
        vendor: Some([0x44, 0x4f, 0x8e]),
        certificate: false,
        owner: "facilities",
        criticality: "low",
        protocol: "mqtt",
        purpose: "lighting",
        firmware: "2.3.0",
        listens: &[],
        habits: &[
            every(
                180.0,
                0.05,
                Act::Call(tcp(
                    Target::Name("mqtt-#.lumen.example"),
                    8883,
                    "ssl",
                    size(310.0, 0.2),
                    size(240.0, 0.2),
                    60.0,
                )),
            ),
            daily(
                30.0,
                Activity::Household,
                Act::Receive {
                    topic: "light/{site}/{id}/set",
                    names: &["switch_on", "switch_off", "dim"],
                    payload: size(48.0, 0.1),
                    answer: "light/{site}/{id}/state",
                },
            ),
            announce(600.0),
            names(1800.0),
            time(6.0 * 3600.0),
            posture(12.0 * 3600.0),
            daily(0.7, Activity::Even, Act::Reconnect),
        ],
    },
    DeviceType {
        name: "meter",
        count: 12,
        works_only: true,
        segment: "production",
        vendor: Some([0x00, 0x80, 0xf4]),
        certificate: false,
        owner: "production",
        criticality: "medium",
        protocol: "modbus",
        purpose: "energy metering",
        firmware: "2.0.5",
        listens: &[502],
        habits: &[
            every(
                60.0,
                0.01,
                Act::Report {
                    topic: "works/energy/{id}/power",
                    payload: size(96.0, 0.02),
                    value: measure(18.0, 85.0, Activity::Production, 6.0, 5.0),
                },
            ),
            broker(300.0, 2100.0, 300.0),
            time(6.0 * 3600.0),
            posture(24.0 * 3600.0),
            daily(0.2, Activity::Even, Act::Reconnect),
        ],
    },
];

/// What plugs itself in without being in the inventory: somebody's streaming stick.
pub(super) const VISITOR: DeviceType = DeviceType {
    name: "visitor",
    count: 1,
    works_only: false,
    segment: "building",
    vendor: Some([0xf0, 0x81, 0x73]),
    certificate: false,
    owner: "",
    criticality: "low",
    protocol: "",
    purpose: "",
    firmware: "",
    listens: &[],
    habits: &[
        every(
            75.0,
            0.4,
            Act::Call(tcp(
                Target::Name("edge-#.streambox.example"),
                443,
                "ssl",
                size(4e3, 0.6),
                size(1.5e6, 0.9),
                55.0,
            )),
        ),
        announce(120.0),
        names(200.0),
        time(3600.0),
    ],
};

const fn size(median: f64, sigma: f64) -> Size {
    Size { median, sigma }
}

const fn every(seconds: f64, jitter: f64, act: Act) -> Habit {
    Habit { rhythm: Rhythm::Every { seconds, jitter }, act }
}

const fn daily(count: f64, activity: Activity, act: Act) -> Habit {
    Habit { rhythm: Rhythm::PerDay { count, activity }, act }
}

const fn tcp(target: Target, port: u16, service: &'static str, out: Size, back: Size, seconds: f64) -> Call {
    Call { target, port, tcp: true, service, out, back, seconds, follows: 0.0, activity: Activity::Even }
}

const fn udp(target: Target, port: u16, service: &'static str, out: Size, back: Size, seconds: f64) -> Call {
    Call { target, port, tcp: false, service, out, back, seconds, follows: 0.0, activity: Activity::Even }
}

const fn busy(call: Call, activity: Activity, follows: f64) -> Act {
    Act::Call(Call { activity, follows, ..call })
}

const fn names(seconds: f64) -> Habit {
    every(seconds, 0.3, Act::Call(udp(Target::Server(RESOLVER), 53, "dns", size(45.0, 0.15), size(130.0, 0.3), 0.02)))
}

const fn time(seconds: f64) -> Habit {
    every(seconds, 0.05, Act::Call(udp(Target::TimePool, 123, "ntp", size(48.0, 0.0), size(48.0, 0.0), 0.04)))
}

const fn posture(seconds: f64) -> Habit {
    every(seconds, 0.02, Act::Posture)
}

const fn broker(seconds: f64, out: f64, back: f64) -> Habit {
    every(
        seconds,
        0.03,
        Act::Call(tcp(Target::Server(BROKER), 8883, "ssl", size(out, 0.2), size(back, 0.2), seconds * 0.98)),
    )
}

const fn measure(base: f64, swing: f64, activity: Activity, spread: f64, noise: f64) -> Option<Measure> {
    Some(Measure { base, swing, activity, spread, noise })
}

const fn announce(seconds: f64) -> Habit {
    every(
        seconds,
        0.1,
        Act::Call(udp(Target::Group([224, 0, 0, 251]), 5353, "dns", size(180.0, 0.2), size(0.0, 0.0), 0.0)),
    )
}
