//! Who has the machine: tests that only use it share it, one that puts a load on it has it alone.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What a world holds of the machine while it stands.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not read")]
pub(crate) enum MachineShare {
    Some(RwLockReadGuard<'static, ()>),
    Whole(RwLockWriteGuard<'static, ()>),
}

impl MachineShare {
    pub(crate) async fn take(alone: bool) -> Self {
        static MACHINE: RwLock<()> = RwLock::const_new(());
        if alone {
            Self::Whole(MACHINE.write().await)
        } else {
            Self::Some(MACHINE.read().await)
        }
    }
}
