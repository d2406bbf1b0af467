//! `khata doctor`: checks on a live database what Khata promises, and compares gateways' statements with the attempts.

mod advice;
mod checks;
mod report;
mod statement;

use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_store::{doctor, merchants};

use self::checks::Checks;
use self::report::Report;
use self::statement::StatementOptions;
use crate::options::{CommonOptions, find_merchant};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Name or id of the merchant, if not of all
    #[arg(long)]
    merchant: Option<String>,
    /// Read at most this many rows of each table for each merchant, the newest first
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// Maximum number of findings that are listed for each rule; all are counted, but at most 100,000 open validations or deliveries of
    /// each merchant
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    show: u16,
    /// Decrypt every encrypted value, instead of three of each key in each 10,000 rows
    #[arg(long)]
    decrypt_all: bool,
    #[command(flatten)]
    statement: StatementOptions,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
    #[command(flatten)]
    common: CommonOptions,
}

impl Doctor {
    /// Checks, and prints the findings. Returns whether there are none.
    pub(crate) fn run(self) -> anyhow::Result<bool> {
        let mut connection = self.common.connect()?;
        doctor::prepare(&mut connection)?;
        let mut report = Report::new(self.show.into());
        if self.statement.is_given() {
            let merchant = self.merchant.as_deref();
            self.statement
                .compare(&mut connection, merchant, &mut report)?;
        } else {
            let keyring = self.keyring.load(self.sandbox.sandbox_mode)?;
            let merchants = match &self.merchant {
                Some(merchant) => vec![find_merchant(&mut connection, merchant)?],
                None => merchants::all(&mut connection)?,
            };
            let checks = Checks {
                connection: &mut connection,
                keyring: &keyring,
                limit: self.limit,
                decrypt_all: self.decrypt_all,
                report: &mut report,
            };
            checks.run(&merchants)?;
        }
        self.common.print(&report.document(), &report.text())?;
        Ok(report.is_empty())
    }
}
