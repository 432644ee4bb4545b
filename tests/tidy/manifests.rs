//! Which crate may depend on which, what a core must not name, and where versions are written.
//!
//! The table below is DESIGN's house in one place. All kinds of dependencies count: a test that needs the
//! other side of the mesh belongs in the root's `tests/`.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::Finding;
use crate::workspace::{Locked, Manifest};

/// The crates of ours that each crate may use. Node and controller share words (`sinew-api`), never code.
/// What is missing here may use everything, and nothing here may use it.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("sinew-transport-core", &[]),
    ("sinew-api", &["sinew-transport-core"]),
    ("sinew-node-core", &["sinew-transport-core", "sinew-api"]),
    ("sinew-controller-core", &["sinew-transport-core", "sinew-api"]),
    ("sinew-transport", &["sinew-transport-core"]),
    ("sinew-node", &["sinew-transport-core", "sinew-transport", "sinew-node-core", "sinew-api"]),
    ("sinew-controller", &["sinew-transport-core", "sinew-transport", "sinew-controller-core", "sinew-api"]),
];

/// The crates that use everything: programs, scenarios, tests.
const USE_EVERYTHING: [&str; 4] = ["sinew", "sinew-scenarios", "sinew-sim", "sinew-fuzz"];

/// Crates that read no clock, socket, environment or unseeded randomness.
const CORES: [&str; 4] = ["sinew-transport-core", "sinew-api", "sinew-node-core", "sinew-controller-core"];

/// Crates that bring sockets, runtimes, clocks or entropy. A name that ends in `*` stands for a family.
const IMPURE: [&str; 21] = [
    "async-std",
    "aws-lc*",
    "axum*",
    "chrono",
    "getrandom",
    "hyper*",
    "libc",
    "mio",
    "nix",
    "notify",
    "quinn*",
    "rand",
    "rand_core",
    "rcgen",
    "reqwest",
    "ring",
    "rustls*",
    "smol",
    "socket2",
    "time",
    "tokio*",
];

/// What a terminal report needs (miette's drawing), and nothing that it could decide by: these may sit
/// *below* a core, where its own sources cannot name them.
const TOLERATED_BELOW: [&str; 1] = ["libc"];

/// Who may name bincode: the module that calls it, and the crate whose messages derive it.
const BINCODE: [&str; 2] = ["sinew-transport-core", "sinew-api"];

/// One line of a dependency table.
struct Dependency<'a> {
    /// The package's name.
    package: String,
    /// `dependencies`, `dev-dependencies` or `build-dependencies`.
    table: &'static str,
    value: &'a Value,
}

fn name(manifest: &Manifest) -> &str {
    let package = manifest.toml.get("package").and_then(Value::as_table);
    package.and_then(|table| table.get("name")).and_then(Value::as_str).unwrap_or_default()
}

fn dependencies(manifest: &Manifest) -> Vec<Dependency<'_>> {
    let targets = manifest.toml.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let holders: Vec<&Table> = std::iter::once(&manifest.toml).chain(targets).collect();
    let mut found = Vec::new();
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for entries in holders.iter().filter_map(|holder| holder.get(table)).filter_map(Value::as_table) {
            for (key, value) in entries {
                let renamed = value.get("package").and_then(Value::as_str);
                found.push(Dependency { package: renamed.unwrap_or(key).to_owned(), table, value });
            }
        }
    }
    found
}

fn is_impure(package: &str) -> bool {
    IMPURE.iter().any(|name| match name.strip_suffix('*') {
        Some(family) => package.starts_with(family),
        None => package == *name,
    })
}

/// Every crate of ours uses only those that DESIGN lets it use.
pub(crate) fn directions(manifests: &[Manifest]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in manifests {
        let name = name(manifest);
        if USE_EVERYTHING.contains(&name) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name) else {
            let problem = format!("`{name}` has no place in the house; add it to the table in tests/tidy");
            findings.push(Finding::new(&manifest.file, 0, problem));
            continue;
        };
        for dependency in dependencies(manifest) {
            let ours = dependency.package == "sinew" || dependency.package.starts_with("sinew-");
            if ours && !allowed.contains(&dependency.package.as_str()) {
                let problem = format!("`{name}` may not depend on `{}`", dependency.package);
                findings.push(Finding::new(&manifest.file, 0, problem));
            }
        }
    }
    findings
}

/// No core names a crate that reads clocks, sockets or entropy; bincode stays with the wire.
pub(crate) fn pure_cores(manifests: &[Manifest]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in manifests {
        let name = name(manifest);
        for dependency in dependencies(manifest) {
            let package = &dependency.package;
            if CORES.contains(&name) && is_impure(package) {
                let problem = format!("a core may not use `{package}`; take what it gives as an argument");
                findings.push(Finding::new(&manifest.file, 0, problem));
            }
            if package == "bincode" && !BINCODE.contains(&name) {
                let problem = "bincode is for wire types only; see docs/decisions/0001-bincode.md";
                findings.push(Finding::new(&manifest.file, 0, problem));
            }
        }
    }
    findings
}

/// Nothing that a core is built with, however deep, brings a runtime or entropy.
pub(crate) fn pure_reach(manifests: &[Manifest], lock: &[Locked]) -> Vec<Finding> {
    let by_name: BTreeMap<&str, &Manifest> = manifests.iter().map(|m| (name(m), m)).collect();
    let mut findings = Vec::new();
    for core in CORES.iter().filter_map(|core| by_name.get(core)) {
        // Each crate below with the one that brought it.
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut next: Vec<(String, String)> = vec![(name(core).to_owned(), "itself".to_owned())];
        while let Some((package, through)) = next.pop() {
            let below = match by_name.get(package.as_str()) {
                // The lock file mixes in what our own tests use; the manifest does not.
                Some(manifest) => shipped(manifest),
                None => locked(lock, &package),
            };
            if seen.insert(package.clone(), through).is_none() {
                next.extend(below.into_iter().map(|dependency| (dependency, package.clone())));
            }
        }
        for (package, through) in &seen {
            if is_impure(package) && !TOLERATED_BELOW.contains(&package.as_str()) {
                let problem = format!("is built with `{package}`, through `{through}`");
                findings.push(Finding::new(&core.file, 0, problem));
            }
        }
    }
    findings
}

fn shipped(manifest: &Manifest) -> Vec<String> {
    let all = dependencies(manifest).into_iter();
    all.filter(|dependency| dependency.table != "dev-dependencies").map(|d| d.package).collect()
}

/// What every locked version of a package depends on.
fn locked(lock: &[Locked], package: &str) -> Vec<String> {
    let versions = lock.iter().filter(|locked| locked.name == package);
    let all = versions.flat_map(|locked| &locked.dependencies);
    // `name`, or `name version` where two versions are locked: the name is enough here.
    all.filter_map(|dependency| dependency.split(' ').next()).map(str::to_owned).collect()
}

/// Versions, edition and lints stand in the root and nowhere else.
pub(crate) fn declared_once(manifests: &[Manifest]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in manifests {
        let mut add = |problem: String| findings.push(Finding::new(&manifest.file, 0, problem));
        for dependency in dependencies(manifest) {
            if !inherits(Some(dependency.value)) {
                add(format!(
                    "`{}` must be `workspace = true`: its version stands in the root",
                    dependency.package
                ));
            }
        }
        for key in ["version", "edition", "rust-version", "license"] {
            if !inherits(manifest.toml.get("package").and_then(|package| package.get(key))) {
                add(format!("`{key}` must be `workspace = true`"));
            }
        }
        if !inherits(manifest.toml.get("lints")) {
            add("`[lints]` must be `workspace = true`".into());
        }
        let shared = manifest.toml.get("workspace").and_then(|workspace| workspace.get("dependencies"));
        for (package, value) in shared.and_then(Value::as_table).into_iter().flatten() {
            let version = value.as_str().or_else(|| value.get("version").and_then(Value::as_str));
            let bounded = version.is_some_and(|version| !version.contains('*'));
            let ours = value.get("path").is_some() && value.get("git").is_none();
            if !bounded && !ours {
                add(format!("`{package}` must name a version"));
            }
        }
    }
    let names: BTreeSet<&str> = manifests.iter().map(name).collect();
    if names.len() != manifests.len() {
        findings.push(Finding::new("Cargo.toml", 0, "two crates have one name"));
    }
    findings
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

mod tests {
    use super::*;
    use crate::workspace::parse_lock;

    fn manifest(name: &str, rest: &str) -> Manifest {
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        Manifest::new("x/Cargo.toml", &text)
    }

    #[test]
    fn a_node_that_uses_the_controller_is_found() {
        let node = "[dependencies]\nsinew-controller.workspace = true\nsinew-api.workspace = true";

        assert_eq!(directions(&[manifest("sinew-node", node)]).len(), 1);
    }

    #[test]
    fn a_core_that_uses_its_driver_only_in_tests_is_found() {
        let core = "[dev-dependencies]\nsinew-transport.workspace = true";

        assert_eq!(directions(&[manifest("sinew-transport-core", core)]).len(), 1);
    }

    #[test]
    fn a_renamed_dependency_and_one_of_a_target_are_found() {
        let renamed = "[dependencies]\nwords = { package = \"sinew-node\", workspace = true }";
        let target = "[target.'cfg(unix)'.dependencies]\nsinew-node.workspace = true";

        assert_eq!(directions(&[manifest("sinew-controller", renamed)]).len(), 1);
        assert_eq!(directions(&[manifest("sinew-controller", target)]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_place_in_the_house_is_found() {
        assert_eq!(directions(&[manifest("sinew-extra", "")]).len(), 1);
    }

    #[test]
    fn a_core_that_names_a_runtime_is_found() {
        for package in ["tokio", "tokio-util", "quinn-proto", "rustls", "rand", "getrandom"] {
            let core = format!("[dev-dependencies]\n{package}.workspace = true");
            assert_eq!(pure_cores(&[manifest("sinew-node-core", &core)]).len(), 1, "{package}");
        }
    }

    #[test]
    fn bincode_beyond_the_wire_is_found() {
        let bincode = "[dependencies]\nbincode.workspace = true";

        assert_eq!(pure_cores(&[manifest("sinew-node", bincode)]).len(), 1);
        assert!(pure_cores(&[manifest("sinew-api", bincode)]).is_empty());
    }

    #[test]
    fn a_runtime_below_a_harmless_crate_is_found() {
        let core = manifest("sinew-api", "[dependencies]\ngood.workspace = true");
        let lock = parse_lock(
            "[[package]]\nname = \"good\"\nversion = \"1.0.0\"\ndependencies = [\"better 2.0.0\"]\n\
             [[package]]\nname = \"better\"\nversion = \"2.0.0\"\ndependencies = [\"mio\"]\n\
             [[package]]\nname = \"mio\"\nversion = \"1.0.0\"\n",
        );

        let findings = pure_reach(&[core], &lock);

        assert_eq!(findings.len(), 1);
        assert!(findings[0].problem.contains("through `better`"), "{}", findings[0]);
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        let own = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                   license.workspace = true\n[lints]\nworkspace = true\n[dependencies]\nbytes = \"1\"";

        assert_eq!(declared_once(&[manifest("sinew-node", own)]).len(), 1);
    }

    #[test]
    fn a_manifest_without_the_shared_lints_is_found() {
        let problems: Vec<_> =
            declared_once(&[manifest("sinew-node", "")]).into_iter().map(|f| f.problem).collect();

        assert!(problems.iter().any(|problem| problem.contains("[lints]")), "{problems:?}");
    }

    #[test]
    fn a_version_that_takes_anything_is_found() {
        let root = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                    license.workspace = true\n[lints]\nworkspace = true\n[workspace.dependencies]\n\
                    a = \"*\"\nb = { git = \"https://example.com/b\" }\nc = \"1\"\nd = { path = \"d\" }";

        assert_eq!(declared_once(&[manifest("sinew", root)]).len(), 2);
    }
}
