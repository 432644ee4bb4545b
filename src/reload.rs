//! Configuration files that are read again: at SIGHUP, and when the file changes.
//!
//! The *directory* is watched, because editors and deployments replace a file by renaming another over it, and a
//! watched file that was replaced is never heard of again. What happens within [`QUIET`] is one change. Whoever runs
//! gets each attempt by a channel; the mistakes themselves are shown here, where there is a terminal.

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use sinew_api::document::InvalidDocument;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// A file is read when nothing happened to its directory for so long: who writes in pieces is done by then.
const QUIET: Duration = Duration::from_millis(100);

/// Wake-ups that are kept; more of them say nothing more.
const WAKES_MAX: usize = 1;

/// What came of reading a file again.
pub(crate) type Attempt<T> = Option<Result<T, String>>;

/// Reads the file at `path`, which said `text`, again at SIGHUP and when it changes, for as long as the runtime lives. A file that says
/// the same as before is not read.
///
/// # Errors
/// When signals can't be watched. A directory that can't be watched is only told: SIGHUP is left.
pub(crate) fn follow<T: Send + Sync + 'static>(
    runtime: &Runtime,
    path: PathBuf,
    text: String,
    parse: impl Fn(&str) -> Result<T, InvalidDocument> + Send + 'static,
) -> std::io::Result<watch::Receiver<Attempt<T>>> {
    let _inside = runtime.enter();
    let mut hangup = signal(SignalKind::hangup())?;
    let (wake, mut woken) = mpsc::channel(WAKES_MAX);
    let watcher = watch_directory(&path, wake.clone());
    let (attempts, follower) = watch::channel(None);
    runtime.spawn(async move {
        let (_watcher, _wake) = (watcher, wake);
        let mut before = text;
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                _ = woken.recv() => {
                    sleep(QUIET).await;
                    while woken.try_recv().is_ok() {}
                    false
                }
            };
            let text = match tokio::fs::read_to_string(&path).await {
                Ok(text) => text,
                // Between two names of a file that is being replaced; or there never was one.
                Err(error) if error.kind() == NotFound && (!asked || before.is_empty()) => continue,
                Err(error) => {
                    attempts.send_replace(Some(Err(format!("reading {}: {error}", path.display()))));
                    continue;
                }
            };
            if !asked && before == text {
                continue;
            }
            let attempt = parse(&text).map_err(|mistakes| {
                let told = mistakes.to_string();
                eprintln!("{:?}", mistakes.into_report());
                told
            });
            before = text;
            attempts.send_replace(Some(attempt));
        }
    });
    Ok(follower)
}

fn watch_directory(path: &Path, wake: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let notice = move |event: notify::Result<notify::Event>| {
        // Reading the file is an event, too.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = wake.try_send(());
        }
    };
    let watching = notify::recommended_watcher(notice).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(|error| {
            let directory = directory.display();
            tracing::warn!(%error, %directory, "can't watch for changes of the configuration; send SIGHUP instead");
        })
        .ok()
}
