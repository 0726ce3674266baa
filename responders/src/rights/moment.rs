//! Instants as people and other programs write them: RFC 3339, UTC, in JSON and in TOML.

use std::borrow::Cow;
use std::fmt;

use fleet::EventTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// Microseconds inside, `2026-01-01T00:00:31.071281Z` outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub EventTime);

impl From<EventTime> for Moment {
    fn from(at: EventTime) -> Moment {
        Moment(at)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        let at = EventTime::parse(&text);
        at.map(Moment).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is no instant, expected RFC 3339 such as `2026-01-31T12:00:00Z`"
            ))
        })
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Moment {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        let moment = Moment(EventTime::parse("2026-01-01T00:00:31.071281Z").unwrap());
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(text, "\"2026-01-01T00:00:31.071281Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), moment);
        let wrong = serde_json::from_str::<Moment>("\"tomorrow\"").unwrap_err().to_string();
        assert!(wrong.contains("`tomorrow` is no instant"), "{wrong}");
    }
}
