//! `disable`: the certificates a thing signs in with are made inactive, those that no other thing signs in with.

use fleet::Level;
use serde_json::json;

use super::group::{existing, forget, taken};
use super::mark::{Held, Marks};
use super::registry::{Registry, thing_of};
use super::session::client_of;
use crate::gateways::{Applied, Failure, Found, Order, Permit, Undone};

const ACTIVE: &str = "ACTIVE";
const INACTIVE: &str = "INACTIVE";

pub(super) fn apply(registry: &mut Registry, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
    let (name, client) = (thing_of(order)?, client_of(order)?);
    let thing = existing(registry, permit, name)?;
    if let Held::Other(action) = thing.marks.held(order) {
        return Err(taken(name, action));
    }
    let mut active = Vec::new();
    for arn in registry.principals(permit, name)? {
        let id = certificate_id(&arn).ok_or_else(|| {
            Failure::refused(format!(
                "thing `{name}` also signs in by `{arn}`, which is no certificate and stays valid"
            ))
        })?;
        let things = registry.things_of(permit, &arn)?;
        if things.len() > 1 {
            return Err(Failure::refused(format!(
                "certificate `{id}` is shared by {} things: all of them would be cut off; give each its own",
                things.len()
            )));
        }
        if status(registry, permit, id)? == ACTIVE {
            active.push(id.to_owned());
        }
    }
    let mut ours = ours(&thing.marks, order);
    if active.is_empty() && ours.is_empty() {
        return Err(Failure::refused(format!(
            "thing `{name}` has no active certificate: somebody else made it so, or it signs in otherwise"
        )));
    }
    let already = active.is_empty();
    ours.extend(active.iter().filter(|id| !ours.contains(id)).cloned().collect::<Vec<_>>());
    let marks = thing.marks.with(order, ours.clone());
    if marks != thing.marks {
        registry.set_marks(permit, name, &thing, &marks)?;
    }
    for id in &active {
        registry.set_certificate(permit, id, false)?;
    }
    // Which AWS does by itself, "within a few minutes".
    registry.disconnect(permit, client)?;
    Ok(Applied { receipt: Some(json!({"certificates": ours})), already })
}

/// A certificate that was attached since is active, and lets the device in: then it does not hold.
pub(super) fn read_back(registry: &Registry, permit: &Permit, order: &Order) -> Result<Found, Failure> {
    let name = thing_of(order)?;
    let Some(thing) = registry.thing(permit, name)? else { return Ok(Found::Absent) };
    let mut inactive = Vec::new();
    for arn in registry.principals(permit, name)? {
        let Some(id) = certificate_id(&arn) else { return Ok(Found::Absent) };
        if status(registry, permit, id)? == ACTIVE {
            return Ok(Found::Absent);
        }
        inactive.push(id.to_owned());
    }
    let ours = ours(&thing.marks, order);
    if ours.iter().any(|id| inactive.contains(id)) {
        return Ok(Found::InForce);
    }
    // With no certificate left there is nothing to hold, nor anything that lets it in.
    Ok(if inactive.is_empty() { Found::Absent } else { Found::Foreign { by: whose(&thing.marks, order) } })
}

pub(super) fn undo(registry: &Registry, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
    let name = thing_of(order)?;
    let marks = registry.thing(permit, name)?.map(|thing| thing.marks).unwrap_or_default();
    let ours = ours(&marks, order);
    if ours.is_empty() {
        return untouched(registry, permit, order, &marks);
    }
    let (mut changed, mut foreign) = (false, None);
    for id in &ours {
        match registry.certificate_status(permit, id)?.as_deref() {
            Some(INACTIVE) => {
                registry.set_certificate(permit, id, true)?;
                changed = true;
            }
            Some(ACTIVE) | None => {}
            Some(other) => foreign = Some(format!("somebody else, who made certificate {id} {other}")),
        }
    }
    if matches!(marks.held(order), Held::Ours(_)) {
        forget(registry, permit, name, Level::Disable)?;
    }
    Ok(match foreign {
        _ if changed => Undone::Done,
        Some(by) => Undone::Foreign { by },
        None => Undone::Already,
    })
}

/// Nothing there is known to be ours.
fn untouched(registry: &Registry, permit: &Permit, order: &Order, marks: &Marks) -> Result<Undone, Failure> {
    match read_back(registry, permit, order)? {
        Found::Foreign { .. } => Ok(Undone::Foreign { by: whose(marks, order) }),
        _ => Ok(Undone::Already),
    }
}

/// Certificates that were active before this action, by the mark and by the receipt.
fn ours(marks: &Marks, order: &Order) -> Vec<String> {
    let mut ours = match marks.held(order) {
        Held::Ours(mark) => mark.certificates.clone(),
        Held::Other(_) | Held::Nobodys => Vec::new(),
    };
    let receipt = order.receipt.as_ref().and_then(|receipt| receipt["certificates"].as_array());
    for id in receipt.into_iter().flatten().filter_map(serde_json::Value::as_str) {
        if !ours.iter().any(|known| known == id) {
            ours.push(id.to_owned());
        }
    }
    ours
}

fn whose(marks: &Marks, order: &Order) -> String {
    match marks.held(order) {
        Held::Other(action) => format!("vedette, for action {action}"),
        Held::Ours(_) | Held::Nobodys => "somebody else, who made its certificates inactive".to_owned(),
    }
}

fn status(registry: &Registry, permit: &Permit, id: &str) -> Result<String, Failure> {
    let found = registry.certificate_status(permit, id)?;
    found.ok_or_else(|| Failure::refused(format!("there is no certificate `{id}`")))
}

/// `arn:aws:iot:REGION:ACCOUNT:cert/ID`.
fn certificate_id(arn: &str) -> Option<&str> {
    let id = arn.rsplit_once(":cert/")?.1;
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_from_other_principals() {
        let id = "0af3".repeat(16);
        assert_eq!(certificate_id(&format!("arn:aws:iot:eu-west-1:123456789012:cert/{id}")), Some(id.as_str()));
        assert_eq!(certificate_id("eu-west-1:9e4a5a3e-0000-1111-2222-333344445555"), None);
        assert_eq!(certificate_id("arn:aws:iot:eu-west-1:123456789012:cert/../things"), None);
    }
}
