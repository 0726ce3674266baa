//! A gateway of one's own: a receiver as `docs/gateways-own.md` asks for, which checks signatures and keeps what it did.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fleet::Level;
use responders::gateways::webhook::{WebhookAbility, WebhookConfig, WebhookGateway};
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Undone, clock};
use responders::signature::{HEADER, check};
use responders::tls::TlsConfig;
use serde_json::{Value, json};
use support::http::{Reply, Request, Server};
use support::{order, permit, secret};
use tempfile::TempDir;

const SECRET: &str = "a secret of the two of us";

/// Devices that are held: by which action, or by whom else.
type Held = Arc<Mutex<BTreeMap<String, String>>>;

fn receive(held: &Held, request: &Request) -> Value {
    let now = clock::unix_seconds();
    if let Err(error) =
        check(SECRET.as_bytes(), request.header(&HEADER.to_ascii_lowercase()), request.body.as_bytes(), now)
    {
        return json!({"error": error.to_string()});
    }
    let message = request.json();
    assert_eq!(message["schema"], "vedette.gateway/1");
    let mut held = held.lock().expect("it has not panicked");
    let action = message["action"]["action_id"].as_str().unwrap_or_default().to_owned();
    let device = message["action"]["names"]["mac"].as_str().unwrap_or_default().to_owned();
    let holder = held.get(&device).cloned();
    match (message["call"].as_str(), holder) {
        (Some("probe"), _) => json!({"done": true}),
        (Some("apply"), Some(holder)) if holder == action => {
            json!({"done": true, "already": true, "receipt": {"port": 7}})
        }
        (Some("apply"), Some(holder)) => json!({"error": format!("held by {holder}")}),
        (Some("apply"), None) => {
            held.insert(device, action);
            json!({"done": true, "receipt": {"port": 7}})
        }
        (Some("read_back"), None) => json!({"found": "absent"}),
        (Some("read_back"), Some(holder)) if holder == action => json!({"found": "in_force"}),
        (Some("read_back"), Some(holder)) => json!({"found": "foreign", "by": holder}),
        (Some("undo"), None) => json!({"done": true, "already": true}),
        (Some("undo"), Some(holder)) if holder == action => {
            assert_eq!(message["action"]["receipt"], json!({"port": 7}), "what apply gave comes back");
            held.remove(&device);
            json!({"done": true})
        }
        (Some("undo"), Some(holder)) => json!({"done": true, "found": "foreign", "by": holder}),
        (call, _) => json!({"error": format!("call {call:?}")}),
    }
}

fn config(folder: &TempDir, url: String) -> WebhookConfig {
    WebhookConfig {
        url,
        secret: secret(folder, "secret", SECRET),
        abilities: vec![WebhookAbility {
            level: Level::Quarantine,
            keys: vec![Key::Mac],
            cuts_sessions: true,
            ends_by_itself: false,
            can_be_undone: true,
            witness: None,
        }],
        tls: TlsConfig::default(),
        plain: false,
        time_limit_seconds: 5,
        own: BTreeMap::from([(Key::Mac, vec!["00:00:5e:00:01:01".into()])]),
    }
}

/// The secret's file lives as long as the gateway.
struct Told(WebhookGateway, #[expect(dead_code, reason = "its end is the folder's")] TempDir);

fn gateway(url: String) -> Told {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = WebhookGateway::new("switches", &config(&folder, url)).expect("the configuration is right");
    Told(made, folder)
}

impl std::ops::Deref for Told {
    type Target = WebhookGateway;

    fn deref(&self) -> &WebhookGateway {
        &self.0
    }
}

impl std::ops::DerefMut for Told {
    fn deref_mut(&mut self) -> &mut WebhookGateway {
        &mut self.0
    }
}

fn quarantine(action: &str) -> Order {
    order(action, Level::Quarantine, &[(Key::Mac, "00:10:a4:23:19:c0"), (Key::Ip, "10.0.0.7")])
}

#[test]
fn a_receiver_is_told_asked_and_believed() {
    let held = Held::default();
    let theirs = Arc::clone(&held);
    let server = Server::start(move |request| Reply::json(200, &receive(&theirs, request)));
    let mut gateway = gateway(server.url());
    assert_eq!(gateway.about().own, [(Key::Mac, "00:00:5e:00:01:01".into())]);
    gateway.probe(&permit()).expect("it answers");
    let mut order = quarantine("action-1");
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Absent));
    let applied = gateway.apply(&permit(), &order).expect("it is done");
    assert_eq!((applied.already, applied.receipt.clone()), (false, Some(json!({"port": 7}))));
    order.receipt = applied.receipt;
    assert!(gateway.apply(&permit(), &order).expect("the same action is the same").already);
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::InForce));

    let other = quarantine("action-2");
    assert_eq!(gateway.apply(&permit(), &other).unwrap_err().message, "the receiver says: held by action-1");
    assert_eq!(gateway.read_back(&permit(), &other), Ok(Found::Foreign { by: "action-1".to_owned() }));
    assert_eq!(gateway.undo(&permit(), &other), Ok(Undone::Foreign { by: "action-1".to_owned() }));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));

    let sent = &server.requests()[2];
    let expected = json!({
        "schema": "vedette.gateway/1", "gateway": "switches", "call": "apply",
        "action": {
            "action_id": "action-1", "incident_id": "incident-1", "device_id": "device-1", "level": "quarantine",
            "names": {"mac": "00:10:a4:23:19:c0", "ip": "10.0.0.7"}, "until": null, "note": "vedette incident-1",
            "receipt": null,
        },
    });
    assert_eq!(sent.json(), expected, "as docs/gateways-own.md shows it");
}

#[test]
fn a_status_alone_is_not_believed() {
    let cases = [
        (200, "", FailureKind::Refused),
        (200, "OK", FailureKind::Refused),
        (200, "{}", FailureKind::Refused),
        (204, "", FailureKind::Refused),
        (200, r#"{"done": false}"#, FailureKind::Refused),
        (200, r#"{"done": true, "error": "but"}"#, FailureKind::Refused),
        (200, r#"{"error": "switch is rebooting", "retry": true}"#, FailureKind::Unreachable),
        (302, r#"{"done": true}"#, FailureKind::Refused),
        (401, r#"{"done": true}"#, FailureKind::Unauthorised),
        (500, r#"{"done": true}"#, FailureKind::Unreachable),
    ];
    for (status, body, expected) in cases {
        let server = Server::start(move |_| Reply {
            status,
            headers: vec![("Location", "/".to_owned())],
            body: body.to_owned(),
            lost: false,
        });
        let mut gateway = gateway(server.url());
        let told = [
            gateway.apply(&permit(), &quarantine("a")).unwrap_err(),
            gateway.undo(&permit(), &quarantine("a")).unwrap_err(),
            gateway.read_back(&permit(), &quarantine("a")).unwrap_err(),
            gateway.probe(&permit()).unwrap_err(),
        ];
        for failure in told {
            assert_eq!(failure.kind, expected, "{status} {body}: {failure}");
            assert!(!failure.message.contains(SECRET));
        }
        assert_eq!(server.requests().len(), 4, "{status}: redirects are not followed, nothing is sent twice");
    }
}

#[test]
fn answers_have_an_end() {
    let large = "x".repeat(2 << 20);
    let server = Server::start(move |_| Reply::json(200, &json!({"done": true, "note": large})));
    let failure = gateway(server.url()).probe(&permit()).unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains("bytes"), "{failure}");

    let receipt = "x".repeat(5000);
    let server = Server::start(move |_| Reply::json(200, &json!({"done": true, "receipt": receipt})));
    let failure = gateway(server.url()).apply(&permit(), &quarantine("a")).unwrap_err();
    assert!(failure.message.contains("4096"), "{failure}");
}

#[test]
fn configurations_that_cannot_be_right() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = |change: &dyn Fn(&mut WebhookConfig)| {
        let mut config = config(&folder, "https://host.example/hook".to_owned());
        change(&mut config);
        WebhookGateway::new("switches", &config).err().expect("it is refused").to_string()
    };
    assert!(error(&|config| config.url = "ftp://host".to_owned()).contains("no URL"));
    let in_clear = error(&|config| config.url = "http://host.example/hook".to_owned());
    assert!(in_clear.contains("expected https, or `plain = true`"), "{in_clear}");
    let allowed = WebhookConfig { plain: true, ..config(&folder, "http://host.example/hook".to_owned()) };
    assert!(WebhookGateway::new("switches", &allowed).is_ok());
    assert!(error(&|config| config.abilities.clear()).contains("no abilities"));
    assert!(error(&|config| config.abilities[0].keys.clear()).contains("no keys"));
    assert!(error(&|config| config.abilities[0].level = Level::Notify).contains("`notify`"));
    let short = error(&|config| config.secret = secret(&folder, "short", "guess me"));
    assert!(short.contains("too short") && !short.contains("guess me"), "{short}");
}
