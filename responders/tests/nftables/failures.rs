//! What cannot be done is told for what it is, and never taken for an empty table.

use std::time::{Duration, Instant};

use fleet::Level;
use responders::gateways::nftables::{NftConfig, Nftables};
use responders::gateways::{Failure, FailureKind, Gateway};

use crate::site::{DEVICE, GATEWAY, NEIGHBOUR, SERVER, Site};
use crate::{config, gateway, order, permit};

fn with_run(run: &[&str]) -> Nftables {
    let run = run.iter().map(|word| (*word).to_owned()).collect();
    Nftables::new("gw1", NftConfig { run, ip: Some(vec![]), time_limit_seconds: 1, ..NftConfig::default() }).unwrap()
}

/// Of every call.
fn failures(mut gateway: Nftables) -> [Failure; 4] {
    let order = order(Level::Quarantine, DEVICE);
    [
        gateway.apply(&permit(), &order).unwrap_err(),
        gateway.read_back(&permit(), &order).unwrap_err(),
        gateway.undo(&permit(), &order).unwrap_err(),
        gateway.probe(&permit()).unwrap_err(),
    ]
}

#[test]
fn the_gateway_itself_is_never_a_target() {
    let Some(mut site) = Site::new() else { return };
    let own = NftConfig { own: vec![NEIGHBOUR.into()], ..config(&site) };
    let mut gateway = Nftables::new("gw1", own).unwrap();
    for address in [GATEWAY, "10.77.2.1", "fd77:3::1", "10.77.1.255", "127.0.0.1", NEIGHBOUR, "::ffff:10.77.1.1"] {
        let failure = gateway.apply(&permit(), &order(Level::Quarantine, address)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{address}: {failure}");
    }
    assert!(!site.gateway.succeeds(&["nft", "list", "table", "inet", "vedette"]));
    assert!(site.neighbour.says(SERVER));
}

#[test]
fn a_gateway_that_lets_us_in_is_told() {
    let Some(site) = Site::new() else { return };
    assert_eq!(gateway(&site).probe(&permit()), Ok(()));
}

#[test]
fn without_rights_we_are_unauthorised() {
    let Some(site) = Site::new() else { return };
    let nobody = ["setpriv", "--reuid", "65534", "--clear-groups"];
    let run = site.gateway.inside(&[&nobody[..], &["nft"]].concat());
    let gateway = Nftables::new("gw1", NftConfig { run, ..config(&site) }).unwrap();
    for failure in failures(gateway) {
        assert_eq!(failure.kind, FailureKind::Unauthorised, "{failure}");
    }
}

#[test]
fn a_program_that_is_not_there_is_named_with_a_remedy() {
    for failure in failures(with_run(&["/nowhere/nft"])) {
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.contains("is not there; install it"), "{failure}");
    }
    for failure in failures(with_run(&["sh", "-c", "exec /nowhere/nft \"$@\""])) {
        assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    }
}

#[test]
fn a_missing_namespace_is_no_empty_table() {
    let Some(_site) = Site::new() else { return };
    for failure in failures(with_run(&["ip", "netns", "exec", "vedette-nowhere", "nft"])) {
        assert!(failure.message.contains("vedette-nowhere"), "{failure}");
    }
}

#[test]
fn one_that_hangs_is_left_within_the_time_limit() {
    let began = Instant::now();
    for failure in failures(with_run(&["sh", "-c", "sleep 20"])) {
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    }
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[test]
fn without_its_own_addresses_known_nothing_is_applied() {
    let Some(site) = Site::new() else { return };
    let blind = NftConfig { ip: Some(vec!["false".to_owned()]), ..config(&site) };
    let mut gateway = Nftables::new("gw1", blind).unwrap();
    assert!(gateway.apply(&permit(), &order(Level::Quarantine, DEVICE)).is_err());
    assert!(!site.gateway.succeeds(&["nft", "list", "table", "inet", "vedette"]));
}

#[test]
fn a_wrong_configuration_is_told_when_it_is_loaded() {
    let wrong = |config: NftConfig| Nftables::new("gw1", config).err().expect("it is wrong").to_string();
    assert!(wrong(NftConfig { run: vec![], ..NftConfig::default() }).contains("`run` is empty"));
    let own = wrong(NftConfig { own: vec!["router".into()], ..NftConfig::default() });
    assert!(own.contains("`own` has `router`"), "{own}");
    assert!(wrong(NftConfig { throttle_kilobytes: Some(0), ..NftConfig::default() }).contains("at least 1"));
    assert!(wrong(NftConfig { time_limit_seconds: 0, ..NftConfig::default() }).contains("`0`, expected 1 to 120"));
    assert!(toml::from_str::<NftConfig>("local_nets = [\"10.0.0.0/33\"]").is_err());
}
