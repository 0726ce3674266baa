//! `quarantine`: the thing is put into a group that denies, and its connection is cut.

use fleet::Level;
use serde_json::json;

use super::mark::{Held, Marks};
use super::registry::{Registry, Thing, thing_of};
use super::session::client_of;
use crate::gateways::{Applied, Failure, Found, Order, Permit, Undone};

const SOMEBODY: &str = "somebody else, who put it into the group";

/// # Errors
/// There is no such group, or it has no policy that denies.
pub(super) fn must_deny(registry: &Registry, group: &str, permit: &Permit) -> Result<(), Failure> {
    let Some(arn) = registry.group_arn(permit, group)? else {
        return Err(Failure::refused(format!(
            "there is no thing group `{group}`; create it, with a policy that denies"
        )));
    };
    if !registry.denies(permit, &arn)? {
        return Err(Failure::refused(format!(
            "thing group `{group}` has no policy that denies: quarantine would restrict nothing; attach one"
        )));
    }
    Ok(())
}

pub(super) fn apply(
    registry: &mut Registry,
    group: &str,
    exclusive_things: bool,
    permit: &Permit,
    order: &Order,
) -> Result<Applied, Failure> {
    let (name, client) = (thing_of(order)?, client_of(order)?);
    if client != name && !exclusive_things {
        return Err(Failure::refused(format!(
            "client `{client}` is not called as its thing `{name}`, so that a group's policies do not bind it; use `disable`, \
             or attach principals exclusively and set exclusive_things"
        )));
    }
    let thing = existing(registry, permit, name)?;
    let in_group = registry.groups_of(permit, name)?.iter().any(|one| one == group);
    let held = thing.marks.held(order);
    match held {
        Held::Other(action) => return Err(taken(name, action)),
        Held::Nobodys if in_group && order.receipt.is_none() => {
            return Err(Failure::refused(format!(
                "thing `{name}` was put into group `{group}` by somebody else: left to them"
            )));
        }
        _ => {}
    }
    must_deny(registry, group, permit)?;
    if registry.principals(permit, name)?.is_empty() {
        return Err(Failure::refused(format!(
            "nothing is attached to thing `{name}`, so that its groups bind no client"
        )));
    }
    if held == Held::Nobodys {
        registry.set_marks(permit, name, &thing, &thing.marks.with(order, Vec::new()))?;
    }
    if !in_group && let Err(failure) = registry.add_to_group(permit, group, name) {
        if !failure.retry() {
            // Nothing was done, so nothing needs to be told from others'.
            forget(registry, permit, name, Level::Quarantine).ok();
        }
        return Err(failure);
    }
    // The policy is asked at each operation; what has been subscribed to still arrives.
    registry.disconnect(permit, client)?;
    Ok(Applied { receipt: Some(json!({"group": group})), already: in_group })
}

pub(super) fn read_back(registry: &Registry, group: &str, permit: &Permit, order: &Order) -> Result<Found, Failure> {
    let (name, group) = (thing_of(order)?, group_of(order, group));
    let Some(thing) = registry.thing(permit, name)? else { return Ok(Found::Absent) };
    if !registry.groups_of(permit, name)?.contains(&group) {
        return Ok(Found::Absent);
    }
    Ok(match foreign(&thing.marks, order) {
        Some(by) => Found::Foreign { by },
        None => Found::InForce,
    })
}

pub(super) fn undo(registry: &Registry, group: &str, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
    let (name, group) = (thing_of(order)?, group_of(order, group));
    let Some(thing) = registry.thing(permit, name)? else { return Ok(Undone::Already) };
    let in_group = registry.groups_of(permit, name)?.contains(&group);
    if let Some(by) = foreign(&thing.marks, order) {
        return Ok(if in_group { Undone::Foreign { by } } else { Undone::Already });
    }
    if in_group {
        registry.remove_from_group(permit, &group, name)?;
    }
    forget(registry, permit, name, Level::Quarantine)?;
    Ok(if in_group { Undone::Done } else { Undone::Already })
}

/// The group it was put into, should the configuration name another by now.
fn group_of(order: &Order, configured: &str) -> String {
    let named = order.receipt.as_ref().and_then(|receipt| receipt["group"].as_str());
    named.unwrap_or(configured).to_owned()
}

/// Whose it is, if not ours. Whoever writes all attributes anew takes the mark away: then the receipt says that it is ours.
fn foreign(marks: &Marks, order: &Order) -> Option<String> {
    match marks.held(order) {
        Held::Ours(_) => None,
        Held::Other(action) => Some(format!("vedette, for action {action}")),
        Held::Nobodys => order.receipt.is_none().then(|| SOMEBODY.to_owned()),
    }
}

pub(super) fn existing(registry: &Registry, permit: &Permit, name: &str) -> Result<Thing, Failure> {
    registry.thing(permit, name)?.ok_or_else(|| {
        Failure::refused(format!("there is no thing `{name}` in this account and region; correct the inventory"))
    })
}

pub(super) fn taken(name: &str, action: &str) -> Failure {
    Failure::refused(format!("thing `{name}` is held by Vedette's action `{action}` already"))
}

/// Takes the mark away, whatever has been changed about the thing since it was set.
pub(super) fn forget(registry: &Registry, permit: &Permit, name: &str, level: Level) -> Result<(), Failure> {
    let Some(thing) = registry.thing(permit, name)? else { return Ok(()) };
    let marks = thing.marks.without(level);
    if marks == thing.marks {
        return Ok(());
    }
    registry.set_marks(permit, name, &thing, &marks)
}
