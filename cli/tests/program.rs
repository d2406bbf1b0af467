//! The program itself, without a database: its completion scripts and man pages, and its errors.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

/// Runs `khata` with no setting in its environment.
fn khata(arguments: &[&str]) -> Output {
    let mut khata = Command::new(env!("CARGO_BIN_EXE_khata"));
    khata.env_clear().args(arguments).output().unwrap()
}

#[test]
fn completion_scripts_name_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let output = khata(&["completions", shell]);
        assert!(output.status.success(), "{output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["rotate-secret", "no-base-url"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = std::env::temp_dir().join(format!("khata-completions-{}", std::process::id()));
    std::fs::write(&script, khata(&["completions", "bash"]).stdout).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    std::fs::remove_file(&script).unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn each_command_has_a_man_page() {
    let folder = std::env::temp_dir().join(format!("khata-man-{}", std::process::id()));
    let output = khata(&["man", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let page = std::fs::read_to_string(folder.join("khata-gateway-set.1")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(page.contains("Change what the options name"), "{page}");
    assert!(page.contains("priority"), "{page}");
}
