//! Twenty at one instant, through the whole loop.

use std::time::Duration;

use responders::gateways::addresses::EachAddress;

use crate::isolating::{Loop, device, quantile};
use crate::programs::told;
use crate::site::{SERVER, Site};
use crate::{elements, gateway};

const GOAL: Duration = Duration::from_secs(5);

#[test]
fn twenty_at_one_instant_are_isolated_within_five_seconds() {
    let Some(mut site) = Site::new() else { return };
    let names: Vec<String> = (1..=20).map(device).collect();
    let mut all = Loop::begin(Box::new(EachAddress::new(Box::new(gateway(&site)))), 20);
    let mut times = all.isolate(&names);
    assert_eq!(times.len(), 20);
    let most = quantile(&mut times, 0.95);
    told("nftables, twenty at one instant, decision to read back", times);
    assert!(most <= GOAL, "{most:?}");
    let held = elements(&site, "quarantine4");
    assert_eq!(held.matches("comment \"vedette:").count(), 20, "{held}");
    assert!(site.device.opens(SERVER), "others do not notice");
}
