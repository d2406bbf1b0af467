//! Reads the requests of *create accounts* and *validate again* (contract, *Create: the request*) and turns them into what the
//! store needs. The fields are defined in `schema`.

mod metadata;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::text::trim;
use khata_domain::{AccountId, AccountKind, BankAccount, BankCode, Consent, Details, ValidationId};
use khata_store::accounts::{CreateAccounts, NewAccount, ValidateAgain, ValidationTerms};
use khata_store::idempotency::ReplyForm;
use khata_webhooks::EndpointUrl;
use serde_json::{Map, Value};

use self::metadata::metadata;
use crate::context::RequestContext;
use crate::decode::Fields;
use crate::error::FaultCode::{Conflict, Duplicate, OutOfRange, Required, TooLong};
use crate::error::{ApiError, Faults};
use crate::schema::{
    ACCOUNT_NUMBER, BANK_ACCOUNT_FIELDS, BANK_ACCOUNTS, BANK_CODE, BANK_FIELDS, BENEFICIARY_NAME,
    CONSENT_OBTAINED, CONSENT_PURPOSE, CONSENT_TIMESTAMP, CREATE_COMMAND, CREATE_FIELDS, FRESH,
    Field, GATEWAY_ID, GATEWAY_REFERENCE_ID, IFSC, MAX_ACCOUNTS, UPI_ADDRESSES, UPI_FIELDS,
    VALIDATE_FIELDS, VPA, WAIT_SECONDS, WEBHOOK_URL,
};

/// Wait of a call with `command=validate` that sends no `wait_seconds`.
const DEFAULT_WAIT: i64 = 10;
/// How far a merchant's clock may be ahead of ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// A valid create call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CreateRequest {
    /// Whether the call asks for outcomes, so that its reply shows the validations.
    pub(crate) validates: bool,
    /// How long the call waits for outcomes; `None` if it does not wait.
    pub(crate) wait: Option<Duration>,
    pub(crate) accounts: Vec<RequestedAccount>,
    /// Whether the call has one account in flat fields: the reply is then that account and not a list.
    pub(crate) flat: bool,
    pub(crate) options: Options,
    pub(crate) metadata: Map<String, Value>,
    /// Where the events of the accounts go, in place of the URL of the endpoint that allows it.
    pub(crate) webhook_url: Option<EndpointUrl>,
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
    pub(crate) fn read(
        body: &Map<String, Value>,
        now: DateTime<Utc>,
        sandbox_mode: bool,
    ) -> Result<Self, ApiError> {
        Self::read_accounts(body, now, sandbox_mode, &CREATE_FIELDS, accounts)
    }

    /// Reads a decoded body of the legacy family: one bank account in flat fields.
    pub(crate) fn read_bank_account(
        body: &Map<String, Value>,
        now: DateTime<Utc>,
        sandbox_mode: bool,
    ) -> Result<Self, ApiError> {
        Self::read_accounts(body, now, sandbox_mode, &BANK_ACCOUNT_FIELDS, |fields| {
            Some(vec![bank(fields, None)?])
        })
    }

    fn read_accounts(
        body: &Map<String, Value>,
        now: DateTime<Utc>,
        sandbox_mode: bool,
        known: &[&Field],
        accounts: impl FnOnce(&mut Fields<'_>) -> Option<Vec<RequestedAccount>>,
    ) -> Result<Self, ApiError> {
        let expected = "command must be create or validate.";
        let validates = match body.get(CREATE_COMMAND.name).unwrap_or(&Value::Null) {
            Value::Null => false,
            Value::String(command) => match trim(command) {
                "create" => false,
                "validate" => true,
                _ if command.is_empty() => false,
                _ => return Err(ApiError::InvalidCommand(expected)),
            },
            _ => return Err(ApiError::InvalidCommand(expected)),
        };
        let mut faults = Faults::default();
        let fields = &mut Fields::of(body, &mut faults);
        let accounts = accounts(fields);
        let options = Options::read(fields, now);
        let metadata = metadata(fields, accounts.as_ref().map_or(0, Vec::len));
        let webhook_url = webhook_url(fields, sandbox_mode);
        let wait = wait(fields);
        if fields.has(&WAIT_SECONDS) && !validates {
            fields.fault(WAIT_SECONDS.name, Conflict, "requires command=validate");
        }
        fields.only(known);
        let flat = !has_lists(fields);
        faults.check()?;
        Ok(Self {
            validates,
            wait: wait.filter(|_| validates),
            accounts: accounts.unwrap_or_default(),
            flat,
            options,
            metadata,
            webhook_url,
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
        fields.only(&VALIDATE_FIELDS);
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

/// Whether the call has a list of accounts. An empty one is absent: Java and .NET write it for a list without items.
fn has_lists(fields: &Fields<'_>) -> bool {
    let lists = [&BANK_ACCOUNTS, &UPI_ADDRESSES];
    lists
        .into_iter()
        .any(|list| fields.has(list) && fields.length(list) != Some(0))
}

/// The accounts of lists, or the one in flat fields; `None` if the call mixes both forms or has no account.
fn accounts(fields: &mut Fields<'_>) -> Option<Vec<RequestedAccount>> {
    let flat: [&Field; 4] = [&IFSC, &ACCOUNT_NUMBER, &BENEFICIARY_NAME, &VPA];
    let has_lists = has_lists(fields);
    let has_bank = flat[..3].iter().any(|field| fields.has(field));
    match (has_lists, has_bank, fields.has(&VPA)) {
        (true, false, false) => listed(fields),
        (true, ..) => {
            for field in flat {
                if fields.has(field) {
                    let reason = "cannot be combined with bank_account_details or upi_details";
                    fields.fault(field.name, Conflict, reason);
                }
            }
            None
        }
        (false, true, true) => {
            let reason = "cannot be combined with bank-account fields; use bank_account_details and upi_details";
            fields.fault(VPA.name, Conflict, reason);
            None
        }
        (false, true, false) => Some(vec![bank(fields, None)?]),
        (false, false, true) => Some(vec![upi(fields)?]),
        (false, false, false) => {
            let reason = "is required: name at least one account in bank_account_details, in upi_details, or in the fields of one account";
            fields.fault(BANK_ACCOUNTS.name, Required, reason);
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
        fields.fault(first.name, TooLong, reason);
        return None;
    }
    let mut accounts = fields.list(&BANK_ACCOUNTS, |item| {
        let account = bank(item, default.as_ref());
        item.only(&BANK_FIELDS);
        account
    });
    accounts.extend(fields.list(&UPI_ADDRESSES, |item| {
        let account = upi(item);
        item.only(&UPI_FIELDS);
        account
    }));
    // A UPI address may name a bank account of the same call.
    let identity = |account: &RequestedAccount| account.details.bank_identity();
    let identities: Vec<_> = accounts.iter().map(identity).collect();
    let mut seen: HashMap<&str, &str> = HashMap::with_capacity(accounts.len());
    for (RequestedAccount { name, .. }, identity) in accounts.iter().zip(&identities) {
        if let Some(first) = seen.insert(identity, name) {
            let reason = format!("is the same account as {first}");
            fields.fault(name, Duplicate, reason);
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

/// The URL for the events. Whether an endpoint allows it, [`crate::account_urls`] knows.
fn webhook_url(fields: &mut Fields<'_>, sandbox_mode: bool) -> Option<EndpointUrl> {
    let text = fields.optional(&WEBHOOK_URL)?;
    EndpointUrl::parse(&text, sandbox_mode)
        .map_err(|error| fields.refuse(&WEBHOOK_URL, &error))
        .ok()
}

fn wait(fields: &mut Fields<'_>) -> Option<Duration> {
    let seconds = fields.number(&WAIT_SECONDS).unwrap_or(DEFAULT_WAIT);
    (seconds > 0).then(|| Duration::from_secs(seconds.unsigned_abs()))
}

fn pin(fields: &mut Fields<'_>) -> Pin {
    let gateway_id = fields.number(&GATEWAY_ID);
    let reference_id = fields.optional(&GATEWAY_REFERENCE_ID);
    if fields.has(&GATEWAY_REFERENCE_ID) && !fields.has(&GATEWAY_ID) {
        fields.fault(GATEWAY_REFERENCE_ID.name, Conflict, "requires gateway_id");
    }
    Pin {
        gateway_id: gateway_id.and_then(|id| i16::try_from(id).ok()),
        reference_id,
    }
}

fn consent(fields: &mut Fields<'_>, now: DateTime<Utc>) -> Option<Consent> {
    let given: [&Field; 3] = [&CONSENT_OBTAINED, &CONSENT_PURPOSE, &CONSENT_TIMESTAMP];
    if !given.iter().any(|field| fields.has(field)) {
        return None;
    }
    let obtained = fields.flag(&CONSENT_OBTAINED);
    fields.require(&CONSENT_OBTAINED);
    let purpose = fields.required(&CONSENT_PURPOSE);
    let timestamp = fields.required(&CONSENT_TIMESTAMP);
    if timestamp.is_some_and(|time| time > now + CLOCK_SKEW) {
        let reason = "must not be in the future: send the time at which the payee agreed";
        fields.fault(CONSENT_TIMESTAMP.name, OutOfRange, reason);
    }
    Some(Consent {
        obtained: obtained?,
        purpose: purpose?,
        timestamp: timestamp?,
    })
}
