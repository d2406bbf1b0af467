//! The program itself, without a database: its completion scripts and man pages, and its errors.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
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
    let checked = Command::new("bash")
        .arg("-n")
        .arg(&script)
        .output()
        .unwrap();
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

#[test]
fn a_keyring_command_loses_no_key() {
    let folder = std::env::temp_dir().join(format!("khata-keyring-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let [services, copy] = ["services.json", "copy.json"].map(|name| folder.join(name));
    let keyring = |command: &str, input: &Path, output: &Path| {
        let [input, output] = [input, output].map(|path| path.to_str().unwrap());
        let files = ["--keyring-file", input, "--output", output, "--force"];
        khata(&[&["keyring", command], &files[..]].concat())
    };
    let generated = khata(&[
        "keyring",
        "generate",
        "--output",
        services.to_str().unwrap(),
    ]);
    assert!(generated.status.success(), "{generated:?}");
    let added = keyring("add", &services, &copy);
    assert!(added.status.success(), "{added:?}");
    let both = std::fs::read(&copy).unwrap();

    // Each reads the file without the new key, and would overwrite the file that has it.
    for (command, why) in [
        ("promote", "nothing to promote: encryption key 1 "),
        ("add", "encryption key 2"),
        ("generate", "encryption key 1, encryption key 2, "),
    ] {
        let refused = match command {
            "generate" => khata(&[
                "keyring",
                command,
                "--output",
                copy.to_str().unwrap(),
                "--force",
            ]),
            _ => keyring(command, &services, &copy),
        };
        assert_eq!(refused.status.code(), Some(1), "{command}: {refused:?}");
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains(why), "{command}: {error}");
        assert!(std::fs::read(&copy).unwrap() == both, "{command}: changed");
    }
    let promoted = keyring("promote", &copy, &copy);
    assert!(promoted.status.success(), "{promoted:?}");
    assert!(std::fs::read(&copy).unwrap() != both);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_error_is_one_json_object_for_scripts() {
    let elsewhere = "postgres://khata@127.0.0.1:9/khata";
    for (arguments, code, kind) in [
        (&["merchant", "list"][..], 2, "WRONG_ARGUMENTS"),
        (&["merchant", "no-such-command"], 2, "WRONG_ARGUMENTS"),
        (
            &["merchant", "list", "--database-url", elsewhere],
            1,
            "FAILED",
        ),
        // Not 1, which says that something was found.
        (&["doctor", "--database-url", elsewhere], 2, "FAILED"),
    ] {
        let output = khata(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{error}");
        assert!(!error["error"]["message"].as_str().unwrap().is_empty());

        let text = khata(arguments);
        assert_eq!(text.status.code(), Some(code), "{text:?}");
        assert!(serde_json::from_slice::<serde_json::Value>(&text.stderr).is_err());
    }
    let help = khata(&["merchant", "--help", "--json"]);
    assert!(help.status.success() && !help.stdout.is_empty(), "{help:?}");
}

#[test]
fn a_gateway_account_is_named_in_one_of_two_ways() {
    let missing = |arguments: &[&str]| {
        let output = khata(&[&["gateway", "test"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let (_, missing) = error.split_once("not provided:\n").expect(&error);
        let (missing, _) = missing.split_once("\n\n").unwrap();
        let missing = missing.lines().map(str::trim).map(str::to_owned);
        missing.collect::<Vec<_>>()
    };
    // The settings of the command are required too.
    let settings = ["--database-url", "postgres://khata@127.0.0.1:9/khata"];
    let neither = missing(&settings);
    assert_eq!(neither, ["<GATEWAY_ACCOUNT|--reference-id <REFERENCE_ID>>"]);
    let by_name = missing(&[&settings[..], &["--reference-id", "main"]].concat());
    assert_eq!(by_name, ["--merchant <MERCHANT>", "--gateway <GATEWAY>"]);
}
