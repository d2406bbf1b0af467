//! `khata gateway`: merchants' accounts at gateways.

mod add;
mod audit;
mod configuration;
mod connectors;
mod health;
mod list;
mod set;
mod test;
mod which;

use diesel::Connection;
use khata_store::audit::{Changes, record};
use khata_store::gateway_accounts;
use serde_json::json;

pub(crate) use audit::{audit_gateway, gateway_changes};
pub(crate) use health::HealthIssue;
use which::WhichAccount;
pub(crate) use which::{gateway_name, parse_account as parse_gateway_account};

use crate::options::OperatorOptions;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum GatewayCommand {
    /// Add a merchant's account at a gateway; an existing one is never changed
    Add(Box<add::Add>),
    /// Change what the options name of a gateway account, and print each old and new value; workers apply it within five seconds
    ///
    /// Everything that no option names stays: priority, addresses, credentials, limits, hours. With other credentials, addresses or
    /// settings the account's circuit, pause and MISCONFIGURED mark are reset; with another calls_per_minute, workers also drop its
    /// reserved rate-limit slots.
    Set(Box<set::Set>),
    /// List a merchant's gateway accounts by priority: health, limits, and whether each can be used
    ///
    /// `health` is what all workers know of the account: ok, circuit open (most recent calls failed), paused (the gateway
    /// asked for a pause), MISCONFIGURED (the gateway rejects us). `recent success` is the share of recent attempts that
    /// brought a result; an attempt of ten minutes ago counts half. If the gateway can send webhooks, give it this
    /// API's address with the path at `webhook path`.
    ///
    /// An account is usable if the keyring decrypts its credentials and its settings are valid; `gateway test` checks
    /// whether the gateway accepts the credentials. Run the command with the services' own settings (keyring, sandbox
    /// mode); otherwise a problem shown here may not exist in the services.
    List(list::List),
    /// Send new validations to a gateway account again (takes effect within 5 s)
    Enable(Switch),
    /// Stop sending new validations to a gateway account (takes effect within 5 s)
    ///
    /// Workers complete open attempts at this account, so that no account is paid twice. A validation that has no
    /// other gateway account waits, and fails as VALIDATION_UNAVAILABLE at its deadline.
    Disable(Switch),
    /// Check whether a gateway accepts the stored credentials; moves no money; exit code 0 if it does
    ///
    /// With --json, `outcome` is ACCEPTED, REFUSED (credentials, IP allow-list, or a feature that is off), UNCLEAR (the
    /// call failed, the gateway is busy, or another server answered), UNREACHABLE, or UNUSABLE (the stored credentials
    /// or settings are invalid). Run it where the workers run: the gateway may allow them by their IP address.
    Test(test::Test),
}

impl GatewayCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(),
            Self::Set(set) => set.run(),
            Self::List(list) => list.run(),
            Self::Enable(switch) => switch.run(true),
            Self::Disable(switch) => switch.run(false),
            Self::Test(test) => test.run(),
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Switch {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Switch {
    /// Enables or disables the account.
    fn run(self, enabled: bool) -> anyhow::Result<()> {
        let (which, actor) = (self.which, self.operator.actor()?);
        let (verb, state, action) = if enabled {
            ("Enabled", "enabled", "gateway.enable")
        } else {
            ("Disabled", "disabled", "gateway.disable")
        };
        let (mut connection, found) = which.find()?;
        let (id, merchant) = (found.account.id, found.merchant.id);
        let (changed, left) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let changed = gateway_accounts::set_enabled(connection, merchant, id, enabled)?;
            if changed {
                let reference_id = &found.account.reference_id;
                let about =
                    json!({ "gateway": found.gateway.name(), "reference_id": reference_id });
                let subject = id.to_string();
                let enabling = Changes::of("enabled", !enabled, enabled);
                record(
                    connection, merchant, &actor, action, &subject, about, &enabling,
                )?;
            }
            let all = gateway_accounts::of_merchant(connection, merchant)?;
            let left = all.iter().filter(|one| one.enabled && !one.pinned_only);
            Ok((changed, left.count()))
        })?;
        let name = found.name();
        let mut sentence = if changed {
            format!("{verb} {name}. Workers apply this within five seconds.")
        } else {
            format!("Nothing to change: {name} is already {state}.")
        };
        if left == 0 {
            sentence.push_str(
            "\nThe merchant has no enabled gateway account for calls that name no gateway: their validations wait, and \
             fail at their deadline.",
        );
        }
        let mut document = found.json();
        document["enabled"] = enabled.into();
        document["changed"] = changed.into();
        document["enabled_for_all_calls"] = left.into();
        which.common.print(&document, &sentence)
    }
}
