//! Runs the seeds, among them every input that libFuzzer found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

fn run_seeds(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        // Printed only if the test fails.
        println!("{}", file.display());
        target(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn body_seeds_pass() {
    run_seeds("body", khata_fuzz::body);
}

#[test]
fn gateway_seeds_pass() {
    run_seeds("gateway", khata_fuzz::gateway);
}

#[test]
fn account_seeds_pass() {
    run_seeds("account", khata_fuzz::account);
}
