//! What AWS says when it does not do it, and that it is understood.

use std::time::{Duration, Instant};

use fleet::Level;
use responders::gateways::aws::{AwsConfig, AwsGateway};
use responders::gateways::{Failure, FailureKind, Gateway, Key};

use super::support::{order, permit, secret};
use super::{Account, SECRET};

#[test]
fn errors_say_whether_to_come_back() {
    let Some(account) = Account::of("errors") else { return };
    let (mut gateway, thing) = (account.gateway(), account.thing("one"));
    let cases = [
        (429, "TooManyRequestsException", FailureKind::Busy),
        (400, "ThrottlingException", FailureKind::Busy),
        (400, "InvalidRequestException", FailureKind::Refused),
        (401, "UnauthorizedException", FailureKind::Unauthorised),
        (403, "ForbiddenException", FailureKind::Unauthorised),
        (406, "CertificateStateException", FailureKind::Refused),
        (409, "VersionConflictException", FailureKind::Conflict),
        (500, "InternalFailureException", FailureKind::Unreachable),
        (503, "ServiceUnavailableException", FailureKind::Unreachable),
        // Not that there is no such thing: another server stands there.
        (404, "SomethingElse", FailureKind::Refused),
    ];
    for (status, name, expected) in cases {
        account.tell(&format!("fail/1/{status}/{name}/GET%20/things/{thing}%20"));
        let order = order("action-1", Level::Quarantine, &[(Key::Thing, &thing)]);
        let failure = gateway.read_back(&permit(), &order).unwrap_err();
        assert_eq!(failure.kind, expected, "{failure}");
        assert!(failure.message.contains(name), "{failure}");
        if name == "ThrottlingException" {
            assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
        }
    }
    // A group that cannot take it leaves no mark behind; somebody who changed the thing meanwhile is not written over.
    let order = order("action-1", Level::Quarantine, &[(Key::Thing, &thing)]);
    let part =
        format!("addThingToThingGroup%20%7B%22overrideDynamicGroups%22:true,%22thingGroupName%22:%22{}", account.group);
    account.tell(&format!("fail/1/400/InvalidRequestException/{part}"));
    assert_eq!(gateway.apply(&permit(), &order).unwrap_err().kind, FailureKind::Refused);
    assert!(account.attributes(&thing).get("vedette").is_none());
    account.tell(&format!("fail/1/409/VersionConflictException/PATCH%20/things/{thing}%20"));
    let conflict = gateway.apply(&permit(), &order).unwrap_err();
    assert!(conflict.kind == FailureKind::Conflict && conflict.retry(), "{conflict}");
    assert!(!account.is_in_group(&thing));
}

#[test]
fn a_key_that_is_not_right_is_told_without_being_shown() {
    let Some(account) = Account::of("keys") else { return };
    let probe = |change: &dyn Fn(&mut AwsConfig)| -> Result<(), Failure> {
        let mut config = account.config();
        change(&mut config);
        AwsGateway::new("cloud", &config).expect("the configuration is right").probe(&permit())
    };
    probe(&|config| config.session_token = Some(secret(&account.folder, "token", "session-token")))
        .expect("it is signed too");
    let wrong = |config: &mut AwsConfig| config.secret_access_key = secret(&account.folder, "other", "another-key");
    let told = probe(&wrong).unwrap_err();
    assert_eq!(told.kind, FailureKind::Unauthorised);
    assert!(told.message.contains("signature") && !told.message.contains("another-key"), "{told}");
    assert!(!format!("{told:?} {:?}", account.config()).contains(SECRET));
    let old = probe(&|config| config.session_token = Some(secret(&account.folder, "old", "old-token"))).unwrap_err();
    assert_eq!(old.kind, FailureKind::Unauthorised);
}

#[test]
fn who_is_not_there_is_unreachable() {
    let Some(account) = Account::of("away") else { return };
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let mut config = account.config();
    config.endpoint = Some(format!("http://{address}"));
    let began = Instant::now();
    let away = AwsGateway::new("cloud", &config).expect("the configuration is right").probe(&permit()).unwrap_err();
    assert_eq!(away.kind, FailureKind::Unreachable);
    assert!(began.elapsed() < Duration::from_secs(2));
    config.endpoint = Some("not a URL".to_owned());
    assert!(AwsGateway::new("cloud", &config).is_err());
}
