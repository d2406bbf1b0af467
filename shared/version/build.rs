//! Finds out what is being built. The commit: `KHATA_REVISION`, or what git says. The time: `SOURCE_DATE_EPOCH` (Unix seconds,
//! reproducible-builds.org), or now. It runs again when one of these has changed, a new commit among them, and at no other time.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const REVISION: &str = "KHATA_REVISION";
const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for variable in [REVISION, EPOCH] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let commit = given(REVISION)
        .or_else(|| {
            watch_git();
            git(&["rev-parse", "HEAD"])
        })
        .unwrap_or_else(|| "unknown".to_owned());
    // It becomes a line for cargo, and a label's value.
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    assert!(
        commit.chars().all(is_word),
        "{REVISION} is no commit: {commit:?}"
    );
    let built_at = given(EPOCH).unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs()).to_string()
    });
    assert!(
        built_at.parse::<u32>().is_ok(),
        "{EPOCH} is no time in seconds: {built_at:?}"
    );
    println!("cargo:rustc-env=KHATA_COMMIT={commit}");
    println!("cargo:rustc-env=KHATA_BUILT_AT={built_at}");
}

fn given(variable: &str) -> Option<String> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
}

/// Has cargo look at what a commit changes: HEAD when it names another branch, the branch's file when it names another commit.
fn watch_git() {
    let path = |name: &str| git(&["rev-parse", "--git-path", name]);
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // Where git keeps branches in a table, that is what changes.
    for file in [path("HEAD"), path("reftable")].into_iter().flatten() {
        watch(Path::new(&file));
    }
    if let Some(file) = branch.as_deref().and_then(path) {
        // A packed branch has no file; its next commit makes one in its folder.
        let mut places = Path::new(&file).ancestors();
        if let Some(place) = places.find(|place| place.exists()) {
            watch(place);
        }
    }
}

/// What is not there would have cargo build each time.
fn watch(place: &Path) {
    if place.exists() {
        println!("cargo:rerun-if-changed={}", place.display());
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
