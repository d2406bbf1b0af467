//! PayU's own words for what every gateway says. It is one gateway to the desk, with two houses: payouts
//! for bank accounts, the web service for VPAs. Neither calls back about a verification.

use actix_web::HttpResponse;

use crate::fault::Wording;
use crate::gateway::Gateway;
use crate::payu::refusal::Refusal;

/// Payouts and their token endpoint, to what all gateways share.
pub(super) struct PayoutHouse;

impl Wording for PayoutHouse {
    const GATEWAY: Gateway = Gateway::Payu;

    fn failure() -> HttpResponse {
        Refusal::INTERNAL.answer()
    }

    fn too_many_calls() -> HttpResponse {
        Refusal::TOO_MANY_CALLS.answer()
    }

    fn ip_refused() -> HttpResponse {
        Refusal::IP.answer()
    }
}

/// The web service, to what all gateways share.
pub(super) struct ServiceHouse;

impl Wording for ServiceHouse {
    const GATEWAY: Gateway = Gateway::Payu;

    fn failure() -> HttpResponse {
        Refusal::SERVICE_INTERNAL.answer()
    }

    fn too_many_calls() -> HttpResponse {
        Refusal::SERVICE_TOO_MANY_CALLS.answer()
    }

    fn ip_refused() -> HttpResponse {
        Refusal::SERVICE_IP.answer()
    }
}
