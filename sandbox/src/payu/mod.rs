//! PayU payouts and its VPA look-up as their public contract has them.

use actix_web::web::ServiceConfig;

/// Payu's memory.
pub(crate) struct Payu;

impl Payu {
    pub(crate) fn new() -> Self {
        Self
    }
}

pub(crate) fn routes(_config: &mut ServiceConfig) {}
