//! `khata-api gateway`: merchants' accounts at gateways.

mod add;
mod check;
pub(super) mod health;
mod list;
mod switch;

use anyhow::Context;
use diesel::PgConnection;
use khata_config::SandboxSettings;
use khata_crypto::Keyring;
use khata_crypto::KeyringSettings;
use khata_domain::Gateway;
use khata_gateways::Connector;
use khata_store::gateway_accounts::{self, GatewayAccount};
use khata_store::merchants::Merchant;

use super::{find_merchant, open};
use crate::connectors::Connectors;

/// Merchants' accounts at gateways.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum GatewayCommand {
    /// Set up a merchant's account at a gateway
    Add(Box<add::Add>),
    /// List a merchant's gateway accounts, by priority: how each is, what it takes, and whether it can be used
    ///
    /// `health` is what the workers know of it together: ok, down (most calls of late failed), paused (it asked to be left
    /// alone), MISCONFIGURED (it refuses us). `told lately` is the share of attempts that it could tell about, of which those
    /// of ten minutes ago count half. Give the gateway the address of this API with the path at `call-backs to`, where it can
    /// call back.
    ///
    /// An account is usable if its credentials open with this keyring and it makes a connector; `gateway test` finds out
    /// whether the gateway accepts them. Give the services' own settings (keyring, sandbox mode), or a fault told here
    /// may be this command's only.
    List(list::List),
    /// Let new attempts use a gateway account again; workers follow within five seconds
    Enable(switch::Switch),
    /// Keep new attempts off a gateway account; workers follow within five seconds
    ///
    /// Attempts under way there are still followed to their end, so that nobody is paid twice. Validations that no other
    /// gateway account fits wait, and fail as VALIDATION_UNAVAILABLE at their deadline.
    Disable(switch::Switch),
    /// Ask a gateway whether it accepts the stored credentials; moves no money: exit code 0 if it does
    ///
    /// With --json, `outcome` is ACCEPTED, REFUSED (credentials, list of IP addresses, a feature that is off),
    /// UNCLEAR (it failed, is busy, or somebody else answered), UNREACHABLE, or UNUSABLE (the stored credentials or
    /// settings make no call). Run it where the workers run: the gateway may know them by their IP address.
    Test(check::Test),
}

impl GatewayCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Enable(switch) => switch.run(true),
            Self::Disable(switch) => switch.run(false),
            Self::Test(test) => test.run(),
        }
    }
}

/// Which gateway account is meant.
#[derive(Clone, Debug, clap::Args)]
struct WhichAccount {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    /// The gateway's name or id, as `gateway list` shows it
    #[arg(long)]
    gateway: String,
    /// The merchant's name for the account, as `gateway list` shows it
    #[arg(long)]
    reference_id: String,
}

impl WhichAccount {
    fn find(
        &self,
        connection: &mut PgConnection,
    ) -> anyhow::Result<(Merchant, Gateway, GatewayAccount)> {
        let gateway = parse(&self.gateway)?;
        let merchant = find_merchant(connection, &self.merchant)?;
        let account =
            gateway_accounts::find(connection, merchant.id, gateway.id(), &self.reference_id)?;
        let account = account.with_context(|| {
            format!(
                "{0} has no {gateway} account {1:?}; `khata-api gateway list --merchant {0}` shows its accounts",
                merchant.name, self.reference_id
            )
        })?;
        Ok((merchant, gateway, account))
    }
}

fn parse(gateway: &str) -> anyhow::Result<Gateway> {
    Gateway::parse(gateway).with_context(|| {
        format!(
            "{gateway:?} is no gateway; there are {}",
            Gateway::ALL.map(Gateway::name).join(", ")
        )
    })
}

/// Makes connectors of stored accounts, as the workers do.
struct Workbench {
    keyring: Keyring,
    http: reqwest::Client,
    sandbox_mode: bool,
}

impl Workbench {
    fn new(keyring: &KeyringSettings, sandbox: SandboxSettings) -> anyhow::Result<Self> {
        Ok(Self {
            keyring: open(keyring, sandbox)?,
            http: khata_gateways::client()?,
            sandbox_mode: sandbox.sandbox_mode,
        })
    }

    /// The account's connector; `Err` with a sentence where it makes none.
    fn connect(&self, account: &GatewayAccount) -> Result<Box<dyn Connector>, String> {
        let connectors = Connectors {
            keyring: &self.keyring,
            http: &self.http,
            sandbox_mode: self.sandbox_mode,
        };
        connectors.connect(account).map(|(_, connector)| connector)
    }
}

/// The gateway's name, or its id where this version of Khata does not know it.
pub(super) fn gateway_name(id: i16) -> String {
    Gateway::from_id(id).map_or_else(|| id.to_string(), |gateway| gateway.name().to_owned())
}
