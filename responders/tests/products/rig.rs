//! A gateway on a stand-in, and what every product has to get through.

use std::collections::BTreeMap;

use fleet::{EventTime, Level};
use responders::gateways::http::{HttpConfig, HttpGateway, shipped};
use responders::gateways::{Applied, Failure, Found, Gateway, Key, Order, Permit, Undone};
use serde_json::{Value, json};

use crate::server::{Reply, Server, StandIn};

pub const PASSWORD: &str = "s3cret-of-the-tests";

pub struct Rig<S> {
    pub gateway: HttpGateway,
    pub server: Server<S>,
    _folder: tempfile::TempDir,
}

/// Configuration of a product on `url`; each of its secrets is [`PASSWORD`] unless `secrets` says otherwise.
pub fn config(folder: &std::path::Path, url: &str, settings: &str, secrets: &[(&str, &str)]) -> HttpConfig {
    let mut text = format!("url = \"{url}\"\ntime_limit = 5\n[settings]\n{settings}\n[secrets]\n");
    for (name, value) in secrets {
        std::fs::write(folder.join(name), format!("{value}\n")).unwrap();
        text.push_str(&format!("{name} = {{ file = \"{}\" }}\n", folder.join(name).display()));
    }
    toml::from_str(&text).unwrap()
}

/// The file as shipped, but for how many requests are sent in a second, and how long one waits between two questions.
fn hurried(source: &str) -> String {
    let line = source.lines().find(|line| line.starts_with("requests_per_second")).unwrap();
    source.replacen(line, "requests_per_second = 1000", 1).replace("every = 250", "every = 10")
}

impl<S: StandIn> Rig<S> {
    pub fn new(product: &str, stand_in: S, settings: &str, secrets: &[&str]) -> Rig<S> {
        let secrets: Vec<(&str, &str)> = secrets.iter().map(|name| (*name, PASSWORD)).collect();
        Rig::with_secrets(product, stand_in, settings, &secrets)
    }

    pub fn with_secrets(product: &str, stand_in: S, settings: &str, secrets: &[(&str, &str)]) -> Rig<S> {
        let (server, folder) = (Server::start(stand_in), tempfile::tempdir().unwrap());
        let mut config = config(folder.path(), &server.url, settings, secrets);
        let file = folder.path().join("product.toml");
        std::fs::write(&file, hurried(shipped::source(product).unwrap())).unwrap();
        config.product_file = Some(file);
        let gateway = HttpGateway::new("test", &config).unwrap_or_else(|error| panic!("{error}"));
        Rig { gateway, server, _folder: folder }
    }

    pub fn apply(&mut self, order: &Order) -> Result<Applied, Failure> {
        self.gateway.apply(&Permit::for_tests(), order)
    }

    pub fn found(&mut self, order: &Order) -> Found {
        self.gateway.read_back(&Permit::for_tests(), order).unwrap_or_else(|failure| panic!("{failure}"))
    }

    pub fn undo(&mut self, order: &Order) -> Result<Undone, Failure> {
        self.gateway.undo(&Permit::for_tests(), order)
    }

    /// Applies, and gives the order as the loop knows it afterwards.
    pub fn applied(&mut self, order: &Order) -> Order {
        let applied = self.apply(order).unwrap_or_else(|failure| panic!("{failure}"));
        let receipt = applied.receipt;
        let shown = format!("{receipt:?}");
        assert!(!shown.contains(PASSWORD), "{shown}");
        Order { receipt, ..order.clone() }
    }

    /// There and back again, everything twice. Gives the order with its receipt.
    pub fn round(&mut self, order: &Order) -> Order {
        self.gateway.probe(&Permit::for_tests()).unwrap();
        assert_eq!(self.found(order), Found::Absent);
        let first = self.apply(order).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(!first.already);
        let known = Order { receipt: first.receipt, ..order.clone() };
        assert_eq!(self.found(&known), Found::InForce);
        let again = self.apply(&known).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(again.already);
        assert_eq!(again.receipt, known.receipt, "the first receipt says how it was before");
        assert_eq!(self.found(&known), Found::InForce);
        assert_eq!(self.undo(&known), Ok(Undone::Done));
        assert_eq!(self.found(&known), Found::Absent);
        assert_eq!(self.undo(&known), Ok(Undone::Already));
        assert_eq!(self.found(&known), Found::Absent);
        known
    }
}

/// With status 200: a login page, as proxies and expired sessions answer it; nothing; a failure.
fn nonsense() -> [Reply; 3] {
    let page = Reply { status: 200, body: "<html>please sign in</html>".to_owned(), ..Reply::default() };
    [page, Reply::json(200, json!({})), Reply::json(200, json!({"success": false}))]
}

/// Every request of every call in turn is answered with a status 200 that says nothing, or the opposite: no call may take
/// that for success.
pub fn believes_nothing<S: StandIn>(rig: impl Fn() -> Rig<S>, order: &Order) {
    for reply in &nonsense() {
        for call in ["probe", "apply", "read back", "undo"] {
            for after in 0.. {
                let mut rig = rig();
                let known = if ["probe", "apply"].contains(&call) { order.clone() } else { rig.applied(order) };
                rig.server.answer_nonsense(after, reply);
                let failed = match call {
                    "probe" => rig.gateway.probe(&Permit::for_tests()).is_err(),
                    "apply" => rig.apply(&known).is_err(),
                    "read back" => rig.gateway.read_back(&Permit::for_tests(), &known).is_err(),
                    _ => rig.undo(&known).is_err(),
                };
                if rig.server.makes_sense_again() {
                    // The call had no more requests than these.
                    assert!(after > 0 || call == "undo", "{call} asked for nothing");
                    break;
                }
                let asked = rig.server.asked();
                assert!(failed, "{call} took `{}` to {asked:?} for success", reply.body);
            }
        }
    }
}

pub fn order(level: Level, names: &[(Key, &str)]) -> Order {
    Order {
        action_id: "act-1".to_owned(),
        incident_id: "inc-1".to_owned(),
        device_id: "dev-1".into(),
        level,
        names: names.iter().map(|(key, name)| (*key, (*name).into())).collect::<BTreeMap<_, _>>(),
        further: Vec::new(),
        until: Some(in_an_hour()),
        note: "vedette inc-1".to_owned(),
        receipt: None,
    }
}

pub fn in_an_hour() -> EventTime {
    from_now(3600)
}

#[expect(clippy::disallowed_methods, reason = "gateways count from now")]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub fn from_now(seconds: i64) -> EventTime {
    EventTime(0).plus_seconds(now() + seconds)
}

/// The same order by another action: somebody else, as far as the gateway goes.
pub fn another(order: &Order) -> Order {
    Order { action_id: "act-2".to_owned(), receipt: None, ..order.clone() }
}

pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// Text of a field, for stand-ins.
pub fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or("")
}
