//! Words of `fleet` in the OpenAPI document. `fleet` knows nothing of it, so the words are described here, from its own lists.

use fleet::{FindingKind, Level, Mode, Severity, State};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! described {
    ($($described:ident of $words:ident as $name:literal),* $(,)?) => {$(
        #[doc = concat!("Describes `fleet::", stringify!($words), "`; it has no values.")]
        pub enum $described {}

        impl PartialSchema for $described {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::Type(Type::String))
                    .enum_values(Some($words::ALL.iter().map(|word| word.name())))
                    .into()
            }
        }

        impl ToSchema for $described {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    )*};
}
described! {
    FindingKindName of FindingKind as "FindingKind", LevelName of Level as "Level", ModeName of Mode as "Mode",
    SeverityName of Severity as "Severity", StateName of State as "State",
}
