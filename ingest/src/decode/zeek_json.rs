//! Zeek's conn.log as JSON lines: keys are literally dotted, unset fields are left out.

use std::borrow::Cow;

use fleet::Reading;

use super::message::Context;
use super::record::Record;
use super::reject::RejectReason;
use super::value::Scalar;
use super::zeek;

pub(super) fn decode(line: &str, context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
    let mut conn = Record::from_json(&zeek::CONN_NAMES, line)?;
    for slot in &mut conn.slots {
        // Converters of the delimited form keep its marks.
        if matches!(slot, Scalar::Text(Cow::Borrowed("-" | "(empty)"))) {
            *slot = Scalar::Missing;
        }
    }
    zeek::reading(&conn, context.position).map(Some)
}
