//! `khata gateway`: merchants' accounts at gateways.

mod add;
mod audit;
mod configuration;
mod connectors;
mod costs;
mod declared;
mod health;
mod list;
mod set;
mod switch;
mod test;
mod which;

pub(crate) use audit::{audit_gateway, gateway_changes};
pub(crate) use configuration::{ConfigurationOptions, read_credentials};
pub(crate) use connectors::{ConnectorOptions, Connectors};
pub(crate) use declared::{DeclaredAccount, apply_account};
pub(crate) use health::HealthIssue;
pub(crate) use which::{gateway_name, parse_account as parse_gateway_account};

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
    /// Count the rupees of penny drops by day in India, merchant and gateway account; with --json for a spreadsheet
    ///
    /// `RUPEES` are penny drops that the gateway reported as valid. `POSSIBLE RUPEES` are those whose result is unknown or open, and those
    /// that a gateway accepted and did not report as valid. Attempts are kept forever, so that any month can be counted; the command reads
    /// all attempts of the time, 10,000 in each statement. Gateways' fees are not included.
    Costs(costs::Costs),
    /// Send new validations to a gateway account again (takes effect within 5 s)
    Enable(switch::Switch),
    /// Stop sending new validations to a gateway account (takes effect within 5 s)
    ///
    /// Workers complete open attempts at this account, so that no account is paid twice. A validation that has no
    /// other gateway account waits, and fails as VALIDATION_UNAVAILABLE at its deadline.
    Disable(switch::Switch),
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
            Self::Costs(costs) => costs.run(),
            Self::Enable(switch) => switch.run(true),
            Self::Disable(switch) => switch.run(false),
            Self::Test(test) => test.run(),
        }
    }
}
