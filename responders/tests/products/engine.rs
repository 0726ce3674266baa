//! What the engine must never do, whatever a product file, a device's name or a server says.

use std::path::Path;
use std::time::{Duration, Instant};

use fleet::Level;
use responders::gateways::http::{HttpConfig, HttpGateway};
use responders::gateways::{Failure, FailureKind, Gateway, Key, Order, Permit};
use serde_json::json;

use crate::rig::{PASSWORD, config, from_now, order};
use crate::server::{Reply, Request, Server, StandIn};

const PRODUCT: &str = r#"
name = "mine"
title = "Mine"
vendor = "somebody"
checked = "for tests"
needs = "nothing"
requests_per_second = 100
[secrets.token]
about = "a token"
[sign_in.headers]
Authorization = "Bearer {{ secret.token }}"
[[probe]]
name = "probe"
method = "GET"
path = "/probe"
[[abilities]]
level = "quarantine"
keys = ["client_id"]
cuts_sessions = true
ends_by_itself = false
can_be_undone = true
repeat = "harmless"
found = "'in_force' if kept.state == 'on' else 'absent'"
[[abilities.look]]
name = "look"
method = "GET"
path = "/devices/{{ client_id }}"
keep.state = "answer.body.state"
[[abilities.apply]]
name = "set"
method = "PUT"
path = "/devices/{{ client_id }}"
body = '{"state": "on"}'
[[abilities.undo]]
name = "unset"
method = "DELETE"
path = "/devices/{{ client_id }}"
"#;

/// Gives the same answer to everything.
struct Always(Reply);

impl StandIn for Always {
    fn answer(&mut self, _: &Request) -> Reply {
        self.0.clone()
    }
}

fn mine(folder: &Path, url: &str, product: &str) -> HttpConfig {
    std::fs::write(folder.join("mine.toml"), product).unwrap();
    let mut config = config(folder, url, "", &[("token", PASSWORD)]);
    config.product_file = Some(folder.join("mine.toml"));
    config
}

fn device() -> Order {
    order(Level::Quarantine, &[(Key::ClientId, "dev-1")])
}

/// Within a time that no machine needs for it.
fn failure_of(reply: Reply) -> Failure {
    failure_within(10, reply)
}

fn failure_within(seconds: u64, reply: Reply) -> Failure {
    let (server, folder) = (Server::start(Always(reply)), tempfile::tempdir().unwrap());
    let mut config = mine(folder.path(), &server.url, PRODUCT);
    config.time_limit = seconds;
    let mut gateway = HttpGateway::new("test", &config).unwrap();
    gateway.apply(&Permit::for_tests(), &device()).unwrap_err()
}

#[test]
fn statuses_mean_what_they_say() {
    for (status, kind) in [
        (400, FailureKind::Refused),
        (401, FailureKind::Unauthorised),
        (403, FailureKind::Unauthorised),
        (404, FailureKind::Refused),
        (429, FailureKind::Busy),
        (500, FailureKind::Unreachable),
        (503, FailureKind::Unreachable),
    ] {
        let failure = failure_of(Reply::json(status, json!({"message": "no\nthank you"})));
        assert_eq!(failure.kind, kind, "{status}");
        assert!(failure.message.starts_with(&format!("look: status {status}: no thank you")), "{failure}");
    }
}

#[test]
fn patience_that_is_asked_for_is_passed_on() {
    for status in [429, 503] {
        let failure = failure_of(Reply::json(status, json!({})).with("Retry-After", "17"));
        assert_eq!((failure.kind, failure.retry_after), (FailureKind::Busy, Some(Duration::from_secs(17))));
    }
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Server::start(Always(Reply::json(200, json!({"state": "on"}))));
    let failure = failure_of(Reply::empty(307).with("Location", format!("{}/devices/dev-1", elsewhere.url)));
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("redirects are not followed"), "{failure}");
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

#[test]
fn endless_answers_are_not_read() {
    let body = format!("\"{}\"", "x".repeat(1024 * 1024));
    let failure = failure_of(Reply { status: 200, body, ..Reply::default() });
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("longer than 1048576 bytes"), "{failure}");
}

#[test]
fn slow_servers_are_given_up_in_time() {
    let begun = Instant::now();
    let drip = Some(Duration::from_millis(100));
    // All of it would take 30 s.
    let failure = failure_within(1, Reply { status: 200, body: "x".repeat(300), drip, ..Reply::default() });
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn nobody_there_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = mine(folder.path(), &format!("http://{closed}"), PRODUCT);
    let mut gateway = HttpGateway::new("test", &config).unwrap();
    let failure = gateway.probe(&Permit::for_tests()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains("no connection"), "{failure}");
}

#[test]
fn secrets_are_in_no_message() {
    let echo = json!({"message": format!("token {PASSWORD} is {}", "long ".repeat(100))});
    let failure = failure_of(Reply::json(400, echo));
    assert!(!failure.message.contains(PASSWORD) && failure.message.contains("token *** is"), "{failure}");
    assert!(failure.message.len() < 400, "{failure}");
}

/// Such as a debugging page that shows the request's headers.
#[test]
fn what_requests_are_signed_with_is_in_no_message() {
    struct Echo;
    impl StandIn for Echo {
        fn answer(&mut self, request: &Request) -> Reply {
            Reply::json(400, json!({"message": format!("you sent {}", request.header("authorization"))}))
        }
    }
    let (server, folder) = (Server::start(Echo), tempfile::tempdir().unwrap());
    let product = PRODUCT.replace("Bearer {{ secret.token }}", "Basic {{ ('me:' ~ secret.token)|base64 }}");
    let mut gateway = HttpGateway::new("test", &mine(folder.path(), &server.url, &product)).unwrap();
    let failure = gateway.apply(&Permit::for_tests(), &device()).unwrap_err();
    assert_eq!(failure.message, "look: status 400: you sent Basic ***");
}

#[test]
fn secrets_are_in_no_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Always(Reply::json(200, json!({"state": "off", "echo": PASSWORD}))));
    let product = PRODUCT.replace("repeat = \"harmless\"", "repeat = \"harmless\"\nreceipt = \"{'was': kept.echo}\"");
    let product = product.replace("keep.state", "keep.echo = \"answer.body.echo\"\nkeep.state");
    let mut gateway = HttpGateway::new("test", &mine(folder.path(), &server.url, &product)).unwrap();
    let failure = gateway.apply(&Permit::for_tests(), &device()).unwrap_err();
    assert!(failure.message.contains("holds a secret"), "{failure}");
}

#[test]
fn what_an_answer_lacks_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Always(Reply::json(200, json!({}))));
    let product = PRODUCT.replacen(
        "method = \"PUT\"\npath = \"/devices/{{ client_id }}\"",
        "method = \"PUT\"\npath = \"/{{ kept.state }}\"",
        1,
    );
    assert_ne!(product, PRODUCT);
    let mut gateway = HttpGateway::new("test", &mine(folder.path(), &server.url, &product)).unwrap();
    assert_eq!(gateway.apply(&Permit::for_tests(), &device()).unwrap_err().kind, FailureKind::Refused);
    assert_eq!(server.asked(), ["GET /devices/dev-1"]);
}

#[test]
fn our_own_names_are_no_target() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Always(Reply::json(200, json!({}))));
    let mut config = mine(folder.path(), &server.url, &PRODUCT.replace("client_id", "mac"));
    config.own = [(Key::Mac, vec!["AA-BB-CC-00-00-01".into()])].into();
    let mut gateway = HttpGateway::new("test", &config).unwrap();
    let bridge = order(Level::Quarantine, &[(Key::Mac, "aabb.cc00.0001")]);
    let failure = gateway.apply(&Permit::for_tests(), &bridge).unwrap_err();
    assert!(failure.message.contains("never a target"), "{failure}");
    assert_eq!(server.asked(), Vec::<String>::new());
    // What came to be one since is let go.
    let _ = gateway.undo(&Permit::for_tests(), &bridge);
    assert!(!server.asked().is_empty());
}

#[test]
fn what_has_ended_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Always(Reply::json(200, json!({}))));
    let mut gateway = HttpGateway::new("test", &mine(folder.path(), &server.url, PRODUCT)).unwrap();
    let late = Order { until: Some(from_now(-1)), ..device() };
    assert_eq!(gateway.apply(&Permit::for_tests(), &late).unwrap_err().kind, FailureKind::Refused);
    let nameless = order(Level::Quarantine, &[(Key::Ip, "10.0.0.1")]);
    assert!(gateway.apply(&Permit::for_tests(), &nameless).unwrap_err().message.contains("has no client_id"));
    let harder = Order { level: Level::Disable, ..device() };
    assert!(gateway.apply(&Permit::for_tests(), &harder).unwrap_err().message.contains("cannot do `disable`"));
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn no_faster_than_the_product_takes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Always(Reply::json(200, json!({}))));
    let product = PRODUCT.replace("requests_per_second = 100", "requests_per_second = 3");
    let mut gateway = HttpGateway::new("test", &mine(folder.path(), &server.url, &product)).unwrap();
    let begun = Instant::now();
    for _ in 0..4 {
        gateway.probe(&Permit::for_tests()).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn configurations_that_are_wrong_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |change: fn(&mut HttpConfig)| {
        let mut config = mine(folder.path(), "https://gateway.example", PRODUCT);
        change(&mut config);
        HttpGateway::new("gw", &config).err().expect("it is wrong").to_string()
    };
    for (message, expected) in [
        (wrong(|config| config.product = Some("emqx5".to_owned())), "either `product` or `product_file`"),
        (
            wrong(|config| (config.product, config.product_file) = (Some("emqx9".to_owned()), None)),
            "`emqx9` is unknown",
        ),
        (wrong(|config| config.secrets.clear()), "secret `token` is missing: a token"),
        (wrong(|config| drop(config.settings.insert("a".to_owned(), true.into()))), "setting `a` is unknown"),
        (wrong(|config| config.url = "http://gateway.example".to_owned()), "would show secrets"),
        (
            wrong(|config| config.url = format!("https://me:{PASSWORD}@gateway.example")),
            "url `https://gateway.example` has",
        ),
        (wrong(|config| config.time_limit = 0), "is `0`, expected"),
    ] {
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains(PASSWORD));
    }
}
