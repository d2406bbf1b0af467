//! Folders for the keys and logs of tests.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

use crate::process;

/// Creates a folder for keys and logs under `target/tmp/e2e`. The folder stays until the next run, for reading the logs.
pub(crate) fn make_folder() -> anyhow::Result<PathBuf> {
    static REMOVED_OLD: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let program = process::path_of("khata-api")?;
    let target = program
        .ancestors()
        .nth(2)
        .context("a program without a folder")?;
    let all = target.join("tmp").join("e2e");
    let own = std::process::id();
    REMOVED_OLD.call_once(|| remove_old(&all));
    let folder = all.join(format!("{own}-{:02}", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Removes the folders of test processes that have ended.
fn remove_old(all: &Path) {
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
