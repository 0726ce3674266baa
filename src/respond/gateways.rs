//! The configured gateways, and what no one of them can give.

use std::collections::BTreeSet;

use fleet::Level;
use responders::engine::Post;
use responders::gateways::topic::{Carrier, TopicConfig};
use responders::gateways::{Gateway, Key};

use super::playbooks::CompiledPlaybooks;
use crate::config::{Config, Misuse};

/// Nothing is reached yet.
///
/// # Errors
/// A value, a file or a secret that cannot be used, and of which gateway.
pub fn open(config: &Config) -> anyhow::Result<(Vec<Box<dyn Gateway>>, Vec<Post>)> {
    let (mut gateways, mut posts) = (Vec::new(), Vec::new());
    for (name, gateway) in &config.gateways {
        let opened = gateway.open(name, |topics| carrier(config, topics))?;
        posts.push(Post { about: opened.about().clone(), mode: gateway.mode, sites: gateway.sites.clone() });
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

/// Topics of gateways are for nothing else: what is ours would be taken for calls, or answers for what is ours.
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
    Ok(())
}

/// Levels that playbooks ask for and that no gateway, or not the one that is named, can give; in words.
pub fn wanting(playbooks: &CompiledPlaybooks, posts: &[Post]) -> Vec<String> {
    let mut wanting = BTreeSet::new();
    for playbook in playbooks.iter() {
        for step in &playbook.steps {
            let named = (!step.is_auto()).then_some(&step.gateway);
            for level in step.levels().filter(|level| level.restricts()) {
                if named.is_some_and(|name| level == step.level && !posts.iter().any(|post| post.about.name == *name)) {
                    let name = named.map_or("", |name| name.as_str());
                    wanting.insert(format!(
                        "playbook `{}` names the gateway `{name}`, which is not configured",
                        playbook.id
                    ));
                } else if !posts
                    .iter()
                    .any(|post| can(post, level, named.filter(|_| level == step.level).map(|name| name.as_str())))
                {
                    wanting.insert(format!("playbook `{}` asks for {level}, which no gateway can give", playbook.id));
                }
            }
        }
    }
    wanting.into_iter().collect()
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

fn can(post: &Post, level: Level, named: Option<&str>) -> bool {
    named.is_none_or(|name| post.about.name == name) && post.about.ability(level).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            own = { client_id = ["bridge"] }"#;
        let (_, mut posts) = open(&toml::from_str(text).unwrap()).unwrap();
        assert_eq!(
            posts.iter().map(|post| post.about.name.as_str()).collect::<Vec<_>>(),
            ["bridged", "firewall", "guarded", "router"]
        );
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
        for (wrong, topic) in [
            (gateway("a", "vedette.journal", "a.answers"), "`vedette.journal`"),
            (gateway("a", "a.calls", "a.calls"), "`a.calls`"),
            (gateway("a", "a.calls", "a.answers") + &gateway("b", "b.calls", "a.answers"), "`a.answers`"),
        ] {
            let problem = checked(wrong).unwrap_err();
            assert!(problem.contains(topic) && problem.starts_with("gateways."), "{problem}");
        }
    }
}
