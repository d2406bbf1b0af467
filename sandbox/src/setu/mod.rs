//! Setu as its public contract has it (docs.setu.co and its OpenAPI documents): bank account
//! verification by penny drop (sync, async, status) under `/setu`, and UMAP's verification of a VPA
//! under `/setu/umap`, with the account service's login below it.
//!
//! The data gateway knows one caller, [`CLIENT_ID`], [`CLIENT_SECRET`], [`PRODUCT_INSTANCE_ID`]; UMAP
//! knows one, [`MERCHANT_ID`], with [`UMAP_TOKEN`], which is good for ever, or a token of Setu's account
//! service, which [`UMAP_CLIENT_ID`] and [`UMAP_CLIENT_SECRET`] get and which lasts five minutes.
//!
//! No call for a bank account carries a reference of the caller's, and none is idempotent: whatever is
//! accepted drops.

mod bank;
mod codes;
mod events;
mod house;
mod ids;
mod login;
mod published;
mod refusal;
mod routes;
mod vpa;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use crate::memory::Memory;
use crate::setu::bank::BankVerification;
use crate::setu::vpa::VpaVerification;
use crate::tokens::Tokens;

pub(crate) use crate::setu::routes::routes;

/// The `x-client-id` that is accepted.
pub const CLIENT_ID: &str = "setu-sandbox-client";

/// The `x-client-secret` that is accepted.
pub const CLIENT_SECRET: &str = "setu-sandbox-secret";

/// The `x-product-instance-id` that is accepted.
pub const PRODUCT_INSTANCE_ID: &str = "setu-sandbox-product-instance";

/// The client id that gets tokens for UMAP.
pub const UMAP_CLIENT_ID: &str = "setu-sandbox-umap-client";

/// Its secret.
pub const UMAP_CLIENT_SECRET: &str = "setu-sandbox-umap-secret";

/// How long such a token is good for (Setu, "API integration guide").
const TOKEN_LIFE: Duration = Duration::from_mins(5);

/// The bearer token that UMAP accepts always.
pub const UMAP_TOKEN: &str = "setu-sandbox-umap-token";

/// The `merchantId` UMAP accepts.
pub const MERCHANT_ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// What UMAP's notifications are signed with unless the desk sets another secret.
pub const WEBHOOK_SECRET: &str = "SetuSandboxWebhookSecret01";

/// Verifications of each kind remembered for status look-ups; beyond that the oldest are forgotten.
const REMEMBERED: usize = 200_000;

/// Setu's memory, by the ids it gave.
pub(crate) struct Setu {
    banks: Memory<Arc<BankVerification>>,
    vpas: Memory<Arc<VpaVerification>>,
    tokens: Tokens,
}

impl Setu {
    pub(crate) fn new() -> Self {
        Self {
            banks: Memory::new(REMEMBERED),
            vpas: Memory::new(REMEMBERED),
            tokens: Tokens::new(),
        }
    }
}
