//! What the types look like in JSON, for the API document: derived where the types stand, so that it cannot differ from them.

use schemars::Schema;
use serde_json::Value;

/// A text of which this is known besides.
pub(crate) fn text(known: Value) -> Schema {
    let mut schema = Schema::default();
    schema.insert("type".to_owned(), "string".into());
    if let Value::Object(known) = known {
        known.into_iter().for_each(|(name, value)| {
            schema.insert(name, value);
        });
    }
    schema
}

/// A value made of parts looks like its parts.
macro_rules! made_of {
    ($value:ident($parts:ident)) => {
        impl schemars::JsonSchema for $value {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($value).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$parts as schemars::JsonSchema>::json_schema(generator)
            }
        }
    };
}
pub(crate) use made_of;

/// A local time, without offset.
pub(crate) fn local_time(_: &mut schemars::SchemaGenerator) -> Schema {
    text(serde_json::json!({
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?$",
        "examples": ["2026-03-09T15:00"],
    }))
}
