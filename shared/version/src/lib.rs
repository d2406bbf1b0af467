//! Version, commit and time of the build. A crate of its own, so that a new commit recompiles only the programs that show it.

use std::sync::LazyLock;

use chrono::{DateTime, SecondsFormat};

/// The workspace's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit's id, with the suffix `-changed` if the builder reports changes beyond the commit; `unknown` without
/// `KHATA_REVISION` and git. A plain `cargo build` does not notice uncommitted changes.
pub const COMMIT: &str = env!("KHATA_COMMIT");

/// Length of the shown part of a commit's id.
const ID_LENGTH: usize = 12;

/// Returns the time of this commit's first build, or `SOURCE_DATE_EPOCH`: `2026-11-24T10:00:00Z`.
pub fn built_at() -> &'static str {
    static BUILT_AT: LazyLock<String> = LazyLock::new(|| time(env!("KHATA_BUILT_AT")));
    &BUILT_AT
}

/// Returns `0.1.0 (commit abcdef123456, built 2026-11-24T10:00:00Z)`, for `--version`.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format_version(VERSION, COMMIT, built_at()));
    &TEXT
}

fn time(seconds: &str) -> String {
    let time = DateTime::from_timestamp(seconds.parse().unwrap_or_default(), 0);
    time.unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn format_version(version: &str, commit: &str, built_at: &str) -> String {
    let (id, suffix) = commit.split_at(commit.find('-').unwrap_or(commit.len()));
    let id = id.get(..ID_LENGTH).unwrap_or(id);
    format!("{version} (commit {id}{suffix}, built {built_at})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_what_runs() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (commit, shown) in [
            (commit, "0123456789ab"),
            (&format!("{commit}-changed"), "0123456789ab-changed"),
            ("unknown", "unknown"),
            ("v0.1.0", "v0.1.0"),
        ] {
            assert_eq!(
                format_version("0.1.0", commit, &time("1795514400")),
                format!("0.1.0 (commit {shown}, built 2026-11-24T10:00:00Z)")
            );
        }
    }

    #[test]
    fn this_build_knows_what_it_is() {
        assert!(!built_at().starts_with("1970"), "{}", built_at());
        assert!(!COMMIT.is_empty() && text().contains(&COMMIT[..COMMIT.len().min(ID_LENGTH)]));
        assert!(text().starts_with(VERSION) && text().contains(built_at()));
    }
}
