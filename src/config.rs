//! `sinew config`: what may stand in our files. Their schema, an example, and what is wrong with one, without
//! running anything.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use sinew_api::document::{self, InvalidDocument, Mistakes, Parsed};
use sinew_api::resource::Resources;
use sinew_controller::config::Overrides;
use sinew_controller_core::resources::{self, File, Known, TokenGrants, Unnamed};

/// The exit code when a file has mistakes: a check that found something.
const FOUND: u8 = 79;

/// What to do with configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the JSON Schema of a kind of file, for editors; or the OpenAPI document of the controller's API
    Schema {
        /// Which kind
        kind: SchemaKind,
    },
    /// Print a commented example with every key
    Example {
        /// Which kind
        kind: Kind,
    },
    /// Say everything that is wrong with files; resources are read together
    Validate {
        /// The files; - reads stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// What they are, instead of finding out
        #[arg(long, value_name = "KIND", env = "SINEW_CONFIG_KIND")]
        kind: Option<Kind>,
    },
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// What `sinew apply` takes
    Resources,
    /// node.toml
    Node,
    /// controller.toml
    Controller,
    /// What `sinew bench` plays
    Scenario,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaKind {
    /// What `sinew apply` takes
    Resources,
    /// node.toml
    Node,
    /// controller.toml
    Controller,
    /// The controller's HTTP API, as OpenAPI 3.1
    Api,
}

/// Runs `sinew config`.
///
/// # Errors
/// When a file can't be read, or there is nothing of the kind.
pub(crate) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Schema { kind } => println!("{:#}", schema(kind)),
        Command::Example { kind } => print!("{}", example(kind)),
        Command::Validate { files, kind } => return validate(&files, kind),
    }
    Ok(ExitCode::SUCCESS)
}

fn schema(kind: SchemaKind) -> Value {
    match kind {
        SchemaKind::Resources => {
            document::schema("Resources of a Sinew mesh, for sinew apply", resources::KEYS)
        }
        SchemaKind::Node => document::schema("node.toml of Sinew", sinew_node_core::Config::keys()),
        SchemaKind::Controller => {
            document::schema("controller.toml of Sinew", sinew_controller::Config::keys())
        }
        SchemaKind::Api => sinew_controller::api_document(),
    }
}

fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Resources => resources::EXAMPLE,
        Kind::Node => sinew_node_core::Config::example(),
        Kind::Controller => sinew_controller::Config::example(),
        Kind::Scenario => include_str!("../scenarios/quickstart.toml"),
    }
}

fn validate(paths: &[PathBuf], kind: Option<Kind>) -> anyhow::Result<ExitCode> {
    let mut wrong = Vec::new();
    let mut declared = Vec::new();
    for path in paths {
        let (name, text) = read(path)?;
        match kind.unwrap_or_else(|| kind_of(&text)) {
            Kind::Node => wrong.extend(sinew_node_core::Config::parse(&name, &text).err()),
            Kind::Controller => {
                // Whether there is a state directory is the command line's business, too.
                let overrides = Overrides { state: Some(PathBuf::new()), ..Overrides::default() };
                wrong.extend(sinew_controller::Config::parse_with(&name, &text, overrides).err());
            }
            Kind::Scenario => wrong.extend(sinew_scenarios::file::parse(&name, &text).err()),
            Kind::Resources => declared.push((name, text)),
        }
    }
    wrong.extend(validate_resources(&declared));
    let found = !wrong.is_empty();
    for invalid in wrong {
        eprintln!("{:?}", invalid.into_report());
    }
    Ok(if found { FOUND.into() } else { ExitCode::SUCCESS })
}

/// Resources stand alone here: what they refer to must be in the files. `sinew diff` checks them against a mesh.
fn validate_resources(files: &[(String, String)]) -> Vec<InvalidDocument> {
    let files: Vec<_> = files.iter().map(|(name, text)| File { name, text }).collect();
    let (stored, tokens) = (Resources::default(), TokenGrants::new());
    resources::read(&files, Known { stored: &stored, tokens: &tokens }, Unnamed::Kept)
        .err()
        .unwrap_or_default()
}

/// What a text most likely is, by the tables that only one kind has.
pub(crate) fn kind_of(text: &str) -> Kind {
    let (mistakes, top) = (Mistakes::default(), Mistakes::default());
    let Some(parsed) = Parsed::new(text, usize::MAX, &mistakes) else { return Kind::Resources };
    let file = parsed.table(&[], &top);
    if file.has_table("controller") {
        Kind::Controller
    } else if file.has_table("scenario") {
        Kind::Scenario
    } else if file.has_table("node") || file.has("listen") || file.has("serve") {
        Kind::Node
    } else {
        Kind::Resources
    }
}

fn read(path: &Path) -> anyhow::Result<(String, String)> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("reading stdin")?;
        return Ok(("stdin".to_owned(), text));
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {name}: check the path"))?;
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use sinew_api::document::Shape;

    use super::*;

    #[test]
    fn the_published_schemas_are_what_the_readers_take() {
        for kind in SchemaKind::value_variants() {
            let possible = kind.to_possible_value().expect("none is skipped");
            let name = possible.get_name();
            let file = if *kind == SchemaKind::Api { "openapi" } else { name };
            let file = format!("docs/schema/{file}.json");
            let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
            let published = std::fs::read_to_string(&path).unwrap_or_default();
            let current = format!("{:#}\n", schema(*kind));
            let renew = format!("cargo run -- config schema {name} > {file}");

            assert!(published == current, "{file} is not up to date; renew it:\n{renew}");
        }
    }

    #[test]
    fn every_key_is_documented_with_whether_it_needs_a_restart() {
        let tables =
            [("node", sinew_node_core::Config::keys()), ("controller", sinew_controller::Config::keys())];
        for (name, keys) in tables {
            let file = format!("{}/docs/reference/{name}.md", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(&file).expect("the page is there");
            let Some(Shape::Table(keys)) = keys.iter().find(|key| key.name() == name).map(|key| key.takes())
            else {
                panic!("{name} is a table");
            };
            for key in keys {
                let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name())));
                let live = row.and_then(|row| row.split(" | ").nth(2));
                assert_eq!(live, Some(if key.is_live() { "yes" } else { "no" }), "{} in {file}", key.name());
            }
        }
    }

    #[test]
    fn every_example_is_of_its_kind_and_without_mistakes() {
        for kind in Kind::value_variants() {
            assert_eq!(kind_of(example(*kind)), *kind);
        }
        let resources = [("example".to_owned(), example(Kind::Resources).to_owned())];

        assert!(validate_resources(&resources).is_empty());
        assert!(sinew_node_core::Config::parse("example", example(Kind::Node)).is_ok());
        assert!(sinew_controller::Config::parse("example", example(Kind::Controller)).is_ok());
        assert!(sinew_scenarios::file::parse("example", example(Kind::Scenario)).is_ok());
    }

    #[test]
    fn a_text_that_names_nothing_known_is_taken_for_resources() {
        assert_eq!(kind_of("[[node]]\nname = \"n1\"\n"), Kind::Resources);
        assert_eq!(kind_of("= 3"), Kind::Resources);
        assert_eq!(kind_of("[[serve]]\n"), Kind::Node);
    }
}
