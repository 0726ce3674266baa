//! `[gateways.NAME]`: who can keep devices from the network, by a name of one's own.

use std::net::{IpAddr, SocketAddr};

use fleet::Mode;
use reqwest::Url;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::Gateway;
use super::addresses::EachAddress;
use super::aws::{AwsConfig, AwsGateway};
use super::http::{HttpConfig, HttpGateway};
use super::mosquitto::{Mosquitto, MosquittoConfig};
use super::nftables::{NftConfig, Nftables};
use super::openc2::{OpenC2Config, OpenC2Gateway};
use super::radius::{RadiusConfig, RadiusGateway};
use super::topic::{Carrier, TopicConfig, TopicGateway};
use super::webhook::{WebhookConfig, WebhookGateway};
use crate::error::Error;

/// One gateway. Beside what is common to all stands what its kind asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayConfig {
    /// Of this, the mode of all and a playbook's the least holds.
    pub mode: Mode,
    /// Sites whose devices it stands for; none: all. What the inventory names for a device comes first.
    pub sites: Vec<SmolStr>,
    kind: Kind,
    /// What stands under it, without what is common: compared, and written back, as it was read.
    rest: toml::Table,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Http,
    Mosquitto,
    Nftables,
    AwsIot,
    #[serde(rename = "openc2")]
    OpenC2,
    Webhook,
    Kafka,
    Radius,
}

#[derive(Serialize, Deserialize)]
struct Common {
    kind: Kind,
    #[serde(default = "auto")]
    mode: Mode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sites: Vec<SmolStr>,
}

fn auto() -> Mode {
    Mode::Auto
}

impl<'de> Deserialize<'de> for GatewayConfig {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<GatewayConfig, D::Error> {
        let mut rest = toml::Table::deserialize(input)?;
        let common: toml::Table =
            ["kind", "mode", "sites"].into_iter().filter_map(|key| Some((key.to_owned(), rest.remove(key)?))).collect();
        let Common { kind, mode, sites } = common.try_into().map_err(D::Error::custom)?;
        let gateway = GatewayConfig { mode, sites, kind, rest };
        gateway.check().map_err(D::Error::custom)?;
        Ok(gateway)
    }
}

impl Serialize for GatewayConfig {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let common = Common { kind: self.kind, mode: self.mode, sites: self.sites.clone() };
        let mut table = toml::Table::try_from(common).map_err(serde::ser::Error::custom)?;
        table.extend(self.rest.clone());
        table.serialize(out)
    }
}

impl GatewayConfig {
    fn read<T: DeserializeOwned>(&self) -> Result<T, toml::de::Error> {
        self.rest.clone().try_into()
    }

    /// What the kind asks for is there, and nothing else.
    fn check(&self) -> Result<(), toml::de::Error> {
        match self.kind {
            Kind::Http => self.read::<HttpConfig>().map(drop),
            Kind::Mosquitto => self.read::<MosquittoConfig>().map(drop),
            Kind::Nftables => self.read::<NftConfig>().map(drop),
            Kind::AwsIot => self.read::<AwsConfig>().map(drop),
            Kind::OpenC2 => self.read::<OpenC2Config>().map(drop),
            Kind::Webhook => self.read::<WebhookConfig>().map(drop),
            Kind::Kafka => self.read::<TopicConfig>().map(drop),
            Kind::Radius => self.read::<RadiusConfig>().map(drop),
        }
    }

    /// What it is told and answers over, where that is Kafka.
    pub fn topics(&self) -> Option<TopicConfig> {
        // It was read before, see `check`.
        (self.kind == Kind::Kafka).then(|| self.read().ok()).flatten()
    }

    /// Its own, where the configuration says it as an address; what a name stands for is not asked.
    pub fn address(&self) -> Option<IpAddr> {
        let text = |key| self.rest.get(key)?.as_str();
        // Hosts of other schemes than the Web's are text to a URL: brackets and all.
        let url = text("url").and_then(|url| Url::parse(url).ok());
        let of_url = url.as_ref().and_then(Url::host_str).and_then(|host| host.trim_matches(['[', ']']).parse().ok());
        let server = || text("server")?.parse::<SocketAddr>().ok().map(|server| server.ip());
        of_url.or_else(server).map(|address: IpAddr| address.to_canonical())
    }

    /// Nothing is reached yet. `carrier` is whoever has a client of Kafka; asked only where that is the gateway's kind.
    ///
    /// # Errors
    /// A value, a file or a secret that cannot be used; the carrier's.
    pub fn open(
        &self,
        name: &str,
        carrier: impl FnOnce(&TopicConfig) -> Result<Box<dyn Carrier>, Error>,
    ) -> Result<Box<dyn Gateway>, Error> {
        let wrong = |error: toml::de::Error| Error::Wrong(format!("gateway `{name}`: {error}"));
        Ok(match self.kind {
            Kind::Http => each(HttpGateway::new(name, &self.read::<HttpConfig>().map_err(wrong)?)?),
            Kind::Mosquitto => Box::new(Mosquitto::new(name, self.read::<MosquittoConfig>().map_err(wrong)?)?),
            Kind::Nftables => each(Nftables::new(name, self.read::<NftConfig>().map_err(wrong)?)?),
            Kind::AwsIot => Box::new(AwsGateway::new(name, &self.read::<AwsConfig>().map_err(wrong)?)?),
            Kind::OpenC2 => each(OpenC2Gateway::new(name, &self.read::<OpenC2Config>().map_err(wrong)?)?),
            Kind::Webhook => Box::new(WebhookGateway::new(name, &self.read::<WebhookConfig>().map_err(wrong)?)?),
            Kind::Kafka => {
                let config = self.read::<TopicConfig>().map_err(wrong)?;
                Box::new(TopicGateway::new(name, &config, carrier(&config)?)?)
            }
            Kind::Radius => Box::new(RadiusGateway::new(name, &self.read::<RadiusConfig>().map_err(wrong)?)?),
        })
    }

    /// Paths in it are relative to the configuration's folder.
    pub fn resolve(&mut self, folder: &std::path::Path) {
        resolve(&mut self.rest, folder);
    }
}

/// Those that are told one address at a time.
fn each(gateway: impl Gateway + 'static) -> Box<dyn Gateway> {
    Box::new(EachAddress::new(Box::new(gateway)))
}

/// Every key that names a file.
const FILES: [&str; 6] = ["file", "ca", "certificate", "key", "product_file", "path"];

fn resolve(table: &mut toml::Table, folder: &std::path::Path) {
    for (key, value) in table {
        match value {
            // A product's own words.
            toml::Value::Table(_) if key == "settings" => {}
            toml::Value::Table(within) => resolve(within, folder),
            toml::Value::String(path) if FILES.contains(&key.as_str()) => {
                *path = folder.join(&*path).display().to_string();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn parse(text: &str) -> Result<GatewayConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_gateway_is_what_its_kind_asks_for() {
        let text = "kind = 'mosquitto'\nsites = ['lab']\nurl = 'mqtts://broker:8883'\nusername = 'vedette'\npassword = { file = 'p' }\n";
        let mut gateway = parse(text).unwrap();
        assert_eq!((gateway.mode, gateway.sites.as_slice()), (Mode::Auto, ["lab".into()].as_slice()));
        let again = parse(&toml::to_string(&gateway).unwrap()).unwrap();
        assert_eq!(again, gateway);
        gateway.resolve(std::path::Path::new("/etc/vedette"));
        assert!(toml::to_string(&gateway).unwrap().contains("/etc/vedette/p"));
        for (wrong, words) in [
            ("kind = 'toaster'", "toaster"),
            ("url = 'x'", "kind"),
            (
                "kind = 'mosquitto'\nurl = 'mqtts://b'\nusername = 'v'\npassword = { env = 'P' }\nusernane = 'x'",
                "usernane",
            ),
            ("kind = 'mosquitto'\nmode = 'perhaps'", "perhaps"),
        ] {
            let problem = parse(wrong).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn its_own_address_is_told_from_where_it_is() {
        for (text, address) in [
            ("kind = 'openc2'\nurl = 'https://10.20.0.1:8443/oc2?a=b'", Some("10.20.0.1")),
            ("kind = 'openc2'\nurl = 'https://[2001:db8::1]/oc2'", Some("2001:db8::1")),
            ("kind = 'openc2'\nurl = 'https://[::ffff:10.20.0.1]:8443'", Some("10.20.0.1")),
            ("kind = 'openc2'\nurl = 'https://firewall.example/10.20.0.1'", None),
            ("kind = 'radius'\nserver = '10.20.0.2:3799'\nsecret = { env = 'S' }\nkeys = ['mac']", Some("10.20.0.2")),
            ("kind = 'nftables'", None),
        ] {
            let known = parse(text).unwrap().address();
            assert_eq!(known, address.map(|address| address.parse().unwrap()), "{text}");
        }
    }

    /// With the defaults of what is not said.
    fn filled(gateway: &GatewayConfig) -> toml::Table {
        fn of<T: DeserializeOwned + Serialize>(gateway: &GatewayConfig) -> toml::Table {
            toml::Table::try_from(gateway.read::<T>().unwrap()).unwrap()
        }
        match gateway.kind {
            Kind::Http => of::<HttpConfig>(gateway),
            Kind::Mosquitto => of::<MosquittoConfig>(gateway),
            Kind::Nftables => of::<NftConfig>(gateway),
            Kind::AwsIot => of::<AwsConfig>(gateway),
            Kind::OpenC2 => of::<OpenC2Config>(gateway),
            Kind::Webhook => of::<WebhookConfig>(gateway),
            Kind::Kafka => of::<TopicConfig>(gateway),
            Kind::Radius => of::<RadiusConfig>(gateway),
        }
    }

    type Keys = BTreeSet<String>;

    /// Of each table within that has keys of its own: those that are there, and those that may be, which is what the error
    /// about another one lists. `found` is by kind and place.
    fn look(gateway: &GatewayConfig, place: &mut Vec<String>, found: &mut BTreeMap<String, (Keys, Keys)>) {
        let mut odd = gateway.clone();
        let here = place.iter().fold(&mut odd.rest, |table, key| match table.get_mut(key).unwrap() {
            toml::Value::Array(tables) => tables[0].as_table_mut().unwrap(),
            within => within.as_table_mut().unwrap(),
        });
        let is_table = |value: &toml::Value| value.as_array().and_then(|all| all.first()).unwrap_or(value).is_table();
        let within: Vec<String> =
            here.iter().filter(|(_, value)| is_table(value)).map(|(key, _)| key.clone()).collect();
        let keys: Keys = here.keys().cloned().collect();
        here.insert("?".to_owned(), 0.into());
        let problem = odd.check().err().map(|error| error.message().to_owned()).unwrap_or_default();
        if let Some(listed) = problem.strip_prefix("unknown field `?`, expected ") {
            let (said, may) = found.entry(format!("{:?} {}", gateway.kind, place.join("."))).or_default();
            said.extend(keys);
            may.extend(listed.split('`').skip(1).step_by(2).map(str::to_owned));
        }
        for key in within {
            place.push(key);
            look(gateway, place, found);
            place.pop();
        }
    }

    #[test]
    fn the_documented_keys_are_all_there_are_and_their_values_the_defaults() {
        #[derive(Deserialize)]
        struct Page {
            gateways: BTreeMap<String, GatewayConfig>,
        }
        let page = include_str!("../../../docs/gateways.md").split("## Every key").nth(1).unwrap();
        let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let gateways = toml::from_str::<Page>(block).unwrap().gateways;
        let mut found = BTreeMap::new();
        for (name, gateway) in &gateways {
            look(gateway, &mut Vec::new(), &mut found);
            let mut least = gateway.clone();
            for key in gateway.rest.keys() {
                let value = least.rest.remove(key).unwrap();
                if least.check().is_err() {
                    least.rest.insert(key.clone(), value);
                }
            }
            for (key, default) in filled(&least) {
                let is_nothing = default.as_table().is_some_and(toml::Table::is_empty)
                    || default.as_array().is_some_and(Vec::is_empty);
                if let Some(value) = gateway.rest.get(&key).filter(|_| !is_nothing) {
                    assert_eq!(*value, default, "the default of gateways.{name}.{key}");
                }
            }
        }
        for (place, (said, may)) in &found {
            assert_eq!(said, may, "of {place}");
        }
        let kinds: Keys = found.keys().filter_map(|place| place.strip_suffix(' ').map(str::to_owned)).collect();
        let all = ["AwsIot", "Http", "Kafka", "Mosquitto", "Nftables", "OpenC2", "Radius", "Webhook"];
        assert_eq!(kinds, all.map(str::to_owned).into());
        let within = ["AwsIot tls", "Kafka abilities", "OpenC2 rules.ours", "Radius quarantine"];
        assert!(within.iter().all(|place| found.contains_key(*place)), "{:?}", found.keys());
        let common: toml::Table = block.split("\n\n").next().and_then(|first| toml::from_str(first).ok()).unwrap();
        let first = common["gateways"]["broker"].as_table().unwrap();
        assert_eq!((first["mode"].as_str(), first["sites"].as_array()), (Some("auto"), Some(&Vec::new())));
    }

    #[test]
    fn the_examples_of_a_gateway_of_ones_own_are_as_documented() {
        let page = include_str!("../../../docs/gateways-own.md");
        let examples = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let read = |example| toml::from_str::<toml::Table>(example).unwrap()["gateways"]["switches"].clone();
        let gateways: Vec<GatewayConfig> = examples.map(|example| read(example).try_into().unwrap()).collect();
        assert_eq!(gateways.iter().map(|gateway| gateway.kind).collect::<Vec<_>>(), [Kind::Webhook, Kind::Kafka]);
        let topics = gateways[1].topics().unwrap();
        assert_eq!((topics.calls.as_str(), topics.time_limit_seconds), ("vedette.switches.calls", 10));
        assert!(gateways[0].topics().is_none());
        let none = |_: &TopicConfig| Err(Error::Wrong("there is no Kafka here".to_owned()));
        let problem = gateways[1].open("switches", none).err().unwrap().to_string();
        assert_eq!(problem, "there is no Kafka here");
    }
}
