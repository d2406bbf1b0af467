//! Every command of `khata`, `khata-api` and `khata-worker` that a documentation page names parses, with values for the
//! parts that the page leaves out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};
use khata_domain::events::{EndpointId, EventId};
use khata_domain::{AccountId, GatewayAccountId, ValidationId};

const PAGES: [&str; 5] = [
    "README.md",
    "docs/commands.md",
    "docs/deployment.md",
    "docs/operations.md",
    "docs/webhooks.md",
];
/// Minimum number of commands: fewer would mean that the test does not find them.
const AT_LEAST: usize = 70;
/// Values to try for a `…`: a name, a number, a boolean.
const VALUES: [&str; 3] = ["acme", "100", "true"];
const LEFT_OUT: &str = "…";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Khata,
    Api,
    Worker,
}

impl Program {
    const ALL: [Self; 3] = [Self::Khata, Self::Api, Self::Worker];

    fn name(self) -> &'static str {
        match self {
            Self::Khata => "khata",
            Self::Api => "khata-api",
            Self::Worker => "khata-worker",
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Khata => khata_cli::Cli::command(),
            Self::Api => khata_api::Cli::command(),
            Self::Worker => khata_worker::Call::command(),
        }
    }

    /// Returns the program that a word names as a path or as an image.
    fn of_path(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| {
            let name = program.name();
            word.ends_with(&format!("/bin/{name}")) || is_image(word, name)
        })
    }
}

fn is_image(word: &str, name: &str) -> bool {
    let image = word.rsplit('/').next().unwrap_or_default();
    image
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with(':'))
}

/// A command that a page names.
#[derive(Clone, Debug)]
struct Named {
    program: Program,
    arguments: Vec<String>,
}

fn commands(page: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (index, part) in page.split("```").enumerate() {
        if index % 2 == 0 {
            found.extend(in_prose(part));
        } else if let Some(shell) = part.strip_prefix("sh\n") {
            let joined = shell.replace("\\\n", " ");
            found.extend(joined.lines().filter_map(|line| started(&words(line))));
        }
    }
    found
}

/// Returns the commands in `code` spans: a shell line, the words alone (`gateway list`), or a further command of the same
/// group as in "`khata key issue`, `list`".
fn in_prose(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    // The group of the previous command, while only ", ", " and " or " or " has followed it.
    let mut group: Option<String> = None;
    for (index, part) in text.replace('\n', " ").split('`').enumerate() {
        if index % 2 == 0 {
            group = group.filter(|_| [", ", " and ", " or "].contains(&part));
            continue;
        }
        let words = words(part);
        let own = |arguments| Named {
            program: Program::Khata,
            arguments,
        };
        let command = started(&words)
            .or_else(|| is_command(&words).then(|| own(words.clone())))
            .or_else(|| {
                let group = group.take()?;
                Some(own([vec![group], words.clone()].concat()))
            });
        let Some(command) = command else { continue };
        let first = command.arguments.first().cloned();
        group = first.filter(|word| command.program == Program::Khata && is_group(word));
        found.push(command);
    }
    found
}

/// Returns the program that a line starts, and its arguments. A bare name counts only as the first word after variables:
/// elsewhere `khata` is a namespace or a database.
fn started(words: &[String]) -> Option<Named> {
    let is_variable = |word: &&String| word.contains('=') && !word.starts_with('-');
    let first = words.iter().take_while(is_variable).count();
    let by_name = words.get(first).and_then(|word| {
        let mut programs = Program::ALL.into_iter();
        programs.find(|program| program.name() == word)
    });
    let (place, program) = match by_name {
        Some(program) => (first, program),
        None => words
            .iter()
            .enumerate()
            .find_map(|(place, word)| Some((place, Program::of_path(word)?)))?,
    };
    let mut arguments = words[place + 1..].to_vec();
    if place > 0 && words[place - 1] == "--entrypoint" && !arguments.is_empty() {
        arguments.remove(0); // The image.
    }
    // A program's name alone, and `khata …` for any command, name no command.
    let is_command = !arguments.is_empty() && arguments != [LEFT_OUT];
    is_command.then_some(Named { program, arguments })
}

fn is_group(word: &str) -> bool {
    Program::Khata
        .command()
        .find_subcommand(word)
        .is_some_and(Command::has_subcommands)
}

fn is_command(words: &[String]) -> bool {
    let khata = Program::Khata.command();
    let group = words.first().and_then(|word| khata.find_subcommand(word));
    match (group, words.get(1)) {
        (Some(group), Some(word)) => group.find_subcommand(word).is_some(),
        (Some(group), None) => !group.has_subcommands(),
        _ => false,
    }
}

/// Splits a line as a shell does, up to a pipe, a redirection or a comment.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quote, mut quoted) = (None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => (quote, quoted) = (Some(c), true),
            (None, '|' | '>' | '<' | ';' | '&' | ')') => break,
            (None, '#') if words.last().is_some_and(String::is_empty) => break,
            (None, ' ') => {
                if quoted || words.last().is_some_and(|word| !word.is_empty()) {
                    words.push(String::new());
                }
                quoted = false;
            }
            _ => words.last_mut().unwrap().push(c),
        }
    }
    if words.last().is_some_and(String::is_empty) && !quoted {
        words.pop();
    }
    words
}

/// Returns why a command does not parse with `value` for each value that is left out.
fn error(named: &Named, value: &str) -> Option<String> {
    let command = named.program.command();
    let mut own = &command;
    for word in &named.arguments {
        let Some(deeper) = own.find_subcommand(word) else {
            break;
        };
        own = deeper;
    }
    let takes_value = |flag: &str| {
        let mut arguments = own.get_arguments();
        let argument = arguments.find(|argument| {
            argument
                .get_long()
                .is_some_and(|long| flag.strip_prefix("--") == Some(long))
        });
        argument.is_some_and(|argument| argument.get_action().takes_values())
    };
    // A command without options, or with "…" among its arguments, may lack required arguments.
    let mut left_out = named.arguments.iter().all(|word| !word.starts_with('-'));
    let mut line = vec![named.program.name().to_owned()];
    for (place, word) in named.arguments.iter().enumerate() {
        let is_value = place > 0 && takes_value(&named.arguments[place - 1]);
        match word.as_str() {
            LEFT_OUT if is_value => line.push(value.to_owned()),
            LEFT_OUT => left_out = true,
            "banh_…" => line.push(AccountId::new().to_string()),
            "val_…" => line.push(ValidationId::new().to_string()),
            "gwa_…" => line.push(GatewayAccountId::new().to_string()),
            "evt_…" => line.push(EventId::new().to_string()),
            "whe_…" => line.push(EndpointId::new().to_string()),
            _ => line.push(word.clone()),
        }
    }
    // Required settings come from the environment.
    for argument in own.get_arguments() {
        if let (true, Some(_), Some(long)) = (
            argument.is_required_set(),
            argument.get_env(),
            argument.get_long(),
        ) {
            let flag = format!("--{long}");
            let value = match long {
                "database-url" => "postgres://h/d",
                "amqp-url" => "amqp://h",
                _ => "set",
            };
            if !line.contains(&flag) {
                line.extend([flag, value.to_owned()]);
            }
        }
    }
    let error = command.clone().try_get_matches_from(&line).err()?;
    let is_good = match error.kind() {
        ErrorKind::DisplayHelp => true,
        ErrorKind::MissingRequiredArgument => left_out,
        _ => false,
    };
    (!is_good).then(|| format!("{}: {error}", line.join(" ")))
}

/// Returns the number of commands on a page, and an error for each that parses with none of the values.
fn check(page: &str) -> (usize, Vec<String>) {
    let commands = commands(page);
    let wrong = commands.iter().filter_map(|command| {
        let errors: Option<Vec<String>> =
            VALUES.iter().map(|value| error(command, value)).collect();
        errors.map(|mut errors| errors.remove(0))
    });
    (commands.len(), wrong.collect())
}

#[test]
fn every_command_in_the_docs_parses() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut read, mut wrong) = (0, Vec::new());
    for name in PAGES {
        let page = std::fs::read_to_string(repository.join(name)).expect(name);
        let (commands, errors) = check(&page);
        read += commands;
        wrong.extend(errors.into_iter().map(|error| format!("{name}: {error}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(read >= AT_LEAST, "{read} commands were read");
}

#[test]
fn a_wrong_command_is_found() {
    for (page, commands, wrong) in [
        ("`khata` and `khata …` are none", 0, 0),
        (
            "see `khata gateway list` and `gateway set gwa_… --priority 2`",
            2,
            0,
        ),
        ("`khata gateway list --attempts` needs more", 1, 1),
        ("`khata gateway list --merchant MERCHANT --attempts`", 1, 0),
        ("`khata gateway lost`", 1, 1),
        ("`khata merchant create`, `list` and `shew`", 3, 1),
        ("`khata migrate`, `healthcheck`; `another word`", 1, 0),
        ("`khata serve`", 1, 1),
        ("`khata-api serve --help` and `khata-worker --help`", 2, 0),
        ("`khata-api healthcheck`, `khata-worker healthcheck`", 2, 0),
        ("`khata-api merchant list`", 1, 1),
        ("`merchant set … --requests-per-second …`", 1, 0),
        ("`merchant set … --requests-per-minute …`", 1, 1),
        ("`merchant set … --fail-names-below NO_MATCH`", 1, 0),
        ("`khata account show banh_…`, `retry banh_1`", 2, 1),
        (
            "```sh\nkubectl exec deployment/khata-api -- /bin/khata \\\n  key issue --merchant 'a b' | cat # no\n```",
            1,
            0,
        ),
        (
            "```sh\ndocker run --entrypoint /bin/khata localhost/khata-api:0.1.0 keyring generate\n```",
            1,
            0,
        ),
        ("```sh\n… khata-api:0.1.0 serve >log\n```", 1, 0),
        (
            "```sh\nkubectl --namespace khata rollout status deployment/khata-api\n```",
            0,
            0,
        ),
        ("```sh\nkhata-api openapi --json\n```", 1, 1),
        ("```text\nkhata nonsense\n```", 0, 0),
    ] {
        let (read, errors) = check(page);
        assert_eq!(
            (read, errors.len()),
            (commands, wrong),
            "{page}: {errors:?}"
        );
    }
}
