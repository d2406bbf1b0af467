//! The command validateVPA of the web service. It looks the VPA up: no money moves, so the ledger hears
//! nothing.

use crate::gateway::Gateway;
use crate::payu::published::{self, Vpa};
use crate::payu::refusal::Refusal;
use crate::payu::wire::VpaAnswer;
use crate::{Sandbox, scenario};

/// What is found of this VPA.
pub(super) fn validate(sandbox: &Sandbox, vpa: &str) -> Result<VpaAnswer, Refusal> {
    let asked = scenario::asked_by_vpa(vpa);
    let asked = sandbox.first_times.settle(Gateway::Payu, vpa, asked);
    let name = scenario::told_name(asked, vpa, None);
    let found = match vpa.split_once('@') {
        Some((user, handle)) if !user.is_empty() && !handle.is_empty() => {
            published::vpa(vpa, asked, name)
        }
        _ => Vpa::Invalid,
    };
    match found {
        Vpa::Valid(name) => Ok(VpaAnswer {
            status: "SUCCESS",
            vpa: vpa.to_owned(),
            is_vpa_valid: 1,
            is_auto_pay_vpa_valid: Some(1),
            is_auto_pay_bank_valid: Some("NA"),
            payer_account_name: name,
        }),
        Vpa::Invalid => Ok(VpaAnswer {
            status: "SUCCESS",
            vpa: vpa.to_owned(),
            is_vpa_valid: 0,
            is_auto_pay_vpa_valid: None,
            is_auto_pay_bank_valid: None,
            payer_account_name: "NA".to_owned(),
        }),
        Vpa::Failure => Err(Refusal::SERVICE_INTERNAL),
    }
}
