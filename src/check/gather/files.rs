//! State directories, certificates and tokens. Of secrets only the outside is looked at.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sinew_api::join::Token;
use sinew_transport::validity::Validity;

use crate::check::facts::{Entry, Found, Kind, State};

/// What must be private in a node's state directory.
const NODE_SECRETS: [&str; 5] =
    ["identity.pem", "keys.json", "admin.token", "snapshot.json", "endpoints.json"];
/// The same of a controller.
const CONTROLLER_SECRETS: [&str; 5] =
    ["ca.key.pem", "controller.key.pem", "admin.token", "reset.keys", "store.redb"];

/// A state directory and what is secret in it.
pub(super) fn state(path: &Path, kind: Kind, runs_as: Option<u32>) -> State {
    let secrets = match kind {
        Kind::Node => NODE_SECRETS,
        Kind::Controller => CONTROLLER_SECRETS,
    };
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
        Err(error) => Found::Unreadable(error.to_string()),
        Ok(own) => match fs::read_dir(path) {
            Err(error) => Found::Unreadable(error.to_string()),
            Ok(_) => Found::There {
                own: entry(path, &own),
                secrets: secrets
                    .iter()
                    .filter_map(|name| {
                        let path = path.join(name);
                        Some(entry(&path, &fs::metadata(&path).ok()?))
                    })
                    .collect(),
                runs_as: runs_as.map(user),
            },
        },
    };
    State { path: path.to_owned(), found }
}

fn entry(path: &Path, metadata: &Metadata) -> Entry {
    Entry { name: path.display().to_string(), mode: metadata.mode() & 0o7777, owner: user(metadata.uid()) }
}

/// The name of a user, or the number.
pub(crate) fn user(uid: u32) -> String {
    let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    known.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The time of the first certificate in a file; none when there is no such file.
pub(super) fn validity(path: &Path) -> Result<Option<Validity>, String> {
    let Some(certificate) = certificate(path)? else { return Ok(None) };
    Validity::of(&certificate).map(Some).ok_or_else(|| "it is not a certificate".to_owned())
}

/// The first certificate in a file; none when there is no such file.
pub(super) fn certificate(path: &Path) -> Result<Option<CertificateDer<'static>>, String> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(text) => CertificateDer::from_pem_slice(&text)
            .map(Some)
            .map_err(|_| "there is no certificate in it".to_owned()),
    }
}

/// A token file, if it can be used.
pub(super) fn token(path: &Path) -> Result<PathBuf, String> {
    if path == Path::new("-") {
        return Ok(path.to_owned());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Token::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.to_owned())
}
