//! A device with several addresses, at a gateway that is told one at a time: each call is made for every one of them, and what
//! was set is read back for every one.
//!
//! The first address's order is the action's own. The others' have ids made of the action's and the address, so that whatever
//! a product names by them stays apart, and is found again after a restart without a receipt.

use std::collections::{BTreeMap, BTreeSet};

use fleet::EventTime;
use fleet::id::stable_id;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use super::{About, Applied, Failure, FailureKind, Found, Gateway, Key, Order, Permit, Undone};

/// Addresses of one device that are acted on, at most.
pub const MOST: usize = 8;

pub struct EachAddress {
    gateway: Box<dyn Gateway>,
}

/// In place of the gateway's own receipt, where there are further addresses.
#[derive(Default, Serialize, Deserialize)]
struct Receipts {
    #[serde(default)]
    first: Option<Value>,
    further: BTreeMap<SmolStr, Receipt>,
    /// What was asked for.
    #[serde(default)]
    until: Option<EventTime>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Receipt {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Value>,
    /// Why the gateway does nothing about this address; nothing stands there for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// Why it is not known to be set for this address; the next try is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<(FailureKind, String)>,
}

/// Addresses that the gateway would not take, and why, in words.
pub fn left_out(receipt: Option<&Value>) -> Option<String> {
    let receipts = Receipts::read(receipt?)?;
    let refused =
        receipts.further.iter().filter_map(|(address, it)| Some(format!("`{address}`: {}", it.refused.as_ref()?)));
    let words: Vec<String> = refused.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Why another try is due, where it is set for some of the addresses and others failed.
pub fn left_over(receipt: Option<&Value>) -> Option<Failure> {
    let receipts = Receipts::read(receipt?)?;
    receipts.further.iter().find_map(|(address, it)| {
        let (kind, problem) = it.failed.as_ref()?;
        Some(Failure::new(*kind, format!("`{address}`: {problem}")))
    })
}

/// Further addresses that are set, where others failed.
pub fn held(receipt: Option<&Value>) -> Option<Vec<SmolStr>> {
    let receipts = Receipts::read(receipt?)?;
    let has_failed = receipts.further.values().any(|it| it.failed.is_some());
    let held = receipts.further.into_iter().filter(|(_, it)| it.failed.is_none());
    has_failed.then(|| held.map(|(address, _)| address).collect())
}

impl Receipts {
    fn read(receipt: &Value) -> Option<Receipts> {
        Receipts::deserialize(receipt.get("addresses")?).ok()
    }

    /// One that was given for a single address is the first one's.
    fn of(order: &Order) -> Receipts {
        let Some(receipt) = &order.receipt else { return Receipts::default() };
        Receipts::read(receipt).unwrap_or_else(|| Receipts { first: Some(receipt.clone()), ..Receipts::default() })
    }

    /// Addresses the gateway does nothing about.
    fn refused(self) -> BTreeSet<SmolStr> {
        let refused = self.further.into_iter().filter(|(_, held)| held.refused.is_some());
        refused.map(|(address, _)| address).collect()
    }
}

impl EachAddress {
    pub fn new(gateway: Box<dyn Gateway>) -> EachAddress {
        EachAddress { gateway }
    }

    /// Of the first address, and of each further one, those too that were refused; `None`: there is one alone, or this level
    /// does not go by addresses.
    fn orders(&self, order: &Order) -> Option<(Order, Vec<(SmolStr, Order)>)> {
        let keys = &self.gateway.about().ability(order.level)?.keys;
        if order.further.is_empty() || !keys.contains(&Key::Ip) {
            return None;
        }
        let receipts = Receipts::of(order);
        let first = Order { further: Vec::new(), receipt: receipts.first, ..order.clone() };
        let of = |address: &SmolStr| {
            let held = receipts.further.get(address);
            // What goes with the first address, such as a hardware address, is that order's.
            let mut names = order.names.clone();
            names.retain(|key, _| keys.contains(key));
            names.insert(Key::Ip, address.clone());
            let order = Order {
                action_id: stable_id(&["address", &order.action_id, address]),
                names,
                further: Vec::new(),
                receipt: held.and_then(|held| held.receipt.clone()),
                ..order.clone()
            };
            (address.clone(), order)
        };
        let further = order.further.iter().take(MOST - 1).map(of).collect();
        Some((first, further))
    }
}

/// About a further address: nothing will come of asking again.
fn never(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Refused | FailureKind::Conflict)
}

impl Gateway for EachAddress {
    fn about(&self) -> &About {
        self.gateway.about()
    }

    fn beside(&self) -> Vec<Box<dyn Gateway>> {
        let each = |gateway| -> Box<dyn Gateway> { Box::new(EachAddress::new(gateway)) };
        self.gateway.beside().into_iter().map(each).collect()
    }

    /// Refused for the first address it is refused; for a further one, the receipt says so ([`left_out`]). Once the first is
    /// held, a failure of another one stands in the receipt too ([`left_over`]): what was given for the rest is not lost.
    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        // What was refused before is asked again.
        let anew = Order { receipt: order.receipt.as_ref().map(without_refusals), ..order.clone() };
        let Some((first, further)) = self.orders(&anew) else { return self.gateway.apply(permit, order) };
        let Receipts { further: mut before, until, .. } = Receipts::of(&anew);
        // All share one call's time: what it sufficed for the last time is not asked for again, nor is what stands when there is
        // one more.
        let is_new = further.iter().any(|(address, _)| !before.contains_key(address));
        let goes_on = until == order.until && (is_new || before.values().any(|held| held.failed.is_some()));
        let Applied { receipt, mut already } = self.gateway.apply(permit, &first)?;
        let mut receipts = Receipts { first: receipt, further: BTreeMap::new(), until: order.until };
        for (address, order) in further {
            let earlier = before.remove(&address);
            if let Some(held) = earlier.as_ref().filter(|held| goes_on && held.failed.is_none()) {
                receipts.further.insert(address, held.clone());
                continue;
            }
            let held = match self.gateway.apply(permit, &order) {
                Ok(applied) => {
                    already &= applied.already;
                    Receipt { receipt: applied.receipt, ..Receipt::default() }
                }
                Err(failure) => {
                    // Where it was taken before, it stands there, however often it is refused since.
                    let stands = earlier.as_ref().is_some_and(|held| match &held.failed {
                        None => true,
                        Some((kind, _)) => never(*kind),
                    });
                    let receipt = earlier.and_then(|held| held.receipt);
                    if never(failure.kind) && !stands {
                        Receipt { receipt, refused: Some(failure.message), failed: None }
                    } else {
                        Receipt { receipt, refused: None, failed: Some((failure.kind, failure.message)) }
                    }
                }
            };
            receipts.further.insert(address, held);
        }
        let receipts = serde_json::to_value(receipts).map_err(|error| Failure::refused(error.to_string()))?;
        Ok(Applied { receipt: Some(serde_json::json!({ "addresses": receipts })), already })
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        let Some((first, further)) = self.orders(order) else { return self.gateway.read_back(permit, order) };
        let refused = Receipts::of(order).refused();
        let mut found = vec![self.gateway.read_back(permit, &first)?];
        for (_, order) in further.into_iter().filter(|(address, _)| !refused.contains(address)) {
            found.push(self.gateway.read_back(permit, &order)?);
        }
        let is_partly = found.contains(&Found::Partly);
        let is_held = is_partly || found.contains(&Found::InForce);
        let is_absent = is_partly || found.contains(&Found::Absent);
        Ok(match (is_held, is_absent) {
            (true, true) => Found::Partly,
            (true, false) => Found::InForce,
            (false, true) => Found::Absent,
            (false, false) => {
                found.into_iter().find(|found| matches!(found, Found::Foreign { .. })).unwrap_or(Found::Unknown)
            }
        })
    }

    /// Tried for each, whatever comes of the others.
    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        let Some((first, further)) = self.orders(order) else { return self.gateway.undo(permit, order) };
        let refused = Receipts::of(order).refused();
        let mut said = vec![self.gateway.undo(permit, &first)];
        for (address, order) in further {
            let undone = self.gateway.undo(permit, &order);
            // It was never taken there: that it may have come through late is all there is to take back.
            said.extend(Some(undone).filter(|undone| undone.is_ok() || !refused.contains(&address)));
        }
        let undone: Vec<Undone> = said.into_iter().collect::<Result<_, _>>()?;
        let is_others = undone.iter().all(|undone| matches!(undone, Undone::Foreign { .. }));
        if undone.contains(&Undone::Done) {
            return Ok(Undone::Done);
        }
        Ok(undone.into_iter().next().filter(|_| is_others).unwrap_or(Undone::Already))
    }

    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        self.gateway.probe(permit)
    }
}

fn without_refusals(receipt: &Value) -> Value {
    let Some(mut receipts) = Receipts::read(receipt) else { return receipt.clone() };
    receipts.further.retain(|_, held| held.refused.is_none());
    serde_json::json!({ "addresses": receipts })
}
