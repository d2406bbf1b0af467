//! A control group with the memory limit of the API's pod (`deploy/k8s/base/api.yaml`).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

/// The memory limit in bytes.
pub(super) const LIMIT: u64 = 512 << 20;

/// A control group, removed when it is dropped. Its processes must have ended by then.
pub(super) struct ControlGroup {
    folder: PathBuf,
    version: &'static Version,
}

/// The files of a version of control groups.
struct Version {
    /// Folder of the groups with a memory limit.
    root: &'static str,
    /// The files that take the limit.
    limits: &'static [&'static str],
    /// The file with the most memory that the buffers of sockets have used, if the limit does not include it.
    sockets: Option<&'static str>,
}

const VERSIONS: [Version; 2] = [
    Version {
        root: "/sys/fs/cgroup",
        limits: &["memory.max"],
        sockets: None,
    },
    Version {
        root: "/sys/fs/cgroup/memory",
        // Version 1 counts the buffers of sockets apart, and only under a limit.
        limits: &["memory.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes"],
        sockets: Some("memory.kmem.tcp.max_usage_in_bytes"),
    },
];

impl ControlGroup {
    /// Creates a group; `None` where the machine does not permit it, for which this prints the reason.
    pub(super) fn create() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("khata-test-{}-{number}", std::process::id());
        VERSIONS.iter().find_map(|version| {
            let folder = Path::new(version.root).join(&name);
            let created = std::fs::create_dir(&folder);
            let group = created.map(|()| Self { folder, version });
            let limited = group.and_then(|group| {
                for limit in version.limits {
                    let file = group.folder.join(limit);
                    // Elsewhere in the tree of folders, this would create a file.
                    std::fs::metadata(&file)?;
                    std::fs::write(file, LIMIT.to_string())?;
                }
                Ok(group)
            });
            let refused = |error: &_| println!("no control group in {}: {error}", version.root);
            limited.inspect_err(refused).ok()
        })
    }

    /// Returns the file that takes the id of a process that enters the group.
    pub(super) fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Returns the most memory that the buffers of sockets have used beyond the group's limit, in bytes. Under the limit itself,
    /// the kernel kills a process that needs more.
    pub(super) fn sockets(&self) -> Result<u64> {
        let Some(file) = self.version.sockets else {
            return Ok(0);
        };
        let text = std::fs::read_to_string(self.folder.join(file))?;
        text.trim().parse().context(file)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The kernel may still count a process that has ended.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
