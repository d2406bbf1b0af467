//! The settings of a merchant, as options and as JSON.

use khata_name_match::NameMatchResult;
use khata_store::merchant_settings::Changes;
use khata_store::merchants::Merchant;
use serde_json::{Value, json};

use crate::times::{parse_days, parse_seconds};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct SettingsOptions {
    /// Let `create accounts` register a customer reference that is unknown [new merchants: true]
    #[arg(long, value_name = "true|false")]
    implicit_customers: Option<bool>,
    /// Time until an unfinished validation fails as VALIDATION_UNAVAILABLE, 1m to 30d, as 90s, 30m, 48h or 7d (a number without a
    /// unit: seconds); applies to validations created from now on [new merchants: 48h]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| parse_seconds(text, &(60..=2_592_000)))]
    validation_deadline: Option<i32>,
    /// Requests per second of each API key at each khata-api process, 1 to 1000000; a create call counts as one for each of
    /// its accounts [new merchants: 500]
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    requests_per_second: Option<i32>,
    /// Validations of the same account, in any spelling, in 24 hours, 1 to 32767 [new merchants: 5]
    #[arg(long, value_name = "VALIDATIONS", value_parser = clap::value_parser!(i16).range(1..))]
    validations_per_account_per_day: Option<i16>,
    /// Fail an account as NAME_MISMATCH if its holder's name matches `beneficiary_name` worse than this result; NO_MATCH: no
    /// account; applies to outcomes from now on [new merchants: NO_MATCH]
    #[arg(long, value_name = "RESULT", value_parser = result)]
    fail_names_below: Option<NameMatchResult>,
    /// The earlier form of `--fail-names-below`: true is POOR_PARTIAL_MATCH, false is NO_MATCH
    #[arg(
        long,
        hide = true,
        value_name = "true|false",
        conflicts_with = "fail_names_below"
    )]
    fail_on_name_mismatch: Option<bool>,
    /// Let an account wait for a person (`khata account accept` or `reject`) if its holder's name matches `beneficiary_name`
    /// worse than this result, and does not fail; NO_MATCH: no account [new merchants: NO_MATCH]
    #[arg(long, value_name = "RESULT", value_parser = result)]
    review_names_below: Option<NameMatchResult>,
    /// Time for which a gateway's result is reused for the same details, unless a call says fresh=true; 0 (never) to 365d
    /// [new merchants: 0]
    #[arg(
        long = "reuse-results",
        alias = "reuse-results-seconds",
        value_name = "TIME",
        value_parser = |text: &str| parse_seconds(text, &(0..=31_536_000))
    )]
    reuse_results_seconds: Option<i32>,
    /// Time for which a lost response is looked up before another gateway account may move a second rupee, 0 to 2d; 0: the next
    /// gateway account is asked at once, and the attempt is flagged as possible double drop [new merchants: 2m]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| parse_seconds(text, &(0..=172_800)))]
    recovery_patience: Option<i32>,
    /// Penny drops of one validation, 1 to 100: beyond them it ends as ATTEMPTS_EXHAUSTED [new merchants: 3]
    #[arg(long, value_name = "ATTEMPTS", value_parser = clap::value_parser!(i16).range(1..=100))]
    paid_attempts_per_validation: Option<i16>,
    /// Penny drops that calls of one day (midnight to midnight in India) may start, 0 to 1000000000; calls beyond them are
    /// rejected [new merchants: 10000]
    #[arg(long, value_name = "PENNY_DROPS", value_parser = clap::value_parser!(i32).range(0..=1_000_000_000))]
    penny_drops_per_day: Option<i32>,
    /// Days for which events and their deliveries to webhook endpoints are kept, 4 to 365, also as 30d [new merchants: 30]
    #[arg(long, value_name = "DAYS", value_parser = |text: &str| parse_days(text, &(4..=365)))]
    event_days: Option<i16>,
}

impl SettingsOptions {
    pub(crate) fn changes(self) -> Changes {
        let fail_names_below = self.fail_names_below.or_else(|| {
            self.fail_on_name_mismatch.map(|fails| {
                if fails {
                    NameMatchResult::PoorPartialMatch
                } else {
                    NameMatchResult::NoMatch
                }
            })
        });
        Changes {
            implicit_customers: self.implicit_customers,
            validation_deadline_seconds: self.validation_deadline,
            requests_per_second: self.requests_per_second,
            validations_per_account_per_day: self.validations_per_account_per_day,
            fail_names_below: fail_names_below.map(|result| result.min_score().into()),
            review_names_below: self
                .review_names_below
                .map(|result| result.min_score().into()),
            reuse_results_seconds: self.reuse_results_seconds,
            recovery_patience_seconds: self.recovery_patience,
            paid_attempts_per_validation: self.paid_attempts_per_validation,
            penny_drops_per_day: self.penny_drops_per_day,
            event_days: self.event_days,
        }
    }
}

fn result(word: &str) -> Result<NameMatchResult, String> {
    NameMatchResult::parse(word).ok_or_else(|| {
        let words: Vec<_> = NameMatchResult::ALL
            .iter()
            .map(|result| result.as_str())
            .collect();
        format!("expected one of {}", words.join(", "))
    })
}

/// Returns the result that names must reach.
pub(super) fn reached(score: i16) -> &'static str {
    NameMatchResult::of_stored_score(score).as_str()
}

pub(super) fn settings_json(merchant: &Merchant) -> Value {
    json!({
        "implicit_customers": merchant.implicit_customers,
        "validation_deadline_seconds": merchant.validation_deadline_seconds,
        "requests_per_second": merchant.requests_per_second,
        "validations_per_account_per_day": merchant.validations_per_account_per_day,
        "fail_names_below": reached(merchant.fail_names_below),
        "review_names_below": reached(merchant.review_names_below),
        "reuse_results_seconds": merchant.reuse_results_seconds,
        "recovery_patience_seconds": merchant.recovery_patience_seconds,
        "paid_attempts_per_validation": merchant.paid_attempts_per_validation,
        "penny_drops_per_day": merchant.penny_drops_per_day,
        "event_days": merchant.event_days,
    })
}
