//! Guard-rails: the first that forbids an action is told. They are asked when it is proposed, so that a dry run tells the
//! same, and again at the moment of acting.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use fleet::device::Standing;
use fleet::{Confidence, Device, EventTime, Finding, Scope};
use smol_str::SmolStr;

use super::{Directory, Engine, seconds};
use crate::book::Action;
use crate::gateways::{About, Key, addresses};
use crate::journal::entry::Proposal;

impl Engine {
    pub(super) fn objection(
        &self,
        now: EventTime,
        proposal: &Proposal,
        finding: &Finding,
        device: Option<&Device>,
        directory: &dyn Directory,
    ) -> Option<String> {
        if !proposal.level.restricts() {
            return None;
        }
        if finding.scope != Scope::Device {
            return Some(format!(
                "a {} finding names {} devices; only single devices are restricted",
                finding.scope,
                finding.devices.len()
            ));
        }
        if finding.confidence == Confidence::Learning {
            return Some(format!("the baseline of type `{}` is still learning; confirm by hand", finding.device_type));
        }
        let age = now.minus(finding.emitted_at) - self.ahead;
        if self.config.max_age_seconds > 0 && age > seconds(self.config.max_age_seconds) {
            return Some(format!(
                "the finding is {} minutes old; older than {} seconds nobody is restricted for it",
                age / seconds(60),
                self.config.max_age_seconds
            ));
        }
        self.device_objection(now, proposal, device, directory)
    }

    /// Of the device, the caps and the gateways, whatever was found.
    pub(super) fn device_objection(
        &self,
        now: EventTime,
        proposal: &Proposal,
        device: Option<&Device>,
        directory: &dyn Directory,
    ) -> Option<String> {
        self.standing_objection(device)
            .or_else(|| self.cap(now, proposal, proposal.gateways.first(), Counts::Meant, directory))
            .or_else(|| self.gateway_objection(proposal, directory))
    }

    fn standing_objection(&self, device: Option<&Device>) -> Option<String> {
        let Some(device) = device else {
            return Some("the device is not in the inventory".to_owned());
        };
        match device.standing {
            Standing::Unknown => return Some("the identity is unknown to the inventory".to_owned()),
            Standing::Shared => return Some("the identity is shared by several devices".to_owned()),
            Standing::Active | Standing::Retired => {}
        }
        self.never(device)
    }

    /// Why a device is never restricted, if it is not.
    pub(super) fn never(&self, device: &Device) -> Option<String> {
        let never = &self.config.never;
        first_listed([
            ("device", &never.devices, &device.id),
            ("type", &never.types, &device.device_type),
            ("site", &never.sites, &device.site),
            ("segment", &never.segments, &device.segment),
        ])
    }

    /// Why the device must not be held any longer by the names it is held by: a guard-rail applies to it now, or somebody
    /// else has its address. What the inventory does not know any more is no reason, the hold ends by its time.
    pub(super) fn unbinds(&self, action: &Action, directory: &dyn Directory) -> Option<String> {
        let proposal = &action.proposal;
        let keys = self.ability(action).map_or(&[][..], |ability| &ability.keys);
        let further = action.further.iter().map(|address| (&Key::Ip, address));
        let mut held = action.names.iter().chain(further).filter(|(key, _)| keys.contains(key));
        if let Some(reason) = held.find_map(|(key, name)| self.is_no_target(*key, name, directory)) {
            return Some(reason);
        }
        let Some(device) = directory.device(&proposal.device_id) else {
            let never = &self.config.never;
            return first_listed([
                ("device", &never.devices, &proposal.device_id),
                ("type", &never.types, &proposal.device_type),
                ("site", &never.sites, &proposal.site),
                ("segment", &never.segments, &proposal.segment),
            ]);
        };
        if let Some(reason) = self.never(&device) {
            return Some(reason);
        }
        if device.standing == Standing::Shared {
            return self.standing_objection(Some(&device));
        }
        let addresses = match action.names.contains_key(&Key::Ip) {
            true => directory.addresses(&proposal.device_id, proposal.found_at),
            false => Vec::new(),
        };
        let mut lost = addresses.iter().filter(|(address, _)| action.further.contains(address));
        if let Some(reason) = lost.find_map(|(_, usable)| usable.as_ref().err()) {
            return Some(reason.clone());
        }
        // That it has another address as well takes none from it.
        let is_its = |name: &SmolStr| {
            addresses.iter().any(|(address, usable)| usable.is_ok() && address.eq_ignore_ascii_case(name))
        };
        if keys.is_empty() {
            return None;
        }
        let known = directory.names(&proposal.device_id, proposal.found_at);
        // Whoever gets an IPv4 address that it left is not to be cut off for it.
        let first = known.get(&Key::Ip).and_then(|known| known.as_ref().ok());
        let is_left = |address: &&SmolStr| {
            let is_first = first.is_some_and(|first| first == *address);
            !is_first && !is_its(address) && address.parse::<Ipv4Addr>().is_ok()
        };
        if let Some(left) = action.further.iter().find(is_left) {
            return Some(format!("{left} is its address no more"));
        }
        keys.iter().find_map(|key| match (known.get(key)?, action.names.get(key)?) {
            (Err(reason), _) => Some(reason.clone()),
            (Ok(now), then) if !(now.eq_ignore_ascii_case(then) || *key == Key::Ip && is_its(then)) => {
                Some(format!("its {key} is `{now}` now, it was `{then}`"))
            }
            (Ok(_), _) => None,
        })
    }

    fn is_no_target(&self, key: Key, name: &SmolStr, directory: &dyn Directory) -> Option<String> {
        let is_own = directory.is_ours(key, name) || self.posts.iter().any(|post| is_own(&post.about, key, name));
        is_own.then(|| format!("{key} `{name}` is a gateway's own, a bridge's or ours: never a target"))
    }

    /// In a dry run a gateway may be missing: the reason says what would be done if there were one.
    fn gateway_objection(&self, proposal: &Proposal, directory: &dyn Directory) -> Option<String> {
        let Proposal { device_id, level, .. } = proposal;
        if !proposal.gateways.is_empty() || self.posts.is_empty() && proposal.mode == fleet::Mode::Observe {
            return None;
        }
        let own = directory.gateways(device_id);
        let can = |name: &SmolStr| self.post(name).is_some_and(|post| post.about.ability(*level).is_some());
        if own.is_empty() || own.iter().any(can) {
            return Some(format!("no gateway of device `{device_id}` can give the level {level}"));
        }
        Some(format!(
            "the inventory names `{}` as gateways of device `{device_id}`, of which none is configured and can give the level \
             {level}; name one there that can",
            own.join(" ")
        ))
    }

    /// Whether one device more would be too many, itself not counted.
    pub(super) fn cap(
        &self,
        now: EventTime,
        proposal: &Proposal,
        gateway: Option<&SmolStr>,
        counts: Counts<'_>,
        directory: &dyn Directory,
    ) -> Option<String> {
        let caps = &self.config.caps;
        let [mut of_type, mut of_site, mut of_gateway, mut of_all, mut in_hour] = <[BTreeSet<&SmolStr>; 5]>::default();
        for action in self.book.actions() {
            let other = &action.proposal;
            if other.device_id == proposal.device_id || !other.level.restricts() {
                continue;
            }
            // What would have been done does not use up what may be done.
            let is_meant = matches!(counts, Counts::Meant)
                && action.was_meant()
                && (!action.is_dry() || proposal.mode == fleet::Mode::Observe);
            // What did not begin counts by the time of its finding: a dry run over history says what it would have said then.
            let age = match action.began_at {
                Some(began) => now.minus(began),
                None if is_meant => proposal.found_at.minus(other.found_at),
                None => continue,
            };
            if age <= seconds(3_600) {
                in_hour.insert(&other.device_id);
            }
            let stands = action.state.is_at_gateway();
            if !stands && age >= seconds(caps.hours.saturating_mul(3_600)) {
                continue;
            }
            of_all.insert(&other.device_id);
            if other.device_type == proposal.device_type {
                of_type.insert(&other.device_id);
            }
            if other.site == proposal.site {
                of_site.insert(&other.device_id);
            }
            if gateway.is_some_and(|gateway| action.gateway == *gateway) {
                of_gateway.insert(&other.device_id);
            }
        }
        let beside: &[Begun<'_>] = if let Counts::Begun(beside) = counts { beside } else { &[] };
        for Begun { proposal: other, gateway: through } in beside {
            in_hour.insert(&other.device_id);
            of_all.insert(&other.device_id);
            if other.device_type == proposal.device_type {
                of_type.insert(&other.device_id);
            }
            if other.site == proposal.site {
                of_site.insert(&other.device_id);
            }
            if gateway == Some(through) {
                of_gateway.insert(&other.device_id);
            }
        }
        let within = format!("in {} hours", caps.hours);
        let checks = [
            (
                of_type.len(),
                at_most(directory.of_type(&proposal.device_type), caps.type_share, caps.type_devices),
                format!("of type `{}` {within}", proposal.device_type),
            ),
            (
                of_site.len(),
                at_most(directory.of_site(&proposal.site), caps.site_share, caps.site_devices),
                format!("of site `{}` {within}", proposal.site),
            ),
            (
                of_gateway.len(),
                at_most(directory.all(), caps.gateway_share, caps.gateway_devices),
                format!("through gateway `{}` {within}", gateway.map_or("", |name| name.as_str())),
            ),
            (in_hour.len(), at_most(directory.all(), caps.hour_share, caps.hour_devices), "in one hour".to_owned()),
            (of_all.len(), at_most(directory.all(), caps.fleet_share, 1), format!("of the whole fleet {within}")),
        ];
        let (_, cap, what) = checks.into_iter().find(|(count, cap, _)| *count as u32 >= *cap)?;
        Some(format!("the cap of {cap} devices {what} is reached; look before more are cut off"))
    }

    /// At the moment of acting: whom the gateway is to be told of, with addresses beside the first one, or why not.
    pub(super) fn identity(
        &self,
        action: &Action,
        gateway: &str,
        directory: &dyn Directory,
    ) -> Result<(BTreeMap<Key, SmolStr>, Vec<SmolStr>), String> {
        let proposal = &action.proposal;
        let device = directory.device(&proposal.device_id);
        if let Some(objection) = self.standing_objection(device.as_deref()) {
            return Err(objection);
        }
        let known = directory.names(&proposal.device_id, proposal.found_at);
        let further = directory.addresses(&proposal.device_id, proposal.found_at);
        let further = further.into_iter().filter(|(_, usable)| usable.is_ok()).map(|(address, _)| address);
        let mut further: Vec<SmolStr> = further.take(addresses::MOST - 1).collect();
        let usable = known.iter().filter_map(|(key, name)| Some((key, name.as_ref().ok()?)));
        for (key, name) in usable.chain(further.iter().map(|address| (&Key::Ip, address))) {
            if let Some(reason) = self.is_no_target(*key, name, directory) {
                return Err(reason);
            }
        }
        let post = self.post(gateway).ok_or_else(|| format!("the gateway `{gateway}` is not configured any more"))?;
        let ability = post
            .about
            .ability(proposal.level)
            .ok_or_else(|| format!("the gateway `{gateway}` cannot give the level {}", proposal.level))?;
        let mut names = BTreeMap::new();
        for (key, name) in known {
            let is_needed = ability.keys.contains(&key);
            match name {
                Ok(name) => {
                    names.insert(key, name);
                }
                Err(reason) if is_needed => return Err(reason),
                Err(_) => {}
            }
        }
        if let Some(missing) = ability.keys.iter().find(|key| !names.contains_key(key)) {
            return Err(format!("the inventory has no {missing} of it, which the gateway `{gateway}` needs"));
        }
        if !ability.keys.contains(&Key::Ip) {
            further.clear();
        }
        Ok((names, further))
    }
}

/// What counts against a cap.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counts<'a> {
    /// Whatever is to be done or was: asked when it is proposed.
    Meant,
    /// What was begun, these among it, which are not in the book yet: asked when it begins.
    Begun(&'a [Begun<'a>]),
}

/// What begins in the same write as what is asked about.
#[derive(Clone, Debug)]
pub(super) struct Begun<'a> {
    pub proposal: &'a Proposal,
    pub gateway: SmolStr,
}

/// Of a count and a share whichever is more.
fn at_most(of: u32, share: f64, least: u32) -> u32 {
    // A share such as 0.29 of 100 is a little less than 29 in binary.
    least.max((f64::from(of) * share + 1e-9).floor() as u32)
}

fn first_listed<const N: usize>(lists: [(&str, &Vec<SmolStr>, &SmolStr); N]) -> Option<String> {
    let (what, _, name) = lists.into_iter().find(|(_, list, name)| list.contains(name))?;
    Some(format!("the {what} `{name}` is on the never-list"))
}

/// Addresses are the same in any spelling.
fn is_own(about: &About, key: Key, name: &str) -> bool {
    let address = |text: &str| text.parse::<std::net::IpAddr>().ok();
    about.own.iter().any(|(of, own)| {
        *of == key && (own.eq_ignore_ascii_case(name) || address(own).is_some_and(|own| address(name) == Some(own)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateways::Gateway;
    use crate::gateways::recording::Recording;

    #[test]
    fn of_a_count_and_a_share_whichever_is_more() {
        for (of, share, least, most) in
            [(100, 0.29, 3, 29), (100, 0.01, 3, 3), (11, 0.25, 0, 2), (0, 1.0, 0, 0), (u32::MAX, 1.0, 1, u32::MAX)]
        {
            assert_eq!(at_most(of, share, least), most, "{share} of {of}, at least {least}");
        }
    }

    #[test]
    fn ones_own_address_is_known_in_any_spelling() {
        let mut about = Recording::new().about().clone();
        about.own = vec![(Key::Ip, "2001:db8::1".into()), (Key::Mac, "aa:bb:cc:00:00:01".into())];
        assert!(is_own(&about, Key::Ip, "2001:DB8:0::1"));
        assert!(is_own(&about, Key::Mac, "AA:BB:CC:00:00:01"));
        assert!(!is_own(&about, Key::Ip, "2001:db8::2"));
        assert!(!is_own(&about, Key::ClientId, "2001:db8::1"));
    }
}
