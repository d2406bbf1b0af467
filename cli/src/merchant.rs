//! `khata merchant`.

mod create;
mod list;
mod set;
mod settings;
mod show;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum MerchantCommand {
    /// Create a merchant; in sandbox mode with a DUMMY gateway account that calls can name
    Create(create::Create),
    /// List all merchants with their settings
    List(list::List),
    /// Show a merchant's settings, keys, gateway accounts, and number of accounts by status
    ///
    /// Accounts are counted among the newest 100,000 only: no index begins with the status, and the command must not
    /// slow down a busy database.
    Show(show::Show),
    /// Change a merchant's settings; the services apply them within five seconds
    Set(set::Set),
}

impl MerchantCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
        }
    }
}
<<<<<<< HEAD
=======

/// A merchant's settings, as options.
#[derive(Clone, Copy, Debug, clap::Args)]
struct SettingsOptions {
    /// Whether `create accounts` registers a customer reference that it does not know [new merchants: true]
    #[arg(long, value_name = "true|false")]
    implicit_customers: Option<bool>,
    /// Seconds that a validation is tried before it fails as VALIDATION_UNAVAILABLE, 60 to 2592000; for validations
    /// asked for from now on [new merchants: 172800]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(60..=2_592_000))]
    validation_deadline: Option<i32>,
    /// Requests a second that each API key may make at each khata-api process, 1 to 1000000 [new merchants: 500]
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    requests_per_second: Option<i32>,
    /// Validations that the same account details may have in 24 hours, 1 to 32767 [new merchants: 5]
    #[arg(long, value_name = "VALIDATIONS", value_parser = clap::value_parser!(i16).range(1..))]
    validations_per_account_per_day: Option<i16>,
    /// Whether an account whose holder has quite another name than `beneficiary_name` (NO_MATCH) fails as NAME_MISMATCH;
    /// for outcomes from now on [new merchants: false]
    #[arg(long, value_name = "true|false")]
    fail_on_name_mismatch: Option<bool>,
    /// Seconds that what a gateway told is used again for the same details, instead of asking again, unless a call says
    /// fresh=true; 0 (never) to 31536000 (a year) [new merchants: 0]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(0..=31_536_000))]
    reuse_results_seconds: Option<i32>,
}

impl SettingsOptions {
    fn changes(self) -> Changes {
        Changes {
            implicit_customers: self.implicit_customers,
            validation_deadline_seconds: self.validation_deadline,
            requests_per_second: self.requests_per_second,
            validations_per_account_per_day: self.validations_per_account_per_day,
            fail_on_name_mismatch: self.fail_on_name_mismatch,
            reuse_results_seconds: self.reuse_results_seconds,
        }
    }
}

/// `khata-api merchant create`.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Unique: lower-case letters, digits, `_` and `-`, at most 63
    #[arg(long)]
    name: String,
    /// Do nothing if there is one of this name; its settings stay as they are
    #[arg(long)]
    if_absent: bool,
    #[command(flatten)]
    settings: SettingsOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let name = self.name;
        let fits = (1..=63).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !fits {
            bail!(
                "--name must be lower-case letters, digits, _ and -, at most 63, and start with a letter or digit"
            );
        }
        let changes = self.settings.changes();
        let mut connection = connect(&self.database.database_url)?;
        let created = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let Some(merchant) = merchants::insert(connection, &name)? else {
                return Ok(None);
            };
            let (_, settings) = merchant_settings::change(connection, merchant.id, &changes)?;
            if self.sandbox.sandbox_mode {
                add_dummy(connection, merchant.id)?;
            }
            audit::record(
                connection,
                merchant.id,
                "merchant.create",
                &merchant.id.to_string(),
                &json!({ "name": name, "settings": settings_json(&settings) }),
            )?;
            Ok(Some(settings))
        })?;
        let is_new = created.is_some();
        let merchant = match created {
            Some(merchant) => merchant,
            None if self.if_absent => {
                let standing = find_merchant(&mut connection, &name)?;
                merchant_settings::of_merchant(&mut connection, standing.id)?
            }
            None => {
                bail!("there is a merchant {name:?} already; `merchant set` changes its settings")
            }
        };
        let mut told = merchant_json(&merchant);
        told["created"] = is_new.into();
        let how = if is_new { "is" } else { "was there already:" };
        let sentence = format!("Merchant {} {how} {}.", merchant.name, merchant.merchant);
        print(self.json, &told, &sentence)
    }
}

fn add_dummy(connection: &mut PgConnection, merchant: MerchantId) -> anyhow::Result<()> {
    let dummy = NewGatewayAccount {
        id: GatewayAccountId::new(),
        gateway_id: Gateway::Dummy.id(),
        reference_id: "dummy",
        priority: 100,
        pinned_only: true,
        base_url: None,
        settings: &json!({}),
    };
    Ok(gateway_accounts::upsert(
        connection, merchant, &dummy, None,
    )?)
}

/// `khata-api merchant list`.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let mut connection = connect(&self.database.database_url)?;
        let merchants = merchant_settings::all(&mut connection)?;
        let mut table = Table::new(&[
            "NAME",
            "ID",
            "CREATED",
            "IMPLICIT CUSTOMERS",
            "DEADLINE",
            "REQUESTS/S",
            "VALIDATIONS/DAY",
            "FAIL ON NAME MISMATCH",
            "RESULTS REUSED",
        ]);
        for merchant in &merchants {
            table.row(vec![
                merchant.name.clone(),
                merchant.merchant.to_string(),
                time(merchant.created_at),
                yes(merchant.implicit_customers),
                format!("{} s", merchant.validation_deadline_seconds),
                merchant.requests_per_second.to_string(),
                merchant.validations_per_account_per_day.to_string(),
                yes(merchant.fail_on_name_mismatch),
                reused(merchant),
            ]);
        }
        let told: Vec<Value> = merchants.iter().map(merchant_json).collect();
        print(self.json, &json!({ "merchants": told }), &table.to_string())
    }
}

/// `khata-api merchant show`.
#[derive(Clone, Debug, clap::Args)]
pub struct Show {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?.id;
        let settings = merchant_settings::of_merchant(&mut connection, merchant)?;
        let has = merchant_settings::overview(&mut connection, merchant, COUNTED_ACCOUNTS)?;
        let counted = has.accounts_counted();
        let all_counted = counted < COUNTED_ACCOUNTS;
        let by_status: Map<String, Value> = has
            .accounts
            .iter()
            .map(|row| (row.status.to_string(), row.accounts.into()))
            .collect();
        let mut told = merchant_json(&settings);
        told["keys"] = json!({ "active": has.active_keys });
        told["gateway_accounts"] =
            json!({ "enabled": has.enabled_gateway_accounts, "total": has.gateway_accounts });
        told["accounts"] =
            json!({ "counted": counted, "all_counted": all_counted, "by_status": by_status });
        let statuses: Vec<String> = has
            .accounts
            .iter()
            .map(|row| format!("{} {}", row.accounts, row.status))
            .collect();
        let accounts = match (counted, all_counted) {
            (0, _) => "none".to_owned(),
            (_, true) => statuses.join(", "),
            (_, false) => format!("of the newest {counted}: {}", statuses.join(", ")),
        };
        let facts = Table::facts([
            ("merchant", settings.name.clone()),
            ("id", merchant.to_string()),
            ("created", time(settings.created_at)),
            ("implicit customers", yes(settings.implicit_customers)),
            (
                "validation deadline",
                format!("{} s", settings.validation_deadline_seconds),
            ),
            (
                "requests per second",
                format!(
                    "{} a key and process; more are refused (429, TOO_MANY_REQUESTS)",
                    settings.requests_per_second
                ),
            ),
            (
                "validations per account per day",
                format!(
                    "{} of the same details in 24 hours; more are refused (429, TOO_MANY_VALIDATIONS)",
                    settings.validations_per_account_per_day
                ),
            ),
            (
                "refused by these two",
                format!(
                    "is counted in khata_requests_limited_total{{merchant_id=\"{merchant}\"}}; nothing is stored of it. If the \
                     merchant asks for more, and it is sound: `khata-api merchant set`",
                ),
            ),
            ("fail on name mismatch", yes(settings.fail_on_name_mismatch)),
            ("results reused", reused(&settings)),
            ("keys", format!("{} active", has.active_keys)),
            (
                "gateway accounts",
                format!(
                    "{} enabled of {}",
                    has.enabled_gateway_accounts, has.gateway_accounts
                ),
            ),
            ("accounts", accounts),
        ]);
        print(self.json, &told, &facts.to_string())
    }
}

/// `khata-api merchant set`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "implicit_customers", "validation_deadline", "requests_per_second", "validations_per_account_per_day",
    "fail_on_name_mismatch", "reuse_results_seconds",
]))]
pub struct Set {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    #[command(flatten)]
    settings: SettingsOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Set {
    fn run(self) -> anyhow::Result<()> {
        let wanted = self.settings.changes();
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let (settings, changed) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let (before, after) = merchant_settings::change(connection, merchant.id, &wanted)?;
            let changed = difference(&settings_json(&before), &settings_json(&after));
            if !changed.is_empty() {
                audit::record(
                    connection,
                    merchant.id,
                    "merchant.set",
                    &merchant.id.to_string(),
                    &Value::Object(changed.clone()),
                )?;
            }
            Ok((after, changed))
        })?;
        let sentences: Vec<String> = changed
            .iter()
            .map(|(name, change)| format!("{name}: {} -> {}", change["from"], change["to"]))
            .collect();
        let sentence = if changed.is_empty() {
            format!(
                "Nothing to change: merchant {} is set so already.",
                merchant.name
            )
        } else {
            let lines = sentences.join("\n");
            format!("{lines}\nThe services follow within five seconds.")
        };
        let mut told = merchant_json(&settings);
        told["changed"] = changed.into();
        print(self.json, &told, &sentence)
    }
}

/// What is another now: `{"requests_per_second": {"from": 500, "to": 100}}`.
fn difference(before: &Value, after: &Value) -> Map<String, Value> {
    let before = before.as_object().into_iter().flatten();
    before
        .filter(|(name, from)| after[name.as_str()] != **from)
        .map(|(name, from)| {
            let change = json!({ "from": from, "to": after[name.as_str()] });
            (name.clone(), change)
        })
        .collect()
}

fn settings_json(settings: &Settings) -> Value {
    json!({
        "implicit_customers": settings.implicit_customers,
        "validation_deadline_seconds": settings.validation_deadline_seconds,
        "requests_per_second": settings.requests_per_second,
        "validations_per_account_per_day": settings.validations_per_account_per_day,
        "fail_on_name_mismatch": settings.fail_on_name_mismatch,
        "reuse_results_seconds": settings.reuse_results_seconds,
    })
}

/// How long results are used again.
fn reused(settings: &Settings) -> String {
    match settings.reuse_results_seconds {
        0 => "never".to_owned(),
        seconds => format!("for {seconds} s"),
    }
}

fn merchant_json(settings: &Settings) -> Value {
    json!({
        "id": settings.merchant.to_string(),
        "name": settings.name,
        "created_at": time(settings.created_at),
        "settings": settings_json(settings),
    })
}
>>>>>>> api
