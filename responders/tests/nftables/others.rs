//! Others on the same gateway: what they flush is made again, what they hold is left.

use fleet::Level;
use responders::gateways::nftables::{NftConfig, Nftables};
use responders::gateways::{Found, Gateway, Order, Undone};

use crate::site::{DEVICE, SERVER, Site};
use crate::{apply, config, elements, gateway, order, permit};

#[test]
fn a_flush_by_somebody_else_is_noticed_and_repaired() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let order = order(Level::Quarantine, DEVICE);
    apply(&mut gateway, &order);
    let harm: [&[&str]; 6] = [
        &["nft", "flush", "ruleset"],
        &["nft", "delete", "table", "inet", "vedette"],
        &["nft", "flush", "chain", "inet", "vedette", "forward"],
        &["nft", "insert rule inet vedette forward accept"],
        &["nft", "add table inet vedette { flags dormant; }"],
        &["nft", "flush", "set", "inet", "vedette", "quarantine4"],
    ];
    for words in harm {
        site.gateway.run(words);
        assert!(site.device.opens(SERVER), "{words:?}");
        assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent), "{words:?}");
        assert!(!gateway.apply(&permit(), &order).unwrap().already, "{words:?}");
        assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce), "{words:?}");
        assert!(site.device.cannot_open(SERVER), "{words:?}");
    }
    site.gateway.run(&["nft", "flush", "ruleset"]);
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
}

#[test]
fn what_somebody_else_holds_is_left() {
    let Some(mut site) = Site::new() else { return };
    let mut gateway = gateway(&site);
    let ours = Order { action_id: "ours".to_owned(), ..order(Level::Quarantine, "10.77.1.9") };
    apply(&mut gateway, &ours);
    let by_hand = ["", " comment \"by hand\"", " comment \"vedette:another\""];
    for comment in by_hand {
        let element = format!("add element inet vedette quarantine4 {{ {DEVICE}{comment} }}");
        site.gateway.run(&["nft", &element]);
        let order = order(Level::Quarantine, DEVICE);
        let applied = gateway.apply(&permit(), &order).unwrap();
        assert!(!applied.already && applied.receipt.unwrap().get("foreign").is_some());
        assert!(matches!(gateway.read_back(&permit(), &order), Ok(Found::Foreign { .. })), "{comment}");
        assert!(matches!(gateway.undo(&permit(), &order), Ok(Undone::Foreign { .. })), "{comment}");
        assert!(elements(&site, "quarantine4").contains(DEVICE));
        assert!(site.device.cannot_open(SERVER));
        site.gateway.run(&["nft", &format!("delete element inet vedette quarantine4 {{ {DEVICE} }}")]);
        assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    }
    assert_eq!(gateway.undo(&permit(), &ours), Ok(Undone::Done));
}

#[test]
fn who_is_faster_than_us_keeps_it() {
    let Some(site) = Site::new() else { return };
    let mut first = gateway(&site);
    apply(&mut first, &Order { action_id: "first".to_owned(), ..order(Level::Quarantine, "10.77.1.9") });
    // Before our change goes in, somebody puts the same address in.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nft");
    let script = format!(
        "#!/bin/sh\n[ \"$2\" = -f ] && nft 'add element inet vedette quarantine4 {{ {DEVICE} comment \"faster\" }}'\nexec nft \"$@\"\n"
    );
    std::fs::write(&path, script).unwrap();
    let run = site.gateway.inside(&["sh", path.to_str().unwrap()]);
    let faster = NftConfig { run, conntrack: Some(vec![]), ip: Some(vec![]), ..config(&site) };
    let mut gateway = Nftables::new("gw1", faster).unwrap();
    let order = order(Level::Quarantine, DEVICE);
    assert_eq!(gateway.apply(&permit(), &order).unwrap().receipt.unwrap()["foreign"], "faster");
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Foreign { by: "faster".to_owned() }));
}

#[test]
fn rules_of_others_are_neither_read_nor_written() {
    let Some(site) = Site::new() else { return };
    let theirs = |site: &Site| site.gateway.run(&["nft", "list", "table", "inet", "filter"]);
    let before = theirs(&site);
    let mut gateway = gateway(&site);
    let order = order(Level::Quarantine, DEVICE);
    apply(&mut gateway, &order);
    gateway.undo(&permit(), &order).unwrap();
    assert_eq!(theirs(&site), before);
    assert!(site.gateway.succeeds(&["nft", "list", "table", "inet", "vedette"]));
}
