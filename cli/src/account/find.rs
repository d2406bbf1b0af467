//! `khata account find`.

use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use khata_config::SandboxSettings;
use khata_crypto::{Keyring, KeyringSettings, Purpose};
use khata_domain::account::Vpa;
use khata_domain::ids::CustomerRef;
use khata_domain::validation::ValidationResult;
use khata_domain::{AccountId, Details, MerchantId, ValidationId};
use khata_store::inspect::search::{self, Reach};
use khata_store::inspect::{self, Account};
use khata_store::merchants::{self, Merchant};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::options::{CommonOptions, find_merchant};
use crate::output::{Table, or_none, time};
use crate::times::parse_past;

/// Maximum number of accounts that are listed.
const MAX_LISTED: i64 = 100;
/// Maximum number of rows that a search without an index reads.
const MAX_READ: i64 = 100_000;
/// Rows of encrypted results in one statement.
const RESULTS: i64 = 1_000;
/// Age of the oldest row that a search without an index reads, unless the operator says otherwise.
const DEFAULT_AGE: TimeDelta = TimeDelta::days(7);

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("by").required(true).args(["customer", "vpa", "last_four", "utr", "gateway_reference"]))]
pub(crate) struct Find {
    /// The merchant's reference of the customer (object_reference_id), or our id (cst_…): live accounts, by index
    #[arg(long, value_name = "REFERENCE")]
    customer: Option<String>,
    /// UPI address, in any spelling: deleted accounts too, by index; needs the keyring
    #[arg(long, value_name = "VPA")]
    vpa: Option<String>,
    /// Last four characters of the account number; reads the merchant's newest accounts
    #[arg(long, value_name = "FOUR", requires = "merchant")]
    last_four: Option<String>,
    /// UTR of a penny drop: the account that it was paid to, and those that reuse its result; decrypts the results of the merchant's
    /// newest validations, and needs the keyring
    #[arg(long, requires = "merchant")]
    utr: Option<String>,
    /// The gateway's own id of a call: by the index for gateway webhooks, then, with --merchant, among the merchant's newest attempts
    #[arg(long, value_name = "ID")]
    gateway_reference: Option<String>,
    /// Name or id of the merchant, if known
    #[arg(long)]
    merchant: Option<String>,
    /// Oldest row that a search without an index reads: 2h (also 30m, 7d), "2026-11-29 15:30 IST", or a time in RFC 3339 [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    since: Option<DateTime<Utc>>,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
    #[command(flatten)]
    common: CommonOptions,
}

/// What a search without an index has read.
struct Searched {
    what: &'static str,
    rows: i64,
}

struct Found {
    accounts: Vec<Account>,
    /// The accounts that reuse a result, each with the validation that paid for it.
    reused: HashMap<AccountId, ValidationId>,
    /// `None` for a search by index.
    searched: Option<Searched>,
    /// A sentence about rows that the search does not find.
    limit: Option<&'static str>,
}

impl Find {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let since = self.since.unwrap_or_else(|| Utc::now() - DEFAULT_AGE);
        let reach = Reach {
            since,
            rows: MAX_READ,
        };
        let mut connection = self.common.connect()?;
        let merchant = match &self.merchant {
            Some(merchant) => Some(find_merchant(&mut connection, merchant)?),
            None => None,
        };
        let found = self.search(&mut connection, merchant.as_ref(), reach)?;
        let list: Vec<Value> = found
            .accounts
            .iter()
            .map(|one| found.json_of(one))
            .collect();
        let searched = found.searched.as_ref().map(|searched| {
            json!({
                "rows": searched.rows,
                "since": time(since),
                "complete": searched.rows < MAX_READ,
            })
        });
        let document = json!({ "accounts": list, "searched": searched, "limit": found.limit });
        self.common.print(&document, &text(&found, since))
    }

    fn search(
        &self,
        connection: &mut PgConnection,
        merchant: Option<&Merchant>,
        reach: Reach,
    ) -> anyhow::Result<Found> {
        let id = merchant.map(|merchant| merchant.id);
        if let Some(reference) = &self.customer {
            let customer = CustomerRef::parse(&given(reference)?).context(
                "--customer must be the merchant's reference, 1 to 128 visible ASCII characters, or our id (cst_…)",
            )?;
            let accounts = search::by_customer(connection, id, &customer, MAX_LISTED)?;
            return Ok(Found::by_index(accounts).limited(LIVE_ONLY));
        }
        if let Some(vpa) = &self.vpa {
            let accounts = self.by_vpa(connection, merchant, &given(vpa)?)?;
            return Ok(Found::by_index(accounts));
        }
        if let Some(reference) = &self.gateway_reference {
            return by_gateway_reference(connection, id, &given(reference)?, reach);
        }
        let id = id.context("--merchant is missing")?;
        if let Some(last_four) = &self.last_four {
            let last_four = given(last_four)?;
            if last_four.len() != 4 || !last_four.bytes().all(|b| b.is_ascii_alphanumeric()) {
                bail!("--last-four must be the last four letters or digits of the account number");
            }
            let (accounts, rows) =
                search::by_last_four(connection, id, &last_four, reach, MAX_LISTED)?;
            let what = "accounts";
            return Ok(Found::by_reading(accounts, what, rows));
        }
        let utr = given(self.utr.as_deref().unwrap_or_default())?;
        self.by_utr(connection, id, &utr, reach)
    }

    fn by_vpa(
        &self,
        connection: &mut PgConnection,
        merchant: Option<&Merchant>,
        vpa: &str,
    ) -> anyhow::Result<Vec<Account>> {
        let vpa = Vpa::parse(vpa).map_err(|error| anyhow::anyhow!("--vpa {error}"))?;
        let (details, keyring) = (Details::Upi(vpa), self.keyring()?);
        let merchants: Vec<MerchantId> = match merchant {
            Some(merchant) => vec![merchant.id],
            None => merchants::all(connection)?.iter().map(|it| it.id).collect(),
        };
        let fingerprint = |id: MerchantId| (id, keyring.fingerprint(id, &details));
        let fingerprints: Vec<_> = merchants.into_iter().map(fingerprint).collect();
        Ok(search::by_fingerprint(
            connection,
            &fingerprints,
            MAX_LISTED,
        )?)
    }

    /// Decrypts the results of the newest validations, the newest first, until the one that paid has the UTR. A UTR belongs to one payment;
    /// later validations that reuse its result have the UTR, too.
    fn by_utr(
        &self,
        connection: &mut PgConnection,
        merchant: MerchantId,
        utr: &str,
        reach: Reach,
    ) -> anyhow::Result<Found> {
        let keyring = self.keyring()?;
        let (mut before, mut rows) = (ValidationId(Uuid::max()), 0);
        let (mut paid, mut reused) = (BTreeSet::new(), HashMap::new());
        while rows < reach.rows && paid.is_empty() {
            let results = search::results(connection, merchant, reach.since, before, RESULTS)?;
            let Some((last, ..)) = results.last() else {
                break;
            };
            before = *last;
            for (_, account, sealed, from) in &results {
                let sealed = sealed.as_deref();
                if !sealed.is_some_and(|sealed| has_utr(&keyring, merchant, *account, sealed, utr))
                {
                    continue;
                }
                if let Some(from) = from {
                    reused.insert(*account, *from);
                } else {
                    paid.insert(*account);
                }
            }
            rows += i64::try_from(results.len()).unwrap_or(RESULTS);
        }
        // The validation that paid may be older than those that were read.
        for from in reused.values() {
            let found = inspect::account_of_validation(connection, Some(merchant), *from)?;
            paid.extend(found.map(|(_, account)| account));
        }
        reused.retain(|account, _| !paid.contains(account));
        let mut accounts = Vec::new();
        for account in paid.into_iter().chain(reused.keys().copied()) {
            accounts.extend(inspect::find(connection, merchant, account)?);
        }
        Ok(Found {
            reused,
            ..Found::by_reading(accounts, VALIDATIONS, rows)
        })
    }

    fn keyring(&self) -> anyhow::Result<Keyring> {
        Ok(self.keyring.load(self.sandbox.sandbox_mode)?)
    }
}

const VALIDATIONS: &str = "validations";
const LIVE_ONLY: &str =
    "Only live accounts are searched. Those that were deleted are found by --vpa or --last-four.";
const INDEX_ONLY: &str = "Only the index for gateway webhooks was searched, which has the calls of the last 31 days whose outcome the \
     gateway reported later. With --merchant the command also reads the merchant's newest attempts.";

impl Found {
    fn by_index(accounts: Vec<Account>) -> Self {
        Self {
            accounts,
            reused: HashMap::new(),
            searched: None,
            limit: None,
        }
    }

    fn limited(self, limit: &'static str) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    fn by_reading(accounts: Vec<Account>, what: &'static str, rows: i64) -> Self {
        Self {
            searched: Some(Searched { what, rows }),
            ..Self::by_index(accounts)
        }
    }

    fn json_of(&self, account: &Account) -> Value {
        let reused = self.reused.get(&account.id);
        json!({
            "id": account.id.to_string(),
            "merchant": account.merchant_name,
            "merchant_id": account.merchant.to_string(),
            "customer_id": account.customer.to_string(),
            "kind": account.kind,
            "masked": account.masked,
            "status": account.status,
            "created_at": time(account.created_at),
            "deleted_at": account.deleted_at.map(time),
            "reused_from": reused.map(ToString::to_string),
        })
    }

    /// Returns the lines about the accounts to which no rupee was paid.
    fn reuses(&self) -> Option<String> {
        let reuses = self.reused.iter();
        let mut lines: Vec<String> = reuses
            .map(|(account, from)| {
                format!("{account} reuses the result of {from}: no rupee was paid to it.")
            })
            .collect();
        lines.sort();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Returns the value, or for `-` a line of standard input, which the shell's history does not keep.
fn given(value: &str) -> anyhow::Result<String> {
    let mut text = value.to_owned();
    if value == "-" {
        text.clear();
        std::io::stdin().lock().read_line(&mut text)?;
    }
    let text = text.trim().to_owned();
    if text.is_empty() {
        bail!("the value to search for is empty");
    }
    Ok(text)
}

fn by_gateway_reference(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    reference: &str,
    reach: Reach,
) -> anyhow::Result<Found> {
    let indexed = search::by_gateway_reference(connection, merchant, reference)?;
    if let (true, Some(merchant)) = (indexed.is_empty(), merchant) {
        let (read, rows) = search::by_newest_attempts(connection, merchant, reference, reach)?;
        let keys: Vec<_> = read.into_iter().map(|id| (merchant, id)).collect();
        let accounts = accounts_of(connection, &keys)?;
        return Ok(Found::by_reading(accounts, "attempts", rows));
    }
    let found = Found::by_index(accounts_of(connection, &indexed)?);
    Ok(found.limited(INDEX_ONLY))
}

/// Returns the accounts of these validations, each once.
fn accounts_of(
    connection: &mut PgConnection,
    validations: &[(MerchantId, ValidationId)],
) -> anyhow::Result<Vec<Account>> {
    let mut ids = BTreeSet::new();
    for (merchant, validation) in validations {
        ids.extend(inspect::account_of_validation(
            connection,
            Some(*merchant),
            *validation,
        )?);
    }
    let mut accounts = Vec::new();
    for (merchant, account) in ids {
        accounts.extend(inspect::find(connection, merchant, account)?);
    }
    Ok(accounts)
}

/// Whether the result has the UTR. A result that cannot be decrypted has none.
fn has_utr(
    keyring: &Keyring,
    merchant: MerchantId,
    account: AccountId,
    sealed: &[u8],
    utr: &str,
) -> bool {
    let plain = keyring.decrypt(merchant, account.0, Purpose::ValidationResult, sealed);
    let result = plain
        .ok()
        .and_then(|plain| ValidationResult::from_plaintext(&plain));
    let own = result.and_then(|result| result.utr);
    own.is_some_and(|own| own.trim().eq_ignore_ascii_case(utr))
}

fn text(found: &Found, since: DateTime<Utc>) -> String {
    let headings = [
        "ACCOUNT", "MERCHANT", "KIND", "NUMBER", "STATUS", "CREATED", "DELETED",
    ];
    let rows = found.accounts.iter().map(|account| {
        [
            account.id.to_string(),
            account.merchant_name.clone(),
            account.kind.to_string(),
            account.masked.clone(),
            account.status.to_string(),
            time(account.created_at),
            or_none(account.deleted_at.map(time)),
        ]
    });
    let mut blocks = vec![if found.accounts.is_empty() {
        "No account was found.".to_owned()
    } else {
        Table::rows(headings, rows).to_string()
    }];
    blocks.extend(found.reuses());
    let limit = found.limit.filter(|_| found.accounts.is_empty());
    blocks.extend(limit.map(str::to_owned));
    if let Some(Searched { what, rows }) = found.searched {
        let since = time(since);
        let more = if rows < MAX_READ {
            ": all since then. --since searches further back"
        } else {
            ", the newest ones: older ones are not searched"
        };
        blocks.push(format!(
            "There is no index for this: {rows} {what} were read, since {since}{more}."
        ));
    }
    blocks.join("\n\n")
}
