//! The lease of a claimed validation.

use uuid::Uuid;

/// Proof that a worker holds a validation: settling requires it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken(pub Uuid);
