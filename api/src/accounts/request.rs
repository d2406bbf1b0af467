//! Reads the requests of *create accounts* and *validate again* (contract, *Create: the request*) and turns them into what the
//! store needs. The fields are defined in `schema`.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{AccountId, AccountKind, BankAccount, BankCode, Consent, Details, ValidationId};
use khata_store::accounts::{CreateAccounts, NewAccount, ValidateAgain, ValidationTerms};
use khata_store::idempotency::ReplyForm;
use serde_json::{Map, Value};

use crate::context::RequestContext;
use crate::decode::Fields;
use crate::error::{ApiError, Faults};
use crate::schema::{
    ACCOUNT_NUMBER, BANK_ACCOUNTS, BANK_CODE, BENEFICIARY_NAME, CONSENT_OBTAINED, CONSENT_PURPOSE,
    CONSENT_TIMESTAMP, CREATE_COMMAND, FRESH, Field, GATEWAY_ID, GATEWAY_REFERENCE_ID, IFSC,
    MAX_ACCOUNTS, MAX_METADATA, MAX_METADATA_BYTES, MAX_METADATA_KEY, MAX_METADATA_VALUE,
    UPI_ADDRESSES, VPA, WAIT_SECONDS,
};

/// Wait of a call with `command=validate` that sends no `wait_seconds`.
const DEFAULT_WAIT: i64 = 10;
/// Maximum bytes of the metadata of all accounts of a call together, as JSON.
const MAX_METADATA_OF_CALL: usize = 256 * 1024;
/// How far a merchant's clock may be ahead of ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// A valid create call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CreateRequest {
    /// How long the call waits for outcomes; `None` if it does not wait.
    pub(crate) wait: Option<Duration>,
    pub(crate) accounts: Vec<RequestedAccount>,
    /// Whether the call has one account in flat fields: the reply is then that account and not a list.
    pub(crate) flat: bool,
    pub(crate) options: Options,
    pub(crate) metadata: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestedAccount {
    /// As the merchant wrote it: `bank_account_details[1]`, or the identifying field of a flat call.
    pub(crate) name: String,
    pub(crate) details: Details,
    pub(crate) bank_code: Option<BankCode>,
}

/// The fields that apply to every validation a call starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) pin: Pin,
    consent: Option<Consent>,
    /// Whether a gateway must be called even if an earlier result could be reused.
    fresh: bool,
}

impl Options {
    fn read(fields: &mut Fields<'_>, now: DateTime<Utc>) -> Self {
        Self {
            pin: pin(fields),
            consent: consent(fields, now),
            fresh: fields.flag(&FRESH).unwrap_or(false),
        }
    }

    fn terms(&self, context: &RequestContext, wait: Option<Duration>) -> ValidationTerms {
        let consent = self.consent.as_ref();
        ValidationTerms {
            consent: consent.and_then(|consent| serde_json::to_string(consent).ok()),
            trace_parent: context.observed.trace_parent.clone(),
            deadline: context.merchant.validation_deadline(),
            awaited: wait.map(|wait| TimeDelta::from_std(wait).unwrap_or_default()),
            validations_per_day: context.merchant.validations_per_account_per_day,
            penny_drops_per_day: context.merchant.penny_drops_per_day,
            fresh: self.fresh,
        }
    }
}

impl CreateRequest {
    /// Reads a decoded body. Reports every fault.
    pub(crate) fn read(body: &Map<String, Value>, now: DateTime<Utc>) -> Result<Self, ApiError> {
        Self::read_accounts(body, now, accounts)
    }

    /// Reads a decoded body of the legacy family: one bank account in flat fields.
    pub(crate) fn read_bank_account(
        body: &Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Result<Self, ApiError> {
        Self::read_accounts(body, now, |fields| Some(vec![bank(fields, None)?]))
    }

    fn read_accounts(
        body: &Map<String, Value>,
        now: DateTime<Utc>,
        accounts: impl FnOnce(&mut Fields<'_>) -> Option<Vec<RequestedAccount>>,
    ) -> Result<Self, ApiError> {
        let expected = "command must be create or validate.";
        let validates = match body.get(CREATE_COMMAND.name).unwrap_or(&Value::Null) {
            Value::Null => false,
            Value::String(command) if command == "create" => false,
            Value::String(command) if command == "validate" => true,
            _ => return Err(ApiError::InvalidCommand(expected)),
        };
        let mut faults = Faults::default();
        let fields = &mut Fields::of(body, &mut faults);
        let accounts = accounts(fields);
        let options = Options::read(fields, now);
        let metadata = metadata(fields);
        check_metadata_of_call(fields, &metadata, accounts.as_ref().map_or(0, Vec::len));
        let wait = wait(fields);
        if fields.has(&WAIT_SECONDS) && !validates {
            fields.fault(WAIT_SECONDS.name, "requires command=validate");
        }
        let flat = !(fields.has(&BANK_ACCOUNTS) || fields.has(&UPI_ADDRESSES));
        faults.check()?;
        Ok(Self {
            wait: wait.filter(|_| validates),
            accounts: accounts.unwrap_or_default(),
            flat,
            options,
            metadata,
        })
    }

    /// The call as the store takes it.
    pub(crate) fn to_store(
        &self,
        context: &RequestContext,
        customer: CustomerRef,
        accounts: Vec<NewAccount>,
    ) -> CreateAccounts {
        CreateAccounts {
            merchant: context.merchant_id(),
            customer,
            implicit_customer: context.merchant.implicit_customers,
            pin: self.options.pin.clone(),
            metadata: serde_json::to_string(&self.metadata).unwrap_or_else(|_| "{}".into()),
            routing_id: context.observed.routing_id.clone(),
            terms: self.options.terms(context, self.wait),
            accounts,
        }
    }
}

/// A valid *validate again* call.
pub(crate) struct ValidateRequest {
    /// The gateway, if the call names one.
    pub(crate) pin: Option<Pin>,
    options: Options,
    /// How long the call waits for the outcome; `None` if it does not wait.
    pub(crate) wait: Option<Duration>,
}

impl ValidateRequest {
    pub(crate) fn read(body: &Map<String, Value>, now: DateTime<Utc>) -> Result<Self, ApiError> {
        let mut faults = Faults::default();
        let fields = &mut Fields::of(body, &mut faults);
        let names_gateway = fields.has(&GATEWAY_ID) || fields.has(&GATEWAY_REFERENCE_ID);
        let options = Options::read(fields, now);
        let wait = wait(fields);
        faults.check()?;
        Ok(Self {
            pin: names_gateway.then(|| options.pin.clone()),
            options,
            wait,
        })
    }

    /// The call as the store takes it.
    pub(crate) fn to_store(
        &self,
        context: &RequestContext,
        customer: CustomerRef,
        account: AccountId,
        form: ReplyForm,
    ) -> ValidateAgain {
        ValidateAgain {
            merchant: context.merchant_id(),
            customer,
            account,
            kind: match form {
                ReplyForm::BankAccount => Some(AccountKind::Bank),
                ReplyForm::Account | ReplyForm::List => None,
            },
            validation: ValidationId::new(),
            pin: self.pin.clone(),
            terms: self.options.terms(context, self.wait),
        }
    }
}

/// The accounts of lists, or the one in flat fields; `None` if the call mixes both forms or has no account.
fn accounts(fields: &mut Fields<'_>) -> Option<Vec<RequestedAccount>> {
    let flat: [&Field; 4] = [&IFSC, &ACCOUNT_NUMBER, &BENEFICIARY_NAME, &VPA];
    let has_lists = fields.has(&BANK_ACCOUNTS) || fields.has(&UPI_ADDRESSES);
    let has_bank = flat[..3].iter().any(|field| fields.has(field));
    match (has_lists, has_bank, fields.has(&VPA)) {
        (true, false, false) => listed(fields),
        (true, ..) => {
            for field in flat {
                if fields.has(field) {
                    let reason = "cannot be combined with bank_account_details or upi_details";
                    fields.fault(field.name, reason);
                }
            }
            None
        }
        (false, true, true) => {
            let reason = "cannot be combined with bank-account fields; use bank_account_details and upi_details";
            fields.fault(VPA.name, reason);
            None
        }
        (false, true, false) => Some(vec![bank(fields, None)?]),
        (false, false, true) => Some(vec![upi(fields)?]),
        (false, false, false) => {
            let reason = "provide at least one account: bank_account_details, upi_details, or the fields of one account";
            fields.fault(BANK_ACCOUNTS.name, reason);
            None
        }
    }
}

fn listed(fields: &mut Fields<'_>) -> Option<Vec<RequestedAccount>> {
    let default = fields.optional(&BANK_CODE);
    let lengths = [fields.length(&BANK_ACCOUNTS), fields.length(&UPI_ADDRESSES)];
    let first = if fields.has(&BANK_ACCOUNTS) {
        &BANK_ACCOUNTS
    } else {
        &UPI_ADDRESSES
    };
    let given: usize = lengths.iter().flatten().sum();
    if given > MAX_ACCOUNTS {
        // Do not read the items: a fault for each of ten thousand would help no merchant.
        let reason = format!("must not name more than {MAX_ACCOUNTS} accounts in one call");
        fields.fault(first.name, reason);
        return None;
    }
    let mut accounts = fields.list(&BANK_ACCOUNTS, |item| bank(item, default.as_ref()));
    accounts.extend(fields.list(&UPI_ADDRESSES, upi));
    // A field that is not a list has a fault already.
    if given == 0 && lengths.iter().any(Option::is_some) {
        fields.fault(first.name, "must name at least one account");
    }
    let identity = |account: &RequestedAccount| account.details.identity();
    let identities: Vec<_> = accounts.iter().map(identity).collect();
    let mut seen: HashMap<&str, &str> = HashMap::with_capacity(accounts.len());
    for (RequestedAccount { name, .. }, identity) in accounts.iter().zip(&identities) {
        if let Some(first) = seen.insert(identity, name) {
            fields.fault(name, format!("is the same account as {first}"));
        }
    }
    Some(accounts)
}

fn bank(item: &mut Fields<'_>, default: Option<&BankCode>) -> Option<RequestedAccount> {
    // Read every field before the first `?`, so that every fault is reported.
    let ifsc = item.required(&IFSC);
    let account_number = item.required(&ACCOUNT_NUMBER);
    let beneficiary_name = item.optional(&BENEFICIARY_NAME);
    let bank_code = item.optional(&BANK_CODE).or_else(|| default.cloned());
    Some(RequestedAccount {
        details: Details::Bank(BankAccount {
            ifsc: ifsc?,
            account_number: account_number?,
            beneficiary_name,
        }),
        name: item.place_or(&ACCOUNT_NUMBER),
        bank_code,
    })
}

fn upi(item: &mut Fields<'_>) -> Option<RequestedAccount> {
    Some(RequestedAccount {
        details: Details::Upi(item.required(&VPA)?),
        name: item.place_or(&VPA),
        bank_code: None,
    })
}

fn wait(fields: &mut Fields<'_>) -> Option<Duration> {
    let seconds = fields.number(&WAIT_SECONDS).unwrap_or(DEFAULT_WAIT);
    (seconds > 0).then(|| Duration::from_secs(seconds.unsigned_abs()))
}

fn pin(fields: &mut Fields<'_>) -> Pin {
    let gateway_id = fields.number(&GATEWAY_ID);
    let reference_id = fields.optional(&GATEWAY_REFERENCE_ID);
    if fields.has(&GATEWAY_REFERENCE_ID) && !fields.has(&GATEWAY_ID) {
        fields.fault(GATEWAY_REFERENCE_ID.name, "requires gateway_id");
    }
    Pin {
        gateway_id: gateway_id.and_then(|id| i16::try_from(id).ok()),
        reference_id,
    }
}

fn metadata(fields: &mut Fields<'_>) -> Map<String, Value> {
    let given: Vec<(&str, &Value)> = fields.starting_with("metadata.").collect();
    if given.len() > MAX_METADATA {
        let reason = format!("must not have more than {MAX_METADATA} members");
        fields.fault("metadata", reason);
    }
    let mut metadata = Map::new();
    for (key, value) in given.into_iter().take(MAX_METADATA) {
        if let Some(reason) = metadata_fault(key, value) {
            let printable = key.chars().filter(|c| !c.is_control());
            let shown: String = printable.take(MAX_METADATA_KEY).collect();
            fields.fault(&format!("metadata.{shown}"), reason);
        } else {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    // Replies and tables hold the JSON, which is longer than the text: a quotation mark takes two bytes.
    let bytes = serde_json::to_string(&metadata).map_or(0, |json| json.len());
    if bytes > MAX_METADATA_BYTES {
        let reason = format!("must not be larger than {MAX_METADATA_BYTES} bytes as JSON");
        fields.fault("metadata", reason);
    }
    metadata
}

/// Each account of a call has a copy of the metadata, so that their size together is bounded too.
fn check_metadata_of_call(fields: &mut Fields<'_>, metadata: &Map<String, Value>, accounts: usize) {
    let bytes = serde_json::to_string(metadata).map_or(0, |json| json.len());
    if bytes * accounts > MAX_METADATA_OF_CALL {
        let reason = format!(
            "is stored with each account: its JSON has {bytes} bytes, for {accounts} accounts more than {MAX_METADATA_OF_CALL} \
             together; name fewer accounts in one call"
        );
        fields.fault("metadata", reason);
    }
}

fn metadata_fault(key: &str, value: &Value) -> Option<String> {
    let Value::String(value) = value else {
        return Some("must be a string".to_owned());
    };
    let key_length = key.chars().count();
    if key_length == 0 || key_length > MAX_METADATA_KEY || key.chars().any(char::is_control) {
        Some(format!(
            "must have a key of 1 to {MAX_METADATA_KEY} characters without control characters"
        ))
    } else if value.chars().count() > MAX_METADATA_VALUE || value.chars().any(char::is_control) {
        Some(format!(
            "must be at most {MAX_METADATA_VALUE} characters without control characters"
        ))
    } else {
        None
    }
}

fn consent(fields: &mut Fields<'_>, now: DateTime<Utc>) -> Option<Consent> {
    fields.starting_with("consent.").next()?;
    let obtained = fields.flag(&CONSENT_OBTAINED);
    fields.require(&CONSENT_OBTAINED);
    let purpose = fields.required(&CONSENT_PURPOSE);
    let timestamp = fields.required(&CONSENT_TIMESTAMP);
    if timestamp.is_some_and(|time| time > now + CLOCK_SKEW) {
        fields.fault(CONSENT_TIMESTAMP.name, "must not be in the future");
    }
    Some(Consent {
        obtained: obtained?,
        purpose: purpose?,
        timestamp: timestamp?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use crate::error::FieldFault;

    fn read(body: &str) -> Result<CreateRequest, ApiError> {
        let content_type = if body.starts_with('{') {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        let body = decode(Some(content_type), body.as_bytes())?;
        CreateRequest::read(&body, Utc::now())
    }

    fn faults(body: &str) -> Vec<String> {
        match read(body) {
            Err(ApiError::Invalid(faults)) => faults
                .into_iter()
                .map(|fault: FieldFault| fault.field_name)
                .collect(),
            other => panic!("{body}: {other:?}"),
        }
    }

    const BANK_FORM: &str =
        "ifsc=AABF0008032&account_number=026291800001191&beneficiary_name=test&bank_code=12";

    #[test]
    fn forms_and_json_are_read_alike() {
        let form = read(BANK_FORM).unwrap();
        let json = read(r#"{"ifsc":"AABF0008032","account_number":"026291800001191","beneficiary_name":"test","bank_code":"12"}"#).unwrap();
        assert_eq!(form, json);
        assert!(form.flat && form.accounts.len() == 1);
        let form = read("bank_account_details[0][ifsc]=AABF0008032&bank_account_details[0][account_number]=026291800001191&upi_details=[{\"vpa\":\"9164326296@upi\"}]").unwrap();
        let json = read(r#"{"bank_account_details":[{"ifsc":"AABF0008032","account_number":"026291800001191"}],"upi_details":[{"vpa":"9164326296@upi"}]}"#).unwrap();
        assert_eq!(form, json);
        assert!(!form.flat && form.accounts.len() == 2);
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let body = r#"{"bank_account_details":[{"ifsc":"AABF0008032","account_number":"026291800001191"},{"ifsc":"bad","account_number":12345678},7],
            "upi_details":[{"vpa":"a@@b"},{}],"gateway_reference_id":"x","metadata":{"a":1}}"#;
        assert_eq!(
            faults(body),
            [
                "bank_account_details[1].ifsc",
                "bank_account_details[1].account_number",
                "bank_account_details[2]",
                "upi_details[0].vpa",
                "upi_details[1].vpa",
                "gateway_reference_id",
                "metadata.a",
            ]
        );
    }

    #[test]
    fn a_call_has_flat_fields_or_lists_but_not_both() {
        assert_eq!(faults(""), ["bank_account_details"]);
        assert_eq!(faults("bank_code=12"), ["bank_account_details"]);
        assert_eq!(faults("bank_account_details=[]"), ["bank_account_details"]);
        assert_eq!(
            faults("vpa=asha@upi&upi_details=[{\"vpa\":\"b1@upi\"}]"),
            ["vpa"]
        );
        assert_eq!(faults(&format!("{BANK_FORM}&vpa=asha@upi")), ["vpa"]);
        assert_eq!(
            faults("upi_details=[{\"vpa\":\"b1@upi\"},{\"vpa\":\"B1@UPI\"}]"),
            ["upi_details[1]"]
        );
    }

    #[test]
    fn a_call_has_at_most_a_hundred_accounts() {
        let body = |count| {
            let items: Vec<_> = (0..count)
                .map(|n| serde_json::json!({"vpa": format!("user{n}@upi")}))
                .collect();
            serde_json::json!({ "upi_details": items }).to_string()
        };
        assert_eq!(read(&body(100)).unwrap().accounts.len(), 100);
        assert_eq!(faults(&body(101)), ["upi_details"]);
    }

    #[test]
    fn bank_code_next_to_the_lists_is_their_default() {
        let request = read(r#"{"bank_code":"12","bank_account_details":[{"ifsc":"AABF0008032","account_number":"12345"},{"ifsc":"AABF0008032","account_number":"12346","bank_code":"JP_X"}]}"#).unwrap();
        let codes: Vec<_> = request
            .accounts
            .iter()
            .map(|a| a.bank_code.as_ref().unwrap().as_str())
            .collect();
        assert_eq!(codes, ["12", "JP_X"]);
    }

    #[test]
    fn metadata_within_its_limits_is_accepted() {
        let members = |count: usize| -> Map<String, Value> {
            let (key, value) = (
                "k".repeat(MAX_METADATA_KEY - 2),
                "v".repeat(MAX_METADATA_VALUE),
            );
            (0..count)
                .map(|n| (format!("{key}{n:02}"), Value::String(value.clone())))
                .collect()
        };
        let body = |members: &Map<String, Value>| {
            serde_json::json!({ "vpa": "asha@upi", "metadata": members }).to_string()
        };
        let most = members(20);
        assert_eq!(read(&body(&most)).unwrap().metadata, most);
        assert_eq!(faults(&body(&members(21))), ["metadata"]);
        let mut longest = Map::new();
        let (key, value) = (
            "क".repeat(MAX_METADATA_KEY),
            "🙂".repeat(MAX_METADATA_VALUE),
        );
        longest.insert(key, Value::String(value));
        assert_eq!(read(&body(&longest)).unwrap().metadata, longest);
    }

    #[test]
    fn metadata_is_bounded_in_bytes_of_its_json() {
        let body = |last: usize| {
            let value = |characters: usize| Value::String("🙂".repeat(characters));
            let mut members: Map<String, Value> =
                (0..6).map(|n| (n.to_string(), value(500))).collect();
            members.insert("6".to_owned(), Value::String("x".repeat(last)));
            serde_json::json!({ "vpa": "asha@upi", "metadata": members }).to_string()
        };
        // A member has four quotation marks and a colon beside key and value.
        let rest = MAX_METADATA_BYTES - 6 * (2_000 + 6) - 6 - r"{,,,,,,}".len();
        assert!(read(&body(rest)).is_ok());
        assert_eq!(faults(&body(rest + 1)), ["metadata"]);
        let quoted: Map<String, Value> = (0..20)
            .map(|n| (n.to_string(), Value::String("\"".repeat(400))))
            .collect();
        let quoted = serde_json::json!({ "vpa": "asha@upi", "metadata": quoted });
        assert_eq!(faults(&quoted.to_string()), ["metadata"]);
    }

    #[test]
    fn metadata_has_no_control_characters() {
        for character in ["\u{0}", "\u{1}", "\n", "\u{7f}", "\u{85}"] {
            let metadata = serde_json::json!({ "a": format!("x{character}") });
            let body = serde_json::json!({ "vpa": "asha@upi", "metadata": metadata });
            assert_eq!(faults(&body.to_string()), ["metadata.a"], "{character:?}");
        }
    }

    #[test]
    fn metadata_is_bounded_over_all_accounts_of_a_call() {
        let body = |accounts: usize, last: usize| {
            let mut members: Map<String, Value> = (0..5)
                .map(|n| (n.to_string(), Value::String("x".repeat(500))))
                .collect();
            members.insert("5".to_owned(), Value::String("x".repeat(last)));
            let items: Vec<_> = (0..accounts)
                .map(|n| serde_json::json!({"vpa": format!("user{n}@upi")}))
                .collect();
            serde_json::json!({ "upi_details": items, "metadata": members }).to_string()
        };
        // Braces, five members with a comma, and the last one without.
        let last = MAX_METADATA_OF_CALL / 100 - 2 - 5 * (500 + 7) - 6;
        assert!(read(&body(100, last)).is_ok());
        assert_eq!(faults(&body(100, last + 1)), ["metadata"]);
        assert!(read(&body(99, last + 1)).is_ok());
    }

    #[test]
    fn consent_is_complete_or_absent() {
        let consent =
            "&consent.obtained=true&consent.purpose=payout&consent.timestamp=2025-10-27T09:24:36Z";
        assert!(
            read(&format!("vpa=asha@upi{consent}"))
                .unwrap()
                .options
                .consent
                .unwrap()
                .obtained
        );
        assert!(read(r#"{"vpa":"asha@upi","consent":{"obtained":true,"purpose":"p","timestamp":"2025-10-27T09:24:36Z"}}"#).unwrap().options.consent.is_some());
        assert_eq!(
            faults("vpa=asha@upi&consent.obtained=true"),
            ["consent.purpose", "consent.timestamp"]
        );
        assert_eq!(
            faults(
                "vpa=asha@upi&consent.obtained=yes&consent.purpose=p&consent.timestamp=2999-01-01T00:00:00Z"
            ),
            ["consent.obtained", "consent.timestamp"]
        );
    }

    #[test]
    fn only_a_validating_call_waits() {
        let wait = |body: &str| read(body).unwrap().wait;
        assert_eq!(wait("vpa=asha@upi"), None);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait("vpa=asha@upi&command=validate"), seconds(10));
        assert_eq!(wait("vpa=asha@upi&command=validate&wait_seconds=0"), None);
        assert_eq!(
            wait(r#"{"vpa":"asha@upi","command":"validate","wait_seconds":30}"#),
            seconds(30)
        );
        for body in [
            "vpa=asha@upi&wait_seconds=5",
            "vpa=asha@upi&command=validate&wait_seconds=31",
            "vpa=asha@upi&command=validate&wait_seconds=-1",
        ] {
            assert_eq!(faults(body), ["wait_seconds"], "{body}");
        }
    }

    #[test]
    fn fresh_is_a_flag_in_both_encodings() {
        let fresh = |body: &str| read(body).unwrap().options.fresh;
        assert!(!fresh("vpa=asha@upi"));
        assert!(fresh("vpa=asha@upi&fresh=true"));
        assert!(!fresh("vpa=asha@upi&fresh=false&command=validate"));
        assert!(fresh(r#"{"vpa":"asha@upi","fresh":true}"#));
        assert!(fresh(r#"{"vpa":"asha@upi","fresh":"true"}"#));
        assert!(!fresh(r#"{"vpa":"asha@upi","fresh":null}"#));
        for body in [
            "vpa=asha@upi&fresh=1",
            "vpa=asha@upi&fresh=",
            "vpa=asha@upi&fresh=True",
            r#"{"vpa":"asha@upi","fresh":1}"#,
            r#"{"vpa":"asha@upi","fresh":[true]}"#,
        ] {
            assert_eq!(faults(body), ["fresh"], "{body}");
        }
    }

    #[test]
    fn unknown_commands_are_invalid() {
        assert!(matches!(
            read("command=destroy&vpa=asha@upi"),
            Err(ApiError::InvalidCommand(_))
        ));
        assert!(read("command=create&vpa=asha@upi").is_ok());
    }
}
