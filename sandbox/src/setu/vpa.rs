//! UMAP's verification of a VPA. It looks the VPA up: no money moves, so the ledger hears nothing.

use std::sync::Arc;
use std::time::Instant;

use actix_web::web::Data;
use chrono::{SecondsFormat, Utc};

use crate::Sandbox;
use crate::behaviour::Behaviour;
use crate::gateway::Gateway;
use crate::scenario;
use crate::setu::published::{self, FAILED};
use crate::setu::refusal::UmapRefusal;
use crate::setu::wire::{VpaAnswer, VpaRequest, VpaStatus};
use crate::setu::{MERCHANT_ID, events, ids};

/// A VPA that was verified: how it is at first, and in the end.
#[derive(Debug)]
pub(super) struct VpaVerification {
    pub(super) pending: VpaAnswer,
    pub(super) settled: VpaAnswer,
    /// When the outcome shows; never, if there is none.
    shows_at: Option<Instant>,
}

/// `POST /api/v1/merchants/customer-vpas/verify`. Answers `pending`, as published, and calls back once
/// there is an outcome. Nothing is documented of a reference used before; it is taken.
pub(super) fn verify(
    sandbox: &Data<Sandbox>,
    request: &VpaRequest,
    behaviour: Behaviour,
) -> Result<VpaAnswer, UmapRefusal> {
    let vpa = customer_vpa(request.customer_vpa.as_deref())?;
    reference(request.merchant_reference_id.as_deref())?;
    reference(request.reference_id.as_deref())?;
    let asked = scenario::asked_by_vpa(vpa);
    let asked = sandbox.first_times.settle(Gateway::Setu, vpa, asked);
    let (status, shows) = published::vpa(asked);
    let shows_after = shows.after(behaviour.pending(), sandbox.published_pending);
    let pending = VpaAnswer {
        created_at: ids::india(Utc::now(), SecondsFormat::Secs),
        customer_account_type: None,
        customer_name: None,
        customer_vpa: vpa.to_owned(),
        id: ids::ulid(),
        merchant_id: MERCHANT_ID,
        merchant_reference_id: request.merchant_reference_id.clone(),
        reference_id: request.reference_id.clone(),
        reason: None,
        status: VpaStatus::Pending,
    };
    let valid = status == VpaStatus::Valid;
    let verification = Arc::new(VpaVerification {
        settled: VpaAnswer {
            customer_account_type: valid.then_some("SAVINGS"),
            customer_name: if valid {
                scenario::told_name(asked, vpa, None)
            } else {
                None
            },
            reason: (status == VpaStatus::Failed).then_some(FAILED),
            status,
            ..pending.clone()
        },
        pending: pending.clone(),
        shows_at: shows_after.and_then(|after| Instant::now().checked_add(after)),
    });
    sandbox
        .setu
        .vpas
        .add(&pending.id, Arc::clone(&verification));
    if let Some(after) = shows_after {
        events::tell_of_vpa(sandbox, after, verification);
    }
    Ok(pending)
}

/// `GET /api/v1/merchants/customer-vpas/verify/{id}`.
pub(super) fn look_up(sandbox: &Sandbox, id: &str) -> Result<VpaAnswer, UmapRefusal> {
    let verification = sandbox.setu.vpas.get(id).ok_or(UmapRefusal::unknown())?;
    let settled = verification.shows_at.is_some_and(|at| Instant::now() >= at);
    Ok(if settled {
        verification.settled.clone()
    } else {
        verification.pending.clone()
    })
}

/// `customerVpa`: required, a user part and a handle of letters, digits, dots and hyphens around one
/// `@` (Setu's pattern; that neither part may be empty is ours).
fn customer_vpa(sent: Option<&str>) -> Result<&str, UmapRefusal> {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    sent.filter(|vpa| {
        vpa.split_once('@')
            .is_some_and(|(user, handle)| word(user) && word(handle))
    })
    .ok_or(UmapRefusal::bad_request(
        "customerVpa is missing or invalid",
    ))
}

/// The caller's reference: optional, 1–255 characters.
fn reference(sent: Option<&str>) -> Result<(), UmapRefusal> {
    match sent {
        Some(value) if !(1..=255).contains(&value.chars().count()) => {
            Err(UmapRefusal::bad_request("referenceId is invalid"))
        }
        _ => Ok(()),
    }
}
