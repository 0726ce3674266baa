//! A gateway of one's own over topics: a receiver as `docs/gateways-own.md` asks for, behind a carrier that takes calls to it by
//! hand. The carrier of Kafka is tried in tests/live.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fleet::{EventTime, Level};
use responders::gateways::topic::{Asked, Carrier, TopicConfig, TopicGateway, answer_to};
use responders::gateways::webhook::WebhookAbility;
use responders::gateways::{Failure, FailureKind, Found, Gateway, Key, Order, Permit, Undone};
use serde_json::{Value, json};
use support::{in_seconds, order, permit};

/// Devices that are held, by whom, and every call.
#[derive(Default)]
struct Receiver {
    held: BTreeMap<String, String>,
    calls: Vec<(Option<String>, Value)>,
    /// What it says instead of doing anything, once.
    says: Option<Value>,
}

impl Receiver {
    fn answer(&mut self, call: &Value) -> Value {
        if let Some(said) = self.says.take() {
            return said;
        }
        let action = call["action"]["action_id"].as_str().unwrap_or_default().to_owned();
        let device = call["action"]["names"]["mac"].as_str().unwrap_or_default().to_owned();
        let holder = self.held.get(&device).cloned();
        let is_ours = holder.as_ref().is_none_or(|holder| *holder == action);
        match call["call"].as_str() {
            Some("probe") => json!({"done": true}),
            Some("apply") if is_ours => {
                self.held.insert(device, action);
                json!({"done": true, "already": holder.is_some(), "receipt": {"port": 7}})
            }
            Some("apply") => json!({"error": "held by somebody else"}),
            Some("read_back") if holder.is_none() => json!({"found": "absent"}),
            Some("read_back") if is_ours => json!({"found": "in_force"}),
            Some("read_back") => json!({"found": "foreign", "by": holder}),
            Some("undo") if is_ours => json!({"done": true, "already": self.held.remove(&device).is_none()}),
            Some("undo") => json!({"done": true, "found": "foreign", "by": holder}),
            other => panic!("call {other:?}"),
        }
    }
}

#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<Receiver>>);

impl Carrier for ByHand {
    fn ask(&mut self, permit: &Permit, asked: &Asked) -> Result<Value, Failure> {
        permit.left()?;
        let mut receiver = self.0.lock().expect("it has not panicked");
        let call: Value = serde_json::from_str(&asked.body).expect("a call is JSON");
        assert_eq!(call["call_id"], asked.call_id);
        receiver.calls.push((asked.device_id.as_ref().map(ToString::to_string), call.clone()));
        let mut said = receiver.answer(&call);
        said["call_id"] = call["call_id"].clone();
        Ok(answer_to(&asked.call_id, said.to_string().as_bytes()).expect("it is the answer to this"))
    }
}

fn config() -> TopicConfig {
    TopicConfig {
        calls: "own.calls".to_owned(),
        answers: "own.answers".to_owned(),
        abilities: vec![WebhookAbility {
            level: Level::Quarantine,
            keys: vec![Key::Mac],
            cuts_sessions: true,
            ends_by_itself: false,
            can_be_undone: true,
            witness: None,
        }],
        time_limit_seconds: 5,
        own: BTreeMap::from([(Key::Mac, vec!["00:00:5e:00:01:01".into()])]),
    }
}

fn gateway() -> (TopicGateway, ByHand) {
    let receiver = ByHand::default();
    let made = TopicGateway::new("switches", &config(), Box::new(receiver.clone()));
    (made.expect("the configuration is right"), receiver)
}

fn quarantine(action: &str) -> Order {
    order(action, Level::Quarantine, &[(Key::Mac, "00:10:a4:23:19:c0")])
}

#[test]
fn a_receiver_is_told_asked_and_believed() {
    let (mut gateway, receiver) = gateway();
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
    assert!(gateway.apply(&permit(), &other).unwrap_err().message.contains("held by somebody else"));
    assert_eq!(gateway.read_back(&permit(), &other), Ok(Found::Foreign { by: "action-1".to_owned() }));
    assert_eq!(gateway.undo(&permit(), &other), Ok(Undone::Foreign { by: "action-1".to_owned() }));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));

    let calls = std::mem::take(&mut receiver.0.lock().unwrap().calls);
    assert!(calls[0].0.is_none() && calls[0].1.get("action").is_none(), "a probe is about nobody: {:?}", calls[0]);
    assert!(calls[1..].iter().all(|(key, _)| key.as_deref() == Some("device-1")));
    let mut ids: Vec<String> = calls.iter().map(|(_, call)| call["call_id"].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), calls.len(), "each try has an id of its own");
    let mut applied = calls[2].1.clone();
    for own in ["call_id", "answer_by"] {
        assert!(applied.as_object_mut().unwrap().remove(own).is_some(), "{own}");
    }
    let expected = json!({
        "schema": "vedette.gateway/1", "gateway": "switches", "call": "apply",
        "action": {
            "action_id": "action-1", "incident_id": "incident-1", "device_id": "device-1", "level": "quarantine",
            "names": {"mac": "00:10:a4:23:19:c0"}, "until": null, "note": "vedette incident-1", "receipt": null,
        },
    });
    assert_eq!(applied, expected, "the rest is a webhook's");
}

/// What is read later is passed over: it must not be later than the permit lasts.
#[test]
fn a_call_says_until_when_it_counts() {
    let (mut gateway, receiver) = gateway();
    let permit = permit();
    let left = permit.left().unwrap().as_secs_f64();
    gateway.probe(&permit).unwrap();
    let said = receiver.0.lock().unwrap().calls[0].1["answer_by"].as_str().unwrap().to_owned();
    let answer_by = EventTime::parse(&said).expect("a time");
    let from_now = answer_by.seconds_since(in_seconds(0));
    assert!(from_now <= left && from_now > left - 5.0, "{from_now} s, the permit had {left} s");
}

#[test]
fn an_answer_that_says_nothing_is_not_believed() {
    let cases = [
        (json!({}), FailureKind::Refused),
        (json!({"done": false}), FailureKind::Refused),
        (json!({"done": "yes"}), FailureKind::Refused),
        (json!({"done": true, "error": "but"}), FailureKind::Refused),
        (json!({"error": "switch is rebooting", "retry": true}), FailureKind::Unreachable),
    ];
    for (said, expected) in cases {
        let (mut gateway, receiver) = gateway();
        let say = || receiver.0.lock().unwrap().says = Some(said.clone());
        say();
        assert_eq!(gateway.apply(&permit(), &quarantine("a")).unwrap_err().kind, expected, "{said}");
        say();
        assert_eq!(gateway.undo(&permit(), &quarantine("a")).unwrap_err().kind, expected, "{said}");
        say();
        assert_eq!(gateway.read_back(&permit(), &quarantine("a")).unwrap_err().kind, expected, "{said}");
    }
    assert_eq!(answer_to("one", br#"{"call_id": "another", "done": true}"#), None);
    assert_eq!(answer_to("one", br#"{"done": true}"#), None);
    assert_eq!(answer_to("one", b"no JSON"), None);
}

#[test]
fn configurations_that_cannot_be_right() {
    let error = |change: &dyn Fn(&mut TopicConfig)| {
        let mut config = config();
        change(&mut config);
        TopicGateway::new("switches", &config, Box::new(ByHand::default())).err().expect("it is refused").to_string()
    };
    assert!(error(&|config| config.calls.clear()).contains("name of a topic"));
    assert!(error(&|config| config.answers = "own.calls".to_owned()).contains("`own.calls`"));
    assert!(error(&|config| config.abilities.clear()).contains("no abilities"));
    assert!(error(&|config| config.time_limit_seconds = 0).contains("time_limit_seconds"));
}
