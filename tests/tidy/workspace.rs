//! Finds what the rules read: manifests, the lock file, sources and texts of the workspace.
//!
//! Everything is read once, up front, and sorted, so that findings come in one order. Which crate a source
//! belongs to and whether it is a test is decided here, by its place and by how it is declared; the rules
//! only ask.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::code::{Facts, lex};

/// Where sources and pages are. Anything else at the root is either no text of ours or listed in
/// [`ROOT_FILES`].
const FOLDERS: [&str; 10] =
    ["src", "transport", "node", "controller", "scenarios", "tests", "benches", "docs", "packaging", ".ci"];

/// Texts at the root.
const ROOT_FILES: [&str; 9] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "justfile",
    "rustfmt.toml",
];

/// Deeper than any folder of ours; ends the walk should a link make a loop.
const MAX_DEPTH: usize = 12;

/// What the rules read.
pub(crate) struct Workspace {
    root: PathBuf,
    pub(crate) manifests: Vec<Manifest>,
    pub(crate) lock: Vec<Locked>,
    pub(crate) sources: Vec<Source>,
    pub(crate) texts: Vec<Text>,
}

/// A `Cargo.toml`.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) file: String,
    pub(crate) toml: toml::Table,
}

/// A package of `Cargo.lock`.
#[derive(Debug, Clone)]
pub(crate) struct Locked {
    pub(crate) name: String,
    /// As the lock file writes them: `name`, or `name version` where the name alone is not enough.
    pub(crate) dependencies: Vec<String>,
}

/// A file of Rust.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) area: Area,
    /// What it says outside tests; nothing when the file is a test.
    pub(crate) shipped: Facts,
    /// What it says anywhere.
    pub(crate) all: Facts,
}

/// Any file that a person reads.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// What the rules of DESIGN make of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// Pure.
    Core,
    /// Reaches the world through the seam.
    Driver,
    /// The real world's side of the seam.
    World,
    /// Programs, scenarios, tests, benches.
    Free,
}

/// The real world's side: of the seam, and of the store, which simulation replaces by one in memory.
const WORLD: [&str; 2] = ["transport/src/os.rs", "controller/src/store/disk.rs"];

impl Area {
    fn of(file: &str) -> Self {
        let within = |folder: &str| file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if ["transport/core", "node/core", "controller/core", "controller/api"].into_iter().any(within) {
            Self::Core
        } else if WORLD.contains(&file) || within("transport/src/os") {
            Self::World
        } else if ["transport", "node", "controller"].into_iter().any(within) {
            Self::Driver
        } else {
            Self::Free
        }
    }
}

impl Source {
    /// A source as it would be read from `file`.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let (shipped, all) = lex(text);
        let test = file.split('/').any(|part| ["tests", "benches", "examples"].contains(&part));
        let shipped = if test { Facts::default() } else { shipped };
        Self { file: file.into(), text: text.into(), area: Area::of(file), shipped, all }
    }

    /// The files in which `mod name;` of this source may continue: `name.rs` and everything in `name/`.
    fn module(&self, name: &str) -> String {
        let (folder, file) = self.file.rsplit_once('/').unwrap_or(("", &self.file));
        match file.trim_end_matches(".rs") {
            "lib" | "main" | "mod" => format!("{folder}/{name}"),
            stem => format!("{folder}/{stem}/{name}"),
        }
    }
}

/// Modules that are declared under `#[cfg(test)]` ship nothing, wherever their files are.
pub(crate) fn clear_test_modules(sources: &mut [Source]) {
    let tests: Vec<String> = sources
        .iter()
        .flat_map(|source| source.all.test_modules.iter().map(|name| source.module(name)))
        .collect();
    for source in sources {
        let stem = source.file.trim_end_matches(".rs");
        if tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/"))) {
            source.shipped = Facts::default();
        }
    }
}

impl Workspace {
    /// The workspace that this test was built from, read once for all rules.
    pub(crate) fn open() -> &'static Self {
        static WORKSPACE: LazyLock<Workspace> = LazyLock::new(Workspace::read);
        &WORKSPACE
    }

    fn read() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut files = BTreeSet::new();
        for folder in FOLDERS {
            walk(&root.join(folder), MAX_DEPTH, &mut files);
        }
        files.extend(ROOT_FILES.map(|file| root.join(file)).into_iter().filter(|file| file.exists()));

        let texts: Vec<Text> = files.iter().filter_map(|file| text(&root, file)).collect();
        let ending = |end: &'static str| texts.iter().filter(move |text| text.file.ends_with(end));
        let mut sources: Vec<_> = ending(".rs").map(|text| Source::new(&text.file, &text.text)).collect();
        clear_test_modules(&mut sources);
        let manifests = ending("Cargo.toml").map(|text| Manifest::new(&text.file, &text.text));
        let manifests = manifests.filter(Manifest::is_of_this_workspace).collect();
        let lock = fs::read_to_string(root.join("Cargo.lock")).expect("Cargo.lock is committed");
        Self { manifests, lock: parse_lock(&lock), sources, texts, root }
    }

    /// The text of a file; empty when there is none.
    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.root.join(file).exists()
    }
}

impl Manifest {
    /// A manifest as it would be read from `file`.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let toml = text.parse().unwrap_or_else(|error| panic!("{file} is not TOML: {error}"));
        Self { file: file.into(), toml }
    }

    /// Whether what the root says holds for it. One deeper down with a `[workspace]` of its own inherits nothing: the
    /// programs of libFuzzer, which another compiler builds.
    fn is_of_this_workspace(&self) -> bool {
        self.file == "Cargo.toml" || !self.toml.contains_key("workspace")
    }
}

/// Reads the packages of a lock file.
pub(crate) fn parse_lock(text: &str) -> Vec<Locked> {
    let lock: toml::Table = text.parse().expect("Cargo.lock is TOML");
    let text = |value: Option<&toml::Value>| value.and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let packages = lock.get("package").and_then(|v| v.as_array()).into_iter().flatten();
    packages
        .map(|package| Locked {
            name: text(package.get("name")),
            dependencies: package
                .get("dependencies")
                .and_then(|v| v.as_array())
                .into_iter()
                .flatten()
                .map(|dependency| text(Some(dependency)))
                .collect(),
        })
        .collect()
}

fn text(root: &Path, file: &Path) -> Option<Text> {
    let name = file.strip_prefix(root).ok()?.to_str()?.to_owned();
    let read = name == ".ci/run"
        || name == "justfile"
        || [".rs", ".toml", ".md"].iter().any(|end| name.ends_with(end));
    if read { Some(Text { text: fs::read_to_string(file).ok()?, file: name }) } else { None }
}

fn walk(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 && entry.file_name() != "target" => {
                walk(&path, depth - 1, files);
            }
            Ok(kind) if kind.is_file() => {
                files.insert(path);
            }
            _ => {}
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn an_area_follows_from_the_place() {
        for (file, area) in [
            ("transport/core/src/link.rs", Area::Core),
            ("controller/api/src/lib.rs", Area::Core),
            ("transport/src/session.rs", Area::Driver),
            ("transport/src/os.rs", Area::World),
            ("transport/src/oslo.rs", Area::Driver),
            ("src/main.rs", Area::Free),
            ("scenarios/src/lib.rs", Area::Free),
        ] {
            assert_eq!(Area::of(file), area, "{file}");
        }
    }

    #[test]
    fn a_workspace_within_the_workspace_is_another() {
        let own = "[workspace]\n[package]\nname = \"x\"";

        assert!(Manifest::new("Cargo.toml", own).is_of_this_workspace());
        assert!(Manifest::new("tests/fuzz/Cargo.toml", "[package]").is_of_this_workspace());
        assert!(!Manifest::new("tests/fuzz/targets/Cargo.toml", own).is_of_this_workspace());
    }

    #[test]
    fn a_module_declared_for_tests_ships_nothing() {
        let mut sources = [
            Source::new("node/src/lib.rs", "#[cfg(test)] mod lab; mod live;"),
            Source::new("node/src/lab.rs", "use std::fs;"),
            Source::new("node/src/lab/deep.rs", "use std::fs;"),
            Source::new("node/src/live.rs", "use std::fs; #[cfg(test)] mod tests;"),
            Source::new("node/src/live/tests.rs", "use std::fs;"),
        ];

        clear_test_modules(&mut sources);

        let ships: Vec<_> = sources.iter().filter(|s| !s.shipped.paths.is_empty()).map(|s| &s.file).collect();
        assert_eq!(ships, ["node/src/lib.rs", "node/src/live.rs"]);
    }
}
