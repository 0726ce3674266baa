//! Whatever records say, routing holds to its rules.

mod support;

use std::collections::HashSet;

use fleet::reading::{Outcome, Session, SessionEvent};
use fleet::{DeviceKey, Fact, Kind, Reading, Role};
use ingest::Config;
use ingest::identity::{Inventory, LaneTable, Router, Routes};
use proptest::prelude::*;
use support::readings::{flow, message, reading, sign_in};

const MACS: [&str; 7] = [
    "-",
    "02:00:00:00:00:01",
    "02:00:00:00:00:02",
    "02:00:00:00:00:03",
    "ff:ff:ff:ff:ff:ff",
    "00:00:00:00:00:00",
    "02:00:00:00:00:04",
];
const ADDRESSES: [&str; 11] = [
    "192.168.1.1",
    "192.168.1.2",
    "192.168.1.3",
    "192.168.1.4",
    "8.8.8.8",
    "0.0.0.0",
    "239.0.0.1",
    "fe80::1",
    "::",
    "::ffff:192.168.1.1",
    "255.255.255.255",
];
const CLIENTS: [&str; 4] = ["-", "one", "two", "three"];
const CERTIFICATES: [&str; 3] = ["-", "own", "common"];

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let side = (prop::sample::select(&MACS[..]), prop::sample::select(&ADDRESSES[..]));
    let names = (prop::sample::select(&CLIENTS[..]), prop::sample::select(&CERTIFICATES[..]), any::<bool>());
    let one = (side.clone(), side, names, 0i64..90_000, 0u8..12).prop_map(|(from, to, names, seconds, kind)| {
        let to = format!("{} {}", to.0, to.1);
        let (client, certificate, with_address) = names;
        let address = if with_address { from.1 } else { "-" };
        let who = match kind {
            0..8 => format!("{} {}", from.0, from.1),
            _ => format!("{} {address} {client} {certificate}", from.0),
        };
        let kind = match kind {
            0..6 => Kind::Flow(flow(&to)),
            6 => Kind::Flow(fleet::reading::Flow { outcome: Outcome::Refused, ..flow(&to) }),
            7 => Kind::Flow(fleet::reading::Flow { packets_in: 0, bytes_in: 0, ..flow(&to) }),
            8 | 9 => Kind::Message(message("a/b", 10)),
            10 => Kind::SignIn(sign_in(false, "192.168.1.2")),
            _ => Kind::Session(Session { event: SessionEvent::Connected, ..Session::default() }),
        };
        reading(seconds, &who, kind)
    });
    proptest::collection::vec(one, 0..120)
}

fn router(max_devices: usize) -> Router {
    let inventory = "device_id,device_type,mac,ip,client_id,certificate,status,valid_until\n\
        a,plug,02:00:00:00:00:01,192.168.1.1,one,own,,2026-03-02T12:00:00Z\n\
        b,plug,02:00:00:00:00:02,192.168.1.2,,common,retired,\n\
        c,camera,,192.168.1.2,,common,,\n";
    let config = Config { max_devices, ..Config::default() };
    Router::new(Inventory::from_csv(inventory.as_bytes(), "inventory.csv").unwrap(), &config)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn routing_holds_to_its_rules(readings in readings(), max_devices in 3usize..9) {
        let mut router = router(max_devices);
        let mut announced: HashSet<DeviceKey> = router.devices().iter().map(|device| device.key).collect();
        let mut retired = HashSet::new();
        for reading in &readings {
            let mut routes = Routes::default();
            let mut routed = reading.clone();
            router.route(&mut routed, &mut routes);
            prop_assert_eq!(&routed, reading);
            for (_, fact) in &routes.facts {
                match fact {
                    Fact::Device { device, .. } => prop_assert!(announced.insert(device.key), "announced twice"),
                    Fact::RetiredSpoke { device, at } => prop_assert!(retired.insert((*device, at.day())), "told twice"),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert!(routes.owners.len() <= 2);
            for owner in &routes.owners {
                prop_assert!(announced.contains(&owner.device), "used before it was announced");
                prop_assert!(owner.peer != Some(owner.device));
            }
            if let [one, other] = routes.owners.as_slice() {
                prop_assert_eq!((one.role, other.role), (Role::Originator, Role::Responder));
                prop_assert_eq!((one.peer, other.peer), (Some(other.device), Some(one.device)));
            }
        }
        prop_assert!(router.devices().len() <= max_devices);
        let ids: HashSet<_> = router.devices().iter().map(|device| device.id.clone()).collect();
        prop_assert_eq!(ids.len(), router.devices().len(), "two devices of one name");
        let mut table = LaneTable::new(&router.devices()[..3], 5);
        for device in router.devices() {
            prop_assert_eq!(table.announce(device), table.lane_of(&device.cohort));
        }
    }
}
