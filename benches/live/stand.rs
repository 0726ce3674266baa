//! The bench's stand: a broker, an engine where one is needed, configurations, and processes of the released binary. All
//! of them end with it, also when it is killed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ingest::kafka::client::{Purpose, create};
use ingest::kafka::committed::{bounds, committed};
use ingest::kafka::config::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, DefaultConsumerContext};
use serde_json::Value;

use crate::records::{self, BEGIN};
use crate::{Failure, Options, usage};

pub const RAW: &str = "raw";
/// Seconds of event time.
pub const LATENESS: u32 = 10;

pub fn root() -> Result<PathBuf, Failure> {
    Ok(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("start it with `cargo run`")?.into())
}

/// The released binary, which stands beside the folder this example was built into.
fn binary() -> Result<PathBuf, Failure> {
    let example = std::env::current_exe()?;
    let binary = example.ancestors().nth(2).ok_or("the example has no folder")?.join("vedette");
    if binary.exists() { Ok(binary) } else { Err("build the binary first: cargo build --release --workspace".into()) }
}

/// A program that the kernel kills when the bench ends, however that ends. The kernel goes by the thread that started it: let
/// that be the first, which lives as long as the bench. The program keeps the id it was started with.
pub fn mortal(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// A command of the binary; its standard output.
pub fn vedette(arguments: &[&OsStr]) -> Result<String, Failure> {
    let output = mortal(&binary()?)
        .args(arguments)
        .output()
        .map_err(|error| format!("`setpriv` cannot be started ({error}); install util-linux"))?;
    if !output.status.success() {
        return Err(format!("vedette {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A service of tests/services, which ends when its process is told to.
pub struct Helper {
    child: Child,
    pub said: String,
}

impl Helper {
    fn start(arguments: &[&str]) -> Result<Helper, Failure> {
        let mut child = Command::new("python3")
            .current_dir(root()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut said)?;
        Ok(Helper { child, said })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        signal(&self.child, "TERM");
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
}

/// Seconds between a device's messages, where windows and devices count and messages do not.
pub const SELDOM: i64 = 10;

pub struct Stand {
    // Dropped in this order: services before their folder.
    engine: Option<Helper>,
    _broker: Helper,
    pub brokers: String,
    kafka_folder: PathBuf,
    pub folder: tempfile::TempDir,
    inventory: PathBuf,
    taught: Option<PathBuf>,
    pub partitions: u16,
    processes: u16,
    pub devices: u32,
    pub period: i64,
}

/// What differs between the runs of a bench.
#[derive(Clone)]
pub struct Run<'a> {
    /// Names topics, groups and store of its own.
    pub label: &'a str,
    pub live: bool,
    pub memory_seconds: u32,
}

impl Stand {
    pub fn start(options: &Options, partitions: u16, devices: u32, period: i64) -> Result<Stand, Failure> {
        let folder = tempfile::tempdir()?;
        let broker = Helper::start(&["tests/services/kafka.py", "--heap", "1g"])?;
        let facts: Value = serde_json::from_str(&broker.said).map_err(|error| format!("{error}: {}", broker.said))?;
        let brokers = facts["bootstrap"].as_str().ok_or("the broker has no address")?.to_owned();
        let kafka_folder = facts["dir"].as_str().ok_or("the broker has no folder")?.into();
        let devices = options.devices.unwrap_or(devices);
        let period = options.period.unwrap_or(period);
        let taught = if options.no_baselines { None } else { Some(records::taught(folder.path(), period)?) };
        let are_several = options.processes > 1;
        let stand = Stand {
            engine: None,
            _broker: broker,
            brokers,
            kafka_folder,
            inventory: records::inventory(folder.path(), devices)?,
            taught,
            partitions: options.partitions.unwrap_or(if are_several { 12 } else { partitions }),
            processes: options.processes,
            devices,
            period,
            folder,
        };
        if are_several { stand.with_engine() } else { Ok(stand) }
    }

    /// ClickHouse's engine behind its HTTP interface.
    pub fn with_engine(mut self) -> Result<Stand, Failure> {
        if self.engine.is_none() {
            self.engine = Some(engine(&self.folder.path().join("engine"))?);
        }
        Ok(self)
    }

    pub fn engine_pid(&self) -> Option<u32> {
        self.engine.as_ref().map(Helper::pid)
    }

    /// Topics, and the baselines in force; gives the configuration without the process's own lines.
    pub fn prepare(&self, run: &Run<'_>) -> Result<String, Failure> {
        let Run { label, live, memory_seconds } = run;
        let partitions = self.partitions;
        let mut toml = format!(
            "[ingest]\nmax_open_windows = 100000\n[source]\ninventory = \"{}\"\n[source.kafka]\nbrokers = \"{}\"\n\
             group = \"{label}\"\nreadings = \"{label}.readings\"\nfindings = \"{label}.findings\"\n\
             readings_partitions = {partitions}\ninstance = \"@INSTANCE@\"\n[source.kafka.properties]\n\
             \"session.timeout.ms\" = \"{SESSION_MILLIS}\"\n\"heartbeat.interval.ms\" = \"500\"\n[[source.kafka.topics]]\n\
             name = \"{RAW}\"\nformat = \"native-json\"\nlive = {live}\nlateness_seconds = {LATENESS}\n[run]\n\
             admin = \"@ADMIN@\"\nmemory_seconds = {memory_seconds}\n[store]\npath = \"{label}-store\"\n",
            self.inventory.display(),
            self.brokers,
        );
        if let Some(engine) = &self.engine {
            let address = address(engine)?;
            let secret = self.folder.path().join("secret");
            std::fs::write(&secret, "secret\n")?;
            toml += &format!(
                "[store.clickhouse]\nurl = \"http://{address}\"\nuser = \"writer\"\nmigrate = true\n\
                 database = \"{}\"\npassword = {{ file = \"{}\" }}\n[store.clickhouse.keep_days]\nwindows = 36500\n\
                 contacts = 36500\nevidence = 36500\nfindings = 36500\nrejected = 36500\nrollups = 36500\n",
                label.replace('-', "_"),
                secret.display()
            );
        }
        let path = self.configured(label, &toml, "", "")?;
        let (config, partitions) = (path.as_os_str(), partitions.to_string());
        let words = ["topics", "create", "--raw-partitions", &partitions, "--config"].map(OsStr::new);
        vedette(&[&words[..], &[config]].concat())?;
        if let Some(taught) = &self.taught {
            let words = ["baselines", "pin", "1", "--from", "2026-03-04T00:00:00Z", "--config"].map(OsStr::new);
            vedette(&[&words[..], &[config, OsStr::new("--copy-from"), taught.as_os_str()]].concat())?;
        } else if self.engine.is_some() {
            vedette(&[OsStr::new("migrate"), OsStr::new("--config"), config])?;
        }
        Ok(toml)
    }

    /// Bytes that a topic takes on the broker's disk, all partitions; its index files, made ahead, are not counted.
    pub fn kafka_bytes(&self, topic: &str) -> Result<u64, Failure> {
        let mut bytes = 0;
        let mut folders = vec![self.kafka_folder.clone()];
        while let Some(folder) = folders.pop() {
            let is_of_topic = folder
                .file_name()
                .is_some_and(|name| name.to_string_lossy().rsplit_once('-').is_some_and(|(of, _)| of == topic));
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let facts = entry.metadata()?;
                if facts.is_dir() {
                    folders.push(entry.path());
                } else if is_of_topic && entry.path().extension().is_some_and(|end| end == "log") {
                    bytes += facts.len();
                }
            }
        }
        Ok(bytes)
    }

    fn configured(&self, name: &str, toml: &str, instance: &str, admin: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, toml.replace("@INSTANCE@", instance).replace("@ADMIN@", admin))?;
        Ok(path)
    }

    /// As many processes with these roles as were asked for.
    pub fn services(&self, toml: &str, label: &str, roles: &str) -> Result<Vec<Service>, Failure> {
        (0..self.processes).map(|number| self.service(toml, &format!("{label}-{number}"), roles)).collect()
    }

    /// A process with these roles; `name` is its instance.
    pub fn service(&self, toml: &str, name: &str, roles: &str) -> Result<Service, Failure> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let admin = listener.local_addr()?.to_string();
        drop(listener);
        let path = self.configured(name, toml, name, &admin)?;
        let log = self.folder.path().join(format!("{name}.log"));
        let out = std::fs::File::options().create(true).append(true).open(&log)?;
        let child = mortal(&binary()?)
            .args(["run", "--roles", roles, "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()?;
        Ok(Service { child, admin, log })
    }

    /// What is not committed yet of the raw topic by the group of a run: how far each partition is, and its end.
    pub fn raw_positions(&self, label: &str) -> Result<Vec<(u64, u64)>, Failure> {
        let kafka = KafkaConfig { brokers: self.brokers.clone(), group: label.to_owned(), ..KafkaConfig::default() };
        let consumer: BaseConsumer<DefaultConsumerContext> =
            create(&kafka, Purpose::Member { role: "route" }, DefaultConsumerContext)?;
        let of = |partition| {
            let done = committed(&consumer, RAW, partition)?.offset.unwrap_or(0);
            Ok((done, bounds(&consumer, RAW, partition)?.1))
        };
        (0..i32::from(self.partitions)).map(of).collect()
    }
}

/// Of the groups, so that a takeover can be told from a restart.
pub const SESSION_MILLIS: u64 = 6_000;

pub fn engine(folder: &Path) -> Result<Helper, Failure> {
    let folder = folder.to_str().ok_or("the path is not UTF-8")?;
    let ports = ["tests/services/clickhouse.py", "--port", "0", "--control-port", "0", "--dir", folder];
    Helper::start(&[&ports[..], &["--users", "writer:secret,reader:other:readonly"]].concat())
}

pub fn address(engine: &Helper) -> Result<String, Failure> {
    let words: Vec<&str> = engine.said.split_whitespace().collect();
    let [.., address, _, _, _] = words[..] else { return Err(format!("the engine said `{}`", engine.said).into()) };
    Ok(address.to_owned())
}

/// A process of the service; killed with the stand.
pub struct Service {
    child: Child,
    admin: String,
    log: PathBuf,
}

impl Service {
    pub fn cpu(&self) -> Result<f64, Failure> {
        usage::cpu_seconds(self.child.id())
    }

    pub fn memory(&self) -> Result<(f64, f64), Failure> {
        usage::memory_mib(self.child.id())
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn stop(&mut self) -> Result<(), Failure> {
        signal(&self.child, "TERM");
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("ended with {status}:\n{}", self.said()).into()) }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its lanes as `/readyz` has them; empty while nobody answers.
    pub fn lanes(&mut self) -> Result<Vec<Value>, Failure> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("ended with {status}:\n{}", self.said()).into());
        }
        let answer = get(&self.admin, "/readyz").unwrap_or_default();
        let readiness: Value = serde_json::from_str(&answer).unwrap_or_default();
        Ok(readiness["lanes"].as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until the processes together have `lanes` lanes of which all are `done`; gives the seconds it took.
pub fn wait_lanes(
    services: &mut [Service],
    lanes: usize,
    patience: Duration,
    done: impl Fn(&Value) -> bool,
) -> Result<f64, Failure> {
    let began = Instant::now();
    let mut last = Vec::new();
    while began.elapsed() < patience {
        last.clear();
        for service in services.iter_mut() {
            last.extend(service.lanes()?);
        }
        if last.len() == lanes && last.iter().all(&done) {
            return Ok(began.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let said: Vec<String> = services.iter().map(Service::said).collect();
    Err(format!("not done within {} s: {last:#?}\n{}", patience.as_secs(), said.join("\n")).into())
}

pub fn closed(through: i64) -> impl Fn(&Value) -> bool {
    move |lane| lane["closed_through"].as_i64().is_some_and(|at| at >= through && at > BEGIN)
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
