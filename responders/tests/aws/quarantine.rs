//! A thing in a group that denies: put there, cut off, found, taken out; never by whom it was not put there.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Undone};
use serde_json::json;

use super::Account;
use super::support::{order, permit};

fn quarantine(thing: &str) -> Order {
    order("action-1", Level::Quarantine, &[(Key::Thing, thing)])
}

#[test]
fn a_thing_is_quarantined_and_comes_back() {
    let Some(account) = Account::of("life") else { return };
    let (mut gateway, thing, neighbour) = (account.gateway(), account.thing("one"), account.thing("two"));
    account.tell(&format!("connect/{thing}"));
    account.tell(&format!("connect/{neighbour}"));
    gateway.probe(&permit()).expect("the group denies");
    let mut order = quarantine(&thing);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));

    let applied = gateway.apply(&permit(), &order).expect("it is put there");
    assert!(!applied.already && account.is_in_group(&thing));
    order.receipt = applied.receipt;
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert_eq!(account.attributes(&thing), json!({"room": "12", "vedette": "quarantine=action-1"}));
    let session = |gateway: &mut dyn Gateway, client: &str| {
        gateway.read_back(&permit(), &super::support::order("s", Level::TerminateSession, &[(Key::ClientId, client)]))
    };
    assert_eq!(session(&mut gateway, &thing), Ok(Found::InForce), "its connection is cut");
    assert_eq!(session(&mut gateway, &neighbour), Ok(Found::Absent), "its neighbour's is not");
    assert!(!account.is_in_group(&neighbour));

    assert!(gateway.apply(&permit(), &order).expect("twice is no harm").already);
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
}

/// Each request once, its answer lost: what is there afterwards is ours without any receipt, and can be taken back.
#[test]
fn a_crash_after_any_request_leaves_what_is_known_to_be_ours() {
    let Some(account) = Account::of("crash") else { return };
    let mut gateway = account.gateway();
    let requests = ["PATCH%20/things/", "addThingToThingGroup", "DELETE%20/connections/"];
    for (number, request) in requests.iter().enumerate() {
        for try_again in [true, false] {
            let thing = account.thing(&format!("{number}-{try_again}"));
            // In a body the thing's name stands in quotes, in a path at its end.
            let part = if request.starts_with("add") {
                format!(
                    "{request}%20%7B%22overrideDynamicGroups%22:true,%22thingGroupName%22:%22{}%22,%22thingName%22:%22{thing}%22",
                    account.group
                )
            } else {
                format!("{request}{thing}")
            };
            account.tell(&format!("connect/{thing}"));
            account.tell(&format!("cut/1/{part}"));
            let order = quarantine(&thing);
            let lost = gateway.apply(&permit(), &order).unwrap_err();
            assert_eq!(lost.kind, FailureKind::Unreachable, "{request}: {lost}");
            let there = account.is_in_group(&thing);
            assert_eq!(there, number > 0);
            if try_again {
                let applied = gateway.apply(&permit(), &order).expect("it goes on");
                assert_eq!(applied.already, there);
                assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
            }
            let expected = if there || try_again { Undone::Done } else { Undone::Already };
            assert_eq!(gateway.undo(&permit(), &order), Ok(expected), "{request}");
            assert!(!account.is_in_group(&thing));
            assert_eq!(account.attributes(&thing), json!({"room": "12"}), "no mark is left");
        }
    }
}

#[test]
fn a_crash_while_it_is_taken_out_is_gone_on_with() {
    let Some(account) = Account::of("uncrash") else { return };
    let (mut gateway, thing) = (account.gateway(), account.thing("one"));
    let order = quarantine(&thing);
    gateway.apply(&permit(), &order).expect("it is put there");
    account.tell(&format!("cut/1/removeThingFromThingGroup%20%7B%22thingGroupName%22:%22{}", account.group));
    assert!(gateway.undo(&permit(), &order).unwrap_err().retry());
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));
}

#[test]
fn what_somebody_else_put_there_stays() {
    let Some(account) = Account::of("foreign") else { return };
    let (mut gateway, thing) = (account.gateway(), account.thing("one"));
    account.put_in_group(&thing);
    let order = quarantine(&thing);
    let refused = gateway.apply(&permit(), &order).unwrap_err();
    assert!(refused.kind == FailureKind::Refused && refused.message.contains("somebody else"), "{refused}");
    assert!(matches!(gateway.read_back(&permit(), &order), Ok(Found::Foreign { .. })));
    assert!(matches!(gateway.undo(&permit(), &order), Ok(Undone::Foreign { .. })));
    assert!(account.is_in_group(&thing));
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));

    let held = account.thing("two");
    gateway.apply(&permit(), &quarantine(&held)).expect("it is put there");
    let other = super::support::order("action-2", Level::Quarantine, &[(Key::Thing, &held)]);
    assert!(gateway.apply(&permit(), &other).unwrap_err().message.contains("`action-1`"));
    assert_eq!(gateway.undo(&permit(), &other), Ok(Undone::Foreign { by: "vedette, for action action-1".to_owned() }));
    assert!(account.is_in_group(&held));
}

/// Some provisioning writes all attributes anew.
#[test]
fn without_its_mark_the_receipt_says_that_it_is_ours() {
    let Some(account) = Account::of("unmarked") else { return };
    let (mut gateway, thing) = (account.gateway(), account.thing("one"));
    let mut order = quarantine(&thing);
    order.receipt = gateway.apply(&permit(), &order).expect("it is put there").receipt;
    let anew = json!({"attributePayload": {"attributes": {"room": "13"}, "merge": false}});
    account.admin("PATCH", &format!("/things/{thing}"), None, &anew);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert!(gateway.apply(&permit(), &order).expect("the mark is set again").already);
    assert_eq!(account.attributes(&thing)["vedette"], "quarantine=action-1");
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
}

#[test]
fn what_would_restrict_nothing_is_refused_before_anything_is_changed() {
    let Some(account) = Account::of("toothless") else { return };
    let thing = account.thing("one");
    account.make_group("toothless-allows", "Allow");
    for (group, word) in [("toothless-allows", "restrict nothing"), ("toothless-missing", "there is no thing group")] {
        let mut config = account.config();
        config.group = group.to_owned();
        let mut gateway =
            responders::gateways::aws::AwsGateway::new("cloud", &config).expect("the configuration is right");
        for failure in
            [gateway.probe(&permit()).unwrap_err(), gateway.apply(&permit(), &quarantine(&thing)).unwrap_err()]
        {
            assert!(failure.kind == FailureKind::Refused && failure.message.contains(word), "{failure}");
        }
    }
    let mut gateway = account.gateway();
    let bare = account.make_thing("bare");
    assert!(gateway.apply(&permit(), &quarantine(&bare)).unwrap_err().message.contains("nothing is attached"));
    assert!(gateway.apply(&permit(), &quarantine("toothless-none")).unwrap_err().message.contains("there is no thing"));
    assert_eq!(gateway.undo(&permit(), &quarantine("toothless-none")), Ok(Undone::Already));
    let renamed = super::support::order("a", Level::Quarantine, &[(Key::Thing, &thing), (Key::ClientId, "other")]);
    assert!(gateway.apply(&permit(), &renamed).unwrap_err().message.contains("exclusive_things"));
    for hostile in ["..", "a/../../certificates", "", "a?b", "a%2Fb"] {
        assert!(
            gateway.apply(&permit(), &quarantine(hostile)).unwrap_err().message.contains("no name of a thing"),
            "{hostile}"
        );
    }
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));
}
