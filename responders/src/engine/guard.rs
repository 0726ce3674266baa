//! Guard-rails: the first that forbids an action is told. They are asked when it is proposed, so that a dry run tells the
//! same, and again at the moment of acting.

use std::collections::{BTreeMap, BTreeSet};

use fleet::device::Standing;
use fleet::{Confidence, Device, EventTime, Finding, Scope};
use smol_str::SmolStr;

use super::{Directory, Engine, seconds};
use crate::book::Action;
use crate::gateways::Key;
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
        let age = now.minus(finding.emitted_at);
        if self.config.max_age_seconds > 0 && age > seconds(self.config.max_age_seconds) {
            return Some(format!(
                "the finding is {} minutes old; older than {} seconds nobody is restricted for it",
                age / seconds(60),
                self.config.max_age_seconds
            ));
        }
        self.standing_objection(device)
            .or_else(|| self.cap(now, proposal, directory))
            .or_else(|| self.gateway_objection(proposal))
    }

    /// Of the device itself, whatever it did.
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
        let named = [
            ("device", &never.devices, &device.id),
            ("type", &never.types, &device.device_type),
            ("site", &never.sites, &device.site),
            ("segment", &never.segments, &device.segment),
        ];
        let (what, _, name) = named.into_iter().find(|(_, list, name)| list.contains(name))?;
        Some(format!("the {what} `{name}` is on the never-list"))
    }

    /// In a dry run a gateway may be missing: the reason says what would be done if there were one.
    fn gateway_objection(&self, proposal: &Proposal) -> Option<String> {
        if !proposal.gateways.is_empty() || self.posts.is_empty() && proposal.mode == fleet::Mode::Observe {
            return None;
        }
        Some(format!("no gateway of device `{}` can give the level {}", proposal.device_id, proposal.level))
    }

    fn cap(&self, now: EventTime, proposal: &Proposal, directory: &dyn Directory) -> Option<String> {
        let caps = &self.config.caps;
        let gateway = proposal.gateways.first();
        let [mut of_type, mut of_site, mut of_gateway, mut in_hour] = <[BTreeSet<&SmolStr>; 4]>::default();
        for action in self.book.actions() {
            let other = &action.proposal;
            if other.device_id == proposal.device_id || !other.level.restricts() || !action.was_meant() {
                continue;
            }
            let age = now.minus(action.proposed_at);
            if age <= seconds(3_600) {
                in_hour.insert(&other.device_id);
            }
            let stands = action.state.is_at_gateway();
            if !stands && age >= seconds(caps.hours.saturating_mul(3_600)) {
                continue;
            }
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
        let share = |of: u32, share: f64, least: u32| least.max((f64::from(of) * share).floor() as u32);
        let within = format!("in {} hours", caps.hours);
        let checks = [
            (
                of_type.len(),
                share(directory.of_type(&proposal.device_type), caps.type_share, caps.type_devices),
                format!("of type `{}` {within}", proposal.device_type),
            ),
            (
                of_site.len(),
                share(directory.of_site(&proposal.site), caps.site_share, caps.site_devices),
                format!("of site `{}` {within}", proposal.site),
            ),
            (
                of_gateway.len(),
                caps.gateway_devices,
                format!("through gateway `{}` {within}", gateway.map_or("", |name| name.as_str())),
            ),
            (in_hour.len(), share(directory.all(), caps.hour_share, caps.hour_devices), "in one hour".to_owned()),
        ];
        let (_, cap, what) = checks.into_iter().find(|(count, cap, _)| *count as u32 >= *cap)?;
        Some(format!("the cap of {cap} devices {what} is reached; look before more are cut off"))
    }

    /// At the moment of acting: whom the gateway is to be told of, or why not.
    pub(super) fn identity(
        &self,
        action: &Action,
        gateway: &str,
        directory: &dyn Directory,
    ) -> Result<BTreeMap<Key, SmolStr>, String> {
        let proposal = &action.proposal;
        let device = directory.device(&proposal.device_id);
        if let Some(objection) = self.standing_objection(device.as_deref()) {
            return Err(objection);
        }
        let post = self.post(gateway).ok_or_else(|| format!("the gateway `{gateway}` is not configured any more"))?;
        let ability = post
            .about
            .ability(proposal.level)
            .ok_or_else(|| format!("the gateway `{gateway}` cannot give the level {}", proposal.level))?;
        let known = directory.names(&proposal.device_id, proposal.found_at);
        let mut names = BTreeMap::new();
        for (key, name) in known {
            let is_needed = ability.keys.contains(&key);
            match name {
                Ok(name) => {
                    if is_needed && post.about.own.iter().any(|(of, own)| *of == key && own.eq_ignore_ascii_case(&name))
                    {
                        return Err(format!("{key} `{name}` is the gateway's own, a bridge's or ours: never a target"));
                    }
                    names.insert(key, name);
                }
                Err(reason) if is_needed => return Err(reason),
                Err(_) => {}
            }
        }
        if let Some(missing) = ability.keys.iter().find(|key| !names.contains_key(key)) {
            return Err(format!("the inventory has no {missing} of it, which the gateway `{gateway}` needs"));
        }
        Ok(names)
    }
}
