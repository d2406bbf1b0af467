//! The command validateVPA of the web service. It looks the VPA up: no money moves, so the ledger hears
//! nothing.

use sha2::{Digest, Sha512};

use crate::gateway::Gateway;
use crate::payu::published::{self, Vpa};
use crate::payu::refusal::Refusal;
use crate::payu::wire::{ServiceRequest, VpaAnswer};
use crate::payu::{KEY, SALT};
use crate::sign::hex;
use crate::{Sandbox, scenario};

/// `POST /merchant/postservice.php?form=2`.
pub(super) fn validate(sandbox: &Sandbox, request: &ServiceRequest) -> Result<VpaAnswer, Refusal> {
    let (Some(key), Some(command), Some(vpa), Some(hash)) =
        (&request.key, &request.command, &request.var1, &request.hash)
    else {
        return Err(Refusal::PARAMETER);
    };
    if key != KEY || *hash != signature(command, vpa) {
        return Err(Refusal::HASH);
    }
    if command != "validateVPA" {
        return Err(Refusal::COMMAND);
    }
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
            vpa: vpa.clone(),
            is_vpa_valid: 1,
            is_auto_pay_vpa_valid: Some(1),
            is_auto_pay_bank_valid: Some("NA"),
            payer_account_name: name,
        }),
        Vpa::Invalid => Ok(VpaAnswer {
            status: "SUCCESS",
            vpa: vpa.clone(),
            is_vpa_valid: 0,
            is_auto_pay_vpa_valid: None,
            is_auto_pay_bank_valid: None,
            payer_account_name: "NA".to_owned(),
        }),
        Vpa::Failure => Err(Refusal::SERVICE_INTERNAL),
    }
}

/// sha512(key|command|var1|salt), in lower-case hexadecimal (PayU, "Hash Generation").
fn signature(command: &str, var1: &str) -> String {
    hex(&Sha512::digest(format!("{KEY}|{command}|{var1}|{SALT}")))
}
