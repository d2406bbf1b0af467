//! The reply of a call in the form that its idempotency record keeps. The record leaves out `metadata`, which the rows of the
//! accounts keep unchanged, so that the record of a call stays small however large its reply is.

use khata_domain::AccountId;
use khata_store::idempotency::ReplyForm;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{BankAccount, CustomerAccount};
use crate::error::ApiError;
use crate::reply;

/// End of an account without metadata; `metadata` is its last member.
const EMPTY: &str = "{}}";

/// A reply without the metadata of its accounts.
#[derive(Debug, PartialEq)]
pub(crate) struct RecordedReply {
    form: ReplyForm,
    accounts: Vec<RecordedAccount>,
}

#[derive(Debug, PartialEq)]
struct RecordedAccount {
    id: AccountId,
    /// JSON of the account up to the value of `metadata`.
    json: String,
}

impl RecordedReply {
    /// Splits a reply from the metadata of its accounts.
    pub(crate) fn split(
        form: ReplyForm,
        accounts: Vec<CustomerAccount>,
    ) -> Result<(Self, Vec<Value>), ApiError> {
        let none = || Value::Object(Map::new());
        let split = |mut account: CustomerAccount| {
            let metadata = std::mem::replace(&mut account.metadata, none());
            let id = AccountId::parse(&account.id).ok_or(ApiError::Internal)?;
            let json = match form {
                ReplyForm::BankAccount => {
                    without_end(&BankAccount::of(account).ok_or(ApiError::Internal)?)?
                }
                ReplyForm::Account | ReplyForm::List => without_end(&account)?,
            };
            Ok((RecordedAccount { id, json }, metadata))
        };
        let split: Result<Vec<_>, ApiError> = accounts.into_iter().map(split).collect();
        let (accounts, metadata) = split?.into_iter().unzip();
        Ok((Self { form, accounts }, metadata))
    }

    /// One line for the form and one for each account. JSON has no line breaks.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let account = |account: &RecordedAccount| format!("\n{} {}", account.id, account.json);
        let accounts: String = self.accounts.iter().map(account).collect();
        format!("{}{accounts}", self.form).into_bytes()
    }

    /// Reads a recorded reply; `None` if these bytes are the body of a reply.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.split('\n');
        let form = ReplyForm::parse(lines.next()?)?;
        let account = |line: &str| {
            let (id, json) = line.split_once(' ')?;
            let id = AccountId::parse(id)?;
            let json = json.to_owned();
            Some(RecordedAccount { id, json })
        };
        let accounts = lines.map(account).collect::<Option<_>>()?;
        Some(Self { form, accounts })
    }

    pub(crate) fn accounts(&self) -> Vec<AccountId> {
        self.accounts.iter().map(|account| account.id).collect()
    }

    /// The body of the reply with the metadata of its accounts, in their order.
    pub(crate) fn body(&self, metadata: &[&Value]) -> Result<Vec<u8>, ApiError> {
        if metadata.len() != self.accounts.len() {
            tracing::error!("an account of a recorded reply does not exist any more");
            return Err(ApiError::Internal);
        }
        let whole = |(account, metadata): (&RecordedAccount, &&Value)| {
            format!("{}{metadata}}}", account.json)
        };
        let accounts = self.accounts.iter().zip(metadata);
        let accounts: Vec<String> = accounts.map(whole).collect();
        let body = match (self.form, &accounts[..]) {
            (ReplyForm::List, accounts) => {
                let (count, list) = (accounts.len(), accounts.join(","));
                format!(
                    r#"{{"object":"list","count":{count},"offset":0,"total":{count},"list":[{list}]}}"#
                )
            }
            (ReplyForm::Account | ReplyForm::BankAccount, [.., account]) => account.clone(),
            (ReplyForm::Account | ReplyForm::BankAccount, []) => return Err(ApiError::Internal),
        };
        Ok(body.into_bytes())
    }
}

/// JSON of an account without metadata, up to the value of `metadata`.
fn without_end(account: &impl Serialize) -> Result<String, ApiError> {
    let json = String::from_utf8(reply::to_json(account)?).map_err(|_| ApiError::Internal)?;
    let start = json.strip_suffix(EMPTY).ok_or(ApiError::Internal)?;
    Ok(start.to_owned())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use khata_domain::routing::Pin;
    use khata_domain::{AccountNumber, BankAccount as BankDetails, CustomerId, Details, Ifsc};
    use serde_json::json;
    use uuid::Uuid;

    use super::super::{body, created};
    use super::*;

    /// Two new accounts of one call.
    fn accounts(metadata: &Value) -> Vec<CustomerAccount> {
        let (pin, at) = (Pin::default(), DateTime::UNIX_EPOCH);
        let (customer, metadata) = (CustomerId(Uuid::nil()), metadata.as_object().unwrap());
        let created = created(customer, "c \" {}} 1", at, &pin, metadata);
        let account = |id: &str| {
            let id = AccountId::parse(id).unwrap();
            let bank = BankDetails {
                ifsc: Ifsc::parse("HDFC0000001").unwrap(),
                account_number: AccountNumber::parse("026291800001191").unwrap(),
                beneficiary_name: None,
            };
            created(id, &Details::Bank(bank), Some("12".to_owned()), None)
        };
        let ids = [
            "banh_01k82u7s7aeqraoh1tia1a3hc8",
            "banh_01k82u7s7aeqraoh1tia1a3hc9",
        ];
        ids.map(account).into()
    }

    #[test]
    fn a_recorded_reply_gives_the_same_body_byte_for_byte() {
        for metadata in [
            json!({}),
            json!({"b": "{}}", "a": "line\nbreak \u{1f600} \"quoted\"", "": ""}),
        ] {
            for &form in ReplyForm::ALL {
                let first = body(form, accounts(&metadata)).unwrap();
                let (recorded, apart) = RecordedReply::split(form, accounts(&metadata)).unwrap();
                assert_eq!(apart, [metadata.clone(), metadata.clone()]);
                let record = recorded.to_bytes();
                let read = RecordedReply::parse(&record).unwrap();
                assert_eq!(read, recorded);
                let again = read.body(&apart.iter().collect::<Vec<_>>()).unwrap();
                assert_eq!(again, first, "{}", String::from_utf8_lossy(&again));
                assert!(
                    RecordedReply::parse(&first).is_none(),
                    "a body is no record"
                );
                assert!(read.body(&[&metadata]).is_err(), "an account is missing");
            }
        }
    }

    #[test]
    fn a_record_has_the_same_size_whatever_the_metadata() {
        let size = |metadata: &Value| {
            let split = RecordedReply::split(ReplyForm::List, accounts(metadata)).unwrap();
            split.0.to_bytes().len()
        };
        let large = json!({ "udf1": "x".repeat(12_000) });
        assert_eq!(size(&large), size(&json!({})));
    }
}
