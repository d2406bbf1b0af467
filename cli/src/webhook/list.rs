//! `khata webhook list` and `show`.

use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_domain::events::DisabledBy;
use khata_store::merchants;
use khata_store::webhooks::{self, Endpoint, PreviousSecret};
use serde_json::{Value, json};

use super::settings::{public_key, unseal};
use super::which::{FoundEndpoint, WhichEndpoint};
use crate::options::{CommonOptions, find_merchant};
use crate::output::{NONE, Table, joined_or, or_none, time, yes_or_no};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    /// Name or id of the merchant, if not of all
    #[arg(long)]
    merchant: Option<String>,
    #[command(flatten)]
    common: CommonOptions,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut connection = self.common.connect()?;
        let merchants = match &self.merchant {
            Some(merchant) => vec![find_merchant(&mut connection, merchant)?],
            None => merchants::all(&mut connection)?,
        };
        let only = self.merchant.as_ref().map(|_| merchants[0].id);
        let endpoints = webhooks::all(&mut connection, only)?;
        let name = |endpoint: &Endpoint| {
            let mut merchants = merchants.iter();
            let merchant = merchants.find(|merchant| merchant.id == endpoint.merchant);
            or_none(merchant.map(|merchant| &merchant.name))
        };
        let list: Vec<Value> = endpoints.iter().map(json_of).collect();
        let headings = [
            "ENDPOINT",
            "MERCHANT",
            "STATE",
            "TYPES",
            "PAYLOAD",
            "LAST SUCCESS",
            "URL",
        ];
        let rows = endpoints.iter().map(|endpoint| {
            [
                endpoint.id.to_string(),
                name(endpoint),
                state(endpoint).to_owned(),
                joined_or(endpoint.event_names.iter().cloned(), "all"),
                endpoint.payload.to_string(),
                or_none(endpoint.last_success_at.map(time)),
                endpoint.url.clone(),
            ]
        });
        let text = Table::rows(headings, rows).to_string();
        self.common
            .print(&json!({ "webhook_endpoints": list }), &text)
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: WhichEndpoint,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let keyring = self.keyring.load(self.sandbox.sandbox_mode)?;
        let (_, FoundEndpoint { merchant, endpoint }) = self.which.find()?;
        let settings = unseal(&keyring, &endpoint)?;
        let until = |before: &Option<PreviousSecret>| before.as_ref().map(|it| time(it.until));
        let secret_until = until(&settings.previous);
        let key_until = until(&settings.previous_signing_key);
        let user = settings.credentials.as_ref().map(|basic| &basic.user);
        let mut document = json_of(&endpoint);
        document["public_key"] = json!(public_key(&settings));
        document["basic_user"] = json!(user);
        document["old_secret_until"] = json!(secret_until);
        document["old_public_key_until"] = json!(key_until);
        let types = joined_or(endpoint.event_names.iter().cloned(), "all");
        let per_second = endpoint
            .calls_per_second
            .map_or_else(|| "any number".to_owned(), |calls| calls.to_string());
        let calls = format!("{} at once, {per_second} a second", endpoint.concurrency);
        let facts = Table::facts()
            .fact("endpoint", endpoint.id)
            .fact("merchant", &merchant.name)
            .fact("url", &endpoint.url)
            .fact("state", in_words(&endpoint))
            .fact("last success", or_none(endpoint.last_success_at.map(time)))
            .fact("types", types)
            .fact("payload", endpoint.payload)
            .fact("ordered", yes_or_no(endpoint.is_ordered))
            .fact("calls", calls)
            .fact(
                "url per account",
                yes_or_no(endpoint.allows_url_per_account),
            )
            .fact("basic user", or_none(user))
            .fact("public key", or_none(public_key(&settings)))
            .fact("old secret signs until", or_none(secret_until.as_ref()))
            .fact("old key pair signs until", or_none(key_until.as_ref()))
            .fact("created", time(endpoint.created_at))
            .fact("changed", time(endpoint.updated_at));
        self.which.common.print(&document, &facts.to_string())
    }
}

/// Returns the state of an endpoint: ENABLED, FAILING (enabled, and no call succeeded since the last failure) or DISABLED.
fn state(endpoint: &Endpoint) -> &'static str {
    match (endpoint.disabled_at, endpoint.failing_since) {
        (Some(_), _) => "DISABLED",
        (None, Some(_)) => "FAILING",
        (None, None) => "ENABLED",
    }
}

/// Returns the state with its times.
fn in_words(endpoint: &Endpoint) -> String {
    let state = state(endpoint);
    match (endpoint.disabled_at, endpoint.failing_since) {
        (Some(at), _) => {
            let by = endpoint.disabled_by.map_or(NONE, DisabledBy::as_str);
            format!(
                "{state} by {by} at {}; `khata webhook enable` lets the calls begin again",
                time(at)
            )
        }
        (None, Some(since)) => format!(
            "{state}: no call has succeeded since {}; disabled after five days without one success",
            time(since)
        ),
        (None, None) => state.to_owned(),
    }
}

/// Returns what lists and commands show of an endpoint: no secret.
pub(super) fn json_of(endpoint: &Endpoint) -> Value {
    json!({
        "id": endpoint.id.to_string(),
        "merchant_id": endpoint.merchant.to_string(),
        "url": endpoint.url,
        "event_names": endpoint.event_names,
        "payload": endpoint.payload.as_str(),
        "is_ordered": endpoint.is_ordered,
        "concurrency": endpoint.concurrency,
        "calls_per_second": endpoint.calls_per_second,
        "allow_url_per_account": endpoint.allows_url_per_account,
        "state": state(endpoint),
        "disabled_at": endpoint.disabled_at.map(time),
        "disabled_by": endpoint.disabled_by.map(DisabledBy::as_str),
        "failing_since": endpoint.failing_since.map(time),
        "last_success_at": endpoint.last_success_at.map(time),
        "created_at": time(endpoint.created_at),
        "updated_at": time(endpoint.updated_at),
    })
}
