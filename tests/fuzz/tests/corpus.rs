//! What a fuzzer found once holds for ever: every file of every corpus, through its function.

#![allow(clippy::disallowed_methods, reason = "a test in the real world")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails there")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sinew_fuzz::TARGETS;

/// Files of one corpus: it is replayed by every `cargo test`, and read by people now and then.
const FILES_MAX: usize = 200;

/// Bytes of all corpora.
const BYTES_MAX: u64 = 300 * 1024;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_corpus_holds() {
    for (name, target) in TARGETS {
        let (mut taken, mut refused) = (0, 0);
        for file in files(&folder("corpus").join(name)) {
            let bytes = fs::read(&file).unwrap();
            let held = std::panic::catch_unwind(|| target(&bytes));
            let was_taken = held.unwrap_or_else(|_| panic!("{} breaks a promise", file.display()));
            *if was_taken { &mut taken } else { &mut refused } += 1;
        }
        assert!(taken > 0 && refused > 0, "{name}: {taken} files are taken and {refused} refused");
    }
}

#[test]
fn corpora_are_small() {
    let mut bytes = 0;
    for (name, _) in TARGETS {
        let files = files(&folder("corpus").join(name));
        assert!(files.len() <= FILES_MAX, "{name}: {} files", files.len());
        bytes += files.iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}

#[test]
fn every_function_has_a_corpus_and_a_program() {
    let names: BTreeSet<_> = TARGETS.map(|(name, _)| name.to_owned()).into();
    let stems = |of: &str| -> BTreeSet<String> {
        let stem = |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
        files(&folder(of)).iter().map(stem).collect()
    };
    assert_eq!(names.len(), TARGETS.len());
    assert_eq!(stems("corpus"), names);
    assert_eq!(stems("targets/fuzz_targets"), names);
    let manifest = fs::read_to_string(folder("targets/Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "targets/Cargo.toml knows no {name}");
    }
}
