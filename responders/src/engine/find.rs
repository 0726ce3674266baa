//! A finding, and what playbooks say of it, becomes a proposal.

use fleet::id::stable_id;
use fleet::{Device, EventTime, Finding, FindingKind, Level, Mode, Scope, State};
use smol_str::SmolStr;

use super::step::stops_at;
use super::{Directory, Engine, seconds};
use crate::book::covers;
use crate::journal::entry::{Body, Move, Proposal};
use crate::journal::verdict::CLEAR;

/// What a playbook says is to be done about one finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub playbook: SmolStr,
    pub version: SmolStr,
    pub mode: Mode,
    pub level: Level,
    /// A gateway by name; any that can, when it is left out.
    pub gateway: Option<SmolStr>,
    /// Whether the next gateway is tried where one fails.
    pub tries_others: bool,
    pub ttl_seconds: Option<u32>,
    /// How long people have to answer, where they are asked.
    pub answer_seconds: u32,
    pub approvals: u8,
    /// Who is asked, as people are called.
    pub ask: Vec<String>,
    /// Levels that people are asked about in mode `auto` as well.
    pub ask_for: Vec<Level>,
    /// Whether the steps that follow are left out where this one fails.
    pub stops: bool,
    pub if_still_talking: Option<Level>,
    /// For how long that; as long as the first where it is not said.
    pub talking_ttl_seconds: Option<u32>,
}

/// The step that has to hold before another one is taken.
struct Before {
    id: String,
    level: Level,
    is_refused: bool,
    /// Proposed for the same finding: what the book says of it, if anything, is of an earlier one.
    is_new: bool,
}

/// Who moves what a group of devices explains.
const GROUP: &str = "group";
/// How far from a group's finding one of a device may be and still be part of it, seconds.
const NEAR: u32 = 7_200;

/// The same wherever it is computed: an action is one, however often its finding comes.
pub fn action_id(device: &str, incident: &str, level: Level) -> String {
    stable_id(&["action", device, incident, level.name()])
}

impl Engine {
    /// What is to be written down about a finding. `plans`: in the order of the playbooks' steps.
    pub fn find(
        &mut self,
        now: EventTime,
        finding: &Finding,
        device: Option<&Device>,
        plans: &[Plan],
        directory: &dyn Directory,
    ) -> Vec<Body> {
        // Who was silenced by us is silent.
        if finding.kind == FindingKind::Fault && self.book.was_silenced(&finding.device_id, finding.window_start) {
            return Vec::new();
        }
        let mut bodies = Vec::new();
        if matches!(finding.kind, FindingKind::Change | FindingKind::Outage) {
            bodies.extend(self.overtaken(finding));
        }
        if let Some(kept) = self.keeps_back(now, finding, directory) {
            if self.book.kept_back(&finding.finding_id).is_none() {
                bodies.push(Body::KeptBack(Box::new(kept)));
            }
            return bodies;
        }
        let (mut levels, mut before) = (Vec::new(), None);
        for plan in plans {
            // Of two playbooks that say the same the first is followed.
            if levels.contains(&plan.level) {
                continue;
            }
            levels.push(plan.level);
            let proposed = self.propose(now, finding, device, plan, before.as_ref(), directory);
            let id = action_id(&finding.device_id, &finding.incident_id, plan.level);
            let is_new = !proposed.is_empty();
            if plan.stops && plan.level.restricts() && (is_new || self.book.action(&id).is_some()) {
                let is_refused =
                    proposed.iter().any(|body| matches!(body, Body::Moved(moved) if moved.to == State::Refused));
                before = Some(Before { id, level: plan.level, is_new, is_refused });
            }
            bodies.extend(proposed);
        }
        bodies
    }

    fn propose(
        &self,
        now: EventTime,
        finding: &Finding,
        device: Option<&Device>,
        plan: &Plan,
        before_it: Option<&Before>,
        directory: &dyn Directory,
    ) -> Vec<Body> {
        let id = action_id(&finding.device_id, &finding.incident_id, plan.level);
        let mut is_in_doubt = false;
        if let Some(before) = self.book.action(&id) {
            is_in_doubt = before.in_doubt_until().is_some_and(|until| now < until);
            let is_news = finding.emitted_at > before.proposal.found_at;
            let is_near = finding.emitted_at.minus(before.proposal.found_at) <= seconds(NEAR);
            let may_again = match before.state {
                // What the group explained it explains a while longer.
                State::Refused => before.by != GROUP || !is_near,
                // It began anew after it was let go, or given up.
                State::Released | State::Failed => finding.window_start.plus_micros(self.ahead) >= before.since,
                _ => false,
            };
            if !is_news || !may_again {
                return Vec::new();
            }
        }
        if plan.level.restricts()
            && (self.book.will_hold(&finding.device_id, plan.level)
                || self.was_settled(finding, plan.level)
                || self.was_cleared(finding))
        {
            return Vec::new();
        }
        let mut gateways = self.gateways(plan.level, plan.gateway.as_ref(), &finding.device_id, device, directory);
        if !plan.tries_others {
            gateways.truncate(1);
        }
        let mode = self.mode_to_propose(plan.level, &plan.playbook, plan.mode, &plan.ask_for, gateways.first());
        let mut why = format!("{} of severity {}", finding.kind, finding.severity);
        if let Some(first) = finding.reasons.first() {
            why.push_str(&format!(", first reason: {}", first.subject));
        }
        if mode == Mode::Approve && !plan.ask.is_empty() {
            why.push_str(&format!("; asked: {}", plan.ask.join(", ")));
        }
        let proposal = Proposal {
            action_id: id.clone(),
            incident_id: finding.incident_id.clone(),
            finding_id: finding.finding_id.clone(),
            device_id: finding.device_id.clone(),
            device_type: finding.device_type.clone(),
            site: device.map(|device| device.site.clone()).unwrap_or_default(),
            segment: device.map(|device| device.segment.clone()).unwrap_or_default(),
            kind: finding.kind,
            severity: finding.severity,
            level: plan.level,
            gateways,
            playbook: plan.playbook.clone(),
            playbook_version: plan.version.clone(),
            mode,
            ttl_seconds: plan.ttl_seconds,
            answer_by: (mode == Mode::Approve).then(|| now.plus_micros(seconds(plan.answer_seconds))),
            approvals: self.approvals(plan.level, plan.approvals),
            ask_for: plan.ask_for.clone(),
            after: before_it.map(|before| before.id.clone()),
            if_still_talking: plan.if_still_talking,
            talking_ttl_seconds: plan.talking_ttl_seconds,
            why,
            first_window: finding.window_start,
            found_at: finding.emitted_at,
        };
        let waits = before_it.is_some();
        let objection = self.objection(now, &proposal, finding, device, directory).or_else(|| {
            let before = before_it?;
            match before.is_new {
                true => before.is_refused.then(|| stops_at(before.level, State::Refused)),
                false => self.is_done(&before.id, plan.level.restricts() && mode != Mode::Observe).err(),
            }
        });
        // What may come through still is known under this id: it is forgotten only where the device is to be held anyway.
        if is_in_doubt && (objection.is_some() || mode != Mode::Auto) {
            return Vec::new();
        }
        if let Some(objection) = &objection
            && self.book.action(&id).is_some_and(|before| before.reason == *objection)
        {
            return Vec::new();
        }
        let mut bodies = vec![Body::Proposed(Box::new(proposal))];
        let mut go = |to, reason: String| bodies.push(Body::Moved(Box::new(Move::new(&id, to, "policy", reason))));
        match (objection, mode) {
            (Some(objection), _) => go(State::Refused, objection),
            (None, Mode::Auto) if waits => {}
            (None, Mode::Auto) if !plan.level.restricts() => go(State::Approved, "nobody is restricted".to_owned()),
            (None, Mode::Auto) => go(State::Approved, "mode auto".to_owned()),
            (None, Mode::Approve | Mode::Observe) => {}
        }
        bodies
    }

    /// A finding may come late, or be read again after a kill: what was said no to since it was told, or was let go, it does not
    /// bring back. Of the same incident that holds for every level.
    fn was_settled(&self, finding: &Finding, level: Level) -> bool {
        // Of history that is fed, times are not the clock's.
        self.config.max_age_seconds > 0
            && self.book.of_device(&finding.device_id).any(|action| {
                let is_of_it = action.proposal.incident_id == finding.incident_id;
                (is_of_it || covers(action.proposal.level, level))
                    && action.settled_at().is_some_and(|at| at > finding.emitted_at.plus_micros(self.ahead))
            })
    }

    /// People said that the incident is no attack: of what comes of it still, only what is graver than all they knew of is more
    /// than told.
    fn was_cleared(&self, finding: &Finding) -> bool {
        let Some(given) = self.book.last_word(&finding.incident_id) else { return false };
        CLEAR.contains(&given.verdict.verdict.as_str()) && given.known.is_some_and(|known| finding.severity <= known)
    }

    /// Words touch nobody; a level that takes people is never given without them, whatever mode was set since.
    pub(super) fn mode_to_propose(
        &self,
        level: Level,
        playbook: &str,
        own: Mode,
        ask_for: &[Level],
        gateway: Option<&SmolStr>,
    ) -> Mode {
        if !level.restricts() {
            return Mode::Auto;
        }
        let mode = self.mode(playbook, own, gateway.map_or("", SmolStr::as_str));
        let asks = ask_for.contains(&level) || self.config.four_eyes.contains(&level);
        if asks { mode.min(Mode::Approve) } else { mode }
    }

    pub(super) fn approvals(&self, level: Level, asked: u8) -> u8 {
        asked.max(if self.config.four_eyes.contains(&level) { 2 } else { 1 })
    }

    /// The one the playbook names; else the device's own, in the inventory's order; where it has none, those that stand for its
    /// site. Of them those that can: never one beside a device's own, which would not see its traffic.
    pub(super) fn gateways(
        &self,
        level: Level,
        named_by_playbook: Option<&SmolStr>,
        device_id: &str,
        device: Option<&Device>,
        directory: &dyn Directory,
    ) -> Vec<SmolStr> {
        if !level.restricts() {
            return Vec::new();
        }
        let site = device.map(|device| device.site.clone()).unwrap_or_default();
        let named = directory.gateways(device_id);
        let can = |name: &SmolStr| self.post(name).is_some_and(|post| post.about.ability(level).is_some());
        let mut chosen: Vec<SmolStr> = match (named_by_playbook, named.is_empty()) {
            (Some(name), _) => vec![name.clone()],
            (None, false) => named,
            (None, true) => {
                let stands_for = |sites: &Vec<SmolStr>| sites.is_empty() || sites.contains(&site);
                let posts = self.posts.iter().filter(|post| stands_for(&post.sites));
                posts.map(|post| post.about.name.clone()).collect()
            }
        };
        chosen.retain(can);
        chosen
    }

    /// What a group does together is a change, not an attack of each: what waits about its devices is not done.
    fn overtaken(&self, finding: &Finding) -> Vec<Body> {
        if finding.scope == Scope::Device {
            return Vec::new();
        }
        let waits = |state| matches!(state, State::Proposed | State::Approved);
        let mut bodies = Vec::new();
        for action in self.book.actions() {
            let proposal = &action.proposal;
            // What it did hours before has nothing to do with it.
            let is_near = finding.emitted_at.minus(proposal.found_at).abs() <= seconds(NEAR);
            if waits(action.state)
                && proposal.level.restricts()
                && is_near
                && finding.devices.contains(&proposal.device_id)
            {
                let reason = format!(
                    "a {} of {} devices explains it (finding {})",
                    finding.kind,
                    finding.devices.len(),
                    finding.finding_id
                );
                bodies.push(Body::Moved(Box::new(Move::new(action.id(), State::Refused, GROUP, reason))));
            }
        }
        bodies
    }
}
