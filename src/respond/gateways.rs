//! The configured gateways, and what no one of them can give.

use std::collections::BTreeSet;

use fleet::Level;
use responders::engine::Post;
use responders::gateways::Gateway;

use super::playbooks::CompiledPlaybooks;
use crate::config::Config;

/// Nothing is reached yet.
///
/// # Errors
/// A value, a file or a secret that cannot be used, and of which gateway.
pub fn open(config: &Config) -> anyhow::Result<(Vec<Box<dyn Gateway>>, Vec<Post>)> {
    let (mut gateways, mut posts) = (Vec::new(), Vec::new());
    for (name, gateway) in &config.gateways {
        let opened = gateway.open(name)?;
        posts.push(Post { about: opened.about().clone(), mode: gateway.mode, sites: gateway.sites.clone() });
        gateways.push(opened);
    }
    Ok((gateways, posts))
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

fn can(post: &Post, level: Level, named: Option<&str>) -> bool {
    named.is_none_or(|name| post.about.name == name) && post.about.ability(level).is_some()
}
