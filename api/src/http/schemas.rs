//! What bodies and documents look like: generated from the types, once as they are read and once as they are written.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where the document keeps what is referred to by name.
const PLACE: &str = "/components/schemas";
/// What is read and what is written may differ under one name: what is read then has this after it.
const AS_READ: &str = "Input";

/// The types that the operations read and write.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = PLACE.into();
            settings.meta_schema = None;
            settings
        };
        Self {
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
        }
    }

    /// A type as it is read, by name where it has one.
    pub(super) fn read<T: JsonSchema>(&mut self) -> Value {
        self.read.subschema_for::<T>().to_value()
    }

    /// A type as it is read, in full.
    pub(super) fn read_inline<T: JsonSchema>(&mut self) -> Value {
        T::json_schema(&mut self.read).to_value()
    }

    /// Whether a type cannot be read out of an empty object.
    pub(super) fn requires_something<T: JsonSchema>(&mut self) -> bool {
        let schema = self.read_inline::<T>();
        schema["required"].as_array().is_some_and(|required| !required.is_empty())
    }

    /// A type as it is written, by name where it has one.
    pub(super) fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// All that is referred to by name. In `paths`, what is read and has another form than what is written under the
    /// same name is referred to by a name of its own.
    pub(super) fn finish(mut self, bodies: &mut [&mut Value]) -> Map<String, Value> {
        let mut named = self.written.take_definitions(true);
        let read = self.read.take_definitions(true);
        let differs: Vec<String> = read
            .iter()
            .filter(|(name, schema)| named.get(*name).is_some_and(|written| written != *schema))
            .map(|(name, _)| name.clone())
            .collect();
        // What refers to something that differs differs itself.
        let mut renamed = differs;
        loop {
            let more: Vec<String> = read
                .iter()
                .filter(|(name, schema)| {
                    named.contains_key(*name) && !renamed.contains(name) && refers(schema, &renamed)
                })
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            renamed.extend(more);
        }
        for (name, mut schema) in read {
            rename(&mut schema, &renamed);
            let name = if renamed.contains(&name) { format!("{name}{AS_READ}") } else { name };
            named.insert(name, schema);
        }
        for body in bodies {
            rename(body, &renamed);
        }
        named
    }
}

/// Goes through all references within a schema.
fn references(schema: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(reference) if name == "$ref" => visit(reference),
                    value => references(value, visit),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| references(item, visit)),
        _ => {}
    }
}

fn refers(schema: &Value, names: &[String]) -> bool {
    let mut found = false;
    references(&mut schema.clone(), &mut |reference| {
        found |= names.iter().any(|name| *reference == format!("#{PLACE}/{name}"));
    });
    found
}

fn rename(schema: &mut Value, names: &[String]) {
    references(schema, &mut |reference| {
        if names.iter().any(|name| *reference == format!("#{PLACE}/{name}")) {
            reference.push_str(AS_READ);
        }
    });
}

/// The form of a UUID.
pub(super) fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}
