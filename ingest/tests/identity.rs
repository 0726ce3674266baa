//! Whose a reading is, sentence by sentence.

mod support;

use fleet::device::Standing;
use fleet::reading::{Flow, Outcome, Session, SessionEvent};
use fleet::{Fact, Kind, Role};
use ingest::Config;
use ingest::identity::{Inventory, Learned, NameKind, Router, Routes};
use support::readings::{at, flow, message, reading, sign_in, unanswered};

const MAC_A: &str = "02:00:00:00:00:0a";
const MAC_B: &str = "02:00:00:00:00:0b";
const STRANGER: &str = "02:00:00:00:00:99";

fn router(inventory: &str) -> Router {
    Router::new(Inventory::from_csv(inventory.as_bytes(), "inventory.csv").unwrap(), &Config::default())
}

fn two_devices() -> Router {
    router(&format!(
        "device_id,device_type,mac,ip,client_id,certificate\n\
         a,plug,{MAC_A},192.168.1.10,client-a,shared-cert\n\
         b,plug,{MAC_B},192.168.1.11,client-b,shared-cert\n"
    ))
}

fn route(router: &mut Router, seconds: i64, who: &str, kind: Kind) -> Routes {
    let mut routes = Routes::default();
    router.route(&mut reading(seconds, who, kind), &mut routes);
    routes
}

/// The ids of the devices the reading is of.
fn whose(router: &mut Router, seconds: i64, who: &str, kind: Kind) -> Vec<String> {
    let routes = route(router, seconds, who, kind);
    routes.owners.iter().map(|routed| router.devices()[routed.device.0 as usize].id.to_string()).collect()
}

fn to_internet() -> Kind {
    Kind::Flow(flow("- 8.8.8.8"))
}

#[test]
fn mac_before_ip_and_the_address_follows_the_lease() {
    let mut router = two_devices();
    assert_eq!(whose(&mut router, 0, "- 192.168.1.10", to_internet()), ["a"]);
    assert_eq!(whose(&mut router, 100, &format!("{MAC_B} 192.168.1.10"), to_internet()), ["b"]);
    assert_eq!(whose(&mut router, 101, "- 192.168.1.10", to_internet()), ["b"], "by lease");
    assert_eq!(whose(&mut router, 99, "- 192.168.1.10", to_internet()), ["a"], "a late record, before the lease");
    assert_eq!(whose(&mut router, 102, &format!("{MAC_A} 192.168.99.7"), to_internet()), ["a"]);
    assert_eq!(whose(&mut router, 103, "- 192.168.99.7", to_internet()), ["a"]);
}

#[test]
fn a_mac_beside_an_internet_address_is_the_routers() {
    let mut router = two_devices();
    let to = Kind::Flow(flow(&format!("{STRANGER} 8.8.8.8")));
    assert_eq!(whose(&mut router, 0, &format!("{MAC_A} 192.168.1.10"), to), ["a"]);
    let other_subnet = format!("{STRANGER} 192.168.2.7");
    assert_eq!(whose(&mut router, 1, &other_subnet, to_internet()), ["unknown:192.168.2.7"]);
    let spoofed = format!("{MAC_A} 9.9.9.9");
    assert_eq!(route(&mut router, 2, &spoofed, Kind::Flow(flow("- 8.8.8.8"))).owners, []);
}

#[test]
fn a_flow_between_two_devices_is_a_reading_of_each() {
    let mut router = two_devices();
    let routes = route(&mut router, 0, "- 192.168.1.10", Kind::Flow(flow("- 192.168.1.11")));
    let [one, other] = routes.owners.as_slice() else { panic!("{routes:?}") };
    assert_eq!((one.role, other.role), (Role::Originator, Role::Responder));
    assert_eq!((one.peer, other.peer), (Some(other.device), Some(one.device)));
    let routes = route(&mut router, 0, "- 8.8.8.8", Kind::Flow(flow("- 192.168.1.11")));
    assert_eq!((routes.owners.len(), routes.owners[0].role), (1, Role::Responder));
    let to_itself = route(&mut router, 0, "- 192.168.1.10", Kind::Flow(flow("- 192.168.1.10")));
    assert_eq!((to_itself.owners.len(), to_itself.owners[0].peer), (1, None));
    assert_eq!(route(&mut router, 0, "- 8.8.8.8", Kind::Flow(flow("- 9.9.9.9"))).owners, []);
}

#[test]
fn what_goes_unanswered_to_somebody_unknown_is_never_theirs_in_whatever_order_records_come() {
    let (asked, answered) = (unanswered("- 192.168.1.50"), flow("- 192.168.1.50"));
    let of = |router: &mut Router, flow: &Flow| whose(router, 0, "- 192.168.1.10", Kind::Flow(flow.clone())).len();
    let mut router = two_devices();
    assert_eq!((of(&mut router, &asked), of(&mut router, &answered), of(&mut router, &asked)), (1, 2, 1));
}

#[test]
fn who_originates_or_answers_becomes_an_unknown_device_and_the_target_of_a_scan_does_not() {
    let mut router = two_devices();
    let scan = |router: &mut Router, flow: Flow| route(router, 0, "- 192.168.1.10", Kind::Flow(flow)).facts.len();
    assert_eq!(scan(&mut router, unanswered("- 192.168.1.50")), 0);
    let refused = Flow { outcome: Outcome::Refused, packets_in: 1, ..unanswered("- 192.168.1.50") };
    assert_eq!(scan(&mut router, refused), 0, "a reset is no service");
    assert_eq!(scan(&mut router, Flow { packets_in: 0, bytes_in: 0, ..flow("- 192.168.1.50") }), 0);
    assert_eq!(scan(&mut router, flow("- 192.168.1.50")), 1);
    assert_eq!(scan(&mut router, flow("- 192.168.1.50")), 0, "announced once");
    let facts = route(&mut router, 1, "- fe80::5", to_internet()).facts;
    let [(cohort, Fact::Device { device, from })] = facts.as_slice() else { panic!("{facts:?}") };
    assert_eq!((device.id.as_str(), device.standing, *from), ("unknown:fe80::5", Standing::Unknown, at(1)));
    assert_eq!((cohort, device.device_type.as_str()), (&device.cohort, ""));
    for nobody in ["- 0.0.0.0", "- ::", "- 239.1.1.1", "ff:ff:ff:ff:ff:ff", "- 127.0.0.1", "- 8.8.4.4"] {
        assert_eq!(route(&mut router, 2, nobody, to_internet()).owners, [], "{nobody}");
    }
    assert_eq!(whose(&mut router, 3, &format!("{STRANGER} 0.0.0.0"), to_internet()), [format!("unknown:{STRANGER}")]);
}

#[test]
fn a_known_target_of_a_scan_still_has_the_reading() {
    let mut router = two_devices();
    assert_eq!(whose(&mut router, 0, "- 192.168.1.10", Kind::Flow(unanswered("- 192.168.1.11"))), ["a", "b"]);
}

#[test]
fn an_unknown_device_stays_one_device_when_its_identities_are_linked() {
    let mut router = two_devices();
    assert_eq!(whose(&mut router, 0, "- 192.168.1.60", to_internet()), ["unknown:192.168.1.60"]);
    let both = format!("{STRANGER} 192.168.1.60");
    assert_eq!(whose(&mut router, 1, &both, to_internet()), ["unknown:192.168.1.60"]);
    assert_eq!(whose(&mut router, 2, &format!("{STRANGER} 192.168.1.61"), to_internet()), ["unknown:192.168.1.60"]);
    let said = Kind::Message(message("t", 1));
    assert_eq!(whose(&mut router, 3, &format!("{STRANGER} - new-client"), said.clone()), ["unknown:192.168.1.60"]);
    assert_eq!(whose(&mut router, 4, "- - new-client", said.clone()), ["unknown:192.168.1.60"]);
    assert_eq!(whose(&mut router, 5, "- - client-only", said.clone()), ["unknown:client-only"]);
    assert_eq!(whose(&mut router, 6, &format!("{MAC_A} - client-only"), said.clone()), ["a"], "it was a all the time");
    assert_eq!(whose(&mut router, 7, "- - client-only", said), ["a"]);
    assert_eq!(router.counters().unknown_devices, 2);
}

#[test]
fn a_stranger_at_a_known_devices_address_is_another_device() {
    let mut router = two_devices();
    let stranger = format!("{STRANGER} 192.168.1.10");
    assert_eq!(whose(&mut router, 100, &stranger, to_internet()), [format!("unknown:{STRANGER}")]);
    assert_eq!(whose(&mut router, 101, "- 192.168.1.10", to_internet()), [format!("unknown:{STRANGER}")]);
    let mut by_address = router_with_address_only();
    assert_eq!(whose(&mut by_address, 0, &stranger, to_internet()), ["a"], "the inventory knows no MAC of a");
    let second = format!("{MAC_B} 192.168.1.10");
    assert_eq!(whose(&mut by_address, 1, &second, to_internet()), [format!("unknown:{MAC_B}")]);
}

fn router_with_address_only() -> Router {
    router("device,type,ip\na,plug,192.168.1.10\n")
}

#[test]
fn broker_readings_go_by_client_id_then_mac_then_ip_then_certificate() {
    let mut router = router(&format!(
        "device_id,device_type,mac,ip,client_id,certificate\n\
         a,plug,,,client-a,\nb,plug,{MAC_B},,,\nc,plug,,192.168.1.12,,\nd,plug,,,,cert-d\n"
    ));
    let said = || Kind::Message(message("t", 1));
    assert_eq!(whose(&mut router, 0, &format!("{MAC_B} 192.168.1.12 client-a cert-d"), said()), ["a"]);
    assert_eq!(whose(&mut router, 0, &format!("{MAC_B} 192.168.1.13 - cert-d"), said()), ["b"]);
    assert_eq!(whose(&mut router, 0, "- 192.168.1.12 - cert-d", said()), ["c"]);
    assert_eq!(whose(&mut router, 0, "- 8.8.8.8 - cert-d", said()), ["d"]);
    assert_eq!(whose(&mut router, 0, "- 8.8.8.8 - cert-x", said()), [""; 0]);
}

#[test]
fn a_shared_identity_names_nobody() {
    let mut router = two_devices();
    let said = || Kind::Message(message("t", 1));
    assert_eq!(route(&mut router, 0, "- - - shared-cert", said()).owners, []);
    assert_eq!(router.counters().shared, 1);
    assert_eq!(whose(&mut router, 0, "- 192.168.1.10 - shared-cert", said()), ["a"]);
    let mut nat = self::router("device_id,device_type,ip\na,plug,10.0.0.1\nb,plug,10.0.0.1\n");
    let routes = route(&mut nat, 0, "- 10.0.0.1", to_internet());
    assert_eq!((routes.owners.len(), routes.facts.len(), nat.counters().shared), (0, 0, 1));
}

#[test]
fn an_address_passes_from_a_retired_device_to_the_next() {
    let mut router = router(
        "device_id,device_type,ip,valid_from,valid_until\n\
         new,plug,192.168.1.10,,\nold,plug,192.168.1.10,,2026-03-02T00:10:00Z\nlater,plug,192.168.1.10,2026-03-02T00:20:00Z,\n",
    );
    assert_eq!(whose(&mut router, 599, "- 192.168.1.10", to_internet()), ["old"]);
    assert_eq!(whose(&mut router, 600, "- 192.168.1.10", to_internet()), ["new"]);
    assert_eq!(whose(&mut router, 1_200, "- 192.168.1.10", to_internet()), ["later"]);
}

#[test]
fn a_retired_device_that_speaks_is_reported_once_a_day() {
    let mut router = router(&format!(
        "device_id,device_type,mac,ip,status,valid_until\na,plug,{MAC_A},,retired,\nb,plug,{MAC_B},192.168.1.11,,2026-03-02T01:00:00Z\n"
    ));
    let mut reports = |seconds: i64, who: &str, kind: Kind| {
        let routes = route(&mut router, seconds, who, kind);
        assert_eq!(routes.owners.len(), 1, "its readings are routed all the same");
        routes.facts.iter().filter(|(_, fact)| matches!(fact, Fact::RetiredSpoke { .. })).count()
    };
    assert_eq!(reports(5, MAC_A, to_internet()), 1);
    assert_eq!(reports(6, MAC_A, to_internet()), 0);
    assert_eq!(reports(86_400, MAC_A, to_internet()), 1);
    assert_eq!(reports(3, MAC_A, to_internet()), 0, "a late record of a day already reported");
    assert_eq!(reports(3_599, MAC_B, to_internet()), 0);
    assert_eq!(reports(3_601, "- 8.8.8.8", Kind::Flow(unanswered("- 192.168.1.11"))), 0, "scanned, it says nothing");
    assert_eq!(reports(3_602, "- 8.8.8.8", Kind::Flow(flow("- 192.168.1.11"))), 1);
}

#[test]
fn the_number_of_devices_is_bounded_and_counted() {
    let config = Config { max_devices: 3, ..Config::default() };
    let mut router = Router::new(Inventory::empty(), &config);
    for host in 0..9 {
        let mut routes = Routes::default();
        router.route(&mut reading(0, &format!("- 10.0.0.{host}"), to_internet()), &mut routes);
        assert_eq!(routes.owners.is_empty(), host >= 3);
    }
    assert_eq!((router.devices().len(), router.counters().too_many_devices), (3, 6));
}

#[test]
fn guessed_client_ids_from_outside_make_no_devices() {
    let mut router = two_devices();
    let refused = Session { event: SessionEvent::Refused, address: "8.8.8.8".parse().ok(), ..Session::default() };
    assert_eq!(route(&mut router, 0, "- - guess", Kind::Session(refused.clone())).owners, []);
    let inside = Session { address: "192.168.1.77".parse().ok(), ..refused };
    assert_eq!(whose(&mut router, 0, "- - guess", Kind::Session(inside)), ["unknown:192.168.1.77"]);
}

#[test]
fn a_sign_in_knows_the_device_it_came_from() {
    let mut router = two_devices();
    let routes = route(&mut router, 0, "- 192.168.1.11", Kind::SignIn(sign_in(false, "192.168.1.10")));
    let [owner] = routes.owners.as_slice() else { panic!("{routes:?}") };
    assert_eq!((owner.role, owner.peer), (Role::Responder, Some(router.devices()[0].key)));
}

#[test]
fn large_types_are_cut_into_shards_by_device_id() {
    let mut text = String::from("device_id,device_type,segment\n");
    (0..100).for_each(|number| text.push_str(&format!("d{number},plug,east\n")));
    text.push_str("only,camera,east\n");
    let config = Config { cohort_size: 30, ..Config::default() };
    let router = Router::new(Inventory::from_csv(text.as_bytes(), "test").unwrap(), &config);
    let mut shards = [0; 4];
    router.devices()[..100].iter().for_each(|device| shards[usize::from(device.cohort.shard)] += 1);
    assert!(shards.iter().all(|count| (10..45).contains(count)), "{shards:?}");
    assert_eq!(router.devices()[100].cohort.shard, 0);
    let mut routes = Routes::default();
    router.announce_all(&mut routes);
    assert_eq!(routes.facts.len(), 101);
    assert_eq!(at(0).to_string(), "2026-03-02T00:00:00Z");
}

#[test]
fn what_one_router_learns_of_addresses_others_know() {
    let [mut one, mut other, mut third] = [(); 3].map(|()| two_devices().telling());
    assert_eq!(one.take_learned(), [], "what the inventory says nobody has to be told");
    assert_eq!(whose(&mut one, 100, &format!("{MAC_B} 192.168.1.10"), to_internet()), ["b"]);
    assert_eq!(
        whose(&mut one, 200, &format!("{STRANGER} 192.168.1.11"), to_internet()),
        [format!("unknown:{STRANGER}")]
    );
    assert_eq!(
        whose(&mut one, 201, &format!("{STRANGER} 192.168.5.5"), to_internet()),
        [format!("unknown:{STRANGER}")]
    );
    let learned = one.take_learned();
    assert_eq!(learned.len(), 2, "not of addresses that only a stranger had: {learned:?}");
    for learned in &learned {
        other.hear(learned, true);
        third.hear(learned, false);
    }
    assert_eq!(whose(&mut other, 150, "- 192.168.1.10", to_internet()), ["b"]);
    assert_eq!(whose(&mut other, 99, "- 192.168.1.10", to_internet()), ["a"]);
    let routes = route(&mut other, 250, "- 192.168.1.11", to_internet());
    assert_eq!((routes.facts.len(), routes.owners.len()), (1, 1), "its lane is told before its first reading");
    assert_eq!(whose(&mut other, 251, "- 192.168.1.11", to_internet()), [format!("unknown:{STRANGER}")]);
    assert_eq!(route(&mut other, 252, "- 192.168.1.11", to_internet()).facts.len(), 0);
    assert_eq!(other.take_learned(), [], "what was heard is not told again");
    assert_eq!(
        whose(&mut third, 150, "- 192.168.1.10", to_internet()),
        ["a"],
        "its inventory is another one, and says so"
    );
    let mut without_b = router(&format!("device_id,device_type,mac\na,plug,{MAC_A}\n"));
    learned.iter().for_each(|learned| without_b.hear(learned, false));
    let stranger = whose(&mut without_b, 150, "- 192.168.1.10", to_internet());
    assert_eq!(stranger, ["unknown:192.168.1.10"], "not whoever had it before");
    assert_eq!(whose(&mut without_b, 99, "- 192.168.1.10", to_internet()), ["a"]);
}

#[test]
fn an_address_that_changes_hands_with_every_record_is_told_once_a_beat() {
    let mut router = two_devices().telling();
    for (seconds, mac) in (0..).zip([MAC_B, MAC_A, MAC_B]) {
        whose(&mut router, seconds, &format!("{mac} 192.168.1.10"), to_internet());
        assert_eq!(router.take_learned().len(), usize::from(seconds == 0));
    }
    router.tell_again();
    let learned = router.take_learned();
    let [Learned::Address { holders, .. }] = learned.as_slice() else { panic!("{learned:?}") };
    assert_eq!(holders.len(), 4, "all of it: {holders:?}");
}

#[test]
fn what_stands_beside_a_devices_address_is_its_name_for_all_routers() {
    let inventory = "device_id,device_type,ip\nc,plug,192.168.1.12\n";
    let (mut one, mut other) = (router(inventory).telling(), router(inventory));
    assert_eq!(whose(&mut one, 0, &format!("{STRANGER} 192.168.1.12 client-c"), Kind::Message(message("t", 1))), ["c"]);
    let mut elsewhere = router(inventory);
    for learned in one.take_learned() {
        other.hear(&learned, true);
        elsewhere.hear(&learned, false);
    }
    let stranger = whose(&mut elsewhere, 1, &format!("{STRANGER} 192.168.77.7"), to_internet());
    assert_eq!(stranger, [format!("unknown:{STRANGER}")], "another inventory may say whose it is");
    assert_eq!(whose(&mut other, 1, &format!("{STRANGER} 192.168.77.7"), to_internet()), ["c"]);
    assert_eq!(whose(&mut other, 2, "- 192.168.88.8 client-c", Kind::Message(message("t", 1))), ["c"]);
}

#[test]
fn a_device_with_both_families_is_known_by_all_its_addresses() {
    let mut router = two_devices();
    for (seconds, address) in [(1, "fd00::a1"), (2, "fd00::a2"), (3, "fe80::a"), (4, "192.168.1.77")] {
        assert_eq!(whose(&mut router, seconds, &format!("{MAC_A} {address}"), to_internet()), ["a"]);
    }
    let usable = |router: &Router| -> Vec<String> {
        let all = router.addresses("a", at(0));
        all.into_iter().filter(|(_, usable)| usable.is_ok()).map(|(address, _)| address.to_string()).collect()
    };
    let first = router.names("a", at(0)).into_iter().find(|(kind, _)| *kind == NameKind::Ip);
    assert_eq!(first.unwrap().1.unwrap(), "192.168.1.77", "the newest IPv4 address is the first name");
    assert_eq!(usable(&router), ["fd00::a2", "fd00::a1", "192.168.1.10"], "what the inventory declares is its own");

    // One of them goes to somebody else.
    assert_eq!(whose(&mut router, 10, &format!("{MAC_B} fd00::a1"), to_internet()), ["b"]);
    assert_eq!(usable(&router), ["fd00::a2", "192.168.1.10"]);
    let lost: Vec<_> = router.addresses("a", at(0)).into_iter().filter_map(|(_, usable)| usable.err()).collect();
    assert_eq!(lost, ["the IP address `fd00::a1` is that of `b` now"]);
    assert!(router.addresses("a", at(11)).iter().all(|(_, usable)| usable.is_ok()), "before what is acted upon");
}

#[test]
fn an_address_of_one_link_is_nobodys_name() {
    let mut router = router(&format!("device_id,device_type,mac,ip\na,plug,{MAC_A},fd00::5\nb,plug,{MAC_B},\n"));
    for (mac, address) in [(MAC_A, "fe80::a"), (MAC_B, "fe80::b"), (MAC_B, "169.254.7.7")] {
        whose(&mut router, 1, &format!("{mac} {address}"), to_internet());
    }
    let name = |device| router.names(device, at(0)).into_iter().find(|(kind, _)| *kind == NameKind::Ip);
    assert_eq!(name("a").unwrap().1.unwrap(), "fd00::5", "though the other is newer");
    assert_eq!(name("b"), None);
}

/// Whoever acts on a device goes by these names: one that is others' too, or one of several, must not be used.
#[test]
fn names_that_are_others_too_or_not_the_only_ones_are_refused_in_words() {
    use NameKind::{Certificate, ClientId, Ip, Mac, Username};
    type Expected<'e> = &'e [(NameKind, Result<&'e str, &'e str>)];
    const MAC_C: &str = "02:00:00:00:00:0c";
    let mut router = router(&format!(
        "device_id,device_type,mac,ip,client_id,certificate,username\n\
         a,plug,{MAC_A},192.168.1.10,everybody,cert-a,user-a\n\
         b,plug,{MAC_B},192.168.1.11,everybody,shared-cert,user-b\n\
         c,plug,,192.168.1.12,everybody,shared-cert,staff\n\
         d,plug,{MAC_C}|02:00:00:00:00:0d,192.168.1.13,d-2|d-1,cert-d|cert-e,staff\n\
         e,plug,,192.168.1.14,e|everybody,,\n\
         f,plug,,192.168.1.14,,,user-f|user-g\n\
         g,plug,,,,,\n"
    ));
    let everybody = (ClientId, Err("the client id `everybody` is that of several devices"));
    let shared_cert = (Certificate, Err("the certificate `shared-cert` is that of several devices"));
    let staff = (Username, Err("the user name `staff` is that of several devices"));
    let fourteen = (Ip, Err("the IP address `192.168.1.14` is that of several devices"));
    let two = |what: &str| format!("it has 2 of kind {what}; a gateway is told one");
    let (macs, clients) =
        (two(&format!("MAC address: `{MAC_C}`, `02:00:00:00:00:0d`")), two("client id: `d-1`, `d-2`"));
    let (certificates, users) = (two("certificate: `cert-d`, `cert-e`"), two("user name: `user-f`, `user-g`"));
    let all: [(&str, Expected<'_>); 8] = [
        (
            "a",
            &[
                (Mac, Ok(MAC_A)),
                everybody,
                (Certificate, Ok("cert-a")),
                (Username, Ok("user-a")),
                (Ip, Ok("192.168.1.10")),
            ],
        ),
        ("b", &[(Mac, Ok(MAC_B)), everybody, shared_cert, (Username, Ok("user-b")), (Ip, Ok("192.168.1.11"))]),
        ("c", &[everybody, shared_cert, staff, (Ip, Ok("192.168.1.12"))]),
        (
            "d",
            &[
                (Mac, Err(&macs)),
                (ClientId, Err(&clients)),
                (Certificate, Err(&certificates)),
                staff,
                (Ip, Ok("192.168.1.13")),
            ],
        ),
        // It has one of its own beside the shared one.
        ("e", &[(ClientId, Ok("e")), fourteen]),
        ("f", &[(Username, Err(&users)), fourteen]),
        ("g", &[]),
        ("nobody", &[]),
    ];
    for (device, expected) in all {
        assert_eq!(borrowed(&router.names(device, at(0))), expected, "{device}");
    }

    // Another device is met at the address of one, and at one of its own that is not declared.
    assert_eq!(whose(&mut router, 5, &format!("{MAC_B} 192.168.1.10"), to_internet()), ["b"]);
    let ip = |device: &str, since: i64| router.names(device, at(since)).into_iter().find(|(kind, _)| *kind == Ip);
    let lost = Some((Ip, Err("the IP address `192.168.1.10` is that of `b` now".to_owned())));
    assert_eq!(
        (ip("a", 0), ip("a", 9)),
        (lost.clone(), lost),
        "an address that is lost is not used, whenever that was"
    );
    assert_eq!(ip("b", 0), Some((Ip, Ok("192.168.1.10".into()))));
    let stranger = format!("{STRANGER} 192.168.1.90");
    assert_eq!(whose(&mut router, 6, &stranger, to_internet()), [format!("unknown:{STRANGER}")]);
    assert_eq!(router.names(&format!("unknown:{STRANGER}"), at(0)), [], "the inventory does not say who that is");
}

fn borrowed(names: &[(NameKind, ingest::identity::Usable)]) -> Vec<(NameKind, Result<&str, &str>)> {
    names.iter().map(|(kind, name)| (*kind, name.as_deref().map_err(String::as_str))).collect()
}
