//! From an open window to its features, each as `fleet::feature` defines it.

use fleet::{EventTime, FEATURES, Feature};

use super::builder::{Builder, OwnTimes};

/// `heard`: end of the device's previous window with readings; `start`: of this one.
pub(crate) fn features(builder: &mut Builder, start: EventTime, heard: Option<EventTime>) -> [f32; FEATURES] {
    let mut features = [0.0; FEATURES];
    let mut set = |feature: Feature, value: f64| features[feature.index()] = value as f32;
    set(Feature::BytesOut, builder.bytes_out as f64);
    set(Feature::BytesIn, builder.bytes_in as f64);
    set(Feature::PacketsOut, builder.packets_out as f64);
    set(Feature::PacketsIn, builder.packets_in as f64);
    set(Feature::UpDownRatio, ((builder.bytes_out as f64 + 1.0) / (builder.bytes_in as f64 + 1.0)).log2());

    let flows = &builder.flows;
    set(Feature::Flows, f64::from(flows.all));
    set(Feature::Destinations, f64::from(builder.destinations.count()));
    set(Feature::Ports, f64::from(builder.ports.count()));
    set(Feature::FailedFlows, f64::from(flows.failed));
    set(Feature::FailedShare, share(f64::from(flows.failed), f64::from(flows.to_hosts)));
    set(Feature::InternalFanOut, f64::from(builder.internal_hosts.count()));
    set(Feature::DeviceBytes, flows.device_bytes as f64);
    set(Feature::InboundExternal, f64::from(flows.inbound_external));
    set(Feature::CleartextShare, share(flows.cleartext_bytes as f64, flows.content_bytes as f64));

    set(Feature::IntervalMean, interval_mean(&builder.own));
    set(Feature::IntervalVariation, interval_variation(&mut builder.own).unwrap_or(-1.0));
    set(Feature::SecondsSinceHeard, heard.map_or(0.0, |heard| start.seconds_since(heard).max(0.0)));

    set(Feature::ValueSpread, -1.0);
    if let Some(speech) = &builder.speech {
        let published = f64::from(speech.published);
        set(Feature::Messages, published);
        set(Feature::MessagesReceived, f64::from(speech.received));
        set(Feature::PayloadMean, share(speech.payload_sum as f64, published));
        set(Feature::PayloadP95, speech.payloads.quantile(0.95).min(f64::from(speech.payload_max)));
        set(Feature::PayloadMax, f64::from(speech.payload_max));
        set(Feature::Topics, f64::from(speech.topics.count()));
        set(Feature::Commands, f64::from(speech.commands));
        let values = &speech.values;
        if values.count > 0 {
            set(Feature::ValueMean, values.sum.value() / f64::from(values.count));
            set(Feature::ValueSpread, values.greatest - values.least);
        }
    }
    let refused_messages = builder.speech.as_ref().map_or(0, |speech| speech.refused);
    let mut refusals = f64::from(refused_messages);
    if let Some(sessions) = &builder.sessions {
        set(Feature::SignIns, f64::from(sessions.accepted));
        set(Feature::SignInFailures, f64::from(sessions.failed));
        set(Feature::Connects, f64::from(sessions.connects));
        set(Feature::Disconnects, f64::from(sessions.disconnects));
        set(Feature::SourceAddresses, f64::from(sessions.source_addresses.count()));
        refusals += f64::from(sessions.refused);
    }
    set(Feature::AuthorisationRefusals, refusals);
    features
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn interval_mean(own: &OwnTimes) -> f64 {
    if own.count < 2 { 0.0 } else { own.last.seconds_since(own.first) / f64::from(own.count - 1) }
}

/// Standard deviation of the intervals over their mean; of the readings that were kept.
fn interval_variation(own: &mut OwnTimes) -> Option<f64> {
    if own.kept.len() < 3 {
        return None;
    }
    own.kept.sort_unstable();
    let intervals = own.kept.windows(2).map(|pair| pair[1].seconds_since(pair[0]));
    let count = (own.kept.len() - 1) as f64;
    let mean = intervals.clone().sum::<f64>() / count;
    if mean == 0.0 {
        return None;
    }
    let variance = intervals.map(|interval| (interval - mean).powi(2)).sum::<f64>() / count;
    Some(variance.sqrt() / mean)
}
