//! The web service: one address for all commands, each call signed.

use sha2::{Digest, Sha512};

use crate::Sandbox;
use crate::payu::refusal::Refusal;
use crate::payu::wire::{PaymentsAnswer, ServiceAnswer, ServiceRequest, UnknownPayment};
use crate::payu::{KEY, SALT, vpa};
use crate::sign::hex;

/// `POST /merchant/postservice.php?form=2`.
pub(super) fn obey(sandbox: &Sandbox, request: &ServiceRequest) -> Result<ServiceAnswer, Refusal> {
    let (Some(key), Some(command), Some(var1), Some(hash)) =
        (&request.key, &request.command, &request.var1, &request.hash)
    else {
        return Err(Refusal::PARAMETER);
    };
    if key != KEY || *hash != signature(command, var1) {
        return Err(Refusal::HASH);
    }
    match command.as_str() {
        "validateVPA" => vpa::validate(sandbox, var1).map(ServiceAnswer::Vpa),
        "verify_payment" => Ok(ServiceAnswer::Payments(payments(var1))),
        _ => Err(Refusal::COMMAND),
    }
}

/// Payments by the merchant's ids, several with `|` between. No payment is made here, so none is found.
fn payments(ids: &str) -> PaymentsAnswer {
    let unknown = |id: &str| {
        let payment = UnknownPayment {
            mihpayid: "Not Found",
            status: "Not Found",
        };
        (id.to_owned(), payment)
    };
    let asked = ids.split('|').count();
    PaymentsAnswer {
        status: 0,
        msg: format!("0 out of {asked} Transactions Fetched Successfully"),
        transaction_details: ids.split('|').map(unknown).collect(),
    }
}

/// sha512(key|command|var1|salt), in lower-case hexadecimal (PayU, "Hash Generation").
fn signature(command: &str, var1: &str) -> String {
    hex(&Sha512::digest(format!("{KEY}|{command}|{var1}|{SALT}")))
}
