//! Telling lanes whom an action of ours restricts: a fact in every lane's log, for `act` does not know whose a device is.
//! What the device does meanwhile, or leaves undone, is then held against nobody.
//!
//! Saying the same again does no harm, so whoever took over tells again of what is open.

use fleet::EventTime;
use ingest::log::{LoggedFact, Message};
use smol_str::SmolStr;

use crate::config::Config;
use crate::live::route::outbox::tell_lanes;

/// Of one message.
const AT_ONCE: usize = 512;

/// `devices` by id, each with the event time from which an action restricts it.
///
/// # Errors
/// Kafka did not take it. Some lanes may know by then.
pub fn tell_restricted(config: &Config, devices: &[(SmolStr, EventTime)]) -> anyhow::Result<()> {
    tell(config, devices, |device, from| LoggedFact::Restricted { device, from })
}

/// `devices` by id that no action restricts any more, each with the event time of the last release: not before that of the
/// restriction, however a clock moved.
///
/// # Errors
/// As [`tell_restricted`].
pub fn tell_freed(config: &Config, devices: &[(SmolStr, EventTime)]) -> anyhow::Result<()> {
    tell(config, devices, |device, from| LoggedFact::Freed { device, from })
}

fn tell(
    config: &Config,
    devices: &[(SmolStr, EventTime)],
    fact: impl Fn(SmolStr, EventTime) -> LoggedFact,
) -> anyhow::Result<()> {
    for some in devices.chunks(AT_ONCE) {
        let facts = some.iter().map(|(device, from)| fact(device.clone(), *from)).collect();
        tell_lanes(&config.source.kafka, &Message::Facts(facts))?;
    }
    Ok(())
}
