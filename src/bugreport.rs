//! `sinew bugreport`: one file with what somebody needs who helps with a problem.
//!
//! [`parts`] gathers texts, [`redact`] takes out of every one of them what must stay here, and this file writes them.
//! Of files that hold keys only names, sizes and modes are told.

mod parts;
mod redact;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::HumanBytes;

use parts::Part;
use redact::Redactor;

/// The most of one part: metrics and status of some thousand nodes. What is longer is cut, and says so.
const PART_MAX: usize = 8 * 1024 * 1024;

/// What to gather, and where to put it.
#[derive(Debug, Args)]
pub(crate) struct BugreportArgs {
    /// The file to write, which must not be there yet [default: sinew-bugreport-TIME.tar.gz]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A node.toml or controller.toml; repeat it for a machine that has both [default: those of /etc/sinew]
    #[arg(short, long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// A log whose end to add, if it is not found by itself; repeat it for more
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When a file that was named can't be read, or the report can't be written.
pub(crate) fn run(args: BugreportArgs) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now();
    let stem = format!("sinew-bugreport-{}", humantime::format_rfc3339_seconds(now)).replace(':', "");
    let path = args.output.unwrap_or_else(|| format!("{stem}.tar.gz").into());
    let gathered = parts::gather(&args.config, &args.log)?;
    let redactor = Redactor::new(gathered.secrets);
    let clean: Vec<Part> = gathered.parts.into_iter().map(|part| clean(part, &redactor)).collect();
    write(&path, &stem, &clean, now).with_context(|| {
        format!("writing {}: it must not be there yet; choose another with --output", path.display())
    })?;
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!("{} ({}) holds:\n", path.display(), HumanBytes(size));
    for part in &clean {
        println!("  {:32} {:>10}", part.name, HumanBytes(part.text.len() as u64).to_string());
    }
    println!(
        "\nKeys and tokens are not in it. Names of nodes and services, addresses and the end of logs are: look at it \
         before you send it.\n\n  tar xzf {}",
        path.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn clean(part: Part, redactor: &Redactor) -> Part {
    let mut text = redactor.clean(&part.text);
    if text.len() > PART_MAX {
        text.truncate(text.floor_char_boundary(PART_MAX));
        text.push_str("\n[cut here]\n");
    }
    Part { text, ..part }
}

/// Writes a tar archive that only its owner reads.
fn write(path: &Path, stem: &str, parts: &[Part], now: SystemTime) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mtime = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(part.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(mtime);
        archive.append_data(&mut header, format!("{stem}/{}", part.name), part.text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}
