//! DUMMY (gateway 100): no real gateway, but every outcome on demand, so that merchants can test their integration.
//!
//! | account number ends in | VPA user part | outcome |
//! |---|---|---|
//! | 91 | `invalid` | Invalid |
//! | 92 | `pending` | Pending, then Valid after 2 s |
//! | 93 | | Pending, then Invalid after 2 s |
//! | 94 | `retry` | Retryable twice, then Valid |
//! | 95 | `never` | Pending for ever |
//! | 96 | | Inconclusive |
//! | anything else | anything else | Valid |

use std::time::Duration;

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use khata_domain::routing::Ineligible;
use khata_domain::validation::{CallResult, FailureCode};
use khata_domain::{
    CallFailure, Class, Consent, Details, Gateway, GatewayResponse, Method, Recovery,
};

use crate::config::{ConfigError, ConnectorConfig};
use crate::connector::{Call, Check, Connector, LookupResult};
use crate::info::GatewayInfo;
use crate::policy::CallPolicy;
use crate::settings::CommonSettings;

/// How long a pending outcome is pending.
const PENDING: TimeDelta = TimeDelta::seconds(2);
/// The first poll comes just after [`PENDING`].
const POLLING: [Duration; 3] = [
    Duration::from_millis(2_100),
    Duration::from_secs(5),
    Duration::from_mins(1),
];
/// Attempts that fail at an account number that ends in 94.
const RETRYABLE_ATTEMPTS: i16 = 2;

/// Facts about DUMMY.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Dummy,
    sandbox_only: true,
    methods: &[Method::PennyDrop, Method::VpaLookup],
    validation: "every outcome on demand, in sandbox mode",
    recovery: "the same call again",
    webhooks: None,
    addresses: &[],
    credentials: &[],
    settings: &[],
    connect: |config| Ok(Box::new(Dummy::new(config)?)),
};

/// The built-in gateway.
pub(crate) struct Dummy {
    policy: CallPolicy,
}

impl Dummy {
    fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        if !config.sandbox_mode {
            return Err(ConfigError::SandboxOnly);
        }
        let settings = CommonSettings::read(config.settings)?;
        // Methods in the settings are ignored.
        let policy = settings.policy(config, Method::ALL, &POLLING, None)?;
        Ok(Self { policy })
    }
}

/// Returns the ending of an account number with the outcome that these details ask for.
fn ending(details: &Details) -> &str {
    match details {
        Details::Bank(bank) => {
            let number = bank.account_number.expose();
            &number[number.len() - 2..]
        }
        Details::Upi(vpa) => match vpa.user() {
            "invalid" => "91",
            "pending" => "92",
            "retry" => "94",
            "never" => "95",
            _ => "00",
        },
    }
}

fn valid(details: &Details) -> GatewayResponse {
    let name_at_bank = match details {
        Details::Bank(bank) => bank
            .beneficiary_name
            .as_ref()
            .map(|name| name.expose().to_uppercase()),
        Details::Upi(_) => None,
    };
    GatewayResponse {
        name_at_bank,
        ..GatewayResponse::of(Class::Valid, "DUMMY_VALID")
    }
}

fn invalid(details: &Details) -> GatewayResponse {
    let failure = match details {
        Details::Bank(_) => FailureCode::InvalidAccount,
        Details::Upi(_) => FailureCode::InvalidVpa,
    };
    GatewayResponse {
        failure: Some(failure),
        ..GatewayResponse::of(Class::Invalid, "DUMMY_INVALID")
    }
}

fn response(call: &Call<'_>) -> GatewayResponse {
    let pending = Utc::now() - call.started_at < PENDING;
    match ending(call.details) {
        "92" | "93" if pending => GatewayResponse::of(Class::Pending, "DUMMY_PENDING"),
        "91" | "93" => invalid(call.details),
        "94" if call.attempt <= RETRYABLE_ATTEMPTS => {
            GatewayResponse::of(Class::Retryable, "DUMMY_RETRY")
        }
        "95" => GatewayResponse::of(Class::Pending, "DUMMY_PENDING"),
        "96" => GatewayResponse::of(Class::Inconclusive, "DUMMY_INCONCLUSIVE"),
        _ => valid(call.details),
    }
}

#[async_trait]
impl Connector for Dummy {
    fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    /// Returns the method without regard to consent: no money moves.
    fn eligible_method(
        &self,
        details: &Details,
        _consent: Option<&Consent>,
    ) -> Result<Method, Ineligible> {
        Ok(match details {
            Details::Bank(_) => Method::PennyDrop,
            Details::Upi(_) => Method::VpaLookup,
        })
    }

    fn recovery(&self, _details: &Details, _method: Method) -> Recovery {
        Recovery::Resubmit
    }

    async fn verify(&self, call: &Call<'_>) -> CallResult {
        Ok(response(call))
    }

    /// Returns the response as it is: DUMMY rejects no call, so every response concerns the account.
    async fn verify_again(&self, call: &Call<'_>) -> CallResult {
        self.verify(call).await
    }

    async fn lookup(&self, call: &Call<'_>, _gateway_reference: Option<&str>) -> LookupResult {
        Ok(Some(response(call)))
    }

    async fn check(&self) -> Result<Check, CallFailure> {
        Ok(Check::Accepted("DUMMY_READY".into()))
    }
}

#[cfg(test)]
mod tests {
    use khata_domain::{AccountNumber, BankAccount, BeneficiaryName, Ifsc, Vpa};

    use super::*;

    fn bank(number: &str) -> Details {
        Details::Bank(BankAccount {
            ifsc: Ifsc::parse("AABF0008032").unwrap(),
            account_number: AccountNumber::parse(number).unwrap(),
            beneficiary_name: Some(BeneficiaryName::parse("Asha Rao").unwrap()),
        })
    }

    fn class(details: &Details, attempt: i16, age: i64) -> Class {
        let call = Call {
            reference: "r",
            details,
            method: Method::PennyDrop,
            consent: None,
            attempt,
            started_at: Utc::now() - TimeDelta::seconds(age),
        };
        response(&call).class
    }

    #[test]
    fn every_outcome_can_be_requested() {
        for (ending, attempt, age, expected) in [
            ("00", 1, 0, Class::Valid),
            ("91", 1, 0, Class::Invalid),
            ("92", 1, 0, Class::Pending),
            ("92", 1, 2, Class::Valid),
            ("93", 1, 0, Class::Pending),
            ("93", 1, 2, Class::Invalid),
            ("94", 1, 0, Class::Retryable),
            ("94", 2, 0, Class::Retryable),
            ("94", 3, 0, Class::Valid),
            ("95", 1, 9_999, Class::Pending),
            ("96", 1, 0, Class::Inconclusive),
        ] {
            assert_eq!(
                class(&bank(&format!("0001234{ending}")), attempt, age),
                expected,
                "{ending} {attempt} {age}"
            );
        }
        for (user, expected) in [
            ("asha", Class::Valid),
            ("invalid", Class::Invalid),
            ("pending", Class::Pending),
            ("retry", Class::Retryable),
            ("never", Class::Pending),
        ] {
            let vpa = Details::Upi(Vpa::parse(&format!("{user}@upi")).unwrap());
            assert_eq!(class(&vpa, 1, 0), expected, "{user}");
        }
    }

    #[test]
    fn the_name_at_bank_is_the_beneficiary_name() {
        assert_eq!(
            valid(&bank("0001234")).name_at_bank.unwrap().as_str(),
            "ASHA RAO"
        );
    }

    #[test]
    fn dummy_exists_only_in_sandbox_mode() {
        let (http, settings) = (crate::http::client().unwrap(), serde_json::json!({}));
        let config = ConnectorConfig {
            base_url: None,
            credentials: None,
            settings: &settings,
            http: &http,
            sandbox_mode: false,
            longest_call: Duration::MAX,
        };
        assert!(Dummy::new(&config).is_err());
    }
}
