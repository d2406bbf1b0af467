//! What a program was built from: version, commit and time. It is a crate of its own, so that a new commit has only those
//! compiled anew that tell of it.

use std::sync::LazyLock;

use chrono::{DateTime, SecondsFormat};

/// The workspace's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit's id, with `-changed` behind it where the builder says that more was built than the commit; `unknown` where neither
/// `KHATA_REVISION` nor git told. Built by hand, it does not tell what was not committed.
pub const COMMIT: &str = env!("KHATA_COMMIT");

/// Characters of a commit's id that a person is shown.
const SHOWN: usize = 12;

/// When the first build of this commit ran, or `SOURCE_DATE_EPOCH`: `2026-11-24T10:00:00Z`.
pub fn built_at() -> &'static str {
    static BUILT_AT: LazyLock<String> = LazyLock::new(|| time(env!("KHATA_BUILT_AT")));
    &BUILT_AT
}

/// `0.1.0 (commit abcdef123456, built 2026-11-24T10:00:00Z)`, for `--version`.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| told(VERSION, COMMIT, built_at()));
    &TEXT
}

fn time(seconds: &str) -> String {
    let time = DateTime::from_timestamp(seconds.parse().unwrap_or_default(), 0);
    time.unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn told(version: &str, commit: &str, built_at: &str) -> String {
    let (id, suffix) = commit.split_at(commit.find('-').unwrap_or(commit.len()));
    let id = id.get(..SHOWN).unwrap_or(id);
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
                told("0.1.0", commit, &time("1795514400")),
                format!("0.1.0 (commit {shown}, built 2026-11-24T10:00:00Z)")
            );
        }
    }

    #[test]
    fn this_build_knows_what_it_is() {
        assert!(!built_at().starts_with("1970"), "{}", built_at());
        assert!(!COMMIT.is_empty() && text().contains(&COMMIT[..COMMIT.len().min(SHOWN)]));
        assert!(text().starts_with(VERSION) && text().contains(built_at()));
    }
}
