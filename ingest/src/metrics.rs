//! The names under which this room counts. Whoever shows a count uses these, so that the summary of a replay, the score
//! card and a dashboard speak of the same thing.

/// Readings decoded.
pub const READINGS: &str = "readings";
/// Lines and files that could not be decoded; by reason.
pub const REJECTED: &str = "rejected";
/// Readings that came after their window had closed.
pub const LATE: &str = "late";
/// Readings a lane had seen before (sent again after a crash).
pub const DUPLICATES: &str = "duplicates";
