//! `terminate-session`: the connection is cut; the device may come back.

use serde_json::json;

use super::registry::Registry;
use crate::gateways::{Applied, Failure, Found, Key, Order, Permit};

pub(super) fn apply(registry: &mut Registry, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
    let client = client_of(order)?;
    let before = since(order);
    let now = registry.connected_since(permit, client)?;
    // One it has made since was not asked to end.
    if now.is_none() || (before.is_some() && now != before) {
        return Ok(Applied { receipt: order.receipt.clone(), already: true });
    }
    registry.disconnect(permit, client)?;
    Ok(Applied { receipt: Some(json!({"connected_since": now})), already: false })
}

/// Whether that session is over, even if another one has begun.
pub(super) fn read_back(registry: &mut Registry, permit: &Permit, order: &Order) -> Result<Found, Failure> {
    let now = registry.connected_since(permit, client_of(order)?)?;
    let over = now.is_none() || (since(order).is_some() && now != since(order));
    Ok(if over { Found::InForce } else { Found::Absent })
}

/// Milliseconds since 1970 at which the session began that is to end.
fn since(order: &Order) -> Option<i64> {
    order.receipt.as_ref()?["connected_since"].as_i64()
}

/// Clients of AWS IoT are called as their things unless the inventory knows better.
pub(super) fn client_of(order: &Order) -> Result<&str, Failure> {
    let client = order.name(Key::ClientId).or_else(|_| order.name(Key::Thing))?;
    // Dots would lead the path elsewhere; AWS reserves the dollar.
    if client.is_empty() || client.len() > 128 || client.starts_with('$') || matches!(client, "." | "..") {
        return Err(Failure::refused(format!("`{client}` is no client id of AWS IoT; correct the inventory")));
    }
    Ok(client)
}
