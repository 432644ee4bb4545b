//! `sinew man`: the manual, made of what `--help` says, so that both always agree. Packages put the pages into
//! `/usr/share/man/man1`; `sinew man | man -l -` shows the first.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// What every command's exit code means.
const EXITS: [(&str, &str); 4] = [
    ("0", "Success."),
    ("1", "Failure; standard error says what was tried, and what to do."),
    ("2", "Wrong usage."),
    ("79", "An expectation was not met: sinew bench, sinew config validate."),
];

/// Files that commands use unless told otherwise.
const FILES: [(&str, &str); 4] = [
    ("/etc/sinew/node.toml", "Configuration of a node."),
    ("/etc/sinew/controller.toml", "Configuration of a controller."),
    ("/var/lib/sinew/node", "State of a node: keys, certificate, the last snapshot. For its user only."),
    (
        "/var/lib/sinew/controller",
        "State of a controller: the authority's key, tokens, resources. For its user only.",
    ),
];

/// Where to put the pages.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory: sinew.1, sinew-apply.1, ...
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the main page, or writes all.
///
/// # Errors
/// When a page can't be written.
pub(crate) fn run(args: ManArgs) -> anyhow::Result<ExitCode> {
    let mut sinew = without_help(crate::Cli::command());
    sinew.build();
    match args.dir {
        None => std::io::stdout().write_all(&page(&sinew)?).context("writing to standard output")?,
        Some(dir) => {
            fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
            let written = write(&sinew, &dir)?;
            eprintln!("{written} pages; `man -l {}/sinew.1` shows the first", dir.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands; how many there were.
fn write(command: &Command, dir: &Path) -> anyhow::Result<usize> {
    let path = dir.join(format!("{}.1", full_name(command)));
    fs::write(&path, page(command)?).with_context(|| format!("writing {}", path.display()))?;
    let mut written = 1;
    for below in shown(command) {
        written += write(below, dir)?;
    }
    Ok(written)
}

/// `help` is no command that needs a page.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// The subcommands that have a page.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set())
}

/// `sinew-token-create`.
fn full_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    // Of no date: the same program makes the same page.
    let source = format!("sinew {}", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).manual("Sinew").source(source).render(&mut text)?;
    let mut more = Roff::new();
    list(&mut more, "EXIT STATUS", EXITS);
    list(&mut more, "FILES", FILES);
    more.control("SH", ["SEE ALSO"]);
    let others: Vec<_> = [crate::Cli::command().get_name().to_owned()]
        .into_iter()
        .chain(shown(command).map(|below| full_name(below).to_owned()))
        .filter(|name| name != full_name(command))
        .map(|name| format!("{name}(1)"))
        .collect();
    more.text([roman(format!("{}. The pages under docs/ say more.", others.join(", ")))]);
    more.to_writer(&mut text)?;
    Ok(text)
}

fn list<'t>(roff: &mut Roff, title: &str, entries: impl IntoIterator<Item = (&'t str, &'t str)>) {
    roff.control("SH", [title]);
    for (name, text) in entries {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(text)]);
    }
}
