//! OpenC2 against a packet filter that behaves as SLPF 1.0 says: rules by number, numbers in use, rules that end by themselves.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fleet::Level;
use responders::gateways::openc2::{OpenC2Config, OpenC2Gateway, Rules};
use responders::gateways::{FailureKind, Found, Gateway, Key, Order, Undone};
use serde_json::{Value, json};
use support::http::{Reply, Request, Server};
use support::{in_seconds, order, permit, secret};
use tempfile::TempDir;

/// Rules by number: what they deny, and when they end.
#[derive(Default)]
struct Filter {
    rules: BTreeMap<u64, (String, Option<Instant>)>,
    numbers_itself: bool,
    lose_answers: u32,
}

impl Filter {
    fn answer(&mut self, request: &Request) -> Reply {
        let envelope = request.json();
        assert_eq!(request.header("content-type"), "application/openc2+json;version=1.0");
        assert_eq!(request.header("x-request-id"), envelope["headers"]["request_id"]);
        assert_eq!(request.header("authorization"), "Bearer token-1");
        let command = &envelope["body"]["openc2"]["request"];
        assert_eq!(command["actuator"], json!({"slpf": {"asset_id": "gw-7"}}));
        assert_eq!(command["args"]["response_requested"], "complete");
        self.rules.retain(|_, (_, end)| end.is_none_or(|end| end > Instant::now()));
        let response = match command["action"].as_str() {
            Some("deny") => self.deny(command),
            Some("delete") => {
                let number = command["target"]["slpf:rule_number"].as_u64().expect("a rule's number");
                match self.rules.remove(&number) {
                    Some(_) => json!({"status": 200}),
                    None => json!({"status": 500, "status_text": "cannot be removed"}),
                }
            }
            Some("query") => {
                let pairs = json!({"deny": ["ipv4_net", "ipv6_net"], "delete": ["slpf:rule_number"]});
                json!({"status": 200, "results": {"versions": ["1.0"], "profiles": ["slpf"], "pairs": pairs}})
            }
            _ => json!({"status": 501, "status_text": "Command not supported"}),
        };
        let mut reply = Reply::json(200, &json!({"headers": {}, "body": {"openc2": {"response": response}}}));
        reply.lost = self.lose_answers > 0;
        self.lose_answers = self.lose_answers.saturating_sub(1);
        reply
    }

    fn deny(&mut self, command: &Value) -> Value {
        let target = command["target"].as_object().and_then(|target| target.iter().next()).expect("one target");
        let asked = command["args"]["slpf"]["insert_rule"].as_u64();
        if self.numbers_itself && asked.is_some() {
            return json!({"status": 501, "status_text": "Option not supported"});
        }
        let number = asked.unwrap_or_else(|| self.rules.keys().max().map_or(1, |last| last + 1));
        if self.rules.contains_key(&number) {
            return json!({"status": 501, "status_text": "Rule number currently in use"});
        }
        let end = command["args"]["duration"].as_u64().map(|duration| Instant::now() + Duration::from_millis(duration));
        self.rules.insert(number, (format!("{} {}", target.0, target.1.as_str().unwrap_or_default()), end));
        json!({"status": 200, "results": {"slpf": {"rule_number": number}}})
    }
}

struct Site {
    filter: Arc<Mutex<Filter>>,
    server: Server,
    folder: TempDir,
}

impl Site {
    fn new(filter: Filter) -> Site {
        let filter = Arc::new(Mutex::new(filter));
        let theirs = Arc::clone(&filter);
        let server = Server::start(move |request| theirs.lock().expect("it has not panicked").answer(request));
        Site { filter, server, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn config(&self) -> OpenC2Config {
        OpenC2Config {
            url: self.server.url(),
            token: Some(secret(&self.folder, "token", "token-1")),
            asset_id: Some("gw-7".to_owned()),
            rules: Rules::default(),
            tls: Default::default(),
            plain: false,
            time_limit_seconds: 5,
            own: Default::default(),
        }
    }

    fn gateway(&self) -> OpenC2Gateway {
        OpenC2Gateway::new("filter", &self.config()).expect("the configuration is right")
    }

    fn denied(&self) -> Vec<String> {
        self.filter.lock().expect("it has not panicked").rules.values().map(|(what, _)| what.clone()).collect()
    }

    /// Of the only rule, seconds.
    fn ends_in(&self) -> f64 {
        let filter = self.filter.lock().expect("it has not panicked");
        let (_, end) = filter.rules.values().next().expect("there is a rule");
        end.expect("it ends").saturating_duration_since(Instant::now()).as_secs_f64()
    }
}

fn quarantine(action_id: &str, address: &str, seconds: i64) -> Order {
    Order { until: Some(in_seconds(seconds)), ..order(action_id, Level::Quarantine, &[(Key::Ip, address)]) }
}

#[test]
fn an_address_is_denied_for_a_while_and_let_through_again() {
    let site = Site::new(Filter::default());
    let mut gateway = site.gateway();
    gateway.probe(&permit()).expect("it is a packet filter");
    let mut order = quarantine("action-1", "10.20.0.42", 3600);
    let applied = gateway.apply(&permit(), &order).expect("it is denied");
    assert!(!applied.already);
    assert_eq!(site.denied(), ["ipv4_net 10.20.0.42/32"]);
    assert!((3590.0..=3600.0).contains(&site.ends_in()), "it would end without us");
    order.receipt = applied.receipt;
    assert_eq!(gateway.read_back(&permit(), &order), Ok(Found::Unknown));

    let mut other = quarantine("action-2", "2001:db8::42", 3600);
    other.receipt = gateway.apply(&permit(), &other).expect("it is denied").receipt;
    assert_eq!(site.denied().len(), 2, "each action has a rule of its own");
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    assert_eq!(site.denied(), ["ipv6_net 2001:db8::42/128"]);
    assert_eq!(gateway.undo(&permit(), &other), Ok(Undone::Done));
}

/// The answer with the rule's number is lost, and the process with it.
#[test]
fn a_rule_whose_answer_was_lost_is_found_again_by_its_number() {
    let site = Site::new(Filter { lose_answers: 1, ..Filter::default() });
    let mut gateway = site.gateway();
    let order = quarantine("action-1", "10.20.0.42", 3600);
    assert_eq!(gateway.apply(&permit(), &order).unwrap_err().kind, FailureKind::Unreachable);
    assert_eq!(site.denied().len(), 1);
    let applied = site.gateway().apply(&permit(), &order).expect("it is made anew");
    assert!(applied.already && site.denied().len() == 1, "one rule, not two");

    site.filter.lock().expect("it has not panicked").lose_answers = 1;
    assert_eq!(gateway.undo(&permit(), &order).unwrap_err().kind, FailureKind::Unreachable);
    assert!(site.denied().is_empty(), "without a receipt, too");
}

#[test]
fn more_time_is_told_to_the_filter() {
    let site = Site::new(Filter::default());
    let mut gateway = site.gateway();
    let mut order = quarantine("action-1", "10.20.0.42", 60);
    order.receipt = gateway.apply(&permit(), &order).expect("it is denied").receipt;
    order.until = Some(in_seconds(7200));
    assert!(gateway.apply(&permit(), &order).expect("it is extended").already);
    assert_eq!(site.denied().len(), 1);
    assert!(site.ends_in() > 7000.0);
}

/// SLPF has no word for "there is no such rule": what had to end by then has ended.
#[test]
fn a_rule_that_ended_by_itself_is_gone() {
    let site = Site::new(Filter::default());
    let mut gateway = site.gateway();
    let mut order = quarantine("action-1", "10.20.0.42", 3);
    order.receipt = gateway.apply(&permit(), &order).expect("it is denied").receipt;
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Already));
    assert!(site.denied().is_empty());

    let lasting = quarantine("action-2", "10.20.0.42", 3600);
    let failure = gateway.undo(&permit(), &lasting).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "a rule that is to stand and cannot be deleted is trouble");
    assert_eq!(gateway.apply(&permit(), &order).unwrap_err().kind, FailureKind::Refused, "its time is over");
}

#[test]
fn a_consumer_that_numbers_rules_itself_gets_only_rules_that_end() {
    let site = Site::new(Filter { numbers_itself: true, ..Filter::default() });
    let order = quarantine("action-1", "10.20.0.42", 3600);
    let refused = site.gateway().apply(&permit(), &order).unwrap_err();
    assert!(refused.kind == FailureKind::Refused && refused.message.contains("does not support"), "{refused}");

    let mut config = site.config();
    config.rules = Rules::Theirs;
    let mut gateway = OpenC2Gateway::new("filter", &config).expect("the configuration is right");
    let endless = Order { until: None, ..order.clone() };
    assert!(gateway.apply(&permit(), &endless).unwrap_err().message.contains("set a TTL"));
    let mut order = order;
    order.receipt = gateway.apply(&permit(), &order).expect("it is denied").receipt;
    assert_eq!(order.receipt, Some(json!({"rule_number": 1})));
    order.until = Some(in_seconds(7200));
    order.receipt = gateway.apply(&permit(), &order).expect("it is extended").receipt;
    assert!(site.denied().len() == 1 && site.ends_in() > 7000.0);
    assert_eq!(gateway.undo(&permit(), &order), Ok(Undone::Done));
    order.receipt = None;
    assert!(gateway.undo(&permit(), &order).unwrap_err().message.contains("ends by itself"));
}

#[test]
fn what_a_consumer_says_is_believed_in_the_body_first() {
    let cases = [
        (200, json!({"status": 102}), FailureKind::Busy),
        (200, json!({"status": 400, "status_text": "odd"}), FailureKind::Refused),
        (200, json!({"status": 500, "status_text": "Rule not updated"}), FailureKind::Unreachable),
        (200, json!({"status": 501, "status_text": "Target not supported"}), FailureKind::Refused),
        (200, json!({"body": {"openc2": {"response": {"status": 401}}}}), FailureKind::Unauthorised),
        (200, json!({"hello": "I am a web page"}), FailureKind::Refused),
        (302, json!({}), FailureKind::Refused),
        (401, json!({}), FailureKind::Unauthorised),
        (429, json!({}), FailureKind::Busy),
        (502, json!({}), FailureKind::Unreachable),
    ];
    for (status, body, expected) in cases {
        let shown = body.to_string();
        let server = Server::start(move |_| Reply::json(status, &body));
        let mut config = Site::new(Filter::default()).config();
        config.url = server.url();
        config.token = None;
        let mut gateway = OpenC2Gateway::new("filter", &config).expect("the configuration is right");
        let failure = gateway.apply(&permit(), &quarantine("action-1", "10.20.0.42", 60)).unwrap_err();
        assert_eq!(failure.kind, expected, "{status} {shown}: {failure}");
        assert!(gateway.probe(&permit()).is_err(), "{status} {shown}");
    }
}

#[test]
fn addresses_of_no_device_and_rules_that_are_too_few() {
    let site = Site::new(Filter::default());
    let mut gateway = site.gateway();
    for address in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "::", "10.0.0.0/8", "host", "", "::ffff:127.0.0.1"] {
        let refused = gateway.apply(&permit(), &quarantine("action-1", address, 60)).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused, "{address}");
    }
    assert!(site.server.requests().is_empty());
    // A token for whoever listens on the way is for those who say so.
    let mut config = OpenC2Config { url: "http://10.0.0.1/openc2".to_owned(), ..site.config() };
    let problem = OpenC2Gateway::new("filter", &config).err().expect("in clear").to_string();
    assert!(problem.contains("expected https, or `plain = true`"), "{problem}");
    config.plain = true;
    assert!(OpenC2Gateway::new("filter", &config).is_ok());
    let mut config = site.config();
    config.rules = Rules::Ours { first: 1, count: 1000 };
    assert!(OpenC2Gateway::new("filter", &config).err().expect("too few").to_string().contains("1000000"));
}
