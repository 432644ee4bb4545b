//! `sinew apply` and `sinew diff`: files of resources come into force, or what that would change is shown.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sinew_api::apply::{Applied, Apply, Document, Refused, Rollout};
use sinew_api::document::InvalidDocument;
use sinew_transport_core::ids::Revision;

use crate::client::{ApiArgs, Client};

/// The exit code of `diff --exit-code` when something differs: a check that found something.
const DIFFERS: u8 = 79;

/// How long one question for the state of a rollout is left open.
const WAIT_MS: u64 = 5000;

/// Laggards that a message names.
const NAMED_MAX: usize = 20;

/// Which files.
#[derive(Debug, Args)]
struct Files {
    /// A file of resources, a directory of them (*.toml), or - for stdin; repeat it for more
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Delete every resource that no file names
    #[arg(long)]
    prune: bool,
    /// How to print what changes
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_APPLY_OUTPUT")]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// What to apply, and how long to wait for it.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    files: Files,
    /// Return when every node that the change concerns has acknowledged it
    #[arg(long)]
    wait: bool,
    /// How long --wait waits
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, env = "SINEW_APPLY_TIMEOUT")]
    timeout: Duration,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, for the history
    #[arg(short, long, value_name = "TEXT", default_value = "", env = "SINEW_APPLY_MESSAGE")]
    message: String,
}

/// What to compare.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    files: Files,
    /// End with 79 when something differs
    #[arg(long)]
    exit_code: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each resource that changes
    Text,
    /// The API's answer
    Json,
}

/// Runs `sinew apply`.
///
/// # Errors
/// When a file can't be read, the controller can't be reached or refuses, or nodes lag behind.
pub(crate) fn run(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.files.api)?;
    let Some(applied) = send(&client, &args.files, args.dry_run, args.message)? else {
        return Ok(ExitCode::FAILURE);
    };
    print(&applied, args.files.output)?;
    if args.wait && !args.dry_run {
        wait(&client, applied.revision, args.timeout)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `sinew diff`.
///
/// # Errors
/// As [`run`].
pub(crate) fn diff(args: DiffArgs) -> anyhow::Result<ExitCode> {
    let client = Client::find(&args.files.api)?;
    let Some(applied) = send(&client, &args.files, true, String::new())? else {
        return Ok(ExitCode::FAILURE);
    };
    print(&applied, args.files.output)?;
    let differs = args.exit_code && !applied.change.is_empty();
    Ok(if differs { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
}

/// Sends the files; none when there are mistakes in them, which are shown.
fn send(client: &Client, files: &Files, dry_run: bool, message: String) -> anyhow::Result<Option<Applied>> {
    let documents = documents(&files.files)?;
    let apply = Apply { documents, prune: files.prune, dry_run, message };
    match client.try_post::<Applied, Refused>("/v1/apply", &apply)? {
        Ok(applied) => Ok(Some(applied)),
        Err(refused) => {
            show(&refused, &apply.documents);
            Ok(None)
        }
    }
}

/// Every mistake, in the line in which it stands.
fn show(refused: &Refused, documents: &[Document]) {
    for bad in &refused.documents {
        let text = documents.iter().find(|document| document.name == bad.name).map_or("", |d| &d.text);
        let invalid = InvalidDocument::new(&bad.name, text, bad.mistakes.clone(), bad.more);
        eprintln!("{:?}", invalid.into_report());
    }
    eprintln!("error: nothing was changed");
}

/// What changed, or would.
pub(crate) fn print_change(applied: &Applied) {
    let Applied { revision, change, dry_run, .. } = applied;
    print!("{change}");
    match (change.is_empty(), dry_run) {
        (true, _) => eprintln!("nothing differs ({} resources as declared)", change.unchanged),
        (false, true) => eprintln!("nothing was changed: --dry-run or diff"),
        (false, false) => eprintln!("revision {revision}"),
    }
}

fn print(applied: &Applied, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => print_change(applied),
        Output::Json => println!("{}", serde_json::to_string_pretty(applied)?),
    }
    Ok(())
}

/// Waits until every node that a revision concerns has acknowledged it.
pub(crate) fn wait(client: &Client, revision: Revision, at_most: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} nodes have revision {msg}") {
        bar.set_style(style);
    }
    bar.set_message(revision.to_string());
    loop {
        let left = at_most.saturating_sub(begun.elapsed());
        let wait = u64::try_from(left.as_millis()).unwrap_or(WAIT_MS).min(WAIT_MS);
        let rollout: Rollout = client.get(&format!("/v1/rollouts/{revision}?wait={wait}"))?;
        let (concerned, late) = (rollout.concerned, rollout.laggards.len());
        bar.set_length(concerned as u64);
        bar.set_position((concerned - late.min(concerned)) as u64);
        if late == 0 {
            bar.finish_and_clear();
            let took = begun.elapsed().as_millis();
            eprintln!("all {concerned} concerned nodes have revision {revision} after {took} ms");
            return Ok(());
        }
        if begun.elapsed() >= at_most {
            bar.finish_and_clear();
            bail!("{}", lagging(&rollout, at_most));
        }
    }
}

fn lagging(rollout: &Rollout, waited: Duration) -> String {
    let Rollout { revision, concerned, laggards, .. } = rollout;
    let mut text = format!(
        "revision {revision} is in force, but {} of {concerned} concerned nodes have not acknowledged it in \
         {waited:?}; they get it when they can take it:",
        laggards.len()
    );
    for laggard in laggards.iter().take(NAMED_MAX) {
        text += &format!("\n  {}: {}", laggard.node, laggard.detail);
    }
    if laggards.len() > NAMED_MAX {
        text += &format!("\n  and {} more", laggards.len() - NAMED_MAX);
    }
    text
}

fn documents(files: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for file in files {
        if file.is_dir() {
            let listed = std::fs::read_dir(file).with_context(|| format!("reading {}", file.display()))?;
            let mut paths: Vec<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
            paths.sort();
            if paths.is_empty() {
                bail!("there is no *.toml in {}", file.display());
            }
            for path in paths {
                documents.push(document(&path)?);
            }
        } else {
            documents.push(document(file)?);
        }
    }
    Ok(documents)
}

fn document(path: &Path) -> anyhow::Result<Document> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("reading stdin")?;
        return Ok(Document { name: "stdin".to_owned(), text });
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading {name}: is it a TOML file of resources?"))?;
    Ok(Document { name, text })
}
