//! Putting a version in force: a fact in every lane's log, with the event time from which it holds, and a row of the table
//! `baselines` for whoever asks later.

use anyhow::Context;
use fleet::{Confidence, EventTime, MICROS_PER_SECOND};
use ingest::log::{LoggedFact, Message};
use smol_str::SmolStr;
use store::{ANNOUNCED, BaselineRow, Store};

use super::positions::Positions;
use crate::config::Config;
use crate::live::now_millis;
use crate::live::route::outbox::tell_lanes;
use crate::trainer::record::{Announced, announcements};

/// The version announced last: in force, or soon to be.
pub fn present(rows: &[BaselineRow]) -> Option<u32> {
    announcements(rows).last().map(|announcement| announcement.version)
}

/// The version that was in force before the present one.
pub fn before_present(rows: &[BaselineRow]) -> Option<u32> {
    let told = announcements(rows);
    let present = told.last()?.version;
    told.iter().rev().map(|announcement| announcement.version).find(|version| *version != present)
}

/// Tells every lane that `version` holds `from` then on (`None`: from a window on that none of them has closed), and notes
/// it in the store; gives the event time.
///
/// # Errors
/// Kafka did not take it. The version may be in force in some lanes then; announcing it again does no harm.
pub fn announce(
    config: &Config,
    store: &dyn Store,
    version: u32,
    from: Option<EventTime>,
    by: &str,
) -> anyhow::Result<EventTime> {
    let kafka = &config.source.kafka;
    let positions = Positions::new(kafka)?;
    let width = i64::from(config.ingest.window_seconds) * MICROS_PER_SECOND;
    let begins = match from {
        Some(from) => from,
        // Of two that are announced the one that holds later wins: this one must not hold earlier than the last.
        None => {
            let last = announcements(&store.read_baselines()?).last().map(|last| last.from);
            positions.ahead(width)?.max(last.unwrap_or(EventTime::MIN))
        }
    };
    tell_lanes(kafka, &Message::Facts(vec![LoggedFact::Baseline { version, from: begins }]))?;
    if from.is_none() {
        let passed = positions.lanes()?.into_iter().flatten().filter(|lane| lane.closed_through > begins).count();
        if passed > 0 {
            tracing::warn!(
                version, from = %begins, lanes = passed,
                "some lanes had closed later windows by the time it was announced; it holds there from the next one on"
            );
        }
    }
    let at = EventTime(now_millis().saturating_mul(1_000));
    let row = BaselineRow {
        version,
        device_type: SmolStr::default(),
        segment: ANNOUNCED.into(),
        from_time: begins.max(EventTime(0)),
        confidence: Confidence::Ready,
        devices: 0,
        windows: 0,
        days: 0,
        body: serde_json::to_string(&Announced { at, by: by.to_owned() })?,
    };
    store.write_announcement(&format!("announced-{version}-at-{}", at.0), &row).with_context(|| {
        format!("version {version} is announced and holds from {begins}, but that could not be noted in the store")
    })?;
    Ok(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: u32, at: i64) -> BaselineRow {
        BaselineRow {
            version,
            device_type: SmolStr::default(),
            segment: ANNOUNCED.into(),
            from_time: EventTime(at * 10),
            confidence: Confidence::Ready,
            devices: 0,
            windows: 0,
            days: 0,
            body: format!(r#"{{"at":{at},"by":"pin"}}"#),
        }
    }

    #[test]
    fn the_version_before_is_another_one_however_often_the_present_was_announced() {
        let rows = [row(3, 9), row(1, 1), row(2, 5), row(3, 7)];
        assert_eq!((present(&rows), before_present(&rows)), (Some(3), Some(2)));
        assert_eq!((present(&rows[1..2]), before_present(&rows[1..2])), (Some(1), None));
        assert_eq!((present(&[]), before_present(&[])), (None, None));
        let back = [row(1, 1), row(2, 5), row(1, 6)];
        assert_eq!((present(&back), before_present(&back)), (Some(1), Some(2)));
    }
}
