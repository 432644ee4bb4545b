//! The command line as a page: every command that `--help` shows, with its flags, defaults and environment variables.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

const HEAD: &str = "\
# Command line

Every command and flag of `sinew`. `sinew COMMAND --help` says the same. A flag that has an environment variable takes
its value from there when it is not given. How programs end is said by [exit codes](errors.md#exit-codes).

This page is made of the code by `sinew reference cli`.
";

/// The page.
pub(super) fn page() -> String {
    let mut cli = crate::Cli::command();
    cli.build();
    let mut page = HEAD.to_owned();
    page.push_str("\n## For every command\n");
    table(&mut page, cli.get_arguments().filter(|arg| arg.is_global_set()));
    for command in shown(&cli) {
        section(&mut page, "sinew", command);
    }
    page
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn section(page: &mut String, before: &str, command: &Command) {
    let name = format!("{before} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n## {name}\n\n{}\n", sentence(&about));
    let (mut groups, own) = (shown(command), command.get_arguments().filter(|arg| !arg.is_global_set()));
    if groups.next().is_none() {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = write!(page, "\n```text\n{usage}\n```\n");
    }
    table(page, own);
    for inner in shown(command) {
        section(page, &name, inner);
    }
}

fn table<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let own = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let rows: Vec<String> = arguments.filter(own).map(row).collect();
    if !rows.is_empty() {
        let _ = write!(
            page,
            "\n| argument | default | environment | what it says |\n|---|---|---|---|\n{}",
            rows.concat()
        );
    }
}

fn row(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let value = values.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    let takes = arg.get_action().takes_values();
    let mut name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `--{long}"),
        (None, Some(long)) => format!("`--{long}"),
        (Some(short), None) => format!("`-{short}"),
        (None, None) => "`".to_owned(),
    };
    match (arg.is_positional(), takes) {
        (true, _) => name.push_str(&value),
        (false, true) => name.push_str(&format!(" {value}")),
        (false, false) => {}
    }
    name.push('`');
    let default: Vec<_> =
        arg.get_default_values().iter().map(|text| format!("`{}`", text.display())).collect();
    let default = match (default.is_empty(), takes) {
        (false, true) => default.join(" "),
        (true, true) if arg.is_required_set() => "required".to_owned(),
        _ => String::new(),
    };
    let environment = arg.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
    let mut help = sentence(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    for choice in arg.get_possible_values().iter().filter(|choice| takes && !choice.is_hide_set()) {
        let says = choice.get_help().map(|help| format!(": {help}")).unwrap_or_default();
        let _ = write!(help, " `{}`{says}.", choice.get_name());
    }
    format!("| {name} | {default} | {environment} | {} |\n", help.replace('|', "\\|"))
}

/// Help texts end without a full stop; sentences do not.
fn sentence(help: &str) -> String {
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    if help.is_empty() || help.ends_with(['.', '?']) { help } else { format!("{help}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_all_of_a_flag() {
        let arg =
            Arg::new("ttl").short('t').long("ttl").value_name("TIME").default_value("15m").env("SINEW_TTL");

        assert_eq!(
            row(&arg.help("How | long")),
            "| `-t`, `--ttl TIME` | `15m` | `SINEW_TTL` | How \\| long. |\n"
        );
        let flag = Arg::new("wait").long("wait").action(clap::ArgAction::SetTrue).help("Wait");
        assert_eq!(row(&flag), "| `--wait` |  |  | Wait. |\n");
        let choice = Arg::new("kind").value_name("KIND").required(true).value_parser(["a", "b"]);
        assert_eq!(row(&choice), "| `KIND` | required |  |  `a`. `b`. |\n");
    }

    #[test]
    fn every_command_that_help_shows_has_a_section_and_none_that_it_hides() {
        let (page, mut cli) = (page(), crate::Cli::command());
        let help = cli.render_help().to_string();
        let commands = help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next());
        let names = commands.unwrap_or_default().lines().filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|line| !line.starts_with(' '))
                .and_then(|line| line.split(' ').next())
        });
        let names: Vec<_> = names.filter(|name| *name != "help").collect();

        assert!(names.len() > 15, "{help}");
        for name in names {
            assert!(page.contains(&format!("\n## sinew {name}\n")), "{name}");
        }
        assert!(!page.contains("leash") && !page.contains("sinew reference\n"));
    }
}
