//! What a lane commits beside its offset: how far it is, and which memory to begin with.

use std::fmt;
use std::str::FromStr;

use fleet::{EventTime, Resume};

/// The committed offset is where to read from when the memory named here is loaded; the text is everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanePosition {
    /// After the last step that is durable.
    pub step: Resume,
    /// End of the tick after which the newest stored memory was taken; `None` before the first one.
    pub memory: Option<EventTime>,
}

impl LanePosition {
    pub const START: LanePosition = LanePosition { step: Resume::START, memory: None };
}

impl fmt::Display for LanePosition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.step)?;
        match self.memory {
            Some(EventTime(tick)) => write!(out, " memory={tick}"),
            None => Ok(()),
        }
    }
}

impl FromStr for LanePosition {
    type Err = String;

    fn from_str(text: &str) -> Result<LanePosition, String> {
        let Some((step, memory)) = text.split_once(" memory=") else {
            return Ok(LanePosition { step: text.parse()?, memory: None });
        };
        let tick = memory.parse().map_err(|_| format!("`{memory}` is no tick, expected microseconds"))?;
        Ok(LanePosition { step: step.parse()?, memory: Some(EventTime(tick)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::Versions;

    #[test]
    fn a_position_survives_its_text() {
        let step = Resume {
            low: 5,
            closed_through: EventTime(60),
            frontier: 9,
            versions: Versions { baseline: 1, inventory: 0 },
        };
        for memory in [None, Some(EventTime(-3))] {
            let position = LanePosition { step, memory };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        assert!("v1 memory=x".parse::<LanePosition>().is_err());
    }
}
