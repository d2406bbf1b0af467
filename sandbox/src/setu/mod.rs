//! Setu bank account verification and UMAP as their public contract has them.

use actix_web::web::ServiceConfig;

/// Setu's memory.
pub(crate) struct Setu;

impl Setu {
    pub(crate) fn new() -> Self {
        Self
    }
}

pub(crate) fn routes(_config: &mut ServiceConfig) {}
