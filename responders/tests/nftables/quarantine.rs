//! Quarantine: both families, connections that stand and new ones, undone, ended by time, extended.

use std::time::{Duration, Instant};

use fleet::Level;
use responders::gateways::addresses::{EachAddress, left_out};
use responders::gateways::nftables::{NftConfig, Nftables};
use responders::gateways::{Found, Gateway, Key, Undone};

use crate::programs::{told, wait_for};
use crate::site::{DEVICE, DEVICE6, GATEWAY, HARDWARE, NEIGHBOUR, SERVER, SERVER6, Site};
use crate::{apply, config, elements, gateway, order, permit, until};

/// TCP waits twice as long before each repetition of what was lost: as long again, at most, as nothing came through.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn traffic_stops_and_flows_again() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let order = order(Level::Quarantine, DEVICE);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    let known = |site: &Site| site.gateway.run(&["conntrack", "-L", "-s", DEVICE]).lines().count();
    assert!(known(&site) > 0);

    apply(&mut gateway, &order);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert_eq!(known(&site), 0);
    for address in [SERVER, NEIGHBOUR, GATEWAY] {
        assert!(site.device.cannot_say(address) && site.device.cannot_open(address), "{address}");
    }
    // Its lease goes on, or its address would be given to an innocent one; with the gateway only.
    assert!(site.device.renews(GATEWAY) && site.device.cannot_renew(SERVER));
    assert!(site.neighbour.cannot_open(DEVICE));
    assert!(site.neighbour.says(SERVER) && site.neighbour.opens(SERVER) && site.neighbour.opens(GATEWAY));
    // Its other family is another address, which nobody has named.
    assert!(site.device.says(SERVER6));

    let again = gateway.apply(&permit(), &order).unwrap();
    assert!(again.already);
    assert_eq!(elements(&site, "quarantine4").matches(DEVICE).count(), 1);

    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    assert!(site.device.opens(SERVER) && site.device.opens(GATEWAY));
    wait_for("the connection that stood", SOON, || site.device.says(SERVER));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
}

#[test]
fn the_other_family_too() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let order = order(Level::Quarantine, "FD77:1:0::2");
    apply(&mut gateway, &order);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert!(elements(&site, "quarantine6").contains(DEVICE6));
    assert!(site.device.cannot_say(SERVER6) && site.device.cannot_open(SERVER6));
    assert!(site.device.says(SERVER));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert!(site.device.opens(SERVER6));
    wait_for("the connection that stood", SOON, || site.device.says(SERVER6));
}

#[test]
fn it_ends_by_itself_and_can_be_extended() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let order = order(Level::Quarantine, DEVICE);
    // Time enough to be applied and tried, however slow the machine is.
    let short = until(8, &order);
    apply(&mut gateway, &short);
    assert!(site.device.cannot_open(SERVER));
    wait_for("the time-out", Duration::from_secs(20), || gateway.read_back(&permit(), &short) == Ok(Found::Absent));
    assert!(site.device.opens(SERVER));
    assert_eq!(gateway.undo(&permit(), &short), Ok(Undone::Already));
    assert!(gateway.apply(&permit(), &until(-1, &order)).unwrap_err().message.contains("is over"));

    apply(&mut gateway, &until(5, &order));
    let long = until(600, &order);
    apply(&mut gateway, &long);
    assert!(gateway.apply(&permit(), &long).unwrap().already);
    // Until the first term is past.
    std::thread::sleep(Duration::from_millis(5_500));
    assert_eq!(gateway.read_back(&permit(), &long), Ok(Found::InForce));
    assert!(site.device.cannot_open(SERVER));
    // Shorter, and for ever.
    apply(&mut gateway, &until(60, &order));
    apply(&mut gateway, &order);
    assert!(!elements(&site, "quarantine4").contains("expires"));
}

#[test]
fn whoever_takes_another_address_stays_out_by_hardware() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = Nftables::new("gw1", NftConfig { by_hardware: true, ..config(&site) }).unwrap();
    let mut order = order(Level::Quarantine, DEVICE);
    order.names.insert(Key::Mac, HARDWARE.into());
    apply(&mut gateway, &order);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    site.device_host.run(&["ip", "addr", "del", "10.77.1.2/24", "dev", "eth0"]);
    site.device_host.run(&["ip", "addr", "add", "10.77.1.9/24", "dev", "eth0"]);
    site.device_host.run(&["ip", "route", "replace", "default", "via", GATEWAY]);
    assert!(site.device.cannot_open(SERVER) && site.device.cannot_open(SERVER6) && site.device.cannot_open(GATEWAY));
    assert!(site.neighbour.opens(SERVER));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert!(site.device.opens(SERVER));
}

#[test]
fn an_address_that_moved_is_followed_and_let_go() {
    let Some(site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let (before, after) = (order(Level::Quarantine, DEVICE), order(Level::Quarantine, "10.77.1.9"));
    apply(&mut gateway, &before);
    assert_eq!(gateway.read_back(&permit(), &after), Ok(Found::Absent));
    apply(&mut gateway, &after);
    let held = elements(&site, "quarantine4");
    assert!(held.contains("10.77.1.9") && !held.contains(DEVICE), "{held}");
    // The inventory knows nothing usable any more: what is ours is let go all the same.
    let mut nameless = after.clone();
    nameless.names.clear();
    assert_eq!(gateway.undo(&permit(), &nameless), Ok(Undone::Done));
    assert!(!elements(&site, "quarantine4").contains("10.77.1.9"));
}

#[test]
fn from_apply_to_read_back() {
    let Some(site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let mut times = Vec::new();
    for number in 0..40 {
        let mut order = order(Level::Quarantine, &format!("10.77.1.{}", 10 + number));
        order.action_id = format!("incident-{number}");
        let began = Instant::now();
        apply(&mut gateway, &order);
        assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
        times.push(began.elapsed());
    }
    assert!(times.iter().all(|time| *time < Duration::from_secs(5)));
    told("nftables, apply to read back", times);
}

#[test]
fn a_device_with_both_families_is_cut_off_from_both() {
    let Some(mut site) = Site::new() else { return };
    let by_hardware = NftConfig { by_hardware: true, ..config(&site) };
    let mut gateway = EachAddress::new(Box::new(Nftables::new("gw1", by_hardware).unwrap()));
    let mut order = order(Level::Quarantine, DEVICE);
    order.names.insert(Key::Mac, HARDWARE.into());
    order.further = vec![DEVICE6.into(), "fd77:1::99".into()];
    let applied = gateway.apply(&permit(), &order).unwrap();
    assert!(!applied.already && left_out(applied.receipt.as_ref()).is_none());
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce), "without a receipt, as after a kill");
    order.receipt = applied.receipt;
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert!(site.device.cannot_say(SERVER) && site.device.cannot_say(SERVER6));
    assert!(site.neighbour.says(SERVER) && site.neighbour.opens(SERVER6));

    // Somebody takes one of them out.
    site.gateway.run(&["nft", "delete", "element", "inet", "vedette", "quarantine6", "{", DEVICE6, "}"]);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Partly));
    assert!(!gateway.apply(&permit(), &order).unwrap().already);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));

    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
    assert!(site.device.opens(SERVER) && site.device.opens(SERVER6));
}
