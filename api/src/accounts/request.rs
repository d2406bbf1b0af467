//! What *create accounts* is asked (contract, *Create: the request*): every wire detail of it is here.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::account::ValueError;
use khata_domain::routing::Pin;
use khata_domain::{
    AccountNumber, BankAccount, BankCode, BeneficiaryName, Consent, Details, Ifsc, Vpa,
};
use serde_json::{Map, Value};

use crate::decode::Fields;
use crate::error::ApiError;

/// Contract, *Limits*.
pub(super) const MAX_ACCOUNTS: usize = 100;
const BANK: &str = "bank_account_details";
const UPI: &str = "upi_details";
const FLAT_BANK: [&str; 3] = ["ifsc", "account_number", "beneficiary_name"];
const MAX_METADATA: usize = 20;
const MAX_METADATA_KEY: usize = 40;
const MAX_METADATA_VALUE: usize = 500;
/// Seconds that a call with `command=validate` waits for outcomes, and may ask to.
const WAIT: i64 = 10;
const MAX_WAIT: i64 = 30;
const MAX_PURPOSE: usize = 250;
/// A merchant's clock may be ahead of ours by this much.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// What a call asks to be done with the accounts it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Store them, validate them in the background.
    Create,
    /// Store them and answer when they are validated, or after so long.
    Validate(Duration),
}

/// A call that may be carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CreateRequest {
    pub(crate) command: Command,
    pub(crate) accounts: Vec<RequestedAccount>,
    /// One account in flat fields: the answer is that account and not a list.
    pub(crate) flat: bool,
    pub(crate) pin: Pin,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) consent: Option<Consent>,
    /// A gateway is to be asked, however young an earlier result is.
    pub(crate) fresh: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestedAccount {
    /// As the merchant wrote it: `bank_account_details[1]`, or the field of a flat call that tells which account it is.
    pub(crate) name: String,
    pub(crate) details: Details,
    pub(crate) bank_code: Option<BankCode>,
}

impl CreateRequest {
    /// Reads a decoded body. All faults are told at once.
    pub(crate) fn read(body: &Map<String, Value>, now: DateTime<Utc>) -> Result<Self, ApiError> {
        Self::read_accounts(body, now, accounts)
    }

    /// Reads a decoded body of the deprecated family: one bank account in flat fields.
    pub(crate) fn read_bank_account(
        body: &Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Result<Self, ApiError> {
        Self::read_accounts(body, now, |fields| Some((vec![bank(fields, None)?], true)))
    }

    fn read_accounts(
        body: &Map<String, Value>,
        now: DateTime<Utc>,
        accounts: impl FnOnce(&mut Fields<'_>) -> Option<(Vec<RequestedAccount>, bool)>,
    ) -> Result<Self, ApiError> {
        let validates = match body.get("command") {
            None | Some(Value::Null) => false,
            Some(Value::String(command)) if command == "create" => false,
            Some(Value::String(command)) if command == "validate" => true,
            Some(_) => {
                return Err(ApiError::InvalidCommand {
                    known: "command must be create or validate.",
                });
            }
        };
        let mut faults = Vec::new();
        let fields = &mut Fields::of(body, &mut faults);
        let accounts = accounts(fields);
        let pin = pin(fields);
        let metadata = metadata(fields);
        let consent = consent(fields, now);
        let fresh = fresh(fields);
        let wait = wait(fields);
        if fields.has("wait_seconds") && !validates {
            fields.fault("wait_seconds", "needs command=validate");
        }
        let command = if validates {
            Command::Validate(wait)
        } else {
            Command::Create
        };
        let (accounts, flat) = accounts.unwrap_or_default();
        if faults.is_empty() {
            Ok(Self {
                command,
                accounts,
                flat,
                pin,
                metadata,
                consent,
                fresh,
            })
        } else {
            Err(ApiError::Invalid(faults))
        }
    }
}

/// The accounts, and whether they were one in flat fields; `None` where the call mixes the encodings or names none.
fn accounts(fields: &mut Fields<'_>) -> Option<(Vec<RequestedAccount>, bool)> {
    let lists = fields.has(BANK) || fields.has(UPI);
    let flat_bank = FLAT_BANK.iter().any(|name| fields.has(name));
    let flat_upi = fields.has("vpa");
    match (lists, flat_bank, flat_upi) {
        (true, false, false) => listed(fields).map(|accounts| (accounts, false)),
        (true, ..) => {
            for name in FLAT_BANK.into_iter().chain(["vpa"]) {
                if fields.has(name) {
                    fields.fault(
                        name,
                        "cannot stand beside bank_account_details or upi_details",
                    );
                }
            }
            None
        }
        (false, true, true) => {
            fields.fault("vpa", "cannot stand beside a bank account; use bank_account_details and upi_details for both");
            None
        }
        (false, true, false) => bank(fields, None).map(|account| (vec![account], true)),
        (false, false, true) => upi(fields, None).map(|account| (vec![account], true)),
        (false, false, false) => {
            fields.fault("bank_account_details", "name at least one account: bank_account_details, upi_details, or the fields of one account");
            None
        }
    }
}

fn listed(fields: &mut Fields<'_>) -> Option<Vec<RequestedAccount>> {
    let default = fields.optional("bank_code", BankCode::parse);
    let (banks, addresses) = (fields.length(BANK), fields.length(UPI));
    let first = if fields.has(BANK) { BANK } else { UPI };
    let given = banks.unwrap_or(0) + addresses.unwrap_or(0);
    if given > MAX_ACCOUNTS {
        // Nothing of it is read: a fault for each of ten thousand items helps nobody.
        fields.fault(
            first,
            format!("a call may name at most {MAX_ACCOUNTS} accounts"),
        );
        return None;
    }
    let mut accounts: Vec<(String, RequestedAccount)> = Vec::with_capacity(given);
    for (list, read) in [
        (BANK, bank as fn(&mut Fields<'_>, Option<&BankCode>) -> _),
        (UPI, upi),
    ] {
        accounts.extend(fields.list(list, |item| read(item, default.as_ref())));
    }
    // A field that is no list has been told already.
    if given == 0 && (banks.is_some() || addresses.is_some()) {
        fields.fault(first, "must name at least one account");
    }
    let identities: Vec<_> = accounts
        .iter()
        .map(|(_, account)| account.details.identity())
        .collect();
    let mut seen: HashMap<&str, &str> = HashMap::with_capacity(accounts.len());
    for ((name, _), identity) in accounts.iter().zip(&identities) {
        if let Some(first) = seen.insert(identity, name) {
            fields.fault(name, format!("is the same account as {first}"));
        }
    }
    let named = |(name, account)| RequestedAccount { name, ..account };
    Some(accounts.into_iter().map(named).collect())
}

pub(crate) fn bank(item: &mut Fields<'_>, default: Option<&BankCode>) -> Option<RequestedAccount> {
    // All of them are read before any is missed, so that all faults are told.
    let ifsc = item.required("ifsc", Ifsc::parse);
    let account_number = item.required("account_number", AccountNumber::parse);
    let beneficiary_name = item.optional("beneficiary_name", BeneficiaryName::parse);
    let bank_code = item
        .optional("bank_code", BankCode::parse)
        .or_else(|| default.cloned());
    let details = Details::Bank(BankAccount {
        ifsc: ifsc?,
        account_number: account_number?,
        beneficiary_name,
    });
    Some(RequestedAccount {
        name: "account_number".to_owned(),
        details,
        bank_code,
    })
}

fn upi(item: &mut Fields<'_>, _default: Option<&BankCode>) -> Option<RequestedAccount> {
    let details = Details::Upi(item.required("vpa", Vpa::parse)?);
    Some(RequestedAccount {
        name: "vpa".to_owned(),
        details,
        bank_code: None,
    })
}

/// How long the call waits for outcomes.
pub(crate) fn wait(fields: &mut Fields<'_>) -> Duration {
    let seconds = fields.number("wait_seconds", 0..=MAX_WAIT).unwrap_or(WAIT);
    Duration::from_secs(seconds.unsigned_abs())
}

/// Whether a gateway is to be asked even where an earlier result could be used again.
pub(crate) fn fresh(fields: &mut Fields<'_>) -> bool {
    fields.boolean("fresh").unwrap_or(false)
}

pub(crate) fn pin(fields: &mut Fields<'_>) -> Pin {
    let gateway_id = fields
        .number("gateway_id", 1..=i64::from(i16::MAX))
        .and_then(|id| i16::try_from(id).ok());
    let reference_id = fields.optional("gateway_reference_id", |text| {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            Ok(text.to_owned())
        } else {
            Err(ValueError("must be 1 to 128 visible ASCII characters"))
        }
    });
    if fields.has("gateway_reference_id") && !fields.has("gateway_id") {
        fields.fault("gateway_reference_id", "needs gateway_id");
    }
    Pin {
        gateway_id,
        reference_id,
    }
}

pub(crate) fn metadata(fields: &mut Fields<'_>) -> Map<String, Value> {
    let given: Vec<(&str, &Value)> = fields.starting_with("metadata.").collect();
    if given.len() > MAX_METADATA {
        fields.fault(
            "metadata",
            format!("may have at most {MAX_METADATA} members"),
        );
    }
    let mut metadata = Map::new();
    for (key, value) in given.into_iter().take(MAX_METADATA) {
        let name = format!(
            "metadata.{}",
            key.chars()
                .filter(|c| !c.is_control())
                .take(MAX_METADATA_KEY)
                .collect::<String>()
        );
        let Value::String(value) = value else {
            fields.fault(&name, "must be a string");
            continue;
        };
        let key_length = key.chars().count();
        if key_length == 0 || key_length > MAX_METADATA_KEY || key.chars().any(char::is_control) {
            fields.fault(
                &name,
                format!(
                    "its key must be 1 to {MAX_METADATA_KEY} characters without control characters"
                ),
            );
        } else if value.chars().count() > MAX_METADATA_VALUE || value.contains('\0') {
            fields.fault(
                &name,
                format!("must be at most {MAX_METADATA_VALUE} characters without NUL"),
            );
        } else {
            metadata.insert(key.to_owned(), Value::String(value.clone()));
        }
    }
    metadata
}

pub(crate) fn consent(fields: &mut Fields<'_>, now: DateTime<Utc>) -> Option<Consent> {
    let names = ["consent.obtained", "consent.purpose", "consent.timestamp"];
    if !names.iter().any(|name| fields.has(name))
        && fields.starting_with("consent.").next().is_none()
    {
        return None;
    }
    let obtained = fields.boolean("consent.obtained");
    if !fields.has("consent.obtained") {
        fields.fault("consent.obtained", "is required");
    }
    let purpose = fields.required("consent.purpose", |text| {
        let length = text.chars().count();
        let fits = (1..=MAX_PURPOSE).contains(&length) && !text.chars().any(char::is_control);
        if fits {
            Ok(text.to_owned())
        } else {
            Err(ValueError(
                "must be 1 to 250 characters without control characters",
            ))
        }
    });
    let timestamp = fields.required("consent.timestamp", |text| {
        let time = DateTime::parse_from_rfc3339(text)
            .map_err(|_| ValueError("must be an RFC 3339 time"))?
            .to_utc();
        if time > now + CLOCK_SKEW {
            Err(ValueError("must not lie in the future"))
        } else {
            Ok(time)
        }
    });
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
    fn forms_and_json_mean_the_same() {
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
    fn all_faults_are_named_at_once() {
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
    fn a_call_names_accounts_in_one_way() {
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
    fn a_hundred_accounts_and_no_more() {
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
    fn bank_code_beside_the_lists_is_their_default() {
        let request = read(r#"{"bank_code":"12","bank_account_details":[{"ifsc":"AABF0008032","account_number":"12345"},{"ifsc":"AABF0008032","account_number":"12346","bank_code":"JP_X"}]}"#).unwrap();
        let codes: Vec<_> = request
            .accounts
            .iter()
            .map(|a| a.bank_code.as_ref().unwrap().as_str())
            .collect();
        assert_eq!(codes, ["12", "JP_X"]);
    }

    #[test]
    fn metadata_up_to_its_limits_is_kept() {
        let members = |count: usize| -> Map<String, Value> {
            let (key, value) = ("क".repeat(MAX_METADATA_KEY - 2), "🙂".repeat(500));
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
    }

    #[test]
    fn consent_is_whole_or_absent() {
        let consent =
            "&consent.obtained=true&consent.purpose=payout&consent.timestamp=2025-10-27T09:24:36Z";
        assert!(
            read(&format!("vpa=asha@upi{consent}"))
                .unwrap()
                .consent
                .unwrap()
                .obtained
        );
        assert!(read(r#"{"vpa":"asha@upi","consent":{"obtained":true,"purpose":"p","timestamp":"2025-10-27T09:24:36Z"}}"#).unwrap().consent.is_some());
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
    fn a_call_waits_only_where_it_validates() {
        let wait = |body: &str| read(body).unwrap().command;
        assert_eq!(wait("vpa=asha@upi"), Command::Create);
        let seconds = |seconds| Command::Validate(Duration::from_secs(seconds));
        assert_eq!(wait("vpa=asha@upi&command=validate"), seconds(10));
        assert_eq!(
            wait("vpa=asha@upi&command=validate&wait_seconds=0"),
            seconds(0)
        );
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
    fn fresh_is_true_or_false_in_both_encodings() {
        let fresh = |body: &str| read(body).unwrap().fresh;
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
    fn other_commands_are_invalid() {
        assert!(matches!(
            read("command=destroy&vpa=asha@upi"),
            Err(ApiError::InvalidCommand { .. })
        ));
        assert!(read("command=create&vpa=asha@upi").is_ok());
    }
}
