//! Errors about the command line: they name the environment variable of a setting, which most deployments set instead of the flag, and
//! show no secret.

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

/// Text in place of the value of a secret.
const HIDDEN: &str = "…";

/// Adds to each flag of the error its environment variable, as `--threads <THREADS> (KHATA_API_THREADS)`, and hides the value of a secret.
pub fn name_variables(mut error: clap::Error, command: &Command) -> clap::Error {
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => {
            let is_secret = find(command, flag).is_some_and(Arg::is_hide_env_values_set);
            let named = ContextValue::String(with_variable(command, flag));
            if is_secret {
                let hidden = ContextValue::String(HIDDEN.to_owned());
                error.insert(ContextKind::InvalidValue, hidden);
            }
            named
        }
        Some(ContextValue::Strings(flags)) => {
            let flags = flags.iter().map(|flag| with_variable(command, flag));
            ContextValue::Strings(flags.collect())
        }
        _ => return error,
    };
    error.insert(ContextKind::InvalidArg, named);
    error
}

fn with_variable(command: &Command, flag: &str) -> String {
    match find(command, flag).and_then(Arg::get_env) {
        Some(variable) => format!("{flag} ({})", variable.display()),
        None => flag.to_owned(),
    }
}

/// Returns the setting with this flag, of the command or of one below it.
fn find<'c>(command: &'c Command, flag: &str) -> Option<&'c Arg> {
    let long = flag.strip_prefix("--")?.split([' ', '=']).next()?;
    let mut own = command.get_arguments();
    own.find(|argument| argument.get_long() == Some(long) && argument.get_env().is_some())
        .or_else(|| {
            command
                .get_subcommands()
                .find_map(|below| find(below, flag))
        })
}

#[cfg(test)]
mod tests {
    use clap::value_parser;

    use super::*;

    fn program() -> Command {
        let url = Arg::new("url").long("url").env("KHATA_TEST_SOME_URL");
        let url = url.hide_env_values(true).required(true);
        let serve = Command::new("serve")
            .arg(url.value_parser(|text: &str| text.parse::<u8>()))
            .arg(
                Arg::new("threads")
                    .long("threads")
                    .env("KHATA_TEST_THREADS")
                    .value_parser(value_parser!(u8)),
            )
            .arg(
                Arg::new("plain")
                    .long("plain")
                    .value_parser(value_parser!(u8)),
            );
        Command::new("program").subcommand(serve)
    }

    fn error_of(arguments: &[&str]) -> String {
        let arguments = [&["program", "serve"], arguments].concat();
        let error = program().try_get_matches_from(arguments).unwrap_err();
        name_variables(error, &program()).to_string()
    }

    #[test]
    fn an_error_names_the_variable_of_the_flag() {
        let missing = error_of(&[]);
        assert!(
            missing.contains("--url <url> (KHATA_TEST_SOME_URL)"),
            "{missing}"
        );
        let wrong = error_of(&["--url=1", "--threads=x"]);
        let expected = "invalid value 'x' for '--threads <threads> (KHATA_TEST_THREADS)'";
        assert!(wrong.contains(expected), "{wrong}");
        let plain = error_of(&["--url=1", "--plain=x"]);
        assert!(plain.contains("'x' for '--plain <plain>'"), "{plain}");
    }

    #[test]
    fn an_error_does_not_show_a_secret() {
        let wrong = error_of(&["--url=postgres://user:secret@host"]);
        assert!(
            wrong.contains("invalid value '…' for '--url <url> (KHATA_TEST_SOME_URL)'"),
            "{wrong}"
        );
        assert!(!wrong.contains("secret"), "{wrong}");
    }
}
