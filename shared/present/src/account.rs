//! A customer's account: fields, schemas, and how it is made from its row. A new field of an account is added here.

use chrono::{DateTime, Utc};
use khata_crypto::{Keyring, Purpose};
use khata_domain::routing::Pin;
use khata_domain::validation::ValidationResult;
use khata_domain::{AccountId, AccountStatus, CustomerId, Details, MerchantId, ValidationId};
use khata_ifsc as ifsc;
use khata_store::accounts::AccountRow;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::error::PresentError;
use crate::schema::{self, time};
use crate::validation::{self, Validation};

/// A customer's bank account or UPI address.
#[derive(Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub struct CustomerAccount {
    #[schema(value_type = schema::CustomerAccountObject)]
    pub object: &'static str,
    #[schema(
        pattern = "^banh_[0-9a-v]{26}$",
        example = "banh_01k82u7s7aeqraoh1tia1a3hc8"
    )]
    pub id: String,
    #[schema(
        pattern = "^cst_[0-9a-v]{26}$",
        example = "cst_01k82u7s7deddovl581r211s9l"
    )]
    pub customer_id: String,
    /// Your own name for the customer.
    #[schema(example = "customer_1122")]
    pub object_reference_id: String,
    #[schema(format = DateTime, example = "2023-06-06T13:28:20Z")]
    pub date_created: String,
    /// Time of the last status change.
    #[schema(format = DateTime, example = "2023-06-06T13:28:21Z")]
    pub last_updated: String,
    /// Time of the last result from a gateway.
    #[schema(required, format = DateTime, example = "2023-06-06T13:28:21Z")]
    pub last_validated: Option<String>,
    pub account_details: AccountDetails,
    /// Amount of a penny drop in rupees.
    #[schema(example = 1)]
    pub validation_amount: u8,
    #[schema(example = "INR")]
    pub currency: &'static str,
    #[schema(value_type = schema::Status)]
    pub status: String,
    /// Grows by one with each change of the account that an event reports.
    #[schema(minimum = 1, example = 2)]
    pub version: i32,
    /// The gateway that you requested. `validation` shows the gateway that validated the account.
    #[schema(required, example = json!(null))]
    pub gateway_id: Option<i16>,
    #[schema(required, example = json!(null))]
    pub gateway_reference_id: Option<String>,
    /// The newest validation; `null` in the reply that creates the account.
    #[schema(required)]
    pub validation: Option<Validation>,
    /// Your `metadata.*`.
    #[schema(value_type = schema::Metadata)]
    pub metadata: Value,
}

/// An account that a penny drop found, as the guide shows it.
fn example() -> Value {
    json!({
        "object": "customer_account",
        "id": "banh_01k82u7s7aeqraoh1tia1a3hc8",
        "customer_id": "cst_01k82u7s7deddovl581r211s9l",
        "object_reference_id": "customer_1122",
        "date_created": "2023-06-06T13:28:20Z",
        "last_updated": "2023-06-06T13:28:21Z",
        "last_validated": "2023-06-06T13:28:21Z",
        "account_details": {
            "bank_account_details": {
                "account_number": "026291800001191",
                "beneficiary_name": "test",
                "ifsc": "AABF0008032",
                "bank_code": "12",
                "bank_name": null,
                "branch_name": null,
                "ifsc_listed": false,
                "ifsc_hint": null,
            },
        },
        "validation_amount": 1,
        "currency": "INR",
        "status": "ACTIVE",
        "version": 2,
        "gateway_id": null,
        "gateway_reference_id": null,
        "validation": validation::example(),
        "metadata": {},
    })
}

/// Details of the account: one member, named as the kind of account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountDetails {
    BankAccountDetails(BankAccountDetails),
    VpaDetails(VpaDetails),
}

/// A bank account.
#[derive(Serialize, ToSchema)]
pub struct BankAccountDetails {
    #[schema(value_type = String, example = "026291800001191")]
    pub account_number: String,
    #[schema(required, value_type = Option<String>, example = "test")]
    pub beneficiary_name: Option<String>,
    #[schema(example = "AABF0008032")]
    pub ifsc: String,
    #[schema(required, example = "12")]
    pub bank_code: Option<String>,
    /// Bank of the IFSC; `null` if unknown.
    #[schema(required, example = json!(null))]
    pub bank_name: Option<&'static str>,
    /// Branch of the IFSC; `null` if the IFSC is not listed.
    #[schema(required, example = json!(null))]
    pub branch_name: Option<&'static str>,
    /// Whether the published list contains the IFSC. The list lags behind the banks, so an unlisted IFSC may be valid.
    #[schema(example = false)]
    pub ifsc_listed: bool,
    /// Hint about an IFSC that is not listed: the bank that its bank became part of, or the listed IFSC that looks
    /// like it; `null` if nothing is known.
    #[schema(required, example = json!(null))]
    pub ifsc_hint: Option<String>,
}

/// A UPI address.
#[derive(Serialize, ToSchema)]
pub struct VpaDetails {
    #[schema(value_type = String, example = "9164326296@upi")]
    pub vpa: String,
    /// Whether the list of handles has the part behind the `@`. New apps appear before the list does, so an unknown handle may
    /// be real.
    #[schema(example = true)]
    pub handle_known: bool,
    /// The bank account that the address names itself, as `NUMBER@IFSC.ifsc.npci` does; absent for any other address. Limits
    /// count both as one account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bank_account: Option<NamedBankAccount>,
}

/// The bank account that a UPI address names.
#[derive(Serialize, ToSchema)]
pub struct NamedBankAccount {
    #[schema(example = "026291800001191")]
    pub account_number: String,
    #[schema(example = "AABF0008032")]
    pub ifsc: String,
}

fn account_details(details: &Details, bank_code: Option<String>) -> AccountDetails {
    match details {
        Details::Bank(bank) => {
            let known = ifsc::lookup(bank.ifsc.as_str());
            let name = bank.beneficiary_name.as_ref();
            AccountDetails::BankAccountDetails(BankAccountDetails {
                account_number: bank.account_number.expose().to_owned(),
                beneficiary_name: name.map(|name| name.expose().to_owned()),
                ifsc: bank.ifsc.as_str().to_owned(),
                bank_code,
                bank_name: known.bank,
                branch_name: known.branch.map(ifsc::Branch::name),
                ifsc_listed: known.branch.is_some(),
                ifsc_hint: known
                    .branch
                    .map_or_else(|| ifsc::hint(bank.ifsc.as_str()), |_| None),
            })
        }
        Details::Upi(vpa) => AccountDetails::VpaDetails(VpaDetails {
            vpa: vpa.expose().to_owned(),
            handle_known: ifsc::is_known_handle(vpa.expose()),
            bank_account: vpa.bank_account().map(|(number, ifsc)| NamedBankAccount {
                account_number: number.to_owned(),
                ifsc: ifsc.as_str().to_owned(),
            }),
        }),
    }
}

/// Decrypts and presents a stored account.
pub fn stored(
    keyring: &Keyring,
    merchant: MerchantId,
    row: AccountRow,
) -> Result<CustomerAccount, PresentError> {
    let (details, result) = decrypt(keyring, merchant, &row)?;
    Ok(present(row, &details, result))
}

/// Decrypts the details of an account and the result of its validation.
pub(crate) fn decrypt(
    keyring: &Keyring,
    merchant: MerchantId,
    row: &AccountRow,
) -> Result<(Details, ValidationResult), PresentError> {
    let subject = row.id.0;
    let decrypt = |purpose, sealed: &[u8]| {
        keyring.decrypt(merchant, subject, purpose, sealed).map_err(|_| {
            tracing::error!(account_id = %row.id, ?purpose, "cannot decrypt an account; check that the keyring holds its key");
            PresentError::Encrypted
        })
    };
    let unreadable = || {
        tracing::error!(account_id = %row.id, "cannot parse a decrypted account");
        PresentError::Unreadable
    };
    let plain = decrypt(Purpose::Details, &row.sealed_details)?;
    let details = Details::from_plaintext(&plain).ok_or_else(unreadable)?;
    let result = match &row.validation.sealed_result {
        None => ValidationResult::default(),
        Some(sealed) => {
            let plain = decrypt(Purpose::ValidationResult, sealed)?;
            ValidationResult::from_plaintext(&plain).ok_or_else(unreadable)?
        }
    };
    Ok((details, result))
}

/// Presents a stored account with what was encrypted of it.
pub(crate) fn present(
    row: AccountRow,
    details: &Details,
    result: ValidationResult,
) -> CustomerAccount {
    let validation = validation::validation(&row, result);
    CustomerAccount {
        object: "customer_account",
        id: row.id.to_string(),
        customer_id: row.customer.to_string(),
        date_created: time(row.created_at),
        last_updated: time(row.updated_at),
        last_validated: row.last_validated_at.map(time),
        account_details: account_details(details, row.bank_code.clone()),
        validation_amount: 1,
        currency: "INR",
        status: row.status.to_string(),
        version: row.version,
        gateway_id: row.pinned_gateway_id,
        gateway_reference_id: row.pinned_gateway_reference_id.clone(),
        validation,
        metadata: row.metadata,
        object_reference_id: row.object_reference_id,
    }
}

/// Returns a function that presents an account which a call stored just now, without reading it back. With the id of its
/// validation, the account shows that no worker has tried it; otherwise `validation` is `null` (contract).
pub fn created<'a>(
    customer: CustomerId,
    object_reference_id: &'a str,
    at: DateTime<Utc>,
    pin: &'a Pin,
    metadata: &'a Map<String, Value>,
) -> impl Fn(AccountId, &Details, Option<String>, Option<ValidationId>) -> CustomerAccount + 'a {
    let (customer_id, created) = (customer.to_string(), time(at));
    move |id, account, bank_code, validation| CustomerAccount {
        object: "customer_account",
        id: id.to_string(),
        customer_id: customer_id.clone(),
        object_reference_id: object_reference_id.to_owned(),
        date_created: created.clone(),
        last_updated: created.clone(),
        last_validated: None,
        account_details: account_details(account, bank_code),
        validation_amount: 1,
        currency: "INR",
        status: AccountStatus::Created.as_str().to_owned(),
        version: 1,
        gateway_id: pin.gateway_id,
        gateway_reference_id: pin.reference_id.clone(),
        validation: validation.map(|id| Validation::queued(id, at)),
        metadata: Value::Object(metadata.clone()),
    }
}

#[cfg(test)]
mod tests {
    use khata_domain::{AccountNumber, BankAccount, Ifsc, Vpa};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_upi_address_shows_the_bank_account_that_it_names() {
        let shown = |vpa: &str| {
            let details = account_details(&Details::Upi(Vpa::parse(vpa).unwrap()), None);
            serde_json::to_value(details).unwrap()
        };
        assert_eq!(
            shown("asha@upi"),
            json!({"vpa_details": {"vpa": "asha@upi", "handle_known": true}})
        );
        assert_eq!(
            shown("026291@HDFC0000001.ifsc.npci"),
            json!({"vpa_details": {
                "vpa": "026291@hdfc0000001.ifsc.npci",
                "handle_known": true,
                "bank_account": {"account_number": "026291", "ifsc": "HDFC0000001"},
            }})
        );
    }

    #[test]
    fn an_account_shows_its_bank_and_branch() {
        let merged = "State Bank of Hyderabad is part of State Bank of India since 2017-04-01, whose IFSCs begin with SBIN: ask the payee for the new IFSC";
        for (ifsc, bank, branch, listed, hint) in [
            (
                "HDFC0CPD295",
                json!("Pune District Central Co-operative Bank"),
                json!("PUNE DISTRICT CENTRAL COOP BANK"),
                true,
                json!(null),
            ),
            (
                "SBHY0020039",
                json!("State Bank of Hyderabad"),
                json!(null),
                false,
                json!(merged),
            ),
            ("AABF0008032", json!(null), json!(null), false, json!(null)),
        ] {
            let account = Details::Bank(BankAccount {
                ifsc: Ifsc::parse(ifsc).unwrap(),
                account_number: AccountNumber::parse("026291800001191").unwrap(),
                beneficiary_name: None,
            });
            // The merchant's bank code is echoed, independent of the directory.
            let shown =
                serde_json::to_value(account_details(&account, Some("JP_SBI".to_owned()))).unwrap();
            assert_eq!(
                shown["bank_account_details"],
                json!({
                    "account_number": "026291800001191", "beneficiary_name": null, "ifsc": ifsc,
                    "bank_code": "JP_SBI", "bank_name": bank, "branch_name": branch, "ifsc_listed": listed,
                    "ifsc_hint": hint,
                })
            );
        }
    }

    #[test]
    fn a_upi_address_shows_whether_its_handle_is_known() {
        for (vpa, known) in [
            ("asha@okaxis", true),
            ("asha@ybl", true),
            ("026291800001191@HDFC0000001.ifsc.npci", true),
            ("asha@nosuchapp", false),
        ] {
            let account = Details::Upi(khata_domain::Vpa::parse(vpa).unwrap());
            let shown = serde_json::to_value(account_details(&account, None)).unwrap();
            assert_eq!(shown["vpa_details"]["handle_known"], known, "{vpa}");
        }
    }
}
