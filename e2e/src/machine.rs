//! Shares of the machine: tests run at the same time, but a test under load runs alone.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The share that a stack holds until it is dropped.
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
