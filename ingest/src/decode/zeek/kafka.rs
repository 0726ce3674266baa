//! What Zeek's Kafka writer (zeek-kafka, before that metron-bro-plugin-kafka) sends: the JSON of `conn.log`, by itself
//! or, with `Kafka::tag_json`, in an object that names the log and may add fixed values after it.

use fleet::Reading;

use super::json;
use crate::decode::message::Context;
use crate::decode::plain::Order;
use crate::decode::record::Record;
use crate::decode::reject::RejectReason;

/// `Ok(None)`: another log, where logs are tagged.
pub(in crate::decode) fn decode(
    line: &str,
    context: &Context<'_>,
    order: &mut Order,
) -> Result<Option<Reading>, RejectReason> {
    if !is_tagged(line) {
        return json::decode(line, context, order);
    }
    match Record::from_tagged_json(&super::CONN_NAMES, line, "conn")? {
        Some(conn) => json::reading(conn, context).map(Some),
        None => Ok(None),
    }
}

/// The first value is an object: no field of a Zeek log is one, and the writer puts the tag first.
fn is_tagged(line: &str) -> bool {
    let inside = line.trim_start().strip_prefix('{').and_then(|rest| rest.trim_start().strip_prefix('"'));
    let after_name = inside.and_then(|rest| rest.split_once('"')).map_or("", |(_, after)| after.trim_start());
    after_name.strip_prefix(':').is_some_and(|value| value.trim_start().starts_with('{'))
}
