//! Decentro's own words for what every gateway says. It calls nobody back: a bank validation is answered
//! by the call that asks for it.

use actix_web::HttpResponse;

use crate::decentro::refusal::Refusal;
use crate::fault::Wording;
use crate::gateway::Gateway;

/// Decentro, to what all gateways share.
pub(super) struct House;

impl Wording for House {
    const GATEWAY: Gateway = Gateway::Decentro;

    fn failure() -> HttpResponse {
        Refusal::decentro().answer()
    }

    fn too_many_calls() -> HttpResponse {
        Refusal::too_many_calls().answer()
    }

    fn ip_refused() -> HttpResponse {
        Refusal::ip().answer()
    }
}
