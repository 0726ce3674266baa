//! What the table looks like: sets that hold devices until their time is over, and rules that drop what goes to them and comes
//! from them. Everything is in one table of ours; other tables are neither read nor written.
//!
//! A packet passes every table's chains, and one that drops it is enough: connections that stand are cut although others
//! accept them. Only what a flow table carries passes no chain, so `conntrack -D` is asked too.

use std::net::IpAddr;

use fleet::Level;
use ipnet::IpNet;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::bytes::hex;

pub const TABLE: &str = "vedette";
/// Before the usual filters, after connection tracking, and with the device's own address: translation of sources comes later
/// in a packet's way, that of destinations earlier.
const PRIORITY: i64 = -150;
/// Not the internet: RFC 1918, 6598, 3927, 5771, 4193, 4291, and broadcasts.
const PRIVATE: [&str; 10] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Family; 2] = [Family::V4, Family::V6];

    fn protocol(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }

    fn has(self, net: IpNet) -> bool {
        matches!((self, net), (Family::V4, IpNet::V4(_)) | (Family::V6, IpNet::V6(_)))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    pub name: String,
    /// `ipv4_addr`, `ipv6_addr`, `ether_addr`
    pub holds: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub chain: &'static str,
    pub expression: Value,
}

impl Rule {
    fn new(chain: &'static str, expression: Vec<Value>) -> Rule {
        Rule { chain, expression: Value::Array(expression) }
    }

    /// Told from other rules, and from those of another version or configuration, by its comment.
    pub fn comment(&self) -> String {
        let digest = digest(&SHA256, format!("{} {}", self.chain, self.expression).as_bytes());
        format!("vedette {}", hex(&digest.as_ref()[..6]))
    }
}

/// All of it, as the configuration wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub levels: Vec<Level>,
    pub sets: Vec<Set>,
    pub rules: Vec<Rule>,
}

pub const CHAINS: [&str; 3] = ["forward", "input", "output"];

/// Who is in `local` are peers, but for `services`; `throttle` is in kilobytes a second, each way.
pub fn rules(local: &[IpNet], services: &[IpNet], throttle: Option<u32>) -> Rules {
    let mut all = Rules { levels: vec![Level::Quarantine, Level::BlockInternet], sets: Vec::new(), rules: Vec::new() };
    // A lease that cannot be renewed is given to somebody else, who would be cut off in the device's place.
    let leases = |direction: &str| verdict("accept", vec![is(field("udp", direction), nets_or_ports(&[67, 547]))]);
    all.rules.push(Rule::new("input", leases("dport")));
    all.rules.push(Rule::new("output", leases("sport")));

    let hardware = set_name(Level::Quarantine, "_mac");
    all.sets.push(Set { name: hardware.clone(), holds: "ether_addr" });
    for chain in ["forward", "input"] {
        all.rules
            .push(Rule::new(chain, verdict("drop", vec![is(field("ether", "saddr"), json!(format!("@{hardware}")))])));
    }
    if !local.is_empty() {
        all.levels.push(Level::BlockPeers);
    }
    if throttle.is_some() {
        all.levels.push(Level::Throttle);
    }
    for family in Family::BOTH {
        for level in &all.levels {
            all.sets.push(Set { name: set_name(*level, suffix(family)), holds: holds(family) });
        }
        quarantine(&mut all.rules, family);
        let private: Vec<IpNet> = PRIVATE.iter().filter_map(|net| net.parse().ok()).collect();
        let private: Vec<IpNet> = private.iter().chain(local).copied().filter(|net| family.has(*net)).collect();
        block(&mut all.rules, family, Level::BlockInternet, |far| {
            vec![is_not(field(family.protocol(), far), nets(&private))]
        });
        let peers: Vec<IpNet> = local.iter().copied().filter(|net| family.has(*net)).collect();
        let served: Vec<IpNet> = services.iter().copied().filter(|net| family.has(*net)).collect();
        if !peers.is_empty() {
            block(&mut all.rules, family, Level::BlockPeers, |far| {
                let mut matches = vec![is(field(family.protocol(), far), nets(&peers))];
                if !served.is_empty() {
                    matches.push(is_not(field(family.protocol(), far), nets(&served)));
                }
                matches
            });
        }
        if let Some(rate) = throttle {
            slow(&mut all.rules, family, rate);
        }
    }
    all
}

fn quarantine(rules: &mut Vec<Rule>, family: Family) {
    let name = format!("@{}", set_name(Level::Quarantine, suffix(family)));
    let ways = [("forward", "saddr"), ("forward", "daddr"), ("input", "saddr"), ("output", "daddr")];
    for (chain, side) in ways {
        rules.push(Rule::new(chain, verdict("drop", vec![is(field(family.protocol(), side), json!(name))])));
    }
}

/// Both ways: `far` gives what must hold of the other end, whose side it is told.
fn block(rules: &mut Vec<Rule>, family: Family, level: Level, far: impl Fn(&str) -> Vec<Value>) {
    let name = format!("@{}", set_name(level, suffix(family)));
    for (near, other) in [("saddr", "daddr"), ("daddr", "saddr")] {
        let mut matches = vec![is(field(family.protocol(), near), json!(name))];
        matches.extend(far(other));
        rules.push(Rule::new("forward", verdict("drop", matches)));
    }
}

/// A measure for each device and way: what is over the rate is dropped, and whoever sends it slows down.
fn slow(rules: &mut Vec<Rule>, family: Family, rate: u32) {
    let name = format!("@{}", set_name(Level::Throttle, suffix(family)));
    for side in ["saddr", "daddr"] {
        let limit = json!({ "limit": {
            "rate": rate, "rate_unit": "kbytes", "per": "second", "burst": rate, "burst_unit": "kbytes", "inv": true,
        } });
        let meter = format!("rate_{side}{}", suffix(family));
        let key = field(family.protocol(), side);
        let measured = json!({ "meter": { "name": meter, "key": key, "stmt": limit } });
        let matches = vec![is(field(family.protocol(), side), json!(name)), measured];
        rules.push(Rule::new("forward", verdict("drop", matches)));
    }
}

/// The set a level keeps an address of this family in.
pub fn set_for(level: Level, address: IpAddr) -> String {
    set_name(level, if address.is_ipv4() { suffix(Family::V4) } else { suffix(Family::V6) })
}

/// The set of hardware addresses in quarantine.
pub fn hardware_set() -> String {
    set_name(Level::Quarantine, "_mac")
}

fn set_name(level: Level, suffix: &str) -> String {
    format!("{}{suffix}", level.name().replace('-', "_"))
}

fn suffix(family: Family) -> &'static str {
    match family {
        Family::V4 => "4",
        Family::V6 => "6",
    }
}

fn holds(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

fn field(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}

fn is(left: Value, right: Value) -> Value {
    json!({ "match": { "op": "==", "left": left, "right": right } })
}

fn is_not(left: Value, right: Value) -> Value {
    json!({ "match": { "op": "!=", "left": left, "right": right } })
}

fn nets(nets: &[IpNet]) -> Value {
    let nets: Vec<Value> = IpNet::aggregate(&nets.to_vec())
        .iter()
        .map(|net| json!({ "prefix": { "addr": net.network().to_string(), "len": net.prefix_len() } }))
        .collect();
    json!({ "set": nets })
}

fn nets_or_ports(ports: &[u16]) -> Value {
    json!({ "set": ports })
}

fn verdict(verdict: &str, mut matches: Vec<Value>) -> Vec<Value> {
    matches.push(json!({ "counter": null }));
    matches.push(json!({ verdict: null }));
    matches
}

impl Rules {
    /// The table alone, which also wakes it. The kernel takes no other change of a table in the transaction that wakes it.
    pub fn table() -> Value {
        json!({ "add": { "table": { "family": "inet", "name": TABLE } } })
    }

    /// Makes the table as it should be, whatever is there. Elements stay; chains are made anew in the same instant.
    pub fn commands(&self) -> Vec<Value> {
        let mut commands = vec![Rules::table()];
        for set in &self.sets {
            commands.push(json!({ "add": { "set": {
                "family": "inet", "table": TABLE, "name": set.name, "type": set.holds, "flags": ["timeout"],
            } } }));
        }
        for name in CHAINS {
            let chain = json!({ "chain": {
                "family": "inet", "table": TABLE, "name": name, "type": "filter", "hook": name, "prio": PRIORITY,
                "policy": "accept",
            } });
            let plain = json!({ "chain": { "family": "inet", "table": TABLE, "name": name } });
            // One that another hook or priority was given cannot be added again; without them it is there or becomes so.
            commands.extend([json!({ "add": plain }), json!({ "delete": plain }), json!({ "add": chain })]);
        }
        for rule in &self.rules {
            commands.push(json!({ "add": { "rule": {
                "family": "inet", "table": TABLE, "chain": rule.chain, "expr": rule.expression, "comment": rule.comment(),
            } } }));
        }
        commands
    }

    /// Comments of a chain's rules, in order.
    pub fn comments(&self, chain: &str) -> Vec<String> {
        self.rules.iter().filter(|rule| rule.chain == chain).map(Rule::comment).collect()
    }

    pub fn is_chain(&self, chain: &Value) -> bool {
        let name = chain["name"].as_str().unwrap_or_default();
        CHAINS.contains(&name) && chain["hook"] == name && chain["prio"] == PRIORITY && chain["policy"] == "accept"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn all_private_networks_are_read() {
        assert!(PRIVATE.iter().all(|net| net.parse::<IpNet>().is_ok()));
    }

    #[test]
    fn peers_and_throttle_are_offered_when_they_are_configured() {
        assert_eq!(rules(&[], &[], None).levels, [Level::Quarantine, Level::BlockInternet]);
        let levels = rules(&[net("10.20.0.0/16")], &[], Some(16)).levels;
        assert_eq!(levels, [Level::Quarantine, Level::BlockInternet, Level::BlockPeers, Level::Throttle]);
    }

    #[test]
    fn another_configuration_is_told_by_the_comments() {
        let one = rules(&[net("10.20.0.0/16")], &[], None);
        let other = rules(&[net("10.20.0.0/16")], &[net("10.20.0.5/32")], None);
        assert_ne!(one.comments("forward"), other.comments("forward"));
        assert_eq!(one.comments("input"), other.comments("input"));
    }

    #[test]
    fn nothing_is_ever_flushed() {
        let text = Value::Array(rules(&[net("10.0.0.0/8")], &[], Some(8)).commands()).to_string();
        assert!(
            !text.contains("flush")
                && !text.contains("{\"delete\":{\"table\"")
                && !text.contains("{\"delete\":{\"set\"")
        );
    }
}
