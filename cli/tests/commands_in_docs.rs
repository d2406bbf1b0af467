//! Every `khata` command that the pages for ops people name is one: with what the page leaves out filled in, it parses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use khata_cli::Cli;
use khata_domain::{AccountId, ValidationId};

const PAGES: [&str; 4] = [
    "README.md",
    "docs/commands.md",
    "docs/deployment.md",
    "docs/operations.md",
];
/// Fewer would be pages that are not read.
const AT_LEAST: usize = 70;
/// What may stand where a page has `…` for a value: a name, a number, or a yes.
const VALUES: [&str; 3] = ["acme", "100", "true"];
const LEFT_OUT: &str = "…";

/// The arguments of each command that a page names, without `khata` itself.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (index, part) in page.split("```").enumerate() {
        if index % 2 == 0 {
            found.extend(in_prose(part));
        } else if let Some(shell) = part.strip_prefix("sh\n") {
            let joined = shell.replace("\\\n", " ");
            found.extend(joined.lines().filter_map(|line| called(&words(line))));
        }
    }
    found
}

/// Those in `code`: called as in a shell, by their words alone (`gateway list`), or as in "`khata key issue`, `list`".
fn in_prose(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // The group of the command before, if it has one, while only ", " or " and " has followed it.
    let mut before: Option<Vec<String>> = None;
    for (index, part) in text.replace('\n', " ").split('`').enumerate() {
        if index % 2 == 0 {
            let goes_on = [", ", " and ", " or "].contains(&part);
            before = before.filter(|_| goes_on);
            continue;
        }
        let words = words(part);
        let own = called(&words).or_else(|| is_command(&words).then(|| words.clone()));
        let command = own.or_else(|| match before.as_deref()? {
            [group] => Some([std::slice::from_ref(group), &words].concat()),
            _ => is_known(words.first()?).then_some(words),
        });
        let Some(command) = command else { continue };
        let group = command.iter().take(1).filter(|word| is_group(word));
        before = Some(group.cloned().collect());
        found.push(command);
    }
    found
}

/// Returns the arguments of the program that the words run: `khata` itself, or the image with it. `khata` alone is the
/// program at the start of the line and after `--`; elsewhere the word is a namespace or a database.
fn called(words: &[String]) -> Option<Vec<String>> {
    let is_program = |place: &usize| {
        let word = &words[*place];
        let begins = *place == 0 || words[*place - 1] == "--";
        (begins && word == "khata") || word.ends_with("/bin/khata") || word.contains("khata-api:")
    };
    let place = (0..words.len()).rev().find(is_program)?;
    let arguments = &words[place + 1..];
    // The program by its name, and `khata …` for any command.
    let is_command = !arguments.is_empty() && arguments != [LEFT_OUT];
    is_command.then(|| arguments.to_vec())
}

fn is_known(word: &str) -> bool {
    Cli::command().find_subcommand(word).is_some()
}

fn is_group(word: &str) -> bool {
    let cli = Cli::command();
    cli.find_subcommand(word)
        .is_some_and(clap::Command::has_subcommands)
}

fn is_command(words: &[String]) -> bool {
    let cli = Cli::command();
    let group = words.first().and_then(|word| cli.find_subcommand(word));
    let own = group.zip(words.get(1));
    own.is_some_and(|(group, word)| group.find_subcommand(word).is_some())
}

/// As a shell takes a line apart, up to where another command, a file or a comment begins.
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

/// What is wrong with a command, with `value` in the place of each value that is left out.
fn fault(command: &[String], value: &str) -> Option<String> {
    let cli = Cli::command();
    let mut own = &cli;
    for word in command {
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
    // Whoever names a command by its words alone, or with "…" among its arguments, leaves out what it needs.
    let mut left_out = command.iter().all(|word| !word.starts_with('-'));
    let mut arguments = vec!["khata".to_owned()];
    for (place, word) in command.iter().enumerate() {
        let is_value = place > 0 && takes_value(&command[place - 1]);
        match word.as_str() {
            LEFT_OUT if is_value => arguments.push(value.to_owned()),
            LEFT_OUT => left_out = true,
            "banh_…" => arguments.push(AccountId::new().to_string()),
            "val_…" => arguments.push(ValidationId::new().to_string()),
            _ => arguments.push(word.clone()),
        }
    }
    // Settings come from the environment.
    for argument in own.get_arguments() {
        if let (true, Some(_), Some(long)) = (
            argument.is_required_set(),
            argument.get_env(),
            argument.get_long(),
        ) {
            arguments.extend([format!("--{long}"), "set".to_owned()]);
        }
    }
    let error = Cli::try_parse_from(&arguments).err()?;
    let is_good = match error.kind() {
        ErrorKind::DisplayHelp => true,
        ErrorKind::MissingRequiredArgument => left_out,
        _ => false,
    };
    (!is_good).then(|| format!("{}: {error}", arguments.join(" ")))
}

fn faults(page: &str) -> (usize, Vec<String>) {
    let commands = commands(page);
    let wrong = commands.iter().filter_map(|command| {
        let faults: Option<Vec<String>> =
            VALUES.iter().map(|value| fault(command, value)).collect();
        faults.map(|mut faults| faults.remove(0))
    });
    (commands.len(), wrong.collect())
}

#[test]
fn every_command_that_a_page_names_parses() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut read, mut wrong) = (0, Vec::new());
    for name in PAGES {
        let page = std::fs::read_to_string(repository.join(name)).expect(name);
        let (commands, faults) = faults(&page);
        read += commands;
        wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(read >= AT_LEAST, "{read} commands were read");
}

#[test]
fn a_command_that_is_wrong_is_told() {
    for (page, commands, wrong) in [
        ("`khata` and `khata …` are none", 0, 0),
        (
            "see `khata gateway list` and `gateway add … --if-absent`",
            2,
            0,
        ),
        ("`khata gateway list --attempts` needs more", 1, 1),
        ("`khata gateway list --merchant MERCHANT --attempts`", 1, 0),
        ("`khata gateway lost`", 1, 1),
        ("`khata merchant create`, `list` and `shew`", 3, 1),
        ("`khata migrate`, `migrate --help`; `nothing of ours`", 2, 0),
        ("`khata migrate --help` and `khata-worker --help`", 1, 0),
        ("`merchant set … --requests-per-second …`", 1, 0),
        ("`merchant set … --requests-per-minute …`", 1, 1),
        ("`merchant set … --fail-on-name-mismatch …`", 1, 0),
        ("`khata account show banh_…`, `retry banh_1`", 2, 1),
        (
            "```sh\nkubectl exec --namespace khata deployment/khata-api -- /bin/khata \\\n  key issue --merchant 'a b' | cat # no\n```",
            1,
            0,
        ),
        (
            "```sh\n… --entrypoint /bin/khata khata-api:0.1.0 key issue >key\n```",
            1,
            0,
        ),
        ("```sh\nkhata migrate --json\n```", 1, 1),
        ("```text\nkhata nonsense\n```", 0, 0),
    ] {
        let (read, faults) = faults(page);
        assert_eq!(
            (read, faults.len()),
            (commands, wrong),
            "{page}: {faults:?}"
        );
    }
}
