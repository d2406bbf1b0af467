//! The meaning of each rule when a row breaks it, and its repair.

use khata_domain::ids::AttemptReference;
use khata_store::doctor::{Found, Rule};

/// Returns what follows for merchants and payees.
pub(super) fn meaning(rule: Rule) -> &'static str {
    match rule {
        Rule::AccountWithoutValidation => {
            "No worker validates the account: its status never changes by itself."
        }
        Rule::StatusDiffers => {
            "The merchant sees another outcome than the one that a gateway gave."
        }
        Rule::ValidationWithoutAccount => {
            "No merchant sees the outcome, and a worker that claims the validation fails."
        }
        Rule::UnfinishedAttempt => {
            "The attempt may have paid a rupee, and no worker looks its result up any more."
        }
        Rule::AttemptWithoutValidation => {
            "The attempt may have paid a rupee, and counts for no account."
        }
        Rule::AttemptWithoutReference => {
            "The attempt cannot be found at the gateway: a rupee that it paid cannot be traced."
        }
        Rule::LeaseExpired => {
            "The worker that held the validation stopped, and no scheduler takes the validation back."
        }
        Rule::DueAndNotClaimed => {
            "The validation could go on, and no worker claims it: no worker runs, or there is a backlog."
        }
        Rule::SetAside => {
            "Ten steps in a row failed. Workers try the validation once an hour, and end it at its deadline."
        }
        Rule::DeliveryNotAttempted => {
            "The merchant does not get the event, although the last call to the endpoint succeeded."
        }
        Rule::EventMissing => {
            "Merchants that read events or get webhooks do not learn of a change of the account."
        }
        Rule::EventClock => {
            "Later events may come before earlier ones: a reader of the cursor does not see them."
        }
        Rule::DropsNotCounted => {
            "The merchant may start more penny drops in a day than its budget."
        }
        Rule::Undecryptable => {
            "The value is lost without the right key: workers and the API cannot use the row."
        }
        Rule::RupeeWithoutAttempt => "A rupee was paid that Khata does not know.",
        Rule::RupeeOfUnpaidAttempt => {
            "Khata took the attempt for one that paid nothing: the rupee counts for no budget, and another one may have followed."
        }
        Rule::RupeeKept => {
            "No rule is broken: a gateway may keep a rupee that it sent before the account was refused, or whose result was lost, and may \
             reverse it later."
        }
        Rule::RupeesOfOneReference => {
            "A call was performed more than once. Only CASHFREE's asynchronous bank verification may do so, after 90 s."
        }
        Rule::AttemptWithoutRupee => {
            "The gateway called the account valid, and its statement has no rupee: the statement is incomplete, or the result is wrong."
        }
    }
}

/// Returns how to repair it.
pub(super) fn repair(rule: Rule) -> &'static str {
    match rule {
        Rule::AccountWithoutValidation => {
            "ask the merchant to validate the account again, which begins a new validation. The old row comes from a backup only."
        }
        Rule::StatusDiffers => {
            "read the account's history. A FAILURE is validated again by `khata account retry … --yes`; for any other status ask the merchant to \
             validate the account again. Both may cost a rupee."
        }
        Rule::ValidationWithoutAccount => {
            "restore the account's row from a backup. Accounts are marked as deleted and never removed: find out who removed it."
        }
        Rule::UnfinishedAttempt => {
            "search the attempt's reference in the gateway's report, and send the account's history to a developer. The outcome stays."
        }
        Rule::AttemptWithoutValidation => {
            "search the reference in the gateway's report, and restore the validation's row from a backup."
        }
        Rule::AttemptWithoutReference => {
            "search the gateway's report by account and time, and send the account's history to a developer."
        }
        Rule::LeaseExpired => {
            "restart the workers; a running worker takes an expired lease back within a minute. docs/operations.md, KhataValidationsStuck."
        }
        Rule::DueAndNotClaimed => {
            "start or add workers. docs/operations.md, KhataValidationsStuck."
        }
        Rule::SetAside => {
            "find the cause in the workers' logs, then retry each account, or all: `khata account retry --all --set-aside --merchant …`. \
             docs/operations.md, KhataValidationsSetAside."
        }
        Rule::DeliveryNotAttempted => {
            "start or add workers; a running worker takes over endpoints without an owner within 15 s. docs/operations.md, \
             KhataWebhookDeliveriesLate."
        }
        Rule::EventMissing => {
            "tell the merchant to read the account by the API: a missing event cannot be made later. Send its history to a developer."
        }
        Rule::EventClock => "run `khata migrate`: it raises the positions of later events.",
        Rule::DropsNotCounted => {
            "find out who changed penny_drop_counts. The counts of other days are not affected; nothing needs to be corrected."
        }
        Rule::Undecryptable => {
            "give the services the keyring that has the key; `khata keyring show` lists the use of each key. An altered value comes \
             from a backup only."
        }
        Rule::RupeeWithoutAttempt => {
            "is the statement of this gateway account, and is the reference ours (kh…_01) or the gateway's id? A UTR is neither: name \
             another column with --reference-column. Was the database restored to an earlier moment? Only if none of these explains the \
             rupee, another program uses the account's credentials: replace them by `khata gateway set`, and ask the gateway."
        }
        Rule::RupeeOfUnpaidAttempt => {
            "ask the gateway for the time of the call and of the rupee. A call that arrives more than 90 s late explains one rupee."
        }
        Rule::RupeeKept => {
            "when the merchant or the payee asks: the payee has this rupee. Ask the gateway by the reference whether it reverses it."
        }
        Rule::RupeesOfOneReference => {
            "ask the gateway for the second rupee back, and why it performed the call twice."
        }
        Rule::AttemptWithoutRupee => {
            "does the statement cover the attempt's time and all methods? Otherwise ask the gateway by the reference."
        }
    }
}

/// Returns the command that repairs this row, or else shows it; `None` if none does.
pub(super) fn command(found: &Found, merchant: Option<&str>) -> Option<String> {
    let account = found
        .account
        .map(|account| format!("khata account show {account}"));
    match found.rule {
        Rule::SetAside => found
            .account
            .map(|account| format!("khata account retry {account}")),
        Rule::EventClock => Some("khata migrate".to_owned()),
        Rule::Undecryptable => Some("khata keyring show".to_owned()),
        Rule::DropsNotCounted => {
            merchant.map(|name| format!("khata merchant show --merchant {name}"))
        }
        Rule::DeliveryNotAttempted => found.event.map(|event| format!("khata event show {event}")),
        // No command shows what belongs to no account.
        Rule::ValidationWithoutAccount | Rule::AttemptWithoutValidation => None,
        _ => account.or_else(|| {
            let validation = found.validation?;
            let reference = found
                .number
                .map(|number| AttemptReference { validation, number });
            let id =
                reference.map_or_else(|| validation.to_string(), |reference| reference.to_string());
            Some(format!("khata account show {id}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_rule_has_a_meaning_and_a_repair_of_its_own() {
        let meanings: HashSet<_> = Rule::ALL.iter().map(|rule| meaning(*rule)).collect();
        let repairs: HashSet<_> = Rule::ALL.iter().map(|rule| repair(*rule)).collect();
        assert_eq!(
            (meanings.len(), repairs.len()),
            (Rule::ALL.len(), Rule::ALL.len())
        );
    }
}
