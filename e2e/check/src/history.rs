//! A history: what clients, gateways and receivers of webhooks saw during a run, and the rows at its end. Times are
//! milliseconds since 1970 by the clock of the program that wrote the history, except those of rows, which Postgres wrote.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The format that this program reads.
const FORMAT: u32 = 2;

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Record {
    Run(Run),
    Call(Call),
    Receipt(Receipt),
    Fault(Fault),
    Endpoint(Endpoint),
    Drop(Drop),
    Account(AccountRow),
    Validation(ValidationRow),
    Attempt(AttemptRow),
    Event(EventRow),
    End { records: usize },
}

/// The first record.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Run {
    format: u32,
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    /// Maximum time from a call to the outcome of its accounts while there is no fault, in milliseconds.
    pub(crate) outcome_within: u64,
    /// Whether each endpoint must have accepted each event. False if the run ends before the retries do.
    pub(crate) all_delivered: bool,
}

/// A call of the API, with its reply.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// The merchant's reference of the customer; empty for calls without a customer.
    pub(crate) customer: String,
    /// The account of a *get*, *validate* or *delete*.
    pub(crate) account: Option<String>,
    /// `Idempotency-Key`
    pub(crate) key: Option<String>,
    /// JSON body; null if there is none.
    pub(crate) body: Value,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// Null if there was no complete reply.
    pub(crate) status: Option<u16>,
    /// Body of the reply, unchanged.
    pub(crate) reply: String,
    /// Whether the reply had `Idempotent-Replayed: true`.
    pub(crate) replayed: bool,
    /// The reply as JSON; null if it is not JSON.
    #[serde(skip)]
    pub(crate) json: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Create,
    List,
    Validate,
    Delete,
    /// A page of the event cursor.
    Events,
}

/// A webhook that a receiver got.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) endpoint: String,
    /// `webhook-id`
    pub(crate) id: String,
    /// `webhook-timestamp`
    pub(crate) timestamp: String,
    /// `webhook-signature`
    pub(crate) signature: String,
    /// `khata-attempt`
    pub(crate) attempt: u32,
    /// Bytes of the body, in base64.
    pub(crate) body: String,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// Status of the receiver's reply; null if it closed the connection.
    pub(crate) status: Option<u16>,
}

/// A webhook endpoint of the merchant.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    /// `whsec_…`
    pub(crate) secret: String,
}

/// A fault that was injected, or a change by an operator that may delay work.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) began: u64,
    pub(crate) healed: u64,
    /// Maximum time after its end within which everything works again, in milliseconds.
    pub(crate) within: u64,
    /// Whether calls may get no reply, or a 5xx, meanwhile. A fault of a worker, a gateway or the broker must not stop the API.
    pub(crate) calls_may_fail: bool,
    /// Whether the results of webhooks may be lost meanwhile, so that a webhook comes again: faults of workers and Postgres.
    pub(crate) webhooks_may_repeat: bool,
    /// Number of processes, connections, calls or rows that the fault hit; 0: it had no effect.
    pub(crate) hits: u64,
}

/// A rupee in the gateways' ledger.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Drop {
    pub(crate) gateway: String,
    pub(crate) reference: String,
    pub(crate) at: u64,
}

/// A row of `customer_accounts`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AccountRow {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) status: String,
    pub(crate) version: u64,
}

/// A row of `validations`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ValidationRow {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) state: String,
    pub(crate) outcome: Option<String>,
    pub(crate) failure_code: Option<String>,
    pub(crate) created_at: u64,
    pub(crate) completed_at: Option<u64>,
}

/// A row of `validation_attempts`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AttemptRow {
    pub(crate) validation: String,
    pub(crate) number: u32,
    pub(crate) gateway_id: u32,
    pub(crate) method: String,
    pub(crate) reference: String,
    pub(crate) class: Option<String>,
    /// The gateway's id for the call.
    pub(crate) gateway_reference: Option<String>,
    pub(crate) possible_double_drop: bool,
    pub(crate) started_at: u64,
}

/// A row of `events` about an account.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EventRow {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) version: u64,
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct History {
    pub(crate) run: Run,
    pub(crate) calls: Vec<Call>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) drops: Vec<Drop>,
    pub(crate) accounts: Vec<AccountRow>,
    pub(crate) validations: Vec<ValidationRow>,
    pub(crate) attempts: Vec<AttemptRow>,
    pub(crate) events: Vec<EventRow>,
}

impl History {
    /// Reads a history from a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{}", path.display()))
    }

    /// Parses one JSON object a line. The first record is `run`; the last is `end` and has the number of records, itself
    /// included, so that a truncated history is an error.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut records = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let record: Record =
                serde_json::from_str(line).with_context(|| format!("line {number}"))?;
            records.push(record);
        }
        let count = records.len();
        match records.pop() {
            Some(Record::End { records }) => ensure!(
                records == count,
                "the history has {count} records instead of {records}"
            ),
            _ => bail!("the last record is not `end`: the run was interrupted"),
        }
        let mut records = records.into_iter();
        let Some(Record::Run(run)) = records.next() else {
            bail!("the first record is not `run`");
        };
        ensure!(
            run.format == FORMAT,
            "the format is {}; this program reads {FORMAT}",
            run.format
        );
        let mut history = Self::empty(run);
        for record in records {
            history.add(record)?;
        }
        history.calls.sort_by_key(|call| call.began);
        history.receipts.sort_by_key(|receipt| receipt.began);
        history.faults.sort_by_key(|fault| fault.began);
        Ok(history)
    }

    fn empty(run: Run) -> Self {
        Self {
            run,
            calls: Vec::new(),
            receipts: Vec::new(),
            faults: Vec::new(),
            endpoints: Vec::new(),
            drops: Vec::new(),
            accounts: Vec::new(),
            validations: Vec::new(),
            attempts: Vec::new(),
            events: Vec::new(),
        }
    }

    fn add(&mut self, record: Record) -> anyhow::Result<()> {
        match record {
            Record::Call(mut call) => {
                call.json = serde_json::from_str(&call.reply).unwrap_or_default();
                self.calls.push(call);
            }
            Record::Receipt(receipt) => self.receipts.push(receipt),
            Record::Fault(fault) => self.faults.push(fault),
            Record::Endpoint(endpoint) => self.endpoints.push(endpoint),
            Record::Drop(drop) => self.drops.push(drop),
            Record::Account(row) => self.accounts.push(row),
            Record::Validation(row) => self.validations.push(row),
            Record::Attempt(row) => self.attempts.push(row),
            Record::Event(row) => self.events.push(row),
            Record::Run(_) | Record::End { .. } => {
                bail!("a second `run`, or an `end` before the end")
            }
        }
        Ok(())
    }
}

impl Call {
    pub(crate) fn is(&self, operation: Operation, status: u16) -> bool {
        self.operation == operation && self.status == Some(status)
    }

    /// Returns the objects of a list, or the single object.
    pub(crate) fn objects(&self) -> Vec<&Value> {
        match self.json["list"].as_array() {
            Some(list) => list.iter().collect(),
            None if self.json.is_object() => vec![&self.json],
            None => Vec::new(),
        }
    }

    /// Returns whether the API may have carried the call out although it did not reply 2xx: there was no reply, or a 503 that
    /// says so, or a 409 (the first call with the key still ran).
    pub(crate) fn is_ambiguous(&self) -> bool {
        match self.status {
            None | Some(409) => true,
            Some(503 | 500) => self.reply.contains("may have been"),
            Some(429) => self.reply.contains("REPLIES_NOT_TAKEN"),
            Some(_) => false,
        }
    }

    /// Names the call in a violation.
    pub(crate) fn label(&self) -> String {
        format!(
            "{:?} for {} at {} to {}, {}",
            self.operation,
            self.customer,
            self.began,
            self.ended,
            self.status
                .map_or("no reply".to_owned(), |status| status.to_string())
        )
    }
}

impl AttemptRow {
    /// Returns whether the gateway gave a result that is no outcome of the account.
    pub(crate) fn is_known(&self) -> bool {
        match self.class.as_deref() {
            Some("INCONCLUSIVE") => true,
            Some("RETRYABLE") => self.gateway_reference.is_some(),
            _ => false,
        }
    }

    /// Returns whether the attempt has no result: its call may have paid.
    pub(crate) fn is_lost(&self) -> bool {
        match self.class.as_deref() {
            None => true,
            Some("RETRYABLE") => self.gateway_reference.is_none(),
            Some(_) => false,
        }
    }
}

impl Receipt {
    /// Returns whether the receiver accepted the event: 2xx within the 10 s that a worker waits.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
            && self.ended.saturating_sub(self.began) < 10_000
    }
}

/// Returns the text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}
