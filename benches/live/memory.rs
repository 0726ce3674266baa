//! Resident memory of processes with all roles: idle with their inventory, and with every device speaking.

use std::time::Duration;

use crate::feed::Feed;
use crate::stand::{Run, SELDOM, Service, Stand, closed, wait_lanes};
use crate::{Failure, Options, Report};

pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let stand = Stand::start(options, 4, 100_000, SELDOM)?;
    let (lanes, devices) = (stand.partitions, stand.devices);
    let toml = stand.prepare(&Run { label: "memory", live: false, memory_seconds: 5 })?;
    let mut services = stand.services(&toml, "memory", "route,judge,act")?;
    // Every device of the inventory is told to its lane.
    wait_lanes(&mut services, usize::from(lanes), Duration::from_secs(60), |lane| !lane["behind_seconds"].is_null())?;
    std::thread::sleep(Duration::from_secs(5));
    report.say(format!("{devices} devices, {lanes} lanes"));
    report.say("state,process,resident_mib,peak_mib,bytes_per_device");
    let mut say = |state: &str, services: &[Service]| -> Result<(), Failure> {
        for (number, service) in (1..).zip(services) {
            let (now, peak) = service.memory()?;
            let each = now * 1024.0 * 1024.0 / f64::from(devices);
            report.say(format!("{state},{number},{now:.0},{peak:.0},{each:.0}"));
        }
        Ok(())
    };
    say("idle, inventory told", &services)?;
    // Eighteen flows of each: three windows.
    let messages = options.messages.unwrap_or(u64::from(devices) * 18);
    let through = Feed::new(&stand)?.history(messages)?;
    wait_lanes(&mut services, usize::from(lanes), Duration::from_secs(300), closed(through))?;
    say("after three windows of all devices, read as fast as it goes", &services)?;
    std::thread::sleep(Duration::from_secs(12));
    say("twelve seconds later, memory stored", &services)?;
    services.iter_mut().try_for_each(Service::stop)
}
