//! Paths, headers and bodies; what is done for them is in `validation` and `vpa`. Every call, also one
//! that is refused, meets the faults that are set.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::behaviour::Behaviour;
use crate::fault::Wording;
use crate::razorpay::house::{House, PaymentHouse};
use crate::razorpay::refusal::Refusal;
use crate::razorpay::{KEY_ID, KEY_SECRET, present, validation, vpa};
use crate::sign::base64;
use crate::{Sandbox, fault};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/razorpay/v1")
            .route("/fund_accounts/validations", web::post().to(create))
            .route("/fund_accounts/validations/{id}", web::get().to(look_up))
            .route("/payments/validate/vpa", web::post().to(look_up_vpa))
            .route("/payments/{id}", web::get().to(look_up_payment)),
    );
}

async fn create(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve::<House>(
        &request,
        &sandbox,
        "POST /v1/fund_accounts/validations",
        |behaviour| {
            let key = request.headers().get("x-payout-idempotency");
            // What is no ASCII text is outside the key's alphabet, as this is.
            let key = key.map(|key| key.to_str().unwrap_or("?"));
            let validation = validation::create(&sandbox, key, &body, behaviour)?;
            Ok(HttpResponse::Ok().json(present::created(&validation)))
        },
    )
    .await
}

async fn look_up(request: HttpRequest, id: Path<String>, sandbox: Data<Sandbox>) -> HttpResponse {
    serve::<House>(
        &request,
        &sandbox,
        "GET /v1/fund_accounts/validations/{id}",
        |behaviour| {
            let validation = validation::look_up(&sandbox, &id)?;
            let entity = present::now(&validation, behaviour.unknown_code);
            Ok(HttpResponse::Ok().json(entity))
        },
    )
    .await
}

/// There are no payments here.
async fn look_up_payment(request: HttpRequest, sandbox: Data<Sandbox>) -> HttpResponse {
    serve::<PaymentHouse>(&request, &sandbox, "GET /v1/payments/{id}", |_| {
        Err(Refusal::unknown_id())
    })
    .await
}

async fn look_up_vpa(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve::<PaymentHouse>(&request, &sandbox, "POST /v1/payments/validate/vpa", |_| {
        let asked = serde_json::from_slice(&body).map_err(|_| Refusal::malformed())?;
        Ok(HttpResponse::Ok().json(vpa::look_up(&sandbox, &asked)?))
    })
    .await
}

/// Serves one call: who is calling, what is asked.
async fn serve<W: Wording>(
    request: &HttpRequest,
    sandbox: &Sandbox,
    route: &'static str,
    work: impl FnOnce(Behaviour) -> Result<HttpResponse, Refusal>,
) -> HttpResponse {
    fault::serve::<W>(request, sandbox, route, |behaviour| {
        authenticate(request.headers())
            .and_then(|()| work(behaviour))
            .unwrap_or_else(|refusal| refusal.answer())
    })
    .await
}

fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let expected = base64(format!("{KEY_ID}:{KEY_SECRET}").as_bytes());
    let sent = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '));
    match sent {
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") && pair == expected => Ok(()),
        _ => Err(Refusal::credentials()),
    }
}
