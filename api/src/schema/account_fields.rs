//! The request fields and bodies of the account calls. A new field is defined here and listed in its bodies.

use chrono::{DateTime, Utc};
use khata_domain::account::ValueError;
use khata_domain::text::{ProseError, prose, trim};
use khata_domain::{
    AccountNumber, BankCode, BeneficiaryName, Ifsc, ObjectReferenceId, Vpa, trimmed,
};
use khata_present::named_schema;
use khata_webhooks::MAX_URL_LENGTH;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::endpoint_fields::{URL_PATTERN, url};
use super::field::{
    Encoding::{self, Form, Json},
    Field, Member, Rule, TextField, fields, object, one_of, optional, required,
};

/// Accounts in one call (contract, *Limits*).
pub(crate) const MAX_ACCOUNTS: usize = 100;
/// Limits of `metadata`: members, characters of a key, characters of a value.
pub(crate) const MAX_METADATA: usize = 20;
pub(crate) const MAX_METADATA_KEY: usize = 40;
pub(crate) const MAX_METADATA_VALUE: usize = 500;
/// Most bytes of the JSON of `metadata`. Every account of the call keeps a copy. All that the contract allows in ASCII without
/// quotation marks and backslashes fits: 20 × (40 + 500 + 6).
pub(crate) const MAX_METADATA_BYTES: usize = 12 * 1024;
const MAX_PURPOSE: usize = 250;

/// A reference of 1 to 128 visible ASCII characters.
pub(crate) const REFERENCE: &str = trimmed!("[!-~]{1,128}");
/// Time before which no payee can have agreed to a validation: UPI began in 2016. Seconds since 1970.
const FIRST_CONSENT: i64 = 1_451_606_400;

fields! {
    IFSC: Ifsc = "ifsc", Rule::Pattern(Ifsc::PATTERN, None),
        "IFSC of the branch. It is trimmed and upper-cased.", "AABF0008032", Ifsc::parse;
    ACCOUNT_NUMBER: AccountNumber = "account_number", Rule::Pattern(AccountNumber::PATTERN, None),
        "It is trimmed; leading zeros count. A masked number, with X or * in place of digits, is refused.", "026291800001191", AccountNumber::parse;
    BENEFICIARY_NAME: BeneficiaryName = "beneficiary_name", Rule::Length(BeneficiaryName::MIN_LENGTH..=BeneficiaryName::MAX_LENGTH),
        "The account holder's name as you know it: 1 to 120 characters after trimming, without control characters.", "test", BeneficiaryName::parse;
    BANK_CODE: BankCode = "bank_code", Rule::Pattern(BankCode::PATTERN, None),
        "`JP_…` or digits; echoed. Next to arrays: the default for their bank accounts.", "12", BankCode::parse;
    VPA: Vpa = "vpa", Rule::Pattern(Vpa::PATTERN, Some(Vpa::MAX_LENGTH)),
        "UPI address. It is trimmed and lower-cased. The domain of an e-mail address after the `@` is refused.", "9164326296@upi", Vpa::parse;
    BANK_ACCOUNTS = "bank_account_details", Rule::List("BankItem", MAX_ACCOUNTS),
        "Bank accounts; in a form, the JSON text of the array.";
    UPI_ADDRESSES = "upi_details", Rule::List("UpiItem", MAX_ACCOUNTS),
        "UPI addresses; in a form, the JSON text of the array.";
    CREATE_COMMAND = "command", Rule::Words(&["create", "validate"]), "`validate` waits for the outcomes.";
    DELETE_COMMAND = "command", Rule::Words(&["delete"]), "";
    WAIT_SECONDS = "wait_seconds", Rule::Number(0..=30),
        "Seconds to wait for the outcomes; default 10. *Create* accepts it only with `command=validate`.";
    GATEWAY_ID = "gateway_id", Rule::Number(1..=i16::MAX as i64),
        "Id of the gateway to validate with: {gateways}. *Validate again* without it uses the gateway that the account was created with.";
    GATEWAY_REFERENCE_ID: String = "gateway_reference_id", Rule::Pattern(REFERENCE, None),
        "Which of your accounts at that gateway; requires `gateway_id`.", "", reference;
    FRESH = "fresh", Rule::Flag, "Call a gateway even if an earlier result could be reused; default false.";
    WEBHOOK_URL: String = "webhook_url", Rule::Pattern(URL_PATTERN, Some(MAX_URL_LENGTH)),
        "Where the events of the new accounts go, in place of the URL of your webhook endpoint with the same scheme, host and port, which must have `allow_url_per_account`. An existing account keeps what it has.",
        "https://hooks.example.com/orders/42", url;
    METADATA = "metadata", Rule::Open("Metadata"), "";
    CONSENT = "consent", Rule::Object("ConsentBody"), "";
    CONSENT_OBTAINED = "consent.obtained", Rule::Flag,
        "Whether the payee agreed to the validation. Send all three consent fields or none.";
    CONSENT_PURPOSE: String = "consent.purpose", Rule::Length(1..=MAX_PURPOSE),
        "1 to 250 characters after trimming, without control characters.", "payout verification", purpose;
    CONSENT_TIMESTAMP: DateTime<Utc> = "consent.timestamp", Rule::Time,
        "Must not be in the future or before 2016.", "2025-10-27T09:24:36Z", consent_time;
}

/// The fields of a bank account of a list.
pub(crate) static BANK_FIELDS: [&Field; 4] = [
    &IFSC.field,
    &ACCOUNT_NUMBER.field,
    &BENEFICIARY_NAME.field,
    &BANK_CODE.field,
];
/// The fields of a UPI address of a list.
pub(crate) static UPI_FIELDS: [&Field; 1] = [&VPA.field];
/// The fields of *create accounts*.
pub(crate) static CREATE_FIELDS: [&Field; 17] = [
    &IFSC.field,
    &ACCOUNT_NUMBER.field,
    &BENEFICIARY_NAME.field,
    &BANK_CODE.field,
    &VPA.field,
    &BANK_ACCOUNTS,
    &UPI_ADDRESSES,
    &CREATE_COMMAND,
    &WAIT_SECONDS,
    &GATEWAY_ID,
    &GATEWAY_REFERENCE_ID.field,
    &FRESH,
    &CONSENT_OBTAINED,
    &CONSENT_PURPOSE.field,
    &CONSENT_TIMESTAMP.field,
    &WEBHOOK_URL.field,
    &METADATA,
];
/// The fields of the legacy call that creates one bank account.
pub(crate) static BANK_ACCOUNT_FIELDS: [&Field; 14] = [
    &IFSC.field,
    &ACCOUNT_NUMBER.field,
    &BENEFICIARY_NAME.field,
    &BANK_CODE.field,
    &CREATE_COMMAND,
    &WAIT_SECONDS,
    &GATEWAY_ID,
    &GATEWAY_REFERENCE_ID.field,
    &FRESH,
    &CONSENT_OBTAINED,
    &CONSENT_PURPOSE.field,
    &CONSENT_TIMESTAMP.field,
    &WEBHOOK_URL.field,
    &METADATA,
];
/// The fields of *validate again*.
pub(crate) static VALIDATE_FIELDS: [&Field; 7] = [
    &WAIT_SECONDS,
    &GATEWAY_ID,
    &GATEWAY_REFERENCE_ID.field,
    &FRESH,
    &CONSENT_OBTAINED,
    &CONSENT_PURPOSE.field,
    &CONSENT_TIMESTAMP.field,
];
/// The fields of *delete*.
pub(crate) static DELETE_FIELDS: [&Field; 1] = [&DELETE_COMMAND];

fn reference(text: &str) -> Result<String, ValueError> {
    let reference =
        ObjectReferenceId::parse(trim(text)).map(|reference| reference.expose().to_owned());
    reference.ok_or(ValueError::Form(ObjectReferenceId::MESSAGE))
}

fn purpose(text: &str) -> Result<String, ValueError> {
    prose(text, 1, MAX_PURPOSE)
        .map(str::to_owned)
        .map_err(|error| match error {
            ProseError::Length | ProseError::Controls => {
                ValueError::Form("must be 1 to 250 characters without control characters")
            }
            other => other.into(),
        })
}

fn consent_time(text: &str) -> Result<DateTime<Utc>, ValueError> {
    let text = trim(text);
    let Ok(time) = DateTime::parse_from_rfc3339(text) else {
        let has_lost_plus = text.rsplit_once(' ').is_some_and(|(time, offset)| {
            DateTime::parse_from_rfc3339(&format!("{time}+{offset}")).is_ok()
        });
        return Err(ValueError::of(
            text,
            if has_lost_plus {
                "has a blank in place of the + before its offset: a form must write + as %2B, or the time in UTC with Z"
            } else {
                "must be an RFC 3339 time, such as 2025-10-27T09:24:36Z"
            },
        ));
    };
    if time.timestamp() < FIRST_CONSENT {
        return Err(ValueError::Form(
            "must not be before 2016: send the time at which the payee agreed",
        ));
    }
    Ok(time.to_utc())
}

fn bank_account() -> Vec<Member> {
    let mut members = vec![required(&IFSC), required(&ACCOUNT_NUMBER)];
    members.extend([&*BENEFICIARY_NAME, &*BANK_CODE].map(optional));
    members
}

fn consent() -> [Member; 3] {
    [&CONSENT_OBTAINED, &*CONSENT_PURPOSE, &*CONSENT_TIMESTAMP].map(required)
}

/// The fields that apply to every validation a call starts.
fn options(encoding: Encoding) -> Vec<Member> {
    let mut options = [&GATEWAY_ID, &*GATEWAY_REFERENCE_ID, &FRESH]
        .map(optional)
        .to_vec();
    match encoding {
        Json => options.push(optional(&CONSENT)),
        Form => options.extend(consent().map(|(field, _)| optional(field))),
    }
    options
}

/// The schema of a create call for these accounts.
fn create(
    encoding: Encoding,
    text: &str,
    example: Option<Value>,
    accounts: Vec<Member>,
) -> RefOr<Schema> {
    let mut members = accounts;
    members.extend([optional(&CREATE_COMMAND), optional(&WAIT_SECONDS)]);
    members.extend(options(encoding));
    members.extend([&*WEBHOOK_URL, &METADATA].map(optional));
    object(encoding, text, example, &members)
}

fn validate(encoding: Encoding) -> RefOr<Schema> {
    let mut members = vec![optional(&WAIT_SECONDS)];
    members.extend(options(encoding));
    let example = Some(json!({ "wait_seconds": 10 }));
    object(encoding, "Every field is optional.", example, &members)
}

fn example() -> Value {
    json!({ "ifsc": "AABF0008032", "account_number": "026291800001191", "beneficiary_name": "test" })
}

fn form_example() -> Value {
    let mut example = example();
    example["bank_code"] = json!("12");
    example
}

fn flat_or_lists() -> Vec<Member> {
    let flat: [&Field; 5] = [&IFSC, &ACCOUNT_NUMBER, &BENEFICIARY_NAME, &BANK_CODE, &VPA];
    let lists = [&BANK_ACCOUNTS, &UPI_ADDRESSES];
    flat.into_iter().chain(lists).map(optional).collect()
}

fn lists() -> Vec<Member> {
    [&BANK_ACCOUNTS, &UPI_ADDRESSES, &*BANK_CODE]
        .map(optional)
        .to_vec()
}

fn one_or_many_example() -> Value {
    json!({ "bank_account_details": [example()], "upi_details": [{ "vpa": "9164326296@upi" }] })
}

const CREATE_FORM: &str = "Either the fields of one account (`ifsc`, `account_number`, `beneficiary_name`, `bank_code`, or `vpa`), or the arrays `bank_account_details` and `upi_details` as JSON text or in the indexed form `bank_account_details[0][ifsc]=…`. `metadata.<name>=<value>` is echoed: at most 20, name 1–40 characters, value at most 500 without control characters, 12 KiB of JSON in total.";

named_schema! {
    pub(crate) BankItem = object(Json, "A bank account.", None, &bank_account());
    pub(crate) UpiItem = object(Json, "A UPI address.", None, &[required(&VPA)]);
    pub(crate) ConsentBody = object(Json, "Proof that the payee agreed to the validation.", None, &consent());
    pub(crate) CreateAccountsForm = create(Form, CREATE_FORM, Some(form_example()), flat_or_lists());
    pub(crate) OneBankAccount = create(Json, "One bank account.", None, bank_account());
    pub(crate) OneUpiAddress = create(Json, "One UPI address.", None, vec![required(&VPA)]);
    pub(crate) ManyAccounts = create(Json, "Up to 100 accounts in total, at least one.", None, lists());
    pub(crate) CreateAccountsJson = one_of("One account in flat fields, or many in arrays.", Some(one_or_many_example()), &["OneBankAccount", "OneUpiAddress", "ManyAccounts"]);
    pub(crate) BankAccountForm = create(Form, "One bank account. `metadata.<name>=<value>` is echoed.", Some(example()), bank_account());
    pub(crate) ValidateForm = validate(Form);
    pub(crate) ValidateJson = validate(Json);
    pub(crate) DeleteBody = object(Json, "What to do with the account.", None, &[required(&DELETE_COMMAND)]);
}
