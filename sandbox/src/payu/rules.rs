//! PayU's field rules ("Verify Account or Penny Test API") and its refusals.
//!
//! The payout API's codes are from its table of error codes, in the form of its one published failure;
//! that they come with HTTP 200 is inferred from that form, and so are the refusals without a code. The
//! token endpoint follows RFC 6749. The refusals of the VPA lookup are inferred too: its page has none.

use serde_json::json;

use crate::refusal::{Refusal, RefusalRow, refusals};
use crate::rules::Check::{Matches, Present, When};
use crate::rules::{Rule, alphanumeric, ifsc, rules};

refusals! {
    // Of payouts and of the web service, each in its form.
    IP = 403, "", "IP is not whitelisted";
    TOO_MANY_CALLS = 429, "", "Too many requests";
    INTERNAL = 500, "", "Something went wrong";
    // Of payouts.
    MERCHANT_REF_ID = 200, "1001", "INVALID MERCHANT REF ID";
    DUPLICATE_MERCHANT_REF_ID = 200, "1002", "DUPLICATE MERCHANT REF ID";
    ACCOUNT_NUMBER = 200, "1004", "INVALID ACCOUNT NUMBER";
    IFSC_CODE = 200, "1005", "INVALID IFSC CODE";
    NAME = 200, "1007", "INVALID NAME";
    PURPOSE = 200, "1010", "INVALID PURPOSE";
    IFSC_CODE_PATTERN = 200, "1022", "INVALID IFSC CODE PATTERN";
    BALANCE = 200, "", "Insufficient balance";
    FORM = 400, "", "Invalid request";
    MERCHANT = 403, "", "Invalid payoutMerchantId";
    // Of the token endpoint.
    CLIENT = 401, "invalid_client",
        "Client authentication failed due to unknown client or wrong client_secret.";
    GRANT_TYPE = 400, "unsupported_grant_type",
        "The authorization grant type is not supported by the authorization server.";
    SCOPE = 400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.";
    REQUEST = 400, "invalid_request",
        "The request is missing a required parameter or is otherwise malformed.";
    /// The bearer token of a payout call is missing, unknown or expired.
    TOKEN = 401, "invalid_token", "The access token is invalid or has expired.";
    // Of the web service.
    PARAMETER = 200, "", "Parameter missing";
    HASH = 200, "", "Invalid Hash.";
    COMMAND = 200, "", "Invalid command.";
}

/// Makes a refusal of payouts.
pub(super) fn payout_refusal((status, code, msg): RefusalRow<'_>) -> Refusal {
    let code = code.parse::<u32>().ok();
    let body = json!({"status": 1, "msg": msg, "code": code, "data": null});
    Refusal::new(status, body)
}

/// Makes a refusal with an OAuth error (RFC 6749, section 5.2).
pub(super) fn oauth_refusal((status, error, description): RefusalRow<'_>) -> Refusal {
    Refusal::new(
        status,
        json!({"error": error, "error_description": description}),
    )
}

/// Makes a refusal of the web service.
pub(super) fn service_refusal((status, _, msg): RefusalRow<'_>) -> Refusal {
    Refusal::new(status, json!({"status": 0, "msg": msg}))
}

/// The fields of `verifyAccount`, and their rules.
pub(super) const ACCOUNT_FIELDS: [&str; 7] = [
    "accountNumber",
    "ifscCode",
    "merchantRefId",
    "validateIfsc",
    "beneName",
    "nameMatching",
    "purpose",
];
rules! {
    ACCOUNT {
        "merchantRefId": Present => MERCHANT_REF_ID;
        "merchantRefId": Matches(is_reference) => MERCHANT_REF_ID;
        "accountNumber": Present => ACCOUNT_NUMBER;
        "accountNumber": Matches(alphanumeric) => ACCOUNT_NUMBER;
        "ifscCode": Present => IFSC_CODE;
        "ifscCode": When("validateIfsc", &Matches(ifsc)) => IFSC_CODE_PATTERN;
        "beneName": When("nameMatching", &Present) => NAME;
        "purpose": Present => PURPOSE;
    }
}

fn is_reference(text: &str) -> bool {
    text.len() <= 40
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rules::check;

    #[test]
    fn each_field_has_its_code() {
        let long = "a".repeat(41);
        for (changes, code) in [
            (json!({}), ""),
            (json!({"merchantRefId": null}), "1001"),
            (json!({"merchantRefId": long}), "1001"),
            (json!({"accountNumber": null}), "1004"),
            (json!({"accountNumber": "12-34"}), "1004"),
            (json!({"ifscCode": null}), "1005"),
            (json!({"ifscCode": "HDFC1001098"}), "1022"),
            // The IFSC is not checked unless the caller demands it.
            (
                json!({"ifscCode": "HDFC1001098", "validateIfsc": "false"}),
                "",
            ),
            (json!({"beneName": null}), "1007"),
            (json!({"beneName": null, "nameMatching": null}), ""),
            (json!({"purpose": null}), "1010"),
        ] {
            let mut form = json!({
                "accountNumber": "51234567890", "ifscCode": "HDFC0001098",
                "merchantRefId": "987668124234235", "validateIfsc": "true",
                "beneName": "Asha Rao", "nameMatching": "true", "purpose": "Test",
            });
            if let (Value::Object(form), Value::Object(changes)) = (&mut form, changes.clone()) {
                form.extend(changes);
            }
            let breach = check(ACCOUNT, &form).err();
            let found = breach.map(|breach| breach.row().1.to_owned());
            assert_eq!(found.unwrap_or_default(), code, "{changes}");
        }
    }
}
