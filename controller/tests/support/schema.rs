//! Whether JSON is what a schema in an OpenAPI document says: the words that ours are written with, and no more.
//!
//! Stricter than the standard in one point: a key that is described nowhere is a mistake, also where a schema
//! leaves it open, since whoever reads the document would not know of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The words that are understood; another one fails, so that none is passed over.
const WORDS: [&str; 19] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "format",
    "items",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "title",
    "type",
    "uniqueItems",
];

/// What is wrong with `value` by `schema`; the names that it refers to are in `document`.
pub fn wrong(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "answer", &mut found);
    let described = keys(document, schema);
    // A schema without any keys, as that of the document itself, is open.
    if let (Some(described), Value::Object(map)) = (described, value) {
        found.extend(
            map.keys().filter(|key| !described.contains(*key)).map(|key| format!("`{key}`: unknown")),
        );
    }
    found
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else { return schema };
    let pointer = reference.strip_prefix('#').expect("a reference within the document");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} is nowhere"))
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolve(document, schema);
    let Some(rules) = schema.as_object() else { return };
    if let Some(word) = rules.keys().find(|word| !WORDS.contains(&word.as_str())) {
        found.push(format!("{at}: this test does not understand `{word}`"));
    }
    if rules.get("type").is_some_and(|wanted| !is_of(wanted, value)) {
        found.push(format!("{at}: {value} is no {}", rules["type"]));
        return;
    }
    if rules.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", rules["const"]));
    }
    let is_one = |all: &Value| all.as_array().is_some_and(|all| all.contains(value));
    if rules.get("enum").is_some_and(|all| !is_one(all)) {
        found.push(format!("{at}: {value} is none of {}", rules["enum"]));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        found.push(format!("{at}: {number} is under {least}"));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(document, part, value, at, found);
    }
    if let Some(all) = schema["oneOf"].as_array() {
        let fits = |one: &&Value| {
            let mut wrong = Vec::new();
            check(document, one, value, at, &mut wrong);
            wrong.is_empty()
        };
        let fitting = all.iter().filter(fits).count();
        if fitting != 1 {
            found.push(format!("{at}: {value} is {fitting} of what it may be"));
        }
    }
    match value {
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                inside(document, &schema["items"], value, &format!("{at}[{index}]"), found);
            }
        }
        Value::Object(map) => object(document, schema, map, at, found),
        _ => {}
    }
}

fn object(document: &Value, schema: &Value, map: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    found.extend(required.filter(|key| !map.contains_key(*key)).map(|key| format!("{at}: no `{key}`")));
    for (key, value) in map {
        let at = format!("{at}.{key}");
        if let Some(property) = schema["properties"].get(key) {
            inside(document, property, value, &at, found);
        } else if schema["additionalProperties"] == Value::Bool(false) {
            found.push(format!("{at}: is not allowed"));
        } else if schema["additionalProperties"].is_object() {
            inside(document, &schema["additionalProperties"], value, &at, found);
        }
    }
}

/// Checks a value below another, and that all of its keys are described.
fn inside(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    check(document, schema, value, at, found);
    if let (Some(described), Value::Object(map)) = (keys(document, schema), value) {
        let unknown = map.keys().filter(|key| !described.contains(*key));
        found.extend(unknown.map(|key| format!("{at}: `{key}` is described nowhere")));
    }
}

/// Every key that an object may have; none when it may have any.
fn keys(document: &Value, schema: &Value) -> Option<BTreeSet<String>> {
    let schema = resolve(document, schema);
    let mut all = BTreeSet::new();
    if schema["additionalProperties"].is_object() {
        return None;
    }
    all.extend(schema["properties"].as_object().into_iter().flat_map(Map::keys).cloned());
    for part in ["allOf", "oneOf"].iter().filter_map(|word| schema[word].as_array()).flatten() {
        all.extend(keys(document, part)?);
    }
    (!all.is_empty()).then_some(all)
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::Array(any) => any.iter().any(|wanted| is_of(wanted, value)),
        _ => match wanted.as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            _ => false,
        },
    }
}
