//! PayU's field rules ("Verify Account or Penny Test API") and its refusals.
//!
//! The payout API's codes are from its table of error codes, in the form of its one published failure;
//! that they come with HTTP 200 is inferred from that form, and so are the refusals without a code. The
//! token endpoint follows RFC 6749. The refusals of the VPA lookup are inferred too: its page has none.

use serde_json::json;

use crate::profile::{Refusal, RefusalRow};
use crate::rules::Check::{Matches, Present, When};
use crate::rules::{Rule, alphanumeric, ifsc, rule};

/// A refusal of payouts. A row without a code is a refusal without one.
pub(super) const DUPLICATE_MERCHANT_REF_ID: RefusalRow<'static> =
    (200, "1002", "DUPLICATE MERCHANT REF ID");
pub(super) const IFSC_CODE: RefusalRow<'static> = (200, "1005", "INVALID IFSC CODE");
pub(super) const BALANCE: RefusalRow<'static> = (200, "", "Insufficient balance");
pub(super) const FORM: RefusalRow<'static> = (400, "", "Invalid request");
pub(super) const MERCHANT: RefusalRow<'static> = (403, "", "Invalid payoutMerchantId");

/// Refusals of payouts and of the web service, each in its form.
pub(super) const IP: RefusalRow<'static> = (403, "", "IP is not whitelisted");
pub(super) const TOO_MANY_CALLS: RefusalRow<'static> = (429, "", "Too many requests");
pub(super) const INTERNAL: RefusalRow<'static> = (500, "", "Something went wrong");

/// Refusals of the token endpoint.
pub(super) const CLIENT: RefusalRow<'static> = (
    401,
    "invalid_client",
    "Client authentication failed due to unknown client or wrong client_secret.",
);
pub(super) const GRANT_TYPE: RefusalRow<'static> = (
    400,
    "unsupported_grant_type",
    "The authorization grant type is not supported by the authorization server.",
);
pub(super) const SCOPE: RefusalRow<'static> = (
    400,
    "invalid_scope",
    "The requested scope is invalid, unknown, or malformed.",
);
pub(super) const REQUEST: RefusalRow<'static> = (
    400,
    "invalid_request",
    "The request is missing a required parameter or is otherwise malformed.",
);
/// The bearer token of a payout call is missing, unknown or expired.
pub(super) const TOKEN: RefusalRow<'static> = (
    401,
    "invalid_token",
    "The access token is invalid or has expired.",
);

/// Refusals of the web service.
pub(super) const PARAMETER: RefusalRow<'static> = (200, "", "Parameter missing");
pub(super) const HASH: RefusalRow<'static> = (200, "", "Invalid Hash.");
pub(super) const COMMAND: RefusalRow<'static> = (200, "", "Invalid command.");

/// Makes a refusal of payouts.
pub(super) fn payout_refusal((status, code, msg): RefusalRow<'_>) -> Refusal {
    let code = code.parse::<u32>().ok();
    let body = json!({"status": 1, "msg": msg, "code": code, "data": null});
    Refusal::new(status, body)
}

/// Makes a refusal with an OAuth error (RFC 6749, section 5.2).
pub(super) fn oauth_refusal((status, error, description): RefusalRow<'_>) -> Refusal {
    let body = json!({"error": error, "error_description": description});
    Refusal::new(status, body)
}

/// Makes a refusal of the web service.
pub(super) fn service_refusal((status, _, msg): RefusalRow<'_>) -> Refusal {
    Refusal::new(status, json!({"status": 0, "msg": msg}))
}

/// Makes payouts' refusal of a field that breaches a rule.
pub(super) fn payout_rule_refusal(rule: &Rule) -> Refusal {
    payout_refusal((200, &rule.code(""), &rule.message("")))
}

/// The fields of payout forms that are read. Of the filters of `listTransactions` only `merchantRefId` is.
pub(super) const MERCHANT_FIELDS: [&str; 7] = [
    "accountNumber",
    "ifscCode",
    "merchantRefId",
    "validateIfsc",
    "beneName",
    "nameMatching",
    "purpose",
];

/// The form of `verifyAccount`.
pub(super) const ACCOUNT: &[Rule] = &[
    rule("merchantRefId", Present, "1001", "INVALID MERCHANT REF ID"),
    rule(
        "merchantRefId",
        Matches(is_reference),
        "1001",
        "INVALID MERCHANT REF ID",
    ),
    rule("accountNumber", Present, "1004", "INVALID ACCOUNT NUMBER"),
    rule(
        "accountNumber",
        Matches(alphanumeric),
        "1004",
        "INVALID ACCOUNT NUMBER",
    ),
    rule("ifscCode", Present, IFSC_CODE.1, IFSC_CODE.2),
    rule(
        "ifscCode",
        When("validateIfsc", &Matches(ifsc)),
        "1022",
        "INVALID IFSC CODE PATTERN",
    ),
    rule(
        "beneName",
        When("nameMatching", &Present),
        "1007",
        "INVALID NAME",
    ),
    rule("purpose", Present, "1010", "INVALID PURPOSE"),
];

fn is_reference(text: &str) -> bool {
    text.len() <= 40
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rules::first_breach;

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
            let found = first_breach(ACCOUNT, &form).map(|rule| rule.code(""));
            assert_eq!(found.unwrap_or_default(), code, "{changes}");
        }
    }
}
