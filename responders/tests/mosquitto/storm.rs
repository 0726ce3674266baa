//! Twenty at one instant, through the whole loop.

use std::time::Duration;

use crate::broker::{Broker, Device};
use crate::isolating::{Loop, device, quantile};
use crate::programs::{told, wait_for};

const GOAL: Duration = Duration::from_secs(5);

#[test]
fn twenty_at_one_instant_are_isolated_within_five_seconds() {
    let Some(broker) = Broker::new() else { return };
    let names: Vec<String> = (1..=24).map(device).collect();
    broker.enrol(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let devices: Vec<Device> =
        names.iter().map(|name| broker.device_that_tries(name, Duration::from_secs(1))).collect();
    let mut all = Loop::begin(Box::new(broker.gateway()), 24);
    let mut times = all.isolate(&names[..20]);
    assert_eq!(times.len(), 20);
    let most = quantile(&mut times, 0.95);
    told("Mosquitto, twenty at one instant, decision to read back", times);
    assert!(most <= GOAL, "{most:?}");
    wait_for("all twenty to be cut off", GOAL, || devices[..20].iter().all(|device| !device.is_connected()));
    for device in &devices[20..] {
        assert!(device.publishes() && device.cuts() == 0, "neighbours do not notice");
    }
}
