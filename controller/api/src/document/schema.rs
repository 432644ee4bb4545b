//! A JSON Schema (draft 2020-12) of a file, from its keys: what editors complete and check it by.
//!
//! It is a little more lenient than the reader, which alone can hold values against each other. It never refuses
//! what the reader takes.

use serde_json::{Map, Value, json};

use super::{Key, Shape};

/// A label of a name: 1 to 63 characters.
const NAME: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";

/// The schema of a file whose outermost table may have `keys`.
#[must_use]
pub fn schema(title: &str, keys: &[Key]) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), title.into());
    schema.extend(table(keys));
    Value::Object(schema)
}

fn table(keys: &[Key]) -> Map<String, Value> {
    let properties: Map<_, _> = keys.iter().map(|key| (key.name().to_owned(), property(key))).collect();
    let required: Vec<_> = keys.iter().filter(|key| key.is_required()).map(Key::name).collect();
    let mut table = Map::new();
    table.insert("type".into(), "object".into());
    table.insert("properties".into(), properties.into());
    table.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        table.insert("required".into(), required.into());
    }
    table
}

fn property(key: &Key) -> Value {
    let mut property = shape(key.takes());
    let default = key.otherwise().map(|default| format!(" Default: {default}.")).unwrap_or_default();
    property.insert("description".into(), format!("{}{default}", key.purpose()).into());
    property.into()
}

fn shape(shape_of: Shape) -> Map<String, Value> {
    let value = match shape_of {
        Shape::Text => json!({ "type": "string" }),
        Shape::Name => json!({ "type": "string", "pattern": format!("^{NAME}$") }),
        Shape::Service => json!({ "type": "string", "pattern": format!("^{NAME}(\\.{NAME})?$") }),
        Shape::Socket => json!({ "type": "string", "pattern": "^.+:[0-9]{1,5}$" }),
        Shape::Time => json!({ "type": "string", "pattern": "^\\s*[0-9].*[a-zA-Zµ]\\s*$" }),
        Shape::OneOf(words) => json!({ "type": "string", "enum": words }),
        Shape::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Truth => json!({ "type": "boolean" }),
        Shape::List(item, most) => json!({ "type": "array", "items": shape(*item), "maxItems": most }),
        Shape::Labels(most) => json!({
            "type": "object",
            "additionalProperties": { "type": "string", "minLength": 1, "maxLength": super::text::LABEL_LEN_MAX },
            "maxProperties": most,
        }),
        Shape::Table(keys) => table(keys).into(),
        Shape::TableOrFalse(keys) => json!({ "anyOf": [table(keys), { "const": false }] }),
        Shape::Tables(keys) => json!({ "type": "array", "items": table(keys) }),
    };
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
