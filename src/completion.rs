//! `sinew completion SHELL`: a script that completes commands and flags.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};

/// Which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
///
/// # Errors
/// None; the signature is every command's.
pub(crate) fn run(args: CompletionArgs) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "sinew", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
