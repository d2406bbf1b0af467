//! `khata merchant`.

mod settings;

use anyhow::bail;
use chrono::Utc;
use diesel::{Connection, PgConnection, QueryResult};
use khata_domain::{Gateway, GatewayAccountId};
use khata_store::audit::{self, Actor};
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::merchant_settings::{self, Changes, Overview};
use khata_store::merchants::{self, Merchant};
use khata_store::validations::budget_renewed_at;
use serde_json::{Map, Value, json};

use crate::gateway::{audit_gateway, gateway_changes};
use crate::options::{CommonOptions, MerchantOption, OperatorOptions, find_merchant};
use crate::output::{Table, changed_text, joined_or, time, yes_or_no};
use crate::times::duration;
pub(crate) use settings::SettingsOptions;
use settings::{reached, settings_json};

/// Maximum number of a merchant's accounts, the newest first, that are counted by status.
const COUNTED_ACCOUNTS: i64 = 100_000;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum MerchantCommand {
    /// Create a merchant; in sandbox mode with a DUMMY gateway account that calls can name
    Create(Create),
    /// List all merchants with their settings
    List {
        #[command(flatten)]
        common: CommonOptions,
    },
    /// Show a merchant's settings, keys, gateway accounts, and number of accounts by status
    ///
    /// Accounts are counted among the newest 100,000 only: no index begins with the status, and the command must not
    /// slow down a busy database.
    Show {
        #[command(flatten)]
        merchant: MerchantOption,
        #[command(flatten)]
        common: CommonOptions,
    },
    /// Change a merchant's settings; the services apply them within five seconds
    Set(Set),
}

impl MerchantCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(),
            Self::List { common } => list(&common),
            Self::Show { merchant, common } => show(&merchant, &common),
            Self::Set(set) => set.run(),
        }
    }
}

fn merchant_json(merchant: &Merchant) -> Value {
    json!({
        "id": merchant.id.to_string(),
        "name": merchant.name,
        "created_at": time(merchant.created_at),
        "settings": settings_json(merchant),
    })
}

/// Formats how long results are reused.
fn results_reused(merchant: &Merchant) -> String {
    match merchant.reuse_results_seconds {
        0 => "never".to_owned(),
        seconds => format!("for {}", duration(seconds.into())),
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Create {
    /// Unique name: lower-case letters, digits, `_` and `-`, at most 63
    #[arg(long)]
    name: String,
    /// Do nothing if a merchant of this name exists; its settings stay unchanged
    #[arg(long)]
    if_absent: bool,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let name = self.name.as_str();
        check_name(name)?;
        let changes = self.settings.changes();
        let actor = self.operator.actor()?;
        let sandbox_mode = self.operator.sandbox.sandbox_mode;
        let mut connection = self.common.connect()?;
        let created = connection
            .transaction(|connection| create(connection, &actor, name, &changes, sandbox_mode))?;
        let is_new = created.is_some();
        let merchant = match created {
            Some(merchant) => merchant,
            None if self.if_absent => find_merchant(&mut connection, name)?,
            None => bail!(
                "merchant {name:?} already exists; change its settings with `khata merchant set`"
            ),
        };
        let mut document = merchant_json(&merchant);
        document["created"] = is_new.into();
        let (name, id) = (&merchant.name, merchant.id);
        let sentence = if is_new {
            format!("Created merchant {name}: {id}.")
        } else {
            format!("Merchant {name} already exists: {id}.")
        };
        self.common.print(&document, &sentence)
    }
}

pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let is_allowed = (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !is_allowed {
        bail!(
            "a merchant's name must be lower-case letters, digits, _ and -, at most 63, and start with a letter or digit"
        );
    }
    Ok(())
}

/// Creates a merchant with its settings. Returns `None` if the name is taken.
fn create(
    connection: &mut PgConnection,
    actor: &Actor,
    name: &str,
    changes: &Changes,
    sandbox_mode: bool,
) -> anyhow::Result<Option<Merchant>> {
    let Some(merchant) = merchants::insert(connection, name)? else {
        return Ok(None);
    };
    let id = merchant.id;
    let (_, settings) = merchant_settings::change(connection, id, changes)?;
    let created = audit::Changes::between(&Value::Null, &settings_json(&settings));
    let (subject, about) = (id.to_string(), json!({ "name": name }));
    audit::record(
        connection,
        id,
        actor,
        "merchant.create",
        &subject,
        about,
        &created,
    )?;
    if sandbox_mode {
        let dummy = NewGatewayAccount {
            id: GatewayAccountId::new(),
            gateway_id: Gateway::Dummy.id(),
            reference_id: "dummy",
            priority: 100,
            pinned_only: true,
            base_url: None,
            settings: &json!({}),
        };
        gateway_accounts::insert(connection, id, &dummy, None)?;
        let added = gateway_changes(None, &dummy, false);
        audit_gateway(connection, id, actor, "gateway.add", &dummy, &added)?;
    }
    Ok(Some(settings))
}

fn list(common: &CommonOptions) -> anyhow::Result<()> {
    let merchants = merchants::all(&mut common.connect()?)?;
    let headings = [
        "NAME",
        "ID",
        "CREATED",
        "IMPLICIT CUSTOMERS",
        "DEADLINE",
        "REQUESTS/S",
        "VALIDATIONS/DAY",
        "NAMES FAIL BELOW",
        "NAMES REVIEWED BELOW",
        "RESULTS REUSED",
    ];
    let rows = merchants.iter().map(|merchant| {
        [
            merchant.name.clone(),
            merchant.id.to_string(),
            time(merchant.created_at),
            yes_or_no(merchant.implicit_customers).to_owned(),
            duration(merchant.validation_deadline_seconds.into()),
            merchant.requests_per_second.to_string(),
            merchant.validations_per_account_per_day.to_string(),
            reached(merchant.fail_names_below).to_owned(),
            reached(merchant.review_names_below).to_owned(),
            results_reused(merchant),
        ]
    });
    let table = Table::rows(headings, rows);
    let list: Vec<Value> = merchants.iter().map(merchant_json).collect();
    common.print(&json!({ "merchants": list }), &table.to_string())
}

fn show(merchant: &MerchantOption, common: &CommonOptions) -> anyhow::Result<()> {
    let (mut connection, merchant) = common.connect_for(merchant)?;
    let has = merchant_settings::overview(&mut connection, merchant.id, COUNTED_ACCOUNTS)?;
    let counts = has.accounts.iter();
    let by_status: Map<String, Value> = counts
        .map(|(status, accounts)| (status.to_string(), (*accounts).into()))
        .collect();
    let counted = has.accounts_counted();
    let mut document = merchant_json(&merchant);
    document["penny_drops"] = json!({ "today": has.penny_drops_today });
    document["keys"] = json!({ "active": has.active_keys });
    document["gateway_accounts"] =
        json!({ "enabled": has.enabled_gateway_accounts, "total": has.gateway_accounts });
    document["accounts"] = json!({
        "counted": counted, "all_counted": counted < COUNTED_ACCOUNTS, "by_status": by_status,
    });
    common.print(&document, &facts(&merchant, &has).to_string())
}

fn facts(merchant: &Merchant, has: &Overview) -> Table {
    let id = merchant.id;
    let deadline = duration(merchant.validation_deadline_seconds.into());
    let requests = merchant.requests_per_second;
    let validations = merchant.validations_per_account_per_day;
    let requests = format!(
        "{requests} per key and process; further requests are rejected (429, TOO_MANY_REQUESTS)"
    );
    let validations = format!(
        "{validations} of the same account, in any spelling, in 24 hours; further calls are rejected (429, TOO_MANY_VALIDATIONS)"
    );
    let drops = format!(
        "{} in a day in India, {} used until {}; further calls are rejected (429, BUDGET_EXHAUSTED)",
        merchant.penny_drops_per_day,
        has.penny_drops_today,
        time(budget_renewed_at(Utc::now()))
    );
    let rejected = format!(
        "counted in khata_requests_limited_total{{merchant_id=\"{id}\"}}; nothing is stored. To raise the limits: \
         `khata merchant set`",
    );
    let patience = duration(merchant.recovery_patience_seconds.into());
    let paid = merchant.paid_attempts_per_validation;
    let (enabled, total) = (has.enabled_gateway_accounts, has.gateway_accounts);
    Table::facts()
        .fact("merchant", &merchant.name)
        .fact("id", id)
        .fact("created", time(merchant.created_at))
        .fact("implicit customers", yes_or_no(merchant.implicit_customers))
        .fact("validation deadline", deadline)
        .fact("requests per second", requests)
        .fact("validations per account per day", validations)
        .fact("penny drops per day", drops)
        .fact("rejected by these limits", rejected)
        .fact("names fail below", reached(merchant.fail_names_below))
        .fact("names reviewed below", reached(merchant.review_names_below))
        .fact("results reused", results_reused(merchant))
        .fact("recovery patience", patience)
        .fact("paid attempts per validation", paid)
        .fact("events kept", format!("{} days", merchant.event_days))
        .fact("keys", format!("{} active", has.active_keys))
        .fact("gateway accounts", format!("{enabled} enabled of {total}"))
        .fact("accounts", accounts(has))
}

fn accounts(has: &Overview) -> String {
    let counts = has.accounts.iter();
    let statuses = counts.map(|(status, accounts)| format!("{accounts} {status}"));
    let statuses = joined_or(statuses, "none");
    if has.accounts_counted() < COUNTED_ACCOUNTS {
        statuses
    } else {
        format!("newest {COUNTED_ACCOUNTS}: {statuses}")
    }
}

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "implicit_customers", "validation_deadline", "requests_per_second", "validations_per_account_per_day",
    "fail_names_below", "fail_on_name_mismatch", "review_names_below", "reuse_results_seconds", "recovery_patience", "paid_attempts_per_validation",
    "penny_drops_per_day", "event_days",
]))]
pub(crate) struct Set {
    #[command(flatten)]
    merchant: MerchantOption,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Set {
    fn run(self) -> anyhow::Result<()> {
        let (wanted, actor) = (self.settings.changes(), self.operator.actor()?);
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let (settings, changed) = connection
            .transaction(|connection| change_settings(connection, &actor, &merchant, &wanted))?;
        let name = format!("merchant {}", merchant.name);
        let mut sentence = changed_text(&changed, &name, "The services");
        if settings.review_names_below > 0
            && settings.review_names_below <= settings.fail_names_below
        {
            sentence.push_str(
                "\n--review-names-below has no effect: --fail-names-below fails each of these accounts before.",
            );
        }
        let mut document = merchant_json(&settings);
        document["changed"] = changed.to_json();
        self.common.print(&document, &sentence)
    }
}

/// Creates the merchant that a file declares, or changes what the file names of its settings. Returns the merchant, whether it is new,
/// and the changes. Call it in a transaction.
pub(crate) fn apply_merchant(
    connection: &mut PgConnection,
    actor: &Actor,
    name: &str,
    wanted: &Changes,
    sandbox_mode: bool,
) -> anyhow::Result<(Merchant, bool, audit::Changes)> {
    if let Some(created) = create(connection, actor, name, wanted, sandbox_mode)? {
        let changes = audit::Changes::between(&Value::Null, &settings_json(&created));
        return Ok((created, true, changes));
    }
    let existing = find_merchant(connection, name)?;
    let (merchant, changes) = change_settings(connection, actor, &existing, wanted)?;
    Ok((merchant, false, changes))
}

/// Changes settings, with a line of the audit log. Returns the merchant with the new settings, and the changes.
fn change_settings(
    connection: &mut PgConnection,
    actor: &Actor,
    merchant: &Merchant,
    wanted: &Changes,
) -> QueryResult<(Merchant, audit::Changes)> {
    let id = merchant.id;
    let (before, after) = merchant_settings::change(connection, id, wanted)?;
    let changed = audit::Changes::between(&settings_json(&before), &settings_json(&after));
    if !changed.is_empty() {
        let (subject, about) = (id.to_string(), json!({ "name": merchant.name }));
        let action = "merchant.set";
        audit::record(connection, id, actor, action, &subject, about, &changed)?;
    }
    Ok((after, changed))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        set: Set,
    }

    fn fail_names_below(options: &[&str]) -> Result<Option<i16>, clap::Error> {
        let begin = [
            "set",
            "--merchant",
            "shop",
            "--database-url",
            "postgres://khata",
        ];
        let command = Command::try_parse_from([&begin[..], options].concat())?;
        Ok(command.set.settings.changes().fail_names_below)
    }

    #[test]
    fn the_earlier_flag_for_name_mismatches_is_accepted() {
        for (options, score) in [
            (&["--fail-on-name-mismatch", "true"][..], Some(34)),
            (&["--fail-on-name-mismatch", "false"], Some(0)),
            (&["--fail-names-below", "POOR_PARTIAL_MATCH"], Some(34)),
            (&["--requests-per-second", "7"], None),
        ] {
            assert_eq!(fail_names_below(options).unwrap(), score, "{options:?}");
        }
        let both = [
            "--fail-on-name-mismatch",
            "true",
            "--fail-names-below",
            "NO_MATCH",
        ];
        assert!(fail_names_below(&both).is_err());
    }
}
