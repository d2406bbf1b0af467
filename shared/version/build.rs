//! Sets commit and time of the build. The commit is `KHATA_REVISION`, or git's HEAD. The time is `SOURCE_DATE_EPOCH` (Unix
//! seconds, reproducible-builds.org), or now. Cargo runs this again only after one of them changes, for example by a commit.

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
    // The id goes into a line for cargo and into the value of a label.
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    assert!(
        commit.chars().all(is_word),
        "{REVISION} is not a commit id: {commit:?}"
    );
    let built_at = given(EPOCH).unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs()).to_string()
    });
    assert!(
        built_at.parse::<u32>().is_ok(),
        "{EPOCH} is not a time in Unix seconds: {built_at:?}"
    );
    println!("cargo:rustc-env=KHATA_COMMIT={commit}");
    println!("cargo:rustc-env=KHATA_BUILT_AT={built_at}");
}

fn given(variable: &str) -> Option<String> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
}

/// Makes cargo watch the files that a commit changes: HEAD for a switch of the branch, the branch's file for a new commit.
fn watch_git() {
    let path = |name: &str| git(&["rev-parse", "--git-path", name]);
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // With git's reftable format, a commit changes that table.
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

/// Watches an existing path: a missing one would make cargo build every time.
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
