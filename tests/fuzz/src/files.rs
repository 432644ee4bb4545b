//! What people write: configurations, scenarios, resources.
//!
//! A configuration that is taken means the same however it is laid out: printed anew from its TOML, it reads as the
//! same value. A text that is not taken says where: mistakes in the order of the file, each in the text, on one line.

use std::fmt::Debug;
use std::ops::Range;

use sinew_api::document::{InvalidDocument, Mistake};
use sinew_api::resource::Resources;
use sinew_controller_core::Declared;
use sinew_controller_core::resources::{
    File, Known, TokenGrants, Unnamed, change, check, merge, read, render,
};
use sinew_node_core::Config;

/// Mistakes that are shown of one file (`controller/api/src/document/mistakes.rs`).
const SHOWN_MAX: usize = 50;

/// Reports for terminals are drawn for texts up to this: drawing is slow, and longer ones draw alike.
const DRAWN_MAX: usize = 1024;

/// `node.toml`.
pub fn node_config(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Some(config) = taken(text, Config::parse) else { return false };
    same_when_printed(text, &config, Config::parse);
    assert!(config.restart_keys(&config).is_empty());
    assert!(config.listens.len() <= 512 && config.serves.len() <= 512);
    assert!(config.shards.is_none_or(|shards| (1..=64).contains(&shards)));
    assert!(config.admin.is_none_or(|admin| admin.ip().is_loopback()), "admin pages are for this machine");
    assert!(config.serves.iter().all(|serve| (1..=1_000_000).contains(&serve.capacity)));
    assert!(config.serves.iter().all(|serve| serve.labels.len() <= 16 && serve.address.port() != 0));
    assert!(config.drain_timeout.as_secs() <= 3600 && config.expiry_grace.as_secs() <= 90 * 24 * 3600);
    assert!((500..=25_000).contains(&config.dead_after.as_millis()));
    assert!((100..=300_000).contains(&config.connect_timeout.as_millis()));
    true
}

/// `controller.toml`.
pub fn controller_config(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Some(config) = taken(text, sinew_controller::Config::parse) else { return false };
    same_when_printed(text, &config, sinew_controller::Config::parse);
    assert!(config.restart_keys(&config).is_empty());
    assert!(config.api.ip().is_loopback(), "the API is for this machine");
    true
}

/// What `sinew bench` plays.
pub fn scenario(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    taken(text, sinew_scenarios::file::parse).is_some()
}

/// How a kind of file is read.
type Parse<T> = fn(&str, &str) -> Result<T, InvalidDocument>;

/// Parses a text; a comment behind it changes nothing.
fn taken<T: PartialEq + Debug>(text: &str, parse: Parse<T>) -> Option<T> {
    match parse("f.toml", text) {
        Ok(value) => {
            let commented = parse("f.toml", &format!("{text}\n# the end"));
            assert_eq!(commented.as_ref().ok(), Some(&value), "{commented:?}");
            Some(value)
        }
        Err(invalid) => {
            told_well(invalid, "f.toml", text);
            None
        }
    }
}

/// A value is the same in another layout. (In a scenario the order of tables counts, which a printer loses.)
fn same_when_printed<T: PartialEq + Debug>(text: &str, value: &T, parse: Parse<T>) {
    // Integers beyond TOML's own are read by us and not by its printer.
    if let Ok(table) = text.parse::<toml::Table>() {
        let again = toml::to_string(&table).expect("a table is TOML");
        let same = parse("again.toml", &again);
        assert_eq!(same.as_ref().ok(), Some(value), "{same:?} of\n{again}");
    }
}

/// Resources: what stands before a line of `---` is there already, what follows is applied.
pub fn resources(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let (stored, text) = text.split_once("\n---\n").unwrap_or(("", text));
    let tokens = TokenGrants::new();
    let stored = alone(stored).unwrap_or_default();
    let known = Known { stored: &stored, tokens: &tokens };
    for unnamed in [Unnamed::Kept, Unnamed::Deleted] {
        let set = match read(&[File { name: "mesh.toml", text }], known, unnamed) {
            Ok(set) => set,
            Err(invalid) => {
                assert_eq!(invalid.len(), 1, "one file, one list of mistakes");
                invalid.into_iter().for_each(|invalid| told_well(invalid, "mesh.toml", text));
                continue;
            }
        };
        assert_eq!(check(&set, &tokens), [], "nothing wrong is taken");
        let again = render(&set);
        assert_eq!(alone(&again).as_ref().ok(), Some(&set), "it reads back as rendered:\n{again}");
        let json = serde_json::to_string(&set).expect("plain data");
        assert_eq!(serde_json::from_str::<Resources>(&json).expect("as it was written"), set);
        assert!(change(&set, &set).is_empty());
        assert_eq!(change(&stored, &set).is_empty(), stored == set);
        assert_eq!(merge(&set, set.clone(), unnamed), set);
        let _ = Declared::new(&set);
    }
    alone(text).is_ok()
}

/// The resources of one file, and nothing else.
fn alone(text: &str) -> Result<Resources, Vec<InvalidDocument>> {
    let (stored, tokens) = (Resources::default(), TokenGrants::new());
    let known = Known { stored: &stored, tokens: &tokens };
    read(&[File { name: "mesh.toml", text }], known, Unnamed::Kept)
}

/// Mistakes that help whoever reads them.
fn told_well(invalid: InvalidDocument, file_name: &str, text: &str) {
    let mistakes: Vec<Mistake> = invalid.mistakes().cloned().collect();
    assert!((1..=SHOWN_MAX).contains(&mistakes.len()), "{} mistakes", mistakes.len());
    assert!(invalid.more() == 0 || mistakes.len() == SHOWN_MAX);
    for mistake in &mistakes {
        in_its_place(mistake, text);
    }
    assert!(mistakes.windows(2).all(|pair| pair[0].span.start <= pair[1].span.start), "in the file's order");
    let lines = mistakes.len() + usize::from(invalid.more() > 0);
    let shown = invalid.to_string();
    assert_eq!(shown.lines().count(), lines, "a line for each mistake:\n{shown}");
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "nothing that steers a terminal: {shown:?}");

    let json = serde_json::to_string(&mistakes).expect("plain data");
    let again = serde_json::from_str(&json).expect("as it was written");
    assert_eq!(InvalidDocument::new(file_name, text, again, invalid.more()).to_string(), shown);
    if text.len() <= DRAWN_MAX {
        assert!(!format!("{:?}", invalid.into_report()).is_empty());
    }
}

fn in_its_place(mistake: &Mistake, text: &str) {
    let Range { start, end } = mistake.span;
    assert!(start <= end && text.get(start..end).is_some(), "{mistake:?} in {text:?}");
    let before = &text[..start];
    assert_eq!(mistake.line, before.split('\n').count());
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    assert_eq!(mistake.column, column);
    assert!(!mistake.message.is_empty() && !mistake.help.is_empty());
}
