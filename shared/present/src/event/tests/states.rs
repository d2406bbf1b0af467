//! Rows of one account at its events, and the events.

use chrono::{DateTime, Utc};
use khata_crypto::{Keyring, KeyringFile, Purpose};
use khata_domain::validation::{FailureCode, ValidationResult};
use khata_domain::{
    AccountId, AccountNumber, AccountStatus, AccountType, BankAccount, BeneficiaryName, CustomerId,
    Details, EventId, EventName as Name, Ifsc, MerchantId, Method, PendingReason, ValidationId,
    Vpa,
};
use khata_store::accounts::{AccountColumns, AccountRow, ValidationColumns};
use serde_json::json;

use crate::event::AccountEvent;
use crate::snapshot::{Snapshot, ValidationSnapshot};

pub(super) const NUMBER: &str = "026291800001191";
pub(super) const NAME: &str = "Asha Rao";
pub(super) const NAME_AT_BANK: &str = "ASHA R RAO";
pub(super) const UTR: &str = "395137559835";
pub(super) const ORDER: &str = "A-17";

pub(super) fn keyring() -> Keyring {
    Keyring::from(&KeyringFile::generate())
}

/// The id with this prefix, which all tests use.
pub(super) fn id(prefix: &str) -> String {
    format!("{prefix}01k82u7s7aeqraoh1tia1a3hc8")
}

pub(super) fn merchant() -> MerchantId {
    MerchantId::parse(&id("mrc_")).unwrap()
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_686_058_100 + second, 0).unwrap()
}

pub(super) fn bank() -> Details {
    Details::Bank(BankAccount {
        ifsc: Ifsc::parse("HDFC0000001").unwrap(),
        account_number: AccountNumber::parse(NUMBER).unwrap(),
        beneficiary_name: Some(BeneficiaryName::parse(NAME).unwrap()),
    })
}

pub(super) fn upi(vpa: &str) -> Details {
    Details::Upi(Vpa::parse(vpa).unwrap())
}

/// The row of an account that was just created, without its validation.
fn created(keyring: &Keyring, details: &Details) -> AccountRow {
    let account = AccountId::parse(&id("banh_")).unwrap();
    let (subject, plain) = (account.0, details.to_plaintext());
    AccountRow {
        columns: AccountColumns {
            merchant: merchant(),
            id: account,
            customer: CustomerId::parse(&id("cst_")).unwrap(),
            kind: details.kind(),
            status: AccountStatus::Created,
            version: 1,
            pinned_gateway_id: None,
            pinned_gateway_reference_id: None,
            created_at: at(0),
            updated_at: at(0),
            last_validated_at: None,
        },
        object_reference_id: "customer_1122".to_owned(),
        sealed_details: keyring.encrypt(merchant(), subject, Purpose::Details, &plain),
        fingerprint: Vec::new(),
        bank_code: Some("12".to_owned()),
        metadata: json!({ "order": ORDER, "branch": "Pune" }),
        validation: ValidationColumns::default(),
    }
}

/// A gateway was called and reports the outcome later.
fn pending(keyring: &Keyring, details: &Details) -> AccountRow {
    let mut row = created(keyring, details);
    row.columns.status = AccountStatus::Pending;
    row.columns.version = 2;
    row.columns.updated_at = at(1);
    row.validation = ValidationColumns {
        id: ValidationId::parse(&id("val_")),
        attempts: Some(1),
        gateway_id: Some(70),
        gateway_reference_id: Some("main".to_owned()),
        method: Some(Method::PennyDrop),
        pending_reason: Some(PendingReason::AwaitingGatewayResult),
        due_at: Some(at(31)),
        validation_created_at: Some(at(0)),
        ..ValidationColumns::default()
    };
    row
}

/// The result is known.
pub(super) fn active(keyring: &Keyring, details: &Details) -> AccountRow {
    let result = ValidationResult {
        name_at_bank: Some(NAME_AT_BANK.to_owned()),
        utr: Some(UTR.to_owned()),
        account_type: Some(AccountType::Savings),
    };
    let (mut row, plain) = (pending(keyring, details), result.to_plaintext());
    let subject = row.id.0;
    row.columns.status = AccountStatus::Active;
    row.columns.version = 3;
    row.columns.updated_at = at(2);
    row.columns.last_validated_at = Some(at(2));
    row.validation.attempts = Some(2);
    row.validation.pending_reason = None;
    row.validation.due_at = None;
    row.validation.completed_at = Some(at(2));
    row.validation.name_match_score = Some(96);
    row.validation.sealed_result =
        Some(keyring.encrypt(merchant(), subject, Purpose::ValidationResult, &plain));
    row
}

/// A person decides about the name.
fn in_review(keyring: &Keyring, details: &Details) -> AccountRow {
    let mut row = active(keyring, details);
    row.columns.status = AccountStatus::Pending;
    row.validation.failure_code = Some(FailureCode::NameMismatch);
    row.validation.failure_reason = Some(FailureCode::NameMismatch.reason().to_owned());
    row
}

pub(super) fn failure(keyring: &Keyring, details: &Details) -> AccountRow {
    let mut row = in_review(keyring, details);
    row.columns.status = AccountStatus::Failure;
    row.columns.version = 4;
    row.columns.updated_at = at(3);
    row
}

/// The merchant requested a gateway for the account, which is deleted with its validation under way.
pub(super) fn deleted(keyring: &Keyring, details: &Details) -> AccountRow {
    let mut row = pinned(keyring, details);
    row.columns.status = AccountStatus::Deleted;
    row.columns.version = 4;
    row.columns.updated_at = at(3);
    row
}

/// The merchant requested a gateway for the account.
fn pinned(keyring: &Keyring, details: &Details) -> AccountRow {
    let mut row = pending(keyring, details);
    row.columns.version = 3;
    row.columns.pinned_gateway_id = Some(12);
    row.columns.pinned_gateway_reference_id = Some("second".to_owned());
    row
}

/// Every event with the row as it was then.
pub(super) type State = fn(&Keyring, &Details) -> AccountRow;
pub(super) const EVENTS: [(Name, State); 7] = [
    (Name::Created, created),
    (Name::Pending, pending),
    (Name::Pending, in_review),
    (Name::Updated, pinned),
    (Name::Active, active),
    (Name::Failure, failure),
    (Name::Deleted, deleted),
];

/// The event that leads to the state of this row.
pub(super) fn event_of(name: Name, row: &AccountRow) -> AccountEvent {
    let validation = &row.validation;
    let snapshot = Snapshot {
        status: row.status,
        version: row.version,
        updated_at: row.updated_at,
        last_validated_at: row.last_validated_at,
        pinned_gateway_id: row.pinned_gateway_id,
        pinned_gateway_reference_id: row.pinned_gateway_reference_id.clone(),
        validation: validation.id.map(|_| ValidationSnapshot {
            attempts: validation.attempts.unwrap(),
            gateway_id: validation.gateway_id,
            gateway_reference_id: validation.gateway_reference_id.clone(),
            method: validation.method,
            failure_code: validation.failure_code,
            failure_reason: validation.failure_reason.clone(),
            pending_reason: validation.pending_reason,
            next_attempt_at: validation.due_at,
            completed_at: validation.completed_at,
        }),
    };
    AccountEvent {
        id: EventId::parse(&id("evt_")).unwrap(),
        name,
        created_at: at(5),
        snapshot,
    }
}

/// The account long after the event: each value that may change has changed since, and a validation without an outcome got one.
pub(super) fn later(keyring: &Keyring, details: &Details, then: &AccountRow) -> AccountRow {
    let mut row = active(keyring, details);
    row.columns.status = AccountStatus::Deleted;
    row.columns.version = 9;
    row.columns.updated_at = at(900);
    row.columns.last_validated_at = Some(at(800));
    row.columns.pinned_gateway_id = Some(23);
    row.columns.pinned_gateway_reference_id = Some("other".to_owned());
    row.validation.attempts = Some(9);
    row.validation.gateway_id = Some(1001);
    row.validation.gateway_reference_id = Some("last".to_owned());
    row.validation.method = Some(Method::Penniless);
    row.validation.failure_code = Some(FailureCode::AccountClosed);
    row.validation.failure_reason = Some("The account is closed.".to_owned());
    row.validation.pending_reason = Some(PendingReason::Retrying);
    row.validation.due_at = Some(at(950));
    row.validation.completed_at = Some(at(800));
    row.validation.reused_from = if then.validation.completed_at.is_some() {
        then.validation.reused_from
    } else {
        ValidationId::parse(&id("val_"))
    };
    row
}
