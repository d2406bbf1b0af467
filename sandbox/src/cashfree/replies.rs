//! Cashfree's replies and events, and its comparison of names.

use chrono::Utc;
use serde_json::{Value, json};

use crate::cashfree::outcomes::{JOHN_DOE, Status, is_pending};
use crate::ids::twelve_digits;
use crate::webhooks::{Event, Events};

/// Name, city and MICR (a number, as at Cashfree) of every branch. Only the bank depends on the IFSC: no
/// published test data depend on the branch.
const BRANCH: &str = "SANTACRUZ, MUMBAI";
const CITY: &str = "MUMBAI";
const MICR: u32 = 400_532_038;

/// The account behind every valid VPA.
const UPI_ACCOUNT: &str = "1234567890";
const UPI_IFSC: &str = "ICIC0006567";

const BANKS: [(&str, &str); 11] = [
    ("BARB", "BANK OF BARODA"),
    ("CNRB", "CANARA BANK"),
    ("HDFC", "HDFC BANK"),
    ("ICIC", "ICICI BANK"),
    ("KKBK", "KOTAK MAHINDRA BANK"),
    ("PUNB", "PUNJAB NATIONAL BANK"),
    ("RATN", "RBL BANK"),
    ("SBIN", "STATE BANK OF INDIA"),
    ("SCBL", "STANDARD CHARTERED BANK"),
    ("UTIB", "AXIS BANK"),
    ("YESB", "YES BANK"),
];

/// Returns the bank's name by the first four letters of the IFSC; a bank that is not listed is named by
/// them.
fn bank_name(ifsc: &str) -> String {
    let code = ifsc.get(..4).unwrap_or(ifsc);
    let listed = BANKS.iter().find(|(known, _)| *known == code);
    listed.map_or_else(|| format!("{code} BANK"), |(_, name)| (*name).to_owned())
}

/// Returns `ifsc_details` without the members that differ between accounts and VPAs.
fn ifsc_details(ifsc: &str) -> Value {
    json!({
        "bank": bank_name(ifsc), "city": CITY, "state": "MAHARASHTRA", "branch": BRANCH,
        "address": "GROUND FLOOR, S V ROAD, SANTACRUZ WEST, MUMBAI - 400054",
        "category": "DIRECT_MEMBER", "swift_code": "", "micr": MICR, "nbin": 9999,
    })
}

/// Makes the reply about a bank account that has the status only. Unknown members are null.
pub(super) fn bare(reference_id: u64, (status, code): Status) -> Value {
    json!({
        "reference_id": reference_id, "account_status": status, "account_status_code": code,
        "name_at_bank": null, "bank_name": null, "utr": null, "city": null, "branch": null,
        "micr": null, "name_match_score": null, "name_match_result": null, "ifsc_details": null,
    })
}

/// Makes the reply of `POST /bank-account/sync` and `GET /bank-account` with the outcome. `name` was sent,
/// `holder` is the name at the bank.
pub(super) fn bank(
    reference_id: u64,
    (status, code): Status,
    ifsc: &str,
    name: Option<&str>,
    holder: Option<&str>,
) -> Value {
    let mut reply = bare(reference_id, (status, code));
    if is_pending((status, code)) || status == "REJECTED" {
        return reply;
    }
    if code != "INVALID_IFSC_FAIL" {
        let mut details = ifsc_details(ifsc);
        details["ifsc"] = ifsc.into();
        details["ifsc_subcode"] = ifsc.get(..5).into();
        for (member, detail) in [
            ("bank_name", "bank"),
            ("city", "city"),
            ("branch", "branch"),
            ("micr", "micr"),
        ] {
            reply[member] = details[detail].clone();
        }
        reply["ifsc_details"] = details;
    }
    if status == "VALID" {
        let (score, result) = name_match(name, holder).unzip();
        reply["name_match_score"] = score.into();
        reply["name_match_result"] = result.into();
        reply["name_at_bank"] = holder.into();
        reply["utr"] = twelve_digits(reference_id).into();
    }
    reply
}

/// Makes the events of a verification whose outcome appeared (Cashfree, webhooks of bank account
/// verification). An event has no `amount_deposited` where no rupee arrived.
pub(super) fn events(settled: Value, pending: Value, user_id: Option<&str>) -> Events {
    let event_type = match settled["account_status"].as_str() {
        Some("VALID") => "BANK_ACCOUNT_VERIFICATION_SUCCESS",
        Some("REJECTED") => "BANK_ACCOUNT_VERIFICATION_REJECTED",
        _ => "BANK_ACCOUNT_VERIFICATION_FAILED",
    };
    // UTC, in the form of the published sample: `2023-07-19 10:46:16`.
    let event_time = Utc::now().format("%Y-%m-%d %H:%M:%S").to_string();
    let event = |mut data: Value| {
        data["user_id"] = user_id.into();
        if !data["utr"].is_null() {
            data["amount_deposited"] = "1.00".into();
        }
        let body = json!({
            "event_type": event_type, "event_time": event_time, "version": "v2", "data": data,
        });
        Event::new(&body, vec![("x-webhook-version", "v2".to_owned())])
    };
    Events {
        outcome: event(settled),
        older: event(pending),
    }
}

/// Makes the reply of `POST /upi/penny-drop` or of the older lookup, `POST /upi`.
pub(super) fn upi(
    reference_id: u64,
    (verification_id, vpa): (&str, &str),
    status: &str,
    name: Option<&str>,
    holder: Option<&str>,
    penny_drop: bool,
) -> Value {
    let (score, result) = name_match(name, holder).unzip();
    let mut reply = json!({
        "verification_id": verification_id, "reference_id": reference_id, "status": status,
        "vpa": vpa, "name_at_bank": holder, "name_match_score": score,
        "name_match_result": result,
    });
    if penny_drop {
        let valid = status == "VALID";
        if reply["name_match_result"] == "DIRECT_MATCH" {
            reply["name_match_result"] = "MATCH".into();
        }
        let mut details = ifsc_details(UPI_IFSC);
        for rail in ["neft", "imps", "rtgs", "upi"] {
            details[rail] = "Live".into();
        }
        reply["utr"] = valid.then(|| twelve_digits(reference_id)).into();
        reply["bank_account"] = valid.then_some(UPI_ACCOUNT).into();
        reply["ifsc"] = valid.then_some(UPI_IFSC).into();
        reply["ifsc_details"] = valid.then_some(details).into();
    }
    reply
}

/// Returns `name_match_score` and `name_match_result`. Cashfree publishes one score for each result (100, 85,
/// 70, 38, and 90 as GOOD); the bounds between them are the sandbox's.
fn name_match(sent: Option<&str>, at_bank: Option<&str>) -> Option<(String, &'static str)> {
    let score = match_score(sent?, at_bank?);
    let result = match score {
        100.. => "DIRECT_MATCH",
        85.. => "GOOD_PARTIAL_MATCH",
        60.. => "MODERATE_PARTIAL_MATCH",
        34.. => "POOR_PARTIAL_MATCH",
        _ => "NO_MATCH",
    };
    Some((format!("{score}.00"), result))
}

/// Scores the name sent against the name at the bank, 0 to 100. Cashfree publishes four names against
/// JOHN DOE and not how it scores others; the rule here is the sandbox's own and simple on purpose: a name
/// that differs in case, spacing and punctuation only is 100; the same words in another order are 90;
/// otherwise the score is the share of the longer name's letters in words that both names have, at most
/// 84.
fn match_score(sent: &str, at_bank: &str) -> usize {
    if at_bank == JOHN_DOE {
        match sent.to_lowercase().as_str() {
            "john doe" => return 100,
            "john d" => return 85,
            "j doe" => return 70,
            "jane d" => return 38,
            _ => {}
        }
    }
    let (sent, mut at_bank) = (words(sent), words(at_bank));
    if sent == at_bank {
        return 100;
    }
    let longer = letters(&sent).max(letters(&at_bank));
    let mut shared = 0;
    let mut unmatched = 0;
    for word in &sent {
        if let Some(index) = at_bank.iter().position(|other| other == word) {
            shared += at_bank.swap_remove(index).chars().count();
        } else {
            unmatched += 1;
        }
    }
    if unmatched == 0 && at_bank.is_empty() {
        return 90;
    }
    (100 * shared / longer.max(1)).min(84)
}

fn words(name: &str) -> Vec<String> {
    name.to_lowercase()
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn letters(words: &[String]) -> usize {
    words.iter().map(|word| word.chars().count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(sent: &str, at_bank: &str) -> Option<(String, &'static str)> {
        name_match(Some(sent), Some(at_bank))
    }

    #[test]
    fn names_have_the_published_scores_and_others_follow_the_rule() {
        for (sent, at_bank, score, result) in [
            ("john doe", "JOHN DOE", 100, "DIRECT_MATCH"),
            ("John D", "JOHN DOE", 85, "GOOD_PARTIAL_MATCH"),
            ("j doe", "JOHN DOE", 70, "MODERATE_PARTIAL_MATCH"),
            ("JANE D", "JOHN DOE", 38, "POOR_PARTIAL_MATCH"),
            ("Asha Rao", "ASHA RAO", 100, "DIRECT_MATCH"),
            (
                "s.v. krishnamurthy",
                "S V KRISHNAMURTHY",
                100,
                "DIRECT_MATCH",
            ),
            ("rao  asha", "ASHA RAO", 90, "GOOD_PARTIAL_MATCH"),
            ("asha k rao", "ASHA RAO", 84, "MODERATE_PARTIAL_MATCH"),
            ("asha", "ASHA RAO", 57, "POOR_PARTIAL_MATCH"),
            ("ravi", "ASHA RAO", 0, "NO_MATCH"),
            ("...", "ASHA RAO", 0, "NO_MATCH"),
            ("आशा राव", "आशा राव", 100, "DIRECT_MATCH"),
        ] {
            let found = scored(sent, at_bank);
            let expected = Some((format!("{score}.00"), result));
            assert_eq!(found, expected, "{sent} / {at_bank}");
        }
    }

    #[test]
    fn a_repeated_word_counts_once() {
        let found = scored("rao rao", "RAO ASHA").map(|(_, result)| result);
        assert_eq!(found, Some("POOR_PARTIAL_MATCH"));
    }

    #[test]
    fn a_penny_drop_has_its_own_word_for_a_direct_match() {
        for (name, holder, result) in [
            ("asha", "ASHA", "MATCH"),
            ("john d", "JOHN DOE", "GOOD_PARTIAL_MATCH"),
        ] {
            let reply = upi(
                1,
                ("v", "asha@upi"),
                "VALID",
                Some(name),
                Some(holder),
                true,
            );
            assert_eq!(reply["name_match_result"], result);
        }
    }

    #[test]
    fn a_bank_is_named_by_its_ifsc() {
        assert_eq!(bank_name("YESB0000262"), "YES BANK");
        assert_eq!(bank_name("AABF0008032"), "AABF BANK");
    }
}
