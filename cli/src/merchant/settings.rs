//! A merchant's settings: as options, as JSON and as text.

use khata_store::merchant_settings::Changes;
use khata_store::merchants::Merchant;
use serde_json::{Value, json};

use crate::output::time;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct SettingsOptions {
    /// Let `create accounts` register a customer reference that is unknown [new merchants: true]
    #[arg(long, value_name = "true|false")]
    implicit_customers: Option<bool>,
    /// Seconds until an unfinished validation fails as VALIDATION_UNAVAILABLE, 60 to 2592000; applies to validations
    /// created from now on [new merchants: 172800]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(60..=2_592_000))]
    validation_deadline: Option<i32>,
    /// Requests per second of each API key at each khata-api process, 1 to 1000000 [new merchants: 500]
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    requests_per_second: Option<i32>,
    /// Validations of the same account details in 24 hours, 1 to 32767 [new merchants: 5]
    #[arg(long, value_name = "VALIDATIONS", value_parser = clap::value_parser!(i16).range(1..))]
    validations_per_account_per_day: Option<i16>,
    /// Fail an account as NAME_MISMATCH if its holder's name does not match `beneficiary_name` (NO_MATCH); applies to
    /// outcomes from now on [new merchants: false]
    #[arg(long, value_name = "true|false")]
    fail_on_name_mismatch: Option<bool>,
    /// Seconds for which a gateway's result is reused for the same details, unless a call says fresh=true; 0 (never) to
    /// 31536000 (a year) [new merchants: 0]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(0..=31_536_000))]
    reuse_results_seconds: Option<i32>,
}

impl SettingsOptions {
    pub(super) fn changes(self) -> Changes {
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

pub(super) fn settings_json(merchant: &Merchant) -> Value {
    json!({
        "implicit_customers": merchant.implicit_customers,
        "validation_deadline_seconds": merchant.validation_deadline_seconds,
        "requests_per_second": merchant.requests_per_second,
        "validations_per_account_per_day": merchant.validations_per_account_per_day,
        "fail_on_name_mismatch": merchant.fail_on_name_mismatch,
        "reuse_results_seconds": merchant.reuse_results_seconds,
    })
}

pub(super) fn merchant_json(merchant: &Merchant) -> Value {
    json!({
        "id": merchant.id.to_string(),
        "name": merchant.name,
        "created_at": time(merchant.created_at),
        "settings": settings_json(merchant),
    })
}

/// Formats how long results are reused.
pub(super) fn results_reused(merchant: &Merchant) -> String {
    match merchant.reuse_results_seconds {
        0 => "never".to_owned(),
        seconds => format!("for {seconds} s"),
    }
}
