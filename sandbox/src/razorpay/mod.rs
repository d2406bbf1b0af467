//! RazorpayX account validation as its public contract has it.

use actix_web::web::ServiceConfig;

/// Razorpay's memory.
pub(crate) struct Razorpay;

impl Razorpay {
    pub(crate) fn new() -> Self {
        Self
    }
}

pub(crate) fn routes(_config: &mut ServiceConfig) {}
