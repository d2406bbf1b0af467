//! The seeds, and with them every find that was ever made, hold.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

fn each_seed(target: &str, hold: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        // Shown only if it fails.
        println!("{}", file.display());
        hold(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn bodies() {
    each_seed("body", khata_fuzz::body);
}

#[test]
fn accounts() {
    each_seed("account", khata_fuzz::account);
}
