//! A plant: twenty cameras at a real Mosquitto, a bridge, a real Kafka, ClickHouse's engine, and Vedette, which may act.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fleet::Secret;
use fleet::State;
use responders::api::client::{Client, ClientConfig, TOKEN_VARIABLE};
use responders::api::views::{ActionFilter, ActionView};

use super::bridge::Bridge;
use super::device::Device;
use super::mosquitto::{ADMINISTRATOR, BRIDGE, Mosquitto, is_there};
use crate::cases::site::{LANES, Site, WINDOW, metric_if_up};
use crate::cases::stream::{SECOND, now};
use crate::engine::{Engine, with_engine};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, free_address, succeed, text, until, vedette_with};

pub const DEVICES: usize = 20;
/// Seconds.
pub const LATENESS: i64 = 2;
pub const HOLD: i64 = 2;
/// A type is `learning` below 120 of them (`baseline.min_windows`), and the trainer leaves out the latest.
const WINDOWS_TO_LEARN_FROM: i64 = 160;
/// By id: about the last two cameras, two people are asked.
const PLAYBOOKS: [(&str, &str); 2] = [
    ("isolate", "mode = \"auto\"\nwhen = \"kind = 'compromise' and scope = 'device'\"\n"),
    (
        "of-two",
        "mode = \"approve\"\npriority = 90\n\
         when = \"kind = 'compromise' and scope = 'device' and device_id in ('cam-19', 'cam-20')\"\n\
         [approval]\nask = [\"soc\", \"colleague\"]\nfour_eyes = true\n",
    ),
];

/// What does harm to others when it ends comes last.
pub struct Plant {
    pub service: Service,
    pub devices: Vec<Device>,
    pub bridge: Bridge,
    pub api: Client,
    pub site: Site,
    pub engine: Engine,
    pub mosquitto: Mosquitto,
    _kafka: Broker,
    _folder: tempfile::TempDir,
    pub url: String,
    /// The file of those who may ask.
    pub tokens: PathBuf,
    name: String,
    /// The administrator's.
    pub token: String,
    began: Instant,
}

impl Plant {
    /// `name` is its topics' too; `more` is added to its configuration. `None`, and said so: something is missing here.
    pub fn start(name: &str, more: &str) -> Option<Plant> {
        Plant::start_with(name, "", more)
    }

    /// The same with more in the section `[detect]`.
    pub fn start_with(name: &str, detect: &str, more: &str) -> Option<Plant> {
        let what = "a response from end to end";
        if !are_there(what) || !is_there(what) {
            return None;
        }
        let began = Instant::now();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        for below in ["engine", "playbooks"] {
            std::fs::create_dir(path(below)).expect("a folder is made");
        }
        let (kafka, engine, mosquitto) = (Broker::start(&[]), Engine::start(&path("engine")), Mosquitto::start());
        let ids: Vec<String> = (1..=DEVICES).map(|number| format!("cam-{number:02}")).collect();
        mosquitto.enrol(&ids);

        for (id, rest) in PLAYBOOKS {
            let toml = format!(
                "id = \"{id}\"\ntitle = \"A compromised device is quarantined\"\n{rest}[[step]]\nlevel = \"quarantine\"\nttl = \"10m\"\n"
            );
            std::fs::write(path(&format!("playbooks/{id}.toml")), toml).expect("the playbook is written");
        }
        let tokens = path("tokens.toml");
        let to_file = ["tokens", "create", "--file", text(&tokens)];
        let of_whom = ["--name", "soc", "--role", "administrator", "--expires", "1d"];
        let said = succeed(&[&to_file[..], &of_whom].concat());
        let token = said.split_whitespace().find(|word| word.starts_with("vdt_")).expect("a token is shown").to_owned();
        std::fs::write(path("token"), &token).expect("the token is written");

        let listen = free_address();
        let topic = format!("{name}.raw");
        let toml = format!(
            "[[source.kafka.topics]]\nname = \"{topic}\"\nformat = \"native-json\"\nlive = true\n\
             lateness_seconds = {LATENESS}\n[detect]\nhold_seconds = {HOLD}\n{detect}\n\
             [responders]\nmode = \"auto\"\nplaybooks = \"{}\"\n{more}\n\
             [gateways.broker]\nkind = \"mosquitto\"\nmode = \"auto\"\nurl = \"mqtts://localhost:{}\"\n\
             username = \"{ADMINISTRATOR}\"\npassword = {{ file = \"{}\" }}\ntls = {{ ca = \"{}\" }}\nown = [\"{BRIDGE}\"]\n\
             [api]\nlisten = \"{listen}\"\ntokens = \"{}\"\n",
            text(&path("playbooks")),
            mosquitto.port,
            text(&mosquitto.password()),
            text(&mosquitto.ca()),
            text(&tokens),
        );
        let toml = with_engine(&toml, folder.path(), &engine);
        let site = Site::new(&kafka, name, &[], "max_ahead_seconds = 60", "", &toml);
        let mut inventory = "device_id,device_type,client_id,username,site,gateway\n".to_owned();
        ids.iter().for_each(|id| writeln!(inventory, "{id},camera,{id},{id},hall,broker").expect("a text takes it"));
        std::fs::write(site.folder.path().join("inventory.csv"), inventory).expect("the inventory is written");
        site.create_topics(1);

        let url = format!("http://{listen}");
        let config = ClientConfig { url: url.clone(), token: Some(Secret::File(path("token"))), ca: None };
        let api = Client::new(&config).expect("a client of the API");
        let bridge = Bridge::start(&mosquitto, site.bootstrap(), &topic);
        let address = |number: usize| Ipv4Addr::new(127, 1, 0, number as u8 + 1);
        let devices: Vec<Device> =
            ids.iter().enumerate().map(|(number, id)| Device::start(&mosquitto, id, address(number))).collect();
        let service = site.start();
        let (_kafka, _folder, name) = (kafka, folder, name.to_owned());
        let mut plant = Plant {
            service,
            devices,
            bridge,
            api,
            site,
            engine,
            mosquitto,
            _kafka,
            _folder,
            url,
            tokens,
            name,
            token,
            began,
        };
        plant.say("Kafka, ClickHouse's engine, Mosquitto, 20 cameras, a bridge and Vedette are started");
        plant.wait("all cameras to be heard through the bridge", |plant| plant.bridge.devices() == DEVICES);
        until(&mut plant.service, "lanes that work", |service| service.lanes_begun() == LANES);
        Some(plant)
    }

    /// For whoever watches (`make demo-live`).
    pub fn say(&self, words: &str) {
        println!("{:6.1} s  {words}", self.began.elapsed().as_secs_f64());
    }

    /// A topic of the service's own.
    pub fn topic(&self, of: &str) -> String {
        format!("{}.{of}", self.name)
    }

    /// For what is seen here.
    #[track_caller]
    pub fn wait(&mut self, what: &str, is_so: impl FnMut(&Plant) -> bool) {
        self.look(Duration::from_millis(20), what, is_so);
    }

    /// For what others have to be asked: each call of the API is an entry of the journal.
    #[track_caller]
    pub fn ask_until(&mut self, what: &str, is_so: impl FnMut(&Plant) -> bool) {
        self.look(Duration::from_millis(500), what, is_so);
    }

    #[track_caller]
    fn look(&mut self, every: Duration, what: &str, mut is_so: impl FnMut(&Plant) -> bool) {
        let end = Instant::now() + Duration::from_secs(240);
        while !is_so(self) {
            assert!(self.service.is_running(), "the service ended while waiting for {what}:\n{}", self.service.said());
            assert!(Instant::now() < end, "waited in vain for {what}:\n{}", self.service.said());
            std::thread::sleep(every);
        }
    }

    /// What cameras do is learned from what these do; from then on the type is not `learning` any more.
    pub fn learn(&mut self) {
        let windows = "SELECT count() AS windows FROM windows WHERE records > 0";
        self.ask_until("windows to learn from", |plant| {
            plant.engine.query(windows)[0]["windows"].as_i64() >= Some(WINDOWS_TO_LEARN_FROM)
        });
        self.say("the cameras have spoken long enough; learning what is normal");
        let said = succeed(&["baselines", "train", "--config", text(&self.site.config)]);
        assert!(said.starts_with("baseline version 1: ") && said.contains("it holds from"), "{said}");
        until(&mut self.service, "the baselines to be in force", |service| {
            metric_if_up(service, "vedette_baseline_in_force", "") == Some(LANES as f64)
        });
        self.say("the baselines are in force");
        let confidence = self.engine.query("SELECT confidence FROM baselines WHERE device_type = 'camera'");
        assert_ne!(confidence[0]["confidence"], "learning", "{confidence:?}");
    }

    /// At most half of a window's time is over when this returns: what happens now at once is in one window.
    pub fn early_in_a_window(&self) {
        let passed = now().rem_euclid(WINDOW * SECOND);
        if passed > WINDOW * SECOND / 2 {
            let rest = WINDOW * SECOND - passed + SECOND / 10;
            std::thread::sleep(Duration::from_micros(rest.unsigned_abs()));
        }
    }

    /// All that the API tells; nothing while nobody answers.
    pub fn actions(&self) -> Vec<ActionView> {
        self.api.actions(&ActionFilter::default()).map(|page| page.actions).unwrap_or_default()
    }

    pub fn are_in(&self, state: State, how_many: usize) -> bool {
        self.actions().iter().filter(|action| action.state == state).count() == how_many
    }

    /// `vedette actions`, as an operator asks.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> String {
        self.run(&[&["actions"], words].concat())
    }

    /// A command that goes through the API.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        let arguments = [words, &["--url", self.url.as_str()]].concat();
        let output = vedette_with(&arguments, &[(TOKEN_VARIABLE, self.token.as_str())]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "vedette {arguments:?} failed:\n{errors}\n{}", self.service.said());
        String::from_utf8(output.stdout).expect("output is UTF-8")
    }
}
