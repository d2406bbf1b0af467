//! The composite account validation: received now, ended later, looked up by id. What was sent under an
//! idempotency key is done once.

use std::sync::Arc;
use std::time::Instant;

use actix_web::web::Data;
use chrono::Utc;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::Sandbox;
use crate::behaviour::Behaviour;
use crate::gateway::Gateway;
use crate::razorpay::house::House;
use crate::razorpay::limits::{self, Method};
use crate::razorpay::outcome::{self, Finding, Oddity};
use crate::razorpay::refusal::Refusal;
use crate::razorpay::wire::{
    Account, BankAccount, Contact, ContactSent, FundAccount, FundAccountSent, ValidatedBankAccount,
    ValidationRequest, Vpa,
};
use crate::razorpay::{call_back, id};
use crate::scenario::{self, Asked};
use crate::webhooks;

/// A validation that was accepted.
pub(super) struct Validation {
    pub(super) id: String,
    /// What ids, the `utr` and event ids are made of.
    pub(super) number: u64,
    pub(super) reference_id: Option<String>,
    pub(super) notes: Map<String, Value>,
    pub(super) fund_account: FundAccount,
    /// The account behind it, as it is told once it is found valid.
    pub(super) found: ValidatedBankAccount,
    /// The name sent.
    pub(super) name: Option<String>,
    /// The name at the bank, if it is told.
    pub(super) holder: Option<String>,
    pub(super) finding: Finding,
    /// Whether a rupee goes, and so a `utr` comes.
    pub(super) drops: bool,
    /// When the outcome shows; never, if there is none.
    pub(super) shows_at: Option<Instant>,
}

/// What an idempotency key was used for.
#[derive(Clone)]
pub(super) struct Saved {
    body: [u8; 32],
    validation: Arc<Validation>,
}

/// `POST /v1/fund_accounts/validations`. Answers `created`, always. Drops unless it is penniless; an
/// `optimized` one drops too, the worst it can come to. A key that was used before is answered as it was
/// then if the body is the same to the byte, and refused if not; either way nothing drops.
pub(super) fn create(
    sandbox: &Data<Sandbox>,
    key: Option<&str>,
    body: &[u8],
    behaviour: Behaviour,
) -> Result<Arc<Validation>, Refusal> {
    let key = key.map(limits::idempotency_key).transpose()?;
    let digest: [u8; 32] = Sha256::digest(body).into();
    let razorpay = &sandbox.razorpay;
    if let Some(saved) = key.and_then(|key| razorpay.by_idempotency_key.get(key)) {
        return saved.answer(digest);
    }
    let request: ValidationRequest =
        serde_json::from_slice(body).map_err(|_| Refusal::malformed())?;
    let validation = Arc::new(accept(sandbox, request, behaviour)?);
    if let Some(key) = key {
        let saved = Saved {
            body: digest,
            validation: Arc::clone(&validation),
        };
        // Another call with this key may have come between.
        if let Some(first) = razorpay.by_idempotency_key.add(key, saved) {
            return first.answer(digest);
        }
    }
    razorpay
        .validations
        .add(&validation.id, Arc::clone(&validation));
    if validation.drops {
        let reference = validation.reference_id.as_ref().unwrap_or(&validation.id);
        sandbox.ledger.record(Gateway::Razorpay, reference);
    }
    tell_later(sandbox, &validation);
    Ok(validation)
}

/// `GET /v1/fund_accounts/validations/{id}`.
pub(super) fn look_up(sandbox: &Sandbox, id: &str) -> Result<Arc<Validation>, Refusal> {
    let found = sandbox.razorpay.validations.get(id);
    found.ok_or_else(Refusal::unknown_id)
}

impl Saved {
    fn answer(self, body: [u8; 32]) -> Result<Arc<Validation>, Refusal> {
        if self.body == body {
            Ok(self.validation)
        } else {
            Err(Refusal::other_body())
        }
    }
}

fn accept(
    sandbox: &Sandbox,
    request: ValidationRequest,
    behaviour: Behaviour,
) -> Result<Validation, Refusal> {
    limits::common(&request)?;
    let Some(sent) = &request.fund_account else {
        return Err(Refusal::input(
            "fund_account",
            "The fund_account field is required.",
        ));
    };
    let contact = limits::contact(sent.contact.as_ref())?;
    let number = sandbox.razorpay.next_number();
    let Payee {
        account,
        found,
        name,
        holder_sent,
        asked_of,
        asked,
    } = payee(sent, contact)?;
    let is_vpa = matches!(account, Account::Vpa { .. });
    let method = limits::method(request.validation_type.as_deref(), is_vpa)?;
    let drops = method != Method::Penniless;
    if drops && behaviour.insufficient_balance {
        return Err(Refusal::insufficient_funds());
    }
    let asked = sandbox
        .first_times
        .settle(Gateway::Razorpay, &asked_of, asked);
    let finding = outcome::of(asked, is_vpa)?;
    let holder = match finding.oddity {
        _ if !finding.is_valid() => None,
        Oddity::EmptyName => Some(String::new()),
        _ => scenario::told_name(asked, &asked_of, holder_sent.as_deref()),
    };
    let shows_after = finding
        .shows
        .after(behaviour.pending(), sandbox.published_pending);
    Ok(Validation {
        id: id("fav", number),
        number,
        fund_account: fund_account(number, account, contact),
        reference_id: request.reference_id,
        notes: request.notes.unwrap_or_default(),
        found,
        name,
        holder,
        finding,
        drops,
        shows_at: shows_after.and_then(|after| Instant::now().checked_add(after)),
    })
}

/// Who is validated, within the limits.
struct Payee {
    account: Account,
    found: ValidatedBankAccount,
    /// What the name at the bank is compared with: the holder's, else the contact's.
    name: Option<String>,
    /// The holder's alone. A contact has to have a name, so that it may be any.
    holder_sent: Option<String>,
    /// The account number or the VPA.
    asked_of: String,
    asked: Asked,
}

fn payee(sent: &FundAccountSent, contact: &ContactSent) -> Result<Payee, Refusal> {
    match sent.account_type.as_deref() {
        Some("bank_account") => {
            let (number, ifsc, name) = limits::bank_account(sent.bank_account.as_ref())?;
            let bank_name = ifsc.get(..4).unwrap_or_default();
            let holder_sent = name.map(str::to_owned);
            let name = name.or(contact.name.as_deref());
            Ok(Payee {
                account: Account::BankAccount {
                    bank_account: BankAccount {
                        name: name.unwrap_or_default().to_owned(),
                        bank_name: bank_name.to_owned(),
                        ifsc: ifsc.to_owned(),
                        account_number: number.to_owned(),
                    },
                },
                found: found(ifsc, number),
                name: name.map(str::to_owned),
                holder_sent,
                asked: scenario::asked(number),
                asked_of: number.to_owned(),
            })
        }
        Some("vpa") => {
            let address = sent.vpa.as_ref().and_then(|vpa| vpa.address.as_deref());
            let address = limits::vpa("address", address)?;
            Ok(Payee {
                account: Account::Vpa {
                    vpa: Vpa {
                        address: address.to_owned(),
                    },
                },
                found: found(ACCOUNT_OF_VPAS.0, ACCOUNT_OF_VPAS.1),
                name: contact.name.clone(),
                holder_sent: None,
                asked: scenario::asked_by_vpa(address),
                asked_of: address.to_owned(),
            })
        }
        _ => Err(Refusal::input(
            "account_type",
            "The selected account type is invalid.",
        )),
    }
}

/// The IFSC and the number of the account behind every valid VPA.
const ACCOUNT_OF_VPAS: (&str, &str) = ("ICIC0000047", "000405001234");

fn found(ifsc: &str, number: &str) -> ValidatedBankAccount {
    let shown = number.len().saturating_sub(4);
    ValidatedBankAccount {
        bank_routing_code: ifsc.to_owned(),
        account_number: format!("XXXXXXXX{}", &number[shown..]),
        bank_name: ifsc.get(..4).unwrap_or_default().to_owned(),
        account_type: "savings",
    }
}

fn fund_account(number: u64, account: Account, contact: &ContactSent) -> FundAccount {
    let created_at = Utc::now().timestamp();
    let contact = contact.clone();
    FundAccount {
        id: id("fa", number),
        entity: "fund_account",
        account,
        active: true,
        created_at,
        contact: Contact {
            id: id("cont", number),
            entity: "contact",
            name: contact.name,
            email: contact.email,
            phone: contact.phone,
            kind: contact.kind,
            reference_id: contact.reference_id,
            notes: contact.notes.unwrap_or_default(),
            active: true,
            created_at,
        },
    }
}

/// Calls back when the outcome is there, if it ever is.
fn tell_later(sandbox: &Data<Sandbox>, validation: &Arc<Validation>) {
    let Some(shows_at) = validation.shows_at else {
        return;
    };
    let after = shows_at.saturating_duration_since(Instant::now());
    let validation = Arc::clone(validation);
    webhooks::call_back::<House>(sandbox, after, move |sandbox| {
        let unknown_code = sandbox.behaviours.of(Gateway::Razorpay).unknown_code;
        Some(call_back::notices(&validation, unknown_code))
    });
}
