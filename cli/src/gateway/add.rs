//! `khata-api gateway add`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use diesel::{Connection, PgConnection};
use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_crypto::Purpose;
use khata_crypto::secret_buf as wiped;
use khata_domain::GatewayAccountId;
use khata_gateways::ConnectorConfig;
use khata_store::DatabaseSettings;
use khata_store::audit;
use khata_store::gateway_accounts::{self, GatewayAccount, NewGatewayAccount};
use khata_store::gateway_health::{self, GatewayKey};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::{connect, find_merchant, open, print};
use super::parse;

/// Credentials of any gateway are shorter.
const MAX_CREDENTIALS: usize = 64 * 1024;

/// What stands in the files; each connector has the last word, and tells what it does not like.
const FORMS: &str = "\
Credentials, a JSON object with these members; what is in brackets may be left out:
  CASHFREE  client_id, client_secret [public_key: PEM, where our IP addresses are not on its list;
            previous_client_secret: while the secret is changed, for call-backs]
  RAZORPAY  key_id, key_secret [webhook_secrets: a list, for call-backs; the old and the new while they change]
  SETU      client_id, client_secret, product_instance_id [umap: {merchant_id, and token or client_id and
            client_secret}, for UPI addresses; webhook_secrets: a list]
  DECENTRO  client_id, client_secret
  PAYU      client_id, client_secret, payout_merchant_id for bank accounts; key, salt for UPI addresses; or all five
  DUMMY     none

Settings of all gateways, each optional:
  methods               of PENNY_DROP, PENNILESS, VPA_LOOKUP those to use, in order of preference, as a list
  calls_per_minute      calls of any kind in any 60 seconds, over all workers; 0: no limit [the gateway's own]
  concurrency           calls at once, over all workers; 0: no limit [0]
  hours                 when new attempts may begin, times of day in India: [\"06:00-22:00\"]
  upi_penny_drop_hours  the same for penny drops to UPI addresses
  bank_flow             \"async\", or \"sync\" for at-once answers that cannot be recovered; cannot be changed later
  recover_for_s         seconds that a lost answer is asked for before another gateway may be [3600]
  poll_ms               waits between looks at a pending outcome, the last one repeated, as a list
  call_timeout_ms       longest call, 100 to 60000 [10000]

Settings of one gateway:
  RAZORPAY  source_account_number: the RazorpayX account that pays; without it UPI addresses are only looked up
  SETU      narration, umap_base_url, umap_login_url
  DECENTRO  consumer_urn, purpose_message, hybrid: true lets it look for a way without a transfer first
  PAYU      payout_url, accounts_url, info_url";

/// `khata-api gateway add`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = FORMS)]
pub struct Add {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    /// The gateway's name or id: PAYU (12), RAZORPAY (23), CASHFREE (70), DUMMY (100, in sandbox mode), SETU (1001),
    /// DECENTRO (1002)
    #[arg(long)]
    gateway: String,
    /// The merchant's name for the account, which calls may give as gateway_reference_id
    #[arg(long)]
    reference_id: String,
    /// Lower is asked first
    #[arg(long, default_value_t = 100)]
    priority: i16,
    /// Use it only for calls that name the gateway
    #[arg(long)]
    pinned_only: bool,
    /// Another address than the gateway's public one
    #[arg(long)]
    base_url: Option<String>,
    /// File with the credentials' JSON, `-` for standard input; `--help` tells what each gateway needs
    #[arg(long)]
    credentials_file: Option<PathBuf>,
    /// Settings as JSON; `--help` tells what there is
    #[arg(long, default_value = "{}")]
    settings: String,
    /// Update the account if there is one of this gateway and reference id: workers follow within five seconds, and forget
    /// that it was down or refused us, and, where calls_per_minute is another, the calls they have booked there
    #[arg(long)]
    if_absent: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl Add {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let gateway = parse(&self.gateway)?;
        if !(1..=128).contains(&self.reference_id.len())
            || !self.reference_id.bytes().all(|b| b.is_ascii_graphic())
        {
            bail!("--reference-id must be 1 to 128 visible ASCII characters");
        }
        let settings: serde_json::Value =
            serde_json::from_str(&self.settings).context("--settings is not JSON")?;
        let credentials = self.credentials_file.as_deref().map(read).transpose()?;
        // What does not make a connector is told now, not by the first account that waits for it.
        khata_gateways::connect(
            gateway,
            &ConnectorConfig {
                base_url: self.base_url.as_deref(),
                credentials: credentials.as_ref().map(|bytes| bytes.as_slice()),
                settings: &settings,
                http: &khata_gateways::client()?,
                sandbox_mode: self.sandbox.sandbox_mode,
                longest_call: std::time::Duration::MAX,
            },
        )?;
        let keyring = open(&self.keyring, self.sandbox)?;
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let (id, is_new) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let standing = gateway_accounts::find(connection, merchant.id, gateway.id(), &self.reference_id)?;
            if standing.is_some() && !self.if_absent {
                bail!("{} has a {gateway} account {:?} already; --if-absent updates it", merchant.name, self.reference_id);
            }
            // Attempts under way are recovered by the flow they were made in.
            if standing.as_ref().is_some_and(|standing| flow(&standing.settings) != flow(&settings)) {
                bail!("bank_flow cannot be changed in place; add another account under another reference id");
            }
            let new = NewGatewayAccount {
                id: standing.as_ref().map_or_else(GatewayAccountId::new, |account| account.id),
                gateway_id: gateway.id(),
                reference_id: &self.reference_id,
                priority: self.priority,
                pinned_only: self.pinned_only,
                base_url: self.base_url.as_deref(),
                settings: &settings,
            };
            let sealed = credentials.as_ref().map(|plain| keyring.encrypt(merchant.id, new.id.0, Purpose::Credentials, plain));
            gateway_accounts::upsert(connection, merchant.id, &new, sealed)?;
            if let Some(standing) = &standing {
                start_over(connection, standing, &settings)?;
            }
            let action = if standing.is_some() { "gateway.update" } else { "gateway.add" };
            let detail = json!({ "gateway": gateway.name(), "reference_id": self.reference_id, "settings": settings });
            audit::record(connection, merchant.id, action, &new.id.to_string(), &detail)?;
            Ok((new.id, standing.is_none()))
        })?;
        print(
            self.json,
            &json!({ "id": id.to_string(), "gateway": gateway.name(), "reference_id": self.reference_id, "created": is_new }),
            &format!(
                "{} account {} of {} is {id}.",
                gateway, self.reference_id, merchant.name
            ),
        )
    }
}

/// What the workers know of the account as it was holds no longer.
fn start_over(
    connection: &mut PgConnection,
    standing: &GatewayAccount,
    settings: &serde_json::Value,
) -> diesel::QueryResult<()> {
    let key = GatewayKey {
        merchant: standing.merchant,
        account: standing.id,
    };
    gateway_health::reset(connection, key)?;
    // Under the same limit what is booked must stay booked, or more calls than it allows would be made.
    let limit = |settings: &serde_json::Value| settings.get("calls_per_minute").cloned();
    if limit(&standing.settings) != limit(settings) {
        gateway_health::forget_bookings(connection, key)?;
    }
    Ok(())
}

fn flow(settings: &serde_json::Value) -> &str {
    settings
        .get("bank_flow")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("async")
}

fn read(path: &std::path::Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let bytes = if path.as_os_str() == "-" {
        wiped::read(std::io::stdin(), MAX_CREDENTIALS)?
    } else {
        let file =
            std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        wiped::read(file, MAX_CREDENTIALS)?
    };
    bytes.context("the credentials are longer than 64 KiB")
}
