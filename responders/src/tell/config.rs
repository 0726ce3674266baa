//! Who is told: the array of tables `responders.tell`, one for each sink.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fleet::{FindingKind, Level, Severity};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::outgoing::Kind;
use super::sinks::syslog;
use super::templated::Template;
use crate::error::Error;
use crate::tls::TlsConfig;
use fleet::Secret;

/// Longest a sink may take for one message, in seconds.
const LONGEST_LIMIT: u64 = 120;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TellConfig {
    pub sinks: Vec<SinkConfig>,
}

impl TellConfig {
    /// Whether a step of this level reaches anybody: one that restricts is no message.
    pub fn reaches(&self, level: Level) -> bool {
        let takes = |sink: &SinkConfig, kind| sink.only().events.is_some_and(|events| events.contains(&kind));
        match level {
            Level::Notify => self.sinks.iter().any(|sink| takes(sink, Kind::Notify)),
            Level::Ticket => {
                self.sinks.iter().any(|sink| matches!(sink, SinkConfig::Ticket(_)) && takes(sink, Kind::Ticket))
            }
            _ => true,
        }
    }

    /// Topics that are written to.
    pub fn topics(&self) -> impl Iterator<Item = &String> {
        self.sinks.iter().filter_map(|sink| match sink {
            SinkConfig::Kafka(of) => Some(&of.topic),
            _ => None,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SinkConfig {
    File(FileConfig),
    Syslog(SyslogConfig),
    Webhook(WebhookConfig),
    Chat(TemplatedConfig),
    Ticket(TemplatedConfig),
    /// Opened by the front door: this room has no Kafka.
    Kafka(KafkaConfig),
}

/// What a sink is told at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Only {
    pub min_severity: Option<Severity>,
    /// Kinds of findings.
    pub kinds: Option<BTreeSet<FindingKind>>,
    /// Kinds of messages.
    pub events: Option<BTreeSet<Kind>>,
    /// Beyond it, messages are held back and told as one digest a minute. 0: no limit.
    pub per_minute: Option<u32>,
}

/// A text of the configuration that may be a secret: a chat's address is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, `{ env = \"NAME\" }` or `{ file = \"path\" }`")]
pub enum Setting {
    Here(String),
    Secret(Secret),
}

impl Setting {
    fn resolve(&mut self, folder: &Path) {
        if let Setting::Secret(secret) = self {
            secret.resolve(folder);
        }
    }

    /// # Errors
    /// As [`Secret::read`].
    pub fn read(&self) -> Result<String, Error> {
        match self {
            Setting::Here(text) => Ok(text.clone()),
            Setting::Secret(secret) => Ok(secret.read()?),
        }
    }
}

fn seconds() -> u64 {
    10
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    pub name: SmolStr,
    pub path: PathBuf,
    /// A file of this size gives way to a new one.
    #[serde(default = "FileConfig::max_bytes")]
    pub max_bytes: u64,
    /// Files that are kept beside the present one: `path.1` is the youngest.
    #[serde(default = "FileConfig::keep")]
    pub keep: u32,
    #[serde(default)]
    pub only: Only,
}

impl FileConfig {
    fn max_bytes() -> u64 {
        100 << 20
    }

    fn keep() -> u32 {
        5
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// RFC 5425.
    #[default]
    Tls,
    /// RFC 6587, messages counted as in RFC 5425.
    Tcp,
    /// RFC 5426.
    Udp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    pub name: SmolStr,
    /// `host:port`; 6514 is the port of syslog over TLS.
    pub address: String,
    #[serde(default)]
    pub transport: Transport,
    #[serde(default)]
    pub tls: TlsConfig,
    /// As `syslog.conf` names it.
    #[serde(default = "SyslogConfig::facility")]
    pub facility: SmolStr,
    /// Whom the messages are from; the machine's name where nothing is said.
    pub hostname: Option<String>,
    /// Longest message; a longer event loses its dispensable parts. 8192, over UDP 2048.
    pub max_bytes: Option<usize>,
    #[serde(default = "seconds")]
    pub limit_seconds: u64,
    #[serde(default)]
    pub only: Only,
}

impl SyslogConfig {
    fn facility() -> SmolStr {
        SmolStr::new_static("local0")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    pub name: SmolStr,
    pub url: Setting,
    /// What messages are signed with; whoever receives them needs it too.
    pub key: Secret,
    /// The whole header `Authorization`, where one is asked for.
    pub authorization: Option<Setting>,
    #[serde(default)]
    pub tls: TlsConfig,
    #[serde(default = "seconds")]
    pub limit_seconds: u64,
    #[serde(default)]
    pub only: Only,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplatedConfig {
    pub name: SmolStr,
    /// One that is shipped (`slack`, `mattermost`, `teams`, `ticket`, `jira`, `servicenow`), or the path of a TOML file.
    pub template: String,
    pub url: Setting,
    /// The whole header `Authorization`, where one is asked for.
    pub authorization: Option<Setting>,
    /// What the template leaves open, such as a project's name.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub tls: TlsConfig,
    #[serde(default = "seconds")]
    pub limit_seconds: u64,
    #[serde(default)]
    pub only: Only,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    pub name: SmolStr,
    pub topic: String,
    #[serde(default)]
    pub only: Only,
}

impl TellConfig {
    /// Paths are relative to the configuration's folder.
    pub fn resolve(&mut self, folder: &Path) {
        self.sinks.iter_mut().for_each(|sink| sink.resolve(folder));
    }

    /// # Errors
    /// The first value that cannot be right: what it is, and what was expected. Secrets are not looked for.
    pub fn check(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for sink in &self.sinks {
            if sink.name().is_empty() || !names.insert(sink.name()) {
                return Err(wrong(sink, "its name is empty or another's too; expected one of its own"));
            }
            sink.check()?;
        }
        Ok(())
    }
}

impl SinkConfig {
    fn resolve(&mut self, folder: &Path) {
        match self {
            SinkConfig::File(it) => it.path = folder.join(&it.path),
            SinkConfig::Syslog(it) => it.tls.resolve(folder),
            SinkConfig::Webhook(it) => {
                it.key.resolve(folder);
                it.url.resolve(folder);
                it.authorization.iter_mut().for_each(|setting| setting.resolve(folder));
                it.tls.resolve(folder);
            }
            SinkConfig::Chat(it) | SinkConfig::Ticket(it) => {
                if !Template::is_shipped(&it.template) {
                    it.template = folder.join(&it.template).display().to_string();
                }
                it.url.resolve(folder);
                it.authorization.iter_mut().for_each(|setting| setting.resolve(folder));
                it.tls.resolve(folder);
            }
            SinkConfig::Kafka(_) => {}
        }
    }

    pub fn name(&self) -> &SmolStr {
        match self {
            SinkConfig::File(it) => &it.name,
            SinkConfig::Syslog(it) => &it.name,
            SinkConfig::Webhook(it) => &it.name,
            SinkConfig::Chat(it) | SinkConfig::Ticket(it) => &it.name,
            SinkConfig::Kafka(it) => &it.name,
        }
    }

    /// What was asked for.
    pub fn own(&self) -> &Only {
        match self {
            SinkConfig::File(FileConfig { only, .. })
            | SinkConfig::Syslog(SyslogConfig { only, .. })
            | SinkConfig::Webhook(WebhookConfig { only, .. })
            | SinkConfig::Kafka(KafkaConfig { only, .. })
            | SinkConfig::Chat(TemplatedConfig { only, .. })
            | SinkConfig::Ticket(TemplatedConfig { only, .. }) => only,
        }
    }

    /// What it is told, defaults filled in: machines get everything, a chat what a person wants to know, and tickets are
    /// for what somebody has to do.
    pub fn only(&self) -> Only {
        let only = self.own();
        let (events, min_severity, per_minute): (&[Kind], _, _) = match self {
            SinkConfig::File(_) | SinkConfig::Syslog(_) | SinkConfig::Webhook(_) | SinkConfig::Kafka(_) => {
                (&Kind::ALL, Severity::Info, 0)
            }
            SinkConfig::Chat(_) => {
                let events = &[Kind::Opened, Kind::Raised, Kind::Verdict, Kind::Closed, Kind::Action, Kind::Notify];
                (events, Severity::Medium, 10)
            }
            SinkConfig::Ticket(_) => (&[Kind::Opened, Kind::Ticket], Severity::High, 5),
        };
        Only {
            min_severity: Some(only.min_severity.unwrap_or(min_severity)),
            kinds: only.kinds.clone(),
            events: Some(only.events.clone().unwrap_or_else(|| events.iter().copied().collect())),
            per_minute: Some(only.per_minute.unwrap_or(per_minute)),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let limit = match self {
            SinkConfig::Syslog(it) => it.limit_seconds,
            SinkConfig::Webhook(it) => it.limit_seconds,
            SinkConfig::Chat(it) | SinkConfig::Ticket(it) => it.limit_seconds,
            SinkConfig::File(_) | SinkConfig::Kafka(_) => 1,
        };
        if !(1..=LONGEST_LIMIT).contains(&limit) {
            return Err(wrong(self, &format!("limit_seconds is `{limit}`, expected 1 to {LONGEST_LIMIT}")));
        }
        match self {
            SinkConfig::File(it) if it.max_bytes < 4096 || !(1..=1000).contains(&it.keep) => {
                let what = format!(
                    "max_bytes is `{}` and keep `{}`, expected 4096 or more, and 1 to 1000",
                    it.max_bytes, it.keep
                );
                Err(wrong(self, &what))
            }
            SinkConfig::Syslog(it) => syslog::check(it).map_err(|what| wrong(self, &what)),
            SinkConfig::Chat(it) | SinkConfig::Ticket(it) => {
                let template = Template::load(&it.template)?;
                template.check(&it.params).map_err(|what| wrong(self, &what))
            }
            SinkConfig::Kafka(it) if it.topic.is_empty() => Err(wrong(self, "topic is empty, expected a topic's name")),
            SinkConfig::File(_) | SinkConfig::Webhook(_) | SinkConfig::Kafka(_) => Ok(()),
        }
    }
}

fn wrong(sink: &SinkConfig, what: &str) -> Error {
    Error::Wrong(format!("responders.tell `{}`: {what}", sink.name()))
}
