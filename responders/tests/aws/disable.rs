//! Certificates: only those of this thing alone, and only those that were active are active again.

use fleet::Level;
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Undone};
use serde_json::json;

use super::Account;
use super::support::{order, permit};

fn disable(thing: &str) -> Order {
    order("action-1", Level::Disable, &[(Key::Thing, thing)])
}

#[test]
fn certificates_that_were_active_are_active_again_and_no_others() {
    let Some(account) = Account::of("certs") else { return };
    let (mut gateway, thing) = (account.gateway(), account.make_thing("one"));
    let (first, second, retired) = (account.certificate(), account.certificate(), account.certificate());
    for (_, arn) in [&first, &second, &retired] {
        account.attach(&thing, arn);
    }
    account.set_status(&retired.0, "INACTIVE");
    account.tell(&format!("connect/{thing}"));
    let mut order = disable(&thing);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));

    let applied = gateway.apply(&permit(), &order).expect("they are made inactive");
    assert!(!applied.already);
    let given = applied.receipt.clone().expect("there is a receipt");
    assert!(!given.to_string().contains(&retired.0), "{given}");
    order.receipt = applied.receipt;
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert_eq!([&first, &second, &retired].map(|(id, _)| account.status(id)), ["INACTIVE", "INACTIVE", "INACTIVE"]);
    assert!(gateway.apply(&permit(), &order).expect("twice is no harm").already);

    // Whoever attaches another lets it in again.
    let fresh = account.certificate();
    account.attach(&thing, &fresh.1);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    order.receipt = gateway.apply(&permit(), &order).expect("that one too").receipt;
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));

    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    let after = [&first, &second, &fresh, &retired].map(|(id, _)| account.status(id));
    assert_eq!(after, ["ACTIVE", "ACTIVE", "ACTIVE", "INACTIVE"]);
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
}

/// The second certificate's answer is lost, and with it the receipt: the mark knows which two they were.
#[test]
fn a_crash_between_two_certificates_is_undone_without_a_receipt() {
    let Some(account) = Account::of("half") else { return };
    let (mut gateway, thing) = (account.gateway(), account.make_thing("one"));
    let certificates = [account.certificate(), account.certificate()];
    for (id, arn) in &certificates {
        account.attach(&thing, arn);
        account.tell(&format!("cut/1/PUT%20/certificates/{id}"));
    }
    let order = disable(&thing);
    assert_eq!(gateway.apply(&permit(), &order).unwrap_err().kind, FailureKind::Unreachable);
    let inactive = || certificates.iter().filter(|(id, _)| account.status(id) == "INACTIVE").count();
    assert_eq!(inactive(), 1);
    assert_eq!(gateway.apply(&permit(), &order).unwrap_err().kind, FailureKind::Unreachable);
    assert_eq!(inactive(), 2);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(inactive(), 0);
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));
}

#[test]
fn a_certificate_of_several_things_is_refused() {
    let Some(account) = Account::of("shared") else { return };
    let (mut gateway, thing, other) = (account.gateway(), account.make_thing("one"), account.make_thing("two"));
    let (own, shared) = (account.certificate(), account.certificate());
    account.attach(&thing, &own.1);
    account.attach(&thing, &shared.1);
    account.attach(&other, &shared.1);
    let refused = gateway.apply(&permit(), &disable(&thing)).unwrap_err();
    assert!(refused.kind == FailureKind::Refused && refused.message.contains("shared by 2 things"), "{refused}");
    assert_eq!([&own, &shared].map(|(id, _)| account.status(id)), ["ACTIVE", "ACTIVE"]);
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));
}

#[test]
fn what_somebody_else_did_to_a_certificate_stays() {
    let Some(account) = Account::of("theirs") else { return };
    let mut gateway = account.gateway();
    let make = |suffix: &str| {
        let (thing, (id, arn)) = (account.make_thing(suffix), account.certificate());
        account.attach(&thing, &arn);
        (thing, id)
    };
    let (thing, id) = make("inactive");
    account.set_status(&id, "INACTIVE");
    let order = disable(&thing);
    assert_eq!(gateway.apply(&permit(), &order).unwrap_err().kind, FailureKind::Refused);
    assert!(matches!(gateway.read_back(&permit(), &order), Ok(Found::Foreign { .. })));
    assert!(matches!(gateway.undo(&permit(), &order), Ok(Undone::Foreign { .. })));
    assert_eq!(account.status(&id), "INACTIVE");

    let (thing, id) = make("revoked");
    let mut order = disable(&thing);
    order.receipt = gateway.apply(&permit(), &order).expect("it is made inactive").receipt;
    account.set_status(&id, "REVOKED");
    assert!(matches!(gateway.undo(&permit(), &order), Ok(Undone::Foreign { .. })));
    assert_eq!(account.status(&id), "REVOKED");
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));

    let bare = account.make_thing("bare");
    assert!(gateway.apply(&permit(), &disable(&bare)).unwrap_err().message.contains("no active certificate"));
}

#[test]
fn two_levels_of_one_thing_end_one_after_the_other() {
    let Some(account) = Account::of("both") else { return };
    let (mut gateway, thing) = (account.gateway(), account.thing("one"));
    let quarantine = order("action-2", Level::Quarantine, &[(Key::Thing, &thing)]);
    gateway.apply(&permit(), &quarantine).expect("it is quarantined");
    gateway.apply(&permit(), &disable(&thing)).expect("and disabled");
    assert_eq!(gateway.undo(&permit(), &disable(&thing)), Ok(Undone::Done));
    assert_eq!(gateway.read_back(&permit(), &quarantine), Ok(Found::InForce));
    assert_eq!(gateway.undo(&permit(), &quarantine), Ok(Undone::Done));
    assert_eq!(account.attributes(&thing), json!({"room": "12"}));
}
