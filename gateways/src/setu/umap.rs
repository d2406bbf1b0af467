//! UPI addresses at Setu's UPI platform (UMAP). A look-up moves nothing: it may be made again, and an error is no more
//! than an error.

use std::time::Duration;

use khata_domain::{CallFailure, Class, GatewayResponse, Vpa};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use super::token::{NoToken, Token};
use super::wire::{VpaRequest, VpaResponse};
use super::{JSON, codes, refused, sound_id};
use crate::connector::Check;
use crate::http::{Reply, json_body, send};
use crate::meaning::Meaning;
use crate::name::real_name;

const VERIFY: &str = "/api/v1/merchants/customer-vpas/verify";
const STATUS: &str = "/api/v1/merchants/customer-vpas/verify/{id}";
/// Of the form of UMAP's ids (ULID), and none of them.
const NOBODYS_ID: &str = "00000000000000000000000000";

/// The calls about UPI addresses.
pub(super) struct Umap {
    pub(super) http: reqwest::Client,
    pub(super) base_url: String,
    pub(super) merchant_id: HeaderValue,
    pub(super) token: Token,
    pub(super) call_timeout: Duration,
}

impl Umap {
    /// Whether the address is of the alphabet that UMAP takes (OpenAPI, `customerVpa`).
    pub(super) fn takes(vpa: &Vpa) -> bool {
        vpa.expose()
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"@.-".contains(&b))
    }

    pub(super) async fn verify(
        &self,
        vpa: &Vpa,
        reference: &str,
    ) -> Result<GatewayResponse, CallFailure> {
        let body = VpaRequest {
            customer_vpa: vpa.expose(),
            merchant_reference_id: reference,
        };
        let request = self
            .http
            .post(format!("{}{VERIFY}", self.base_url))
            .header(CONTENT_TYPE, JSON)
            .body(json_body(&body));
        let reply = match self.call(request, VERIFY).await {
            Ok(reply) => reply,
            Err(NoToken::Refused(code)) => {
                return Ok(Meaning::of(Class::Misconfigured).answer(&code));
            }
            Err(NoToken::Failed(failure)) => return Err(failure),
        };
        if reply.status != 200 {
            return refused(&reply, codes::vpa_error(reply.status));
        }
        let answer = vpa_answer(reply.json()?)?;
        if answer.class == Class::Pending && answer.gateway_reference.is_none() {
            return Err(CallFailure::ResponseLost("pending under no id".into()));
        }
        Ok(answer)
    }

    /// Asks by UMAP's id.
    pub(super) async fn lookup(&self, id: &str) -> Result<GatewayResponse, CallFailure> {
        let lost = |what: String| CallFailure::ResponseLost(format!("look-up answered {what}"));
        let request = self.http.get(format!("{}{VERIFY}/{id}", self.base_url));
        match self.call(request, STATUS).await {
            Ok(reply) if reply.status == 200 => vpa_answer(reply.json()?),
            Ok(reply) => Err(reply.unheard()),
            Err(NoToken::Refused(code)) => Err(lost(code)),
            Err(NoToken::Failed(failure)) => Err(failure),
        }
    }

    /// Asks for an id that nobody has.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let url = format!("{}{VERIFY}/{NOBODYS_ID}", self.base_url);
        match self.call(self.http.get(url), STATUS).await {
            Ok(reply) => Ok(super::checked(&reply)),
            Err(NoToken::Refused(code)) => Ok(Check::Refused(code)),
            Err(NoToken::Failed(failure)) => Err(failure),
        }
    }

    /// Sends, within the time for one call: login, and whoever waits for it, included.
    async fn call(
        &self,
        request: reqwest::RequestBuilder,
        route: &'static str,
    ) -> Result<Reply, NoToken> {
        let sent = self.with_good_token(request, route);
        tokio::time::timeout(self.call_timeout, sent)
            .await
            .unwrap_or_else(|_| {
                let lost = CallFailure::ResponseLost("timeout".into());
                Err(NoToken::Failed(lost))
            })
    }

    /// Sends with the token at hand, and once more with a new one where it was not good any longer.
    async fn with_good_token(
        &self,
        request: reqwest::RequestBuilder,
        route: &'static str,
    ) -> Result<Reply, NoToken> {
        let request = request
            .header("merchantId", self.merchant_id.clone())
            .timeout(self.call_timeout);
        let again = request.try_clone();
        let (reply, used) = self.call_once(request, route).await?;
        match again {
            Some(again) if reply.status == 401 && self.token.spurned(&used).await => {
                Ok(self.call_once(again, route).await?.0)
            }
            _ => Ok(reply),
        }
    }

    async fn call_once(
        &self,
        request: reqwest::RequestBuilder,
        route: &'static str,
    ) -> Result<(Reply, HeaderValue), NoToken> {
        let authorization = self
            .token
            .authorization(&self.http, self.call_timeout)
            .await?;
        let request = request.header(AUTHORIZATION, authorization.clone());
        let reply = send(&self.http, request, route)
            .await
            .map_err(NoToken::Failed)?;
        Ok((reply, authorization))
    }
}

/// What UMAP says of an address, in an answer or in a call-back.
pub(super) fn vpa_answer(response: VpaResponse) -> Result<GatewayResponse, CallFailure> {
    let status = response.status.filter(|status| !status.is_empty());
    let status =
        status.ok_or_else(|| CallFailure::ResponseLost("an answer without a status".into()))?;
    Ok(GatewayResponse {
        name_at_bank: real_name(response.customer_name),
        gateway_reference: response.id.filter(|id| sound_id(id)),
        ..codes::vpa(&status).answer(&status)
    })
}
