//! Handles of UPI addresses.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Day on which `data/handles.txt` was last checked.
pub const HANDLES_DATE: &str = "2026-11-29";

static HANDLES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("../data/handles.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
});

/// Whether the list has the handle of this UPI address in small letters: the part behind the `@`. New apps appear before the list
/// does, so an unknown handle may be real. The form `NUMBER@IFSC.ifsc.npci` is known.
pub fn is_known_handle(vpa: &str) -> bool {
    let handle = vpa.rsplit_once('@').map_or(vpa, |(_, handle)| handle);
    HANDLES.contains(handle) || handle.ends_with(".ifsc.npci")
}
