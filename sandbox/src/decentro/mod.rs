//! Decentro account validation as its public contract has it.

use actix_web::web::ServiceConfig;

/// Decentro's memory.
pub(crate) struct Decentro;

impl Decentro {
    pub(crate) fn new() -> Self {
        Self
    }
}

pub(crate) fn routes(_config: &mut ServiceConfig) {}
