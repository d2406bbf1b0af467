//! The payment gateway's look-up of a VPA. No money moves, so the ledger hears nothing.

use crate::Sandbox;
use crate::gateway::Gateway;
use crate::razorpay::limits;
use crate::razorpay::outcome::{self, Ending};
use crate::razorpay::refusal::Refusal;
use crate::razorpay::wire::{VpaAnswer, VpaRequest};
use crate::scenario;

/// `POST /v1/payments/validate/vpa`. What ends for good says whether the VPA exists; what does not is
/// Razorpay's GATEWAY_ERROR.
pub(super) fn look_up(sandbox: &Sandbox, request: &VpaRequest) -> Result<VpaAnswer, Refusal> {
    let vpa = limits::vpa("vpa", request.vpa.as_deref())?;
    let asked = sandbox
        .first_times
        .settle(Gateway::Razorpay, vpa, scenario::asked_by_vpa(vpa));
    let finding = outcome::of(asked, true)?;
    if let Ending::Failed(reason) = finding.ending
        && !outcome::is_final(reason)
    {
        return Err(Refusal::gateway_error());
    }
    let success = finding.is_valid();
    Ok(VpaAnswer {
        vpa: vpa.to_owned(),
        success,
        customer_name: if success {
            scenario::told_name(asked, vpa, None)
        } else {
            None
        },
    })
}
