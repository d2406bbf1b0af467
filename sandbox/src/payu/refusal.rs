//! What PayU answers when a call is refused. The payout API's codes are from its table of error codes,
//! in the form of its one published failure; that they come with HTTP 200 is inferred from that form,
//! and so are the refusals without a code. The token endpoint keeps to RFC 6749. The refusals of the VPA
//! look-up are inferred too: its page shows none.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::payu::wire::{OauthError, PayoutAnswer, ServiceRefusal};

/// One refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// By the payout API: a code of the table and its description.
    Payout(u32, &'static str),
    /// By the payout API: HTTP status and message, no code.
    Uncoded(u16, &'static str),
    /// By the payout API: the bearer token is missing, unknown or expired.
    Token,
    /// By the token endpoint: HTTP status, error, description.
    Oauth(u16, &'static str, &'static str),
    /// By the web service: HTTP status and message.
    Service(u16, &'static str),
}

impl Refusal {
    pub(super) const MERCHANT_REF_ID: Self = Self::Payout(1001, "INVALID MERCHANT REF ID");
    pub(super) const DUPLICATE_MERCHANT_REF_ID: Self =
        Self::Payout(1002, "DUPLICATE MERCHANT REF ID");
    pub(super) const ACCOUNT_NUMBER: Self = Self::Payout(1004, "INVALID ACCOUNT NUMBER");
    pub(super) const IFSC_CODE: Self = Self::Payout(1005, "INVALID IFSC CODE");
    pub(super) const NAME: Self = Self::Payout(1007, "INVALID NAME");
    pub(super) const PURPOSE: Self = Self::Payout(1010, "INVALID PURPOSE");
    pub(super) const IFSC_CODE_PATTERN: Self = Self::Payout(1022, "INVALID IFSC CODE PATTERN");
    pub(super) const FORM: Self = Self::Uncoded(400, "Invalid request");
    pub(super) const MERCHANT: Self = Self::Uncoded(403, "Invalid payoutMerchantId");
    pub(super) const IP: Self = Self::Uncoded(403, "IP is not whitelisted");
    pub(super) const BALANCE: Self = Self::Uncoded(200, "Insufficient balance");
    pub(super) const TOO_MANY_CALLS: Self = Self::Uncoded(429, "Too many requests");
    pub(super) const INTERNAL: Self = Self::Uncoded(500, "Something went wrong");

    pub(super) const CLIENT: Self = Self::Oauth(
        401,
        "invalid_client",
        "Client authentication failed due to unknown client or wrong client_secret.",
    );
    pub(super) const GRANT_TYPE: Self = Self::Oauth(
        400,
        "unsupported_grant_type",
        "The authorization grant type is not supported by the authorization server.",
    );
    pub(super) const SCOPE: Self = Self::Oauth(
        400,
        "invalid_scope",
        "The requested scope is invalid, unknown, or malformed.",
    );
    pub(super) const REQUEST: Self = Self::Oauth(
        400,
        "invalid_request",
        "The request is missing a required parameter or is otherwise malformed.",
    );

    pub(super) const PARAMETER: Self = Self::Service(200, "Parameter missing");
    pub(super) const HASH: Self = Self::Service(200, "Invalid Hash.");
    pub(super) const COMMAND: Self = Self::Service(200, "Invalid command.");
    pub(super) const SERVICE_IP: Self = Self::Service(403, "IP is not whitelisted");
    pub(super) const SERVICE_TOO_MANY_CALLS: Self = Self::Service(429, "Too many requests");
    pub(super) const SERVICE_INTERNAL: Self = Self::Service(500, "Something went wrong");

    /// As it goes over the wire.
    pub(super) fn answer(self) -> HttpResponse {
        match self {
            Self::Payout(code, msg) => build(200).json(payout(Some(code), msg)),
            Self::Uncoded(status, msg) => build(status).json(payout(None, msg)),
            Self::Token => build(401).json(OauthError {
                error: "invalid_token",
                error_description: "The access token is invalid or has expired.",
            }),
            Self::Oauth(status, error, error_description) => build(status).json(OauthError {
                error,
                error_description,
            }),
            Self::Service(status, msg) => build(status).json(ServiceRefusal { status: 0, msg }),
        }
    }
}

fn build(status: u16) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
}

fn payout(code: Option<u32>, msg: &'static str) -> PayoutAnswer<()> {
    PayoutAnswer {
        status: 1,
        msg: Some(msg),
        code,
        data: None,
    }
}
