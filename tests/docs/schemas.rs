//! The pages of files, against their schemas: every key of every table has its row, and no other; what is required
//! says so; and where the schema names a default as one would write it, the page names the same.
//!
//! The schemas in `docs/schema` are what the readers take: a test in `src/config.rs` keeps them so.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::text;

/// The kinds of files that have both, and how many tables each page has at the least.
const PAGES: [(&str, usize); 3] = [("node", 4), ("controller", 1), ("resources", 6)];

/// A key as its page says it: its default, or `required`.
type Rows = BTreeMap<String, String>;

/// The tables of keys of a page, each by the table of the file that its heading names.
fn tables(page: &str) -> BTreeMap<String, Rows> {
    let mut tables: BTreeMap<String, Rows> = BTreeMap::new();
    let (mut heading, mut inside) = (String::new(), false);
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("##") {
            let name = text.trim_start_matches('#').trim().trim_matches(['`', '[', ']']);
            heading = name.to_owned();
        }
        inside = line.starts_with("| key |") || inside && line.starts_with('|');
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let Some(key) =
            cells[0].strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).filter(|_| inside)
        {
            let rows = tables.entry(heading.clone()).or_default();
            assert!(rows.insert(key.to_owned(), cells[1].to_owned()).is_none(), "{heading}: `{key}` twice");
        }
    }
    tables
}

/// The description of the table of this name, wherever in the schema it is.
fn find<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(object) => {
            let here = object.get("properties").and_then(|keys| keys.get(name)).and_then(own_keys);
            here.or_else(|| object.values().find_map(|inner| find(inner, name)))
        }
        Value::Array(items) => items.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

/// The part of a description that has the keys: of the table itself, of one among many, or beside `false`.
fn own_keys(value: &Value) -> Option<&Value> {
    if value.get("properties").is_some_and(|keys| keys.get("type").is_none_or(Value::is_object)) {
        return Some(value);
    }
    let choices = ["anyOf", "oneOf"].iter().filter_map(|word| value.get(word)?.as_array()).flatten();
    value.get("items").into_iter().chain(choices).find_map(own_keys)
}

/// The default that a description ends with, if it is one that can be written.
fn default(key: &Value) -> Option<&str> {
    let (_, default) = key.get("description")?.as_str()?.rsplit_once("Default: ")?;
    let default = default.strip_suffix('.')?;
    (default.starts_with('"') || default.parse::<u64>().is_ok()).then_some(default)
}

fn compare(page: &str, table: &str, rows: &Rows, schema: &Value) {
    let none = Map::new();
    let keys = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let (named, there): (Vec<_>, Vec<_>) = (rows.keys().collect(), keys.keys().collect());
    assert_eq!(named, there, "{page}, {table}: the page's keys, and those of its schema");
    for (name, key) in keys {
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.is_some_and(|names| names.iter().any(|required| required == name));
        assert_eq!(rows[name] == "required", required, "{page}, {table}, `{name}`: required");
        if let Some(default) = default(key) {
            assert_eq!(rows[name].trim_matches('`'), default, "{page}, {table}, `{name}`: the default");
        }
    }
}

#[test]
fn every_key_of_every_file_stands_on_its_page_with_its_default() {
    for (name, least) in PAGES {
        let page = format!("docs/reference/{name}.md");
        let schema: Value = serde_json::from_str(&text(&format!("docs/schema/{name}.json"))).expect("JSON");
        let tables = tables(&text(&page));

        assert!(tables.len() >= least, "{page}: {:?}", tables.keys());
        for (table, rows) in &tables {
            let described =
                find(&schema, table).unwrap_or_else(|| panic!("{page}: the schema has no `{table}`"));
            compare(&page, table, rows, described);
        }
    }
}
