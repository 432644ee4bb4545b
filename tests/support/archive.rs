//! What is in a `.tar.gz`, for stories about files that are made to be sent: read as whoever gets one reads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Its files by name, without the folder that holds them all; as text.
pub fn unpack(path: &Path) -> BTreeMap<String, String> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("a whole archive");
        let name = entry.path().expect("a name").display().to_string();
        let (_, name) = name.split_once('/').expect("a folder");
        let name = name.to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a whole file");
        files.insert(name, String::from_utf8_lossy(&bytes).into_owned());
    }
    files
}
