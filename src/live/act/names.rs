//! What came of a message has the message's name in the store: done again, it replaces itself.

use ingest::kafka::config::KafkaConfig;
use rdkafka::client::{Client, ClientContext};

use crate::live::our_topic;

/// The findings log's part of the names: a log that is made again has other messages at the same offsets.
pub fn log_name<C: ClientContext>(client: &Client<C>, kafka: &KafkaConfig) -> anyhow::Result<String> {
    Ok(fleet::id::stable_id(&[&our_topic(client, &kafka.findings)?.id]))
}

pub fn name(log: &str, offset: u64) -> String {
    format!("act-{log}-{offset}")
}

/// Whether nobody stores anything under this name any more: `taken` messages of the log were taken for good.
pub fn is_settled(name: &str, log: &str, taken: u64) -> bool {
    let Some(rest) = name.strip_prefix("act-") else { return false };
    let Some((of, offset)) = rest.rsplit_once('-') else {
        // Without a log, as they were before: of these nobody stores any more.
        return rest.parse::<u64>().is_ok();
    };
    of != log || offset.parse::<u64>().is_ok_and(|offset| offset < taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_settled_once_their_message_was_taken_for_good() {
        let (log, other) = (fleet::id::stable_id(&["a+b/c="]), fleet::id::stable_id(&["the one before"]));
        let of = |of: &str, offset| is_settled(&name(of, offset), &log, 7);
        assert!(of(&log, 6) && !of(&log, 7) && of(&other, 1_000));
        assert!(is_settled("act-6", &log, 0), "as it was before names had their log");
        for not_ours in ["act-", "act-x", "version-1", "announced-1-at-6", "finding-1"] {
            assert!(!is_settled(not_ours, &log, 7), "{not_ours}");
        }
    }
}
