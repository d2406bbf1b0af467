//! Paths, headers and forms; what is done for them is in `oauth`, `bank`, `transfers` and `service`.

use std::time::Instant;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payu::house::{PayoutHouse, ServiceHouse};
use crate::payu::refusal::Refusal;
use crate::payu::{PAYOUT_MERCHANT_ID, bank, oauth, service, transfers};
use crate::{Sandbox, fault};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/payu")
            .route("/oauth/token", web::post().to(token))
            .route(
                "/payout/payment/verifyAccount",
                web::post().to(verify_account),
            )
            .route(
                "/payout/payment/listTransactions",
                web::post().to(list_transactions),
            )
            .route(
                "/payout/merchant/getAccountDetail",
                web::get().to(account_detail),
            )
            .route("/merchant/postservice.php", web::post().to(post_service)),
    );
}

async fn token(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    fault::serve::<PayoutHouse>(&request, &sandbox, "POST /oauth/token", |_| {
        answer(form(&body, Refusal::REQUEST).and_then(|form| oauth::give_token(&sandbox, &form)))
    })
    .await
}

async fn verify_account(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    let route = "POST /payout/payment/verifyAccount";
    fault::serve::<PayoutHouse>(&request, &sandbox, route, |behaviour| {
        answer(
            authenticate(request.headers(), &sandbox)
                .and_then(|()| form(&body, Refusal::FORM))
                .and_then(|form| bank::verify(&sandbox, &form, behaviour)),
        )
    })
    .await
}

async fn list_transactions(
    request: HttpRequest,
    body: Bytes,
    sandbox: Data<Sandbox>,
) -> HttpResponse {
    let route = "POST /payout/payment/listTransactions";
    fault::serve::<PayoutHouse>(&request, &sandbox, route, |_| {
        answer(
            authenticate(request.headers(), &sandbox)
                .and_then(|()| form(&body, Refusal::FORM))
                .map(|form| transfers::list(&sandbox, &form)),
        )
    })
    .await
}

async fn account_detail(request: HttpRequest, sandbox: Data<Sandbox>) -> HttpResponse {
    let route = "GET /payout/merchant/getAccountDetail";
    fault::serve::<PayoutHouse>(&request, &sandbox, route, |behaviour| {
        answer(authenticate(request.headers(), &sandbox).map(|()| transfers::account(behaviour)))
    })
    .await
}

/// Without `form=2` the service answers in PHP's own serialisation; that is no JSON here either.
async fn post_service(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    let route = "POST /merchant/postservice.php";
    fault::serve::<ServiceHouse>(&request, &sandbox, route, |_| {
        if request.query_string() != "form=2" {
            return HttpResponse::Ok().body("form=2 is needed for an answer in JSON");
        }
        answer(form(&body, Refusal::PARAMETER).and_then(|form| service::obey(&sandbox, &form)))
    })
    .await
}

fn answer<T: Serialize>(result: Result<T, Refusal>) -> HttpResponse {
    match result {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => refusal.answer(),
    }
}

/// A bearer token that is good, and the merchant it is for.
fn authenticate(headers: &HeaderMap, sandbox: &Sandbox) -> Result<(), Refusal> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let token = header(AUTHORIZATION.as_str())
        .and_then(|sent| sent.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token);
    if !token.is_some_and(|token| sandbox.payu.tokens.is_good(token, Instant::now())) {
        return Err(Refusal::Token);
    }
    if header("payoutMerchantId") == Some(PAYOUT_MERCHANT_ID) {
        Ok(())
    } else {
        Err(Refusal::MERCHANT)
    }
}

fn form<T: DeserializeOwned>(body: &[u8], refusal: Refusal) -> Result<T, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| refusal)?;
    Query::from_query(text)
        .map(Query::into_inner)
        .map_err(|_| refusal)
}
