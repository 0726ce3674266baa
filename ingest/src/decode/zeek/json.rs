//! Zeek's conn.log as JSON lines: keys are literally dotted, unset fields are left out.

use std::borrow::Cow;

use fleet::Reading;

use crate::decode::message::Context;
use crate::decode::plain::Order;
use crate::decode::record::Record;
use crate::decode::reject::RejectReason;
use crate::decode::value::Scalar;

pub(in crate::decode) fn decode(
    line: &str,
    context: &Context<'_>,
    order: &mut Order,
) -> Result<Option<Reading>, RejectReason> {
    reading(Record::from_plain_json(&super::CONN_NAMES, line, order)?, context).map(Some)
}

pub(super) fn reading(
    mut conn: Record<'_, { super::CONN_FIELDS }>,
    context: &Context<'_>,
) -> Result<Reading, RejectReason> {
    for slot in &mut conn.values {
        // Converters of the delimited form keep its marks.
        if matches!(slot, Scalar::Text(Cow::Borrowed("-" | "(empty)"))) {
            *slot = Scalar::Missing;
        }
    }
    super::reading(&conn, context.position)
}
