//! Verification of a VPA: by penny drop with the payee's consent, or by the older look-up, which
//! moves no money. A `verification_id` is good for one verification of either kind.

use std::sync::Arc;

use crate::Sandbox;
use crate::behaviour::Behaviour;
use crate::cashfree::name_match::NameMatch;
use crate::cashfree::records::UpiVerification;
use crate::cashfree::refusal::Refusal;
use crate::cashfree::wire::{
    UpiAnswer, UpiLookUpAnswer, UpiPennyDropAnswer, UpiQuery, UpiRequest, UpiStatus,
};
use crate::cashfree::{branch, limits, outcome, published, utr};
use crate::gateway::Gateway;
use crate::scenario;

/// `POST /upi/penny-drop`. Drops, unless the `verification_id` was used before.
pub(super) fn penny_drop(
    sandbox: &Sandbox,
    api_version: Option<&str>,
    request: &UpiRequest,
    behaviour: Behaviour,
) -> Result<UpiAnswer, Refusal> {
    limits::api_version(api_version)?;
    limits::user_consent(request.user_consent.as_ref())?;
    if behaviour.insufficient_balance {
        return Err(Refusal::insufficient_balance());
    }
    let verification = verification(sandbox, request, true)?;
    let answer = add(sandbox, &verification)?;
    sandbox
        .ledger
        .record(Gateway::Cashfree, &verification.verification_id);
    Ok(answer)
}

/// `POST /upi`. Looks the VPA up; no money moves, so the ledger hears nothing.
pub(super) fn look_up_vpa(sandbox: &Sandbox, request: &UpiRequest) -> Result<UpiAnswer, Refusal> {
    add(sandbox, &verification(sandbox, request, false)?)
}

/// `GET /upi`: the verification as it was answered, so that a client that lost the answer can ask.
pub(super) fn look_up(sandbox: &Sandbox, query: &UpiQuery) -> Result<UpiAnswer, Refusal> {
    let verification_id = limits::verification_id(query.verification_id.as_deref())?;
    let records = sandbox.cashfree.records();
    let (reference_id, verification) = records
        .upi(verification_id)
        .ok_or_else(|| Refusal::unknown("verification_id"))?;
    Ok(present(reference_id, verification))
}

fn verification(
    sandbox: &Sandbox,
    request: &UpiRequest,
    penny_drop: bool,
) -> Result<UpiVerification, Refusal> {
    let verification_id = limits::verification_id(request.verification_id.as_deref())?;
    let vpa = limits::vpa(request.vpa.as_deref())?;
    let name = limits::name(request.name.as_deref())?;
    let asked = sandbox
        .first_times
        .settle(Gateway::Cashfree, vpa, scenario::asked_by_vpa(vpa));
    let status = match published::vpa(vpa) {
        Some(published) => published,
        None => outcome::of_vpa(asked)?,
    };
    let holder = if status == UpiStatus::Valid {
        scenario::told_name(asked, vpa, name)
    } else {
        None
    };
    Ok(UpiVerification {
        verification_id: Arc::from(verification_id),
        vpa: vpa.into(),
        name: name.map(Box::from),
        holder: holder.map(Box::from),
        status,
        penny_drop,
    })
}

fn add(sandbox: &Sandbox, verification: &UpiVerification) -> Result<UpiAnswer, Refusal> {
    let reference_id = sandbox
        .cashfree
        .records()
        .add_upi(verification.clone())
        .ok_or_else(Refusal::verification_id_used)?;
    Ok(present(reference_id, verification))
}

fn present(reference_id: u64, verification: &UpiVerification) -> UpiAnswer {
    let valid = verification.status == UpiStatus::Valid;
    let name_at_bank = verification.holder.as_deref().map(str::to_owned);
    let found = verification
        .name
        .as_deref()
        .zip(name_at_bank.as_deref())
        .map(|(sent, at_bank)| NameMatch::of(sent, at_bank));
    let verification_id = verification.verification_id.to_string();
    let vpa = verification.vpa.to_string();
    let name_match_score = found.map(NameMatch::score);
    if verification.penny_drop {
        UpiAnswer::PennyDrop(Box::new(UpiPennyDropAnswer {
            verification_id,
            reference_id,
            status: verification.status,
            vpa,
            name_at_bank,
            utr: valid.then(|| utr(reference_id)),
            bank_account: valid.then_some(branch::UPI_ACCOUNT),
            ifsc: valid.then_some(branch::UPI_IFSC),
            name_match_score,
            name_match_result: found.map(NameMatch::penny_drop_result),
            ifsc_details: valid.then(branch::of_vpa),
        }))
    } else {
        UpiAnswer::LookUp(UpiLookUpAnswer {
            verification_id,
            reference_id,
            status: verification.status,
            vpa,
            name_at_bank,
            name_match_score,
            name_match_result: found.map(NameMatch::result),
        })
    }
}
