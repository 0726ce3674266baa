//! What a device type and a habit are: what is said, to whom, how often and how much. The types are in `catalogue`.

use super::clock::Activity;

pub(super) struct DeviceType {
    pub name: &'static str,
    /// Devices at scale 1.
    pub count: usize,
    /// Only in the works, or at both sites.
    pub works_only: bool,
    pub segment: &'static str,
    /// First three bytes of the MAC; `None` for devices behind a gateway, which have no address of their own.
    pub vendor: Option<[u8; 3]>,
    pub certificate: bool,
    pub owner: &'static str,
    pub criticality: &'static str,
    pub protocol: &'static str,
    pub purpose: &'static str,
    pub firmware: &'static str,
    /// Ports the device serves.
    pub listens: &'static [u16],
    pub habits: &'static [Habit],
}

pub(super) struct Habit {
    pub rhythm: Rhythm,
    pub act: Act,
}

pub(super) enum Rhythm {
    /// A timer, with the standard deviation of its interval as a share of it.
    Every { seconds: f64, jitter: f64 },
    /// People or events: a Poisson process of so many a day, more in busy hours.
    PerDay { count: f64, activity: Activity },
}

/// A log-normal size in bytes.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub median: f64,
    pub sigma: f64,
}

/// A reported value: base + daily swing + each device's own offset + noise.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    pub base: f64,
    pub swing: f64,
    pub activity: Activity,
    pub spread: f64,
    pub noise: f64,
}

/// `{id}` in a topic stands for the device, `{site}` for its site.
pub(super) enum Act {
    Report {
        topic: &'static str,
        payload: Size,
        value: Option<Measure>,
    },
    Command {
        topic: &'static str,
        names: &'static [&'static str],
        payload: Size,
    },
    /// Delivered to the device, which answers with its new state.
    Receive {
        topic: &'static str,
        names: &'static [&'static str],
        payload: Size,
        answer: &'static str,
    },
    Call(Call),
    /// Somebody presents a badge or a password to the device.
    SignIn {
        method: &'static str,
        users: usize,
        failure_share: f64,
    },
    Posture,
    Reconnect,
}

#[derive(Clone, Copy)]
pub(super) struct Call {
    pub target: Target,
    pub port: u16,
    pub tcp: bool,
    pub service: &'static str,
    pub out: Size,
    pub back: Size,
    /// Mean duration of the flow.
    pub seconds: f64,
    /// How far sizes follow the hour: 0 not at all, 1 wholly.
    pub follows: f64,
    pub activity: Activity,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// `#` in the name is the number of one of three hosts.
    Name(&'static str),
    /// A cloud met only as addresses out of these /16 networks, another one every few hours.
    Cloud([[u8; 2]; 2]),
    /// Servers of the site, on its own subnet: the last byte of their address.
    Server(u8),
    TimePool,
    /// Multicast.
    Group([u8; 4]),
    /// One of the devices of this type at the same site.
    Device(&'static str),
}

pub(super) const RESOLVER: u8 = 1;
pub(super) const BROKER: u8 = 5;
pub(super) const ACCESS_SERVER: u8 = 6;
pub(super) const RECORDER: u8 = 7;
