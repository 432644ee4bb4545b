//! Where logs go and how they look: text for a person at a terminal, JSON for a machine; always stderr.

use std::io::IsTerminal as _;

use clap::{ArgAction, Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How much is logged, and how.
#[derive(Debug, Args)]
pub(crate) struct LoggingArgs {
    /// Log more: -v debug, -vv trace. RUST_LOG, when set, decides instead
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// How log lines look [default: text on a terminal, json otherwise]
    #[arg(long, global = true, value_enum, env = "SINEW_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Whether to use colour; NO_COLOR is respected
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, env = "SINEW_COLOR")]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl LoggingArgs {
    /// Whether what goes to a terminal, or elsewhere, has colours.
    pub(crate) fn colored(&self, terminal: bool) -> bool {
        match self.color {
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
            Color::Always => true,
            Color::Never => false,
        }
    }

    /// Sets logging up for the whole process.
    pub(crate) fn install(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "warn",
            (false, 0) => "info",
            (false, 1) => "debug",
            (false, _) => "trace",
        };
        // quinn and rustls speak to those who work on quinn and rustls.
        let default = format!(
            "warn,sinew={level},sinew_transport={level},sinew_node={level},sinew_controller={level},sinew_scenarios={level},access=info"
        );
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let terminal = std::io::stderr().is_terminal();
        let color = self.colored(terminal);
        // A line that can't be written, on a full disk for example, is lost: saying so on the same stderr would
        // fail, too, and panic.
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .log_internal_errors(false)
            .with_ansi(color);
        let format = self.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
        match format {
            LogFormat::Text => builder.init(),
            LogFormat::Json => builder.json().flatten_event(true).init(),
        }
    }
}
