//! `khata completions` and `khata man`: completion scripts and man pages, made from the definitions of the commands.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use serde_json::json;

use crate::output::print;

/// Prints the completion script of a shell.
pub(crate) fn completions(mut khata: Command, shell: Shell) -> anyhow::Result<()> {
    let (name, mut script) = (khata.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut khata, name, &mut script);
    let script = String::from_utf8(script).context("the script is not UTF-8")?;
    let document = json!({ "shell": shell.to_string(), "script": script });
    print(&document, script.trim_end())
}

/// Writes a man page of each command into the directory, which is made if it does not exist.
pub(crate) fn man(khata: Command, directory: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write the man pages into {}", directory.display());
    fs::create_dir_all(directory).with_context(cannot)?;
    clap_mangen::generate_to(khata, directory).with_context(cannot)?;
    let shown = directory.display();
    let document = json!({ "directory": shown.to_string() });
    print(
        &document,
        &format!("Wrote the man pages into {shown}. Read one with `man {shown}/khata.1`."),
    )
}
