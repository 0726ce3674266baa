//! The configured gateways, and what no one of them can give.

use std::collections::BTreeSet;

use anyhow::Context;
use fleet::Level;
use responders::engine::Post;
use responders::gateways::topic::{Carrier, TopicConfig};
use responders::gateways::{Gateway, Key};
use responders::tell::TellConfig;
use smol_str::{SmolStr, ToSmolStr};

use super::playbooks::CompiledPlaybooks;
use crate::config::{Config, Misuse};

type Gateways = Vec<Box<dyn Gateway>>;

/// Nothing is reached yet.
///
/// # Errors
/// A value, a file or a secret that cannot be used, and of which gateway.
pub fn open(config: &Config) -> anyhow::Result<(Gateways, Vec<Post>)> {
    let (mut gateways, mut posts) = (Vec::new(), Vec::new());
    for (name, gateway) in &config.gateways {
        let opened = gateway.open(name, |topics| carrier(config, topics));
        let opened = opened.with_context(|| format!("gateways.{name}"))?;
        let mut about = opened.about().clone();
        about.own.extend(gateway.address().map(|address| (Key::Ip, address.to_smolstr())));
        posts.push(Post { about, mode: gateway.mode, sites: gateway.sites.clone() });
        gateways.push(opened);
    }
    Ok((gateways, posts))
}

#[cfg(feature = "kafka")]
fn carrier(config: &Config, topics: &TopicConfig) -> Result<Box<dyn Carrier>, responders::Error> {
    Ok(Box::new(crate::live::over_topics(&config.source.kafka, topics)))
}

#[cfg(not(feature = "kafka"))]
fn carrier(_: &Config, topics: &TopicConfig) -> Result<Box<dyn Carrier>, responders::Error> {
    let problem =
        format!("`{}` is a topic, and this build is without Kafka; build with the feature `kafka`", topics.calls);
    Err(responders::Error::Wrong(problem))
}

/// Topics of gateways and of SIEMs are for nothing else: what is ours would be taken for calls, or what others are told for ours.
///
/// # Errors
/// The topic that has two purposes.
pub fn check_topics(config: &Config) -> Result<(), Misuse> {
    let mut taken: BTreeSet<String> = config.source.kafka.names().into_iter().map(str::to_owned).collect();
    for (name, gateway) in &config.gateways {
        for topic in gateway.topics().into_iter().flat_map(|topics| [topics.calls, topics.answers]) {
            if taken.contains(&topic) {
                let problem = format!(
                    "gateways.{name}: the topic `{topic}` has another purpose, expected one for calls and one for answers, \
                     of this gateway alone"
                );
                return Err(Misuse(problem));
            }
            taken.insert(topic);
        }
    }
    match config.responders.tell.topics().find(|topic| taken.contains(topic.as_str())) {
        None => Ok(()),
        Some(topic) => Err(Misuse(format!(
            "responders.tell: the topic `{topic}` has another purpose, expected one for what people and SIEMs are told alone"
        ))),
    }
}

/// Levels that playbooks ask for and that no gateway, or not the one that is named, can give; in words.
pub fn wanting(playbooks: &CompiledPlaybooks, posts: &[Post]) -> Vec<String> {
    let mut wanting = BTreeSet::new();
    for playbook in playbooks.iter() {
        for step in &playbook.steps {
            for level in step.levels().filter(|level| level.restricts()) {
                // Another level may be given by any gateway.
                let named = (!step.is_auto() && level == step.level).then_some(&step.gateway);
                wanting.extend(lack(posts, level, named).map(|what| format!("playbook `{}` {what}", playbook.id)));
            }
        }
    }
    wanting.into_iter().collect()
}

/// Gateways that give a level and leave the connections that stand alone; in words.
pub fn uncut(posts: &[Post]) -> Vec<String> {
    let of = |post: &Post| {
        let left = post.about.abilities.iter().filter(|ability| !ability.cuts_sessions);
        let levels: Vec<&str> = left.map(|ability| ability.level.name()).collect();
        (!levels.is_empty()).then(|| {
            format!("gateway `{}` leaves connections that stand alone, with {}", post.about.name, levels.join(", "))
        })
    };
    posts.iter().filter_map(of).collect()
}

/// Steps that are to tell somebody, where nobody is told; in words, a line for each level.
pub fn untold(playbooks: &CompiledPlaybooks, tell: &TellConfig) -> Vec<String> {
    let asks = |level| {
        let asking = playbooks.iter().filter(move |playbook| playbook.steps.iter().any(|step| step.level == level));
        asking.map(|playbook| playbook.id.as_str()).collect::<Vec<_>>()
    };
    let levels = [(Level::Notify, "a sink"), (Level::Ticket, "a sink of kind `ticket`")];
    let untold = levels.into_iter().filter(|(level, _)| !tell.reaches(*level));
    let line = |(level, sink): (Level, &str)| {
        let asking = asks(level);
        let who =
            format!("{level} (playbooks {}) reaches nobody: add {sink} under [[responders.tell]]", asking.join(", "));
        (!asking.is_empty()).then_some(who)
    };
    untold.filter_map(line).collect()
}

fn lack(posts: &[Post], level: Level, named: Option<&SmolStr>) -> Option<String> {
    let can = |post: &Post| post.about.ability(level).is_some();
    match named {
        None if posts.iter().any(can) => None,
        None => Some(format!("asks for {level}, which no gateway can give")),
        Some(name) => match posts.iter().find(|post| post.about.name == *name) {
            None => Some(format!("names the gateway `{name}`, which is not configured")),
            Some(post) if can(post) => None,
            Some(_) => Some(format!("asks the gateway `{name}` for {level}, which it cannot give")),
        },
    }
}

/// Gateways that go by addresses, of either kind, and know none that is never a target: their own would be taken for a device's.
/// nftables asks its machine for them.
pub fn unguarded(posts: &[Post]) -> Vec<&str> {
    let goes_by = |post: &Post| post.about.abilities.iter().any(|ability| ability.keys.iter().any(is_address));
    let knows = |post: &Post| post.about.product == "nftables" || post.about.own.iter().any(|(key, _)| is_address(key));
    posts.iter().filter(|post| goes_by(post) && !knows(post)).map(|post| post.about.name.as_str()).collect()
}

fn is_address(key: &Key) -> bool {
    matches!(key, Key::Ip | Key::Mac)
}

#[cfg(test)]
mod tests {
    use responders::gateways::recording::Recording;
    use responders::playbook::{Playbook, Playbooks};

    use super::*;

    /// A gateway that gives these levels and no other.
    fn post(name: &str, levels: &[Level]) -> Post {
        let about = Recording::standing_for(&name.into(), levels).about().clone();
        Post { about, mode: fleet::Mode::Auto, sites: Vec::new() }
    }

    #[test]
    fn what_no_gateway_can_give_is_told_and_nothing_else() {
        let wanting = |steps: &str, posts: &[Post]| {
            let text = format!("id = \"p\"\ntitle = \"t\"\nwhen = \"true\"\n[[step]]\nlevel = \"notify\"\n{steps}");
            let playbook = Playbook::parse(&text, "p.toml").unwrap_or_else(|error| panic!("{error}"));
            let compiled = CompiledPlaybooks::compile(Playbooks::new(vec![playbook]).unwrap()).unwrap();
            super::wanting(&compiled, posts)
        };
        let quarantine = |rest: &str| format!("[[step]]\nlevel = \"quarantine\"\nttl = \"1h\"\n{rest}");
        let core = post("core", &[Level::Quarantine]);
        let edge = post("edge", &[Level::Throttle, Level::Disable]);
        let escalates = "escalate = { after = 1, within = \"1d\", level = \"disable\" }\n";
        let talking = "still_talking = { level = \"disable\" }\n";
        let no_disable = ["playbook `p` asks for disable, which no gateway can give"];
        for (steps, posts, told) in [
            (String::new(), vec![], &[] as &[&str]),
            (quarantine(""), vec![core.clone()], &[]),
            (quarantine(""), vec![edge.clone(), core.clone()], &[]),
            (quarantine(""), vec![edge.clone()], &["playbook `p` asks for quarantine, which no gateway can give"]),
            (quarantine(escalates), vec![core.clone()], &no_disable),
            (quarantine(talking), vec![core.clone()], &no_disable),
            (quarantine(&format!("gateway = \"core\"\n{escalates}")), vec![core.clone(), edge.clone()], &[]),
            (quarantine("gateway = \"core\"\n"), vec![core.clone()], &[]),
            (
                quarantine("gateway = \"cores\"\n"),
                vec![core.clone()],
                &["playbook `p` names the gateway `cores`, which is not configured"],
            ),
            (
                quarantine("gateway = \"edge\"\n"),
                vec![core.clone(), edge.clone()],
                &["playbook `p` asks the gateway `edge` for quarantine, which it cannot give"],
            ),
        ] {
            assert_eq!(wanting(&steps, &posts), told, "{steps}");
        }
    }

    #[test]
    fn who_could_be_told_of_its_own_address_is_named() {
        let text = r#"
            [gateways.router]
            kind = "nftables"
            [gateways.firewall]
            kind = "openc2"
            url = "https://firewall.example"
            [gateways.guarded]
            kind = "openc2"
            url = "https://firewall.example"
            own = { ip = ["10.20.0.1"] }
            [gateways.bridged]
            kind = "openc2"
            url = "https://firewall.example"
            own = { client_id = ["bridge"] }
            [gateways.numbered]
            kind = "openc2"
            url = "https://10.20.0.2""#;
        let (_, mut posts) = open(&toml::from_str(text).unwrap()).unwrap();
        assert_eq!(
            posts.iter().map(|post| post.about.name.as_str()).collect::<Vec<_>>(),
            ["bridged", "firewall", "guarded", "numbered", "router"]
        );
        assert_eq!(posts[3].about.own, [(Key::Ip, "10.20.0.2".into())]);
        assert_eq!(unguarded(&posts), ["bridged", "firewall"]);
        // A broker's.
        for ability in posts.iter_mut().flat_map(|post| &mut post.about.abilities) {
            ability.keys = vec![Key::ClientId];
        }
        assert!(unguarded(&posts).is_empty());
    }

    #[test]
    fn a_topic_of_a_gateway_has_no_other_purpose() {
        let gateway = |name: &str, calls: &str, answers: &str| {
            format!(
                "[gateways.{name}]\nkind = \"kafka\"\ncalls = \"{calls}\"\nanswers = \"{answers}\"\n\
                 abilities = [{{ level = \"quarantine\", keys = [\"mac\"] }}]\n"
            )
        };
        let checked =
            |text: String| toml::from_str::<Config>(&text).unwrap().check().map_err(|error| error.to_string());
        assert_eq!(checked(gateway("a", "a.calls", "a.answers")), Ok(()));
        assert_eq!(checked(gateway("a", "a.calls", "a.answers") + &gateway("b", "b.calls", "b.answers")), Ok(()));
        let siem =
            |topic: &str| format!("[[responders.tell]]\nkind = \"kafka\"\nname = \"siem\"\ntopic = \"{topic}\"\n");
        assert_eq!(
            checked(
                gateway("a", "a.calls", "a.answers") + &siem("siem") + &siem("siem").replace("siem\"\nt", "b\"\nt")
            ),
            Ok(())
        );
        for (wrong, topic) in [
            (gateway("a", "vedette.journal", "a.answers"), "gateways.a: the topic `vedette.journal`"),
            (gateway("a", "a.calls", "a.calls"), "gateways.a: the topic `a.calls`"),
            (
                gateway("a", "a.calls", "a.answers") + &gateway("b", "b.calls", "a.answers"),
                "gateways.b: the topic `a.answers`",
            ),
            (siem("vedette.journal"), "responders.tell: the topic `vedette.journal`"),
            (gateway("a", "a.calls", "a.answers") + &siem("a.calls"), "responders.tell: the topic `a.calls`"),
        ] {
            let problem = checked(wrong).unwrap_err();
            assert!(problem.starts_with(topic), "{problem}");
        }
    }
}
