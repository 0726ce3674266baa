//! Milder levels: the internet, peers, less of everything.

use fleet::Level;
use responders::gateways::nftables::{NftConfig, Nftables};
use responders::gateways::{Found, Gateway, Undone};

use crate::site::{DEVICE, GATEWAY, INTERNET, NEIGHBOUR, SERVER, Site};
use crate::{apply, config, gateway, order, permit};

#[test]
fn the_internet_is_blocked_and_the_site_is_not() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let order = order(Level::BlockInternet, DEVICE);
    apply(&mut gateway, &order);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert!(site.device.cannot_say(INTERNET) && site.device.cannot_open(INTERNET));
    assert!(site.device.says(SERVER) && site.device.opens(NEIGHBOUR) && site.device.opens(GATEWAY));
    assert!(site.neighbour.opens(INTERNET));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert!(site.device.opens(INTERNET));
}

#[test]
fn peers_are_blocked_and_services_are_not() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = Nftables::new(
        "gw1",
        NftConfig {
            local_nets: vec!["10.77.0.0/16".parse().unwrap()],
            services: vec!["10.77.2.2/32".parse().unwrap()],
            ..config(&site)
        },
    )
    .unwrap();
    let order = order(Level::BlockPeers, DEVICE);
    apply(&mut gateway, &order);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert!(site.device.cannot_say(NEIGHBOUR) && site.device.cannot_open(NEIGHBOUR));
    assert!(site.device.says(SERVER) && site.device.opens(INTERNET) && site.device.opens(GATEWAY));
    assert!(site.neighbour.opens(SERVER));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert!(site.device.opens(NEIGHBOUR));
}

#[test]
fn a_throttled_device_gets_little_through() {
    let Some(mut site) = Site::new() else { return };
    let throttled = NftConfig { throttle_kilobytes: Some(16), ..config(&site) };
    let mut gateway = Nftables::new("gw1", throttled).unwrap();
    let order = order(Level::Throttle, DEVICE);
    site.device.floods(SERVER);
    let before = site.neighbour.counts(SERVER);
    assert!(before > 250, "{before} of 300");
    apply(&mut gateway, &order);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    let took = site.device.rushes(SERVER);
    let throttled = site.neighbour.counts(SERVER) - before;
    // The burst of 16 kilobytes, and 16 more each second: a slow machine takes more of them.
    let most = 60 + 16 * took.as_secs();
    assert!((5..most).contains(&u64::from(throttled)), "{throttled} of 300 in {took:?}");
    site.neighbour.floods(SERVER);
    assert!(site.neighbour.counts(SERVER) - before - throttled > 250);
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    let before = site.neighbour.counts(SERVER);
    site.device.floods(SERVER);
    assert!(site.neighbour.counts(SERVER) - before > 250);
}

#[test]
fn a_level_that_is_not_configured_is_refused() {
    let Some(site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    for level in [Level::BlockPeers, Level::Throttle, Level::Disable] {
        assert!(gateway.about().ability(level).is_none());
        assert!(gateway.apply(&permit(), &order(level, DEVICE)).unwrap_err().message.contains("has no level"));
    }
}

#[test]
fn another_configuration_changes_the_rules_and_keeps_who_is_held() {
    let Some(mut site) = Site::new() else { return };
    let held = order(Level::Quarantine, DEVICE);
    for throttle in [None, Some(16), Some(32), None] {
        let configured = NftConfig { throttle_kilobytes: throttle, ..config(&site) };
        let mut gateway = Nftables::new("gw1", configured).unwrap();
        assert_eq!(gateway.read_back(&permit(), &held), Ok(Found::Absent), "{throttle:?}");
        gateway.apply(&permit(), &held).unwrap();
        assert_eq!(gateway.read_back(&permit(), &held), Ok(Found::InForce), "{throttle:?}");
        assert!(site.device.cannot_open(SERVER), "{throttle:?}");
    }
}
