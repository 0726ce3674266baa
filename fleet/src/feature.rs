//! The table of a window's features: the one place that names them, gives their unit, definition and direction.
//!
//! `docs/features.md` is written from it and a test holds the two together. The order is part of the stored format.

use serde::{Deserialize, Serialize};

/// Which deviation is suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    Up,
    Down,
    Both,
    /// Context for rules and people; not scored.
    None,
}

pub struct FeatureDefinition {
    pub name: &'static str,
    pub unit: &'static str,
    pub trend: Trend,
    pub definition: &'static str,
}

macro_rules! features {
    ($($variant:ident $name:literal $unit:literal $trend:ident $definition:literal;)*) => {
        /// Index of a feature in [`crate::Window::features`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Feature { $($variant),* }

        impl Feature {
            pub const ALL: &'static [Feature] = &[$(Feature::$variant),*];
        }

        const DEFINITIONS: &[FeatureDefinition] = &[$(FeatureDefinition {
            name: $name, unit: $unit, trend: Trend::$trend, definition: $definition,
        }),*];
    };
}

features! {
    Messages "messages" "count" Both "broker messages published by the device, refused ones included";
    MessagesReceived "messages_received" "count" Up "broker messages delivered to the device";
    PayloadMean "payload_mean" "bytes" Both "mean payload size of the published messages";
    PayloadP95 "payload_p95" "bytes" Up "95th percentile of the payload sizes of the published messages, up to 19 % too high (log-histogram of 4 bins an octave), never above payload_max";
    PayloadMax "payload_max" "bytes" Up "largest payload of the published messages";
    BytesOut "bytes_out" "bytes" Both "flow payload bytes from the device, both as originator and as responder, plus published payloads";
    BytesIn "bytes_in" "bytes" Both "flow payload bytes to the device, plus delivered payloads";
    PacketsOut "packets_out" "packets" Both "packets of flows from the device";
    PacketsIn "packets_in" "packets" Both "packets of flows to the device";
    Flows "flows" "count" Up "flow records the device took part in, groups (multicast, broadcast) included";
    Destinations "destinations" "count" Up "distinct destinations (name, else address) the device originated flows to, groups left out; within 13 % (standard error) above 16";
    Ports "ports" "count" Up "distinct TCP and UDP responder ports the device originated flows to, groups included; within 13 % above 16";
    FailedShare "failed_share" "share" Up "failed_flows over all flows the device originated to single hosts; 0 without any";
    FailedFlows "failed_flows" "count" Up "flows originated by the device to single hosts that were refused or unanswered";
    InternalFanOut "internal_fan_out" "count" Up "distinct internal hosts the device originated flows to; within 13 % above 16";
    DeviceBytes "device_bytes" "bytes" Up "flow payload bytes, both ways, exchanged with other devices of ours, unknown ones included";
    InboundExternal "inbound_external" "count" Up "flows from the internet that the device answered";
    CleartextShare "cleartext_share" "share" Up "flow payload bytes over protocols without encryption (telnet, ftp, http, mqtt, ...), over all but those of naming, time and discovery; 0 without any";
    SignInFailures "sign_in_failures" "count" Up "refused sign-ins, to or by the device";
    SignIns "sign_ins" "count" Up "accepted sign-ins, to or by the device";
    AuthorisationRefusals "authorisation_refusals" "count" Up "publishes, subscriptions and connects the broker refused";
    Connects "connects" "count" Up "broker sessions begun";
    Disconnects "disconnects" "count" Up "broker sessions ended, by either side or taken over";
    Topics "topics" "count" Up "distinct topics published to (generalised); within 13 % above 16";
    Commands "commands" "count" Up "commands the device published";
    IntervalMean "interval_mean" "seconds" Both "mean time between the readings of what the device itself began (all but inbound ones) in the window; 0 below two of them";
    IntervalVariation "interval_variation" "ratio" None "coefficient of variation of those intervals (of the first 64 readings): 0 is a clock, 1 a Poisson process; -1 below three readings, or when all are of one instant";
    UpDownRatio "up_down_ratio" "log2" Both "log2((bytes_out + 1) / (bytes_in + 1))";
    SecondsSinceHeard "seconds_since_heard" "seconds" Up "from the end of the device's previous window with readings to the start of this one; 0 when they adjoin, or it was never heard before";
    ValueMean "value_mean" "device unit" Both "mean of the reported values; 0 when none was reported";
    ValueSpread "value_spread" "device unit" None "largest less smallest reported value; -1 when none was reported";
    SourceAddresses "source_addresses" "count" Up "distinct addresses the device's sessions, and its own sign-ins, came from";
}

/// Number of features in a window.
pub const FEATURES: usize = Feature::ALL.len();

impl Feature {
    pub fn index(self) -> usize {
        self as usize
    }

    pub fn definition(self) -> &'static FeatureDefinition {
        &DEFINITIONS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.definition().name
    }

    pub fn from_name(name: &str) -> Option<Feature> {
        Feature::ALL.iter().copied().find(|feature| feature.name() == name)
    }

    pub fn definitions() -> &'static [FeatureDefinition] {
        DEFINITIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(*feature));
        }
        assert_eq!(FEATURES, Feature::definitions().len());
    }

    #[test]
    fn the_documentation_lists_every_feature_as_the_code_has_it() {
        let page = include_str!("../../docs/features.md");
        for definition in Feature::definitions() {
            let trend = format!("{:?}", definition.trend).to_lowercase();
            let row =
                format!("| `{}` | {} | {} | {} |", definition.name, definition.unit, trend, definition.definition);
            assert!(page.contains(&row), "docs/features.md lacks the row\n{row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, FEATURES, "docs/features.md has rows the code does not know");
    }
}
