//! Settings that connectors share: a gateway account's `settings`, JSON, everything optional.

use std::num::NonZeroU32;
use std::time::Duration;

use khata_domain::routing::Ineligible;
use khata_domain::traffic::{Hours, Traffic};
use khata_domain::validation::PollSchedule;
use khata_domain::{Consent, Details, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::connector::ConfigError;
use crate::info::SettingInfo;

/// Looks at a pending outcome where neither the gateway nor the settings say more. NPCI, 2025: the first no sooner than
/// 90 s after the call, at most 3 within 2 h.
pub(crate) const NPCI_POLLING: [Duration; 4] = [
    Duration::from_secs(90),
    Duration::from_mins(15),
    Duration::from_mins(100),
    Duration::from_hours(6),
];
/// How long a call may take where the settings do not say.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// No setting may pass this.
const MAX_CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Settings that every gateway account has. All are optional.
pub const COMMON_SETTINGS: &[SettingInfo] = &[
    SettingInfo {
        name: "methods",
        meaning: "allowed methods of `PENNY_DROP`, `PENNILESS` and `VPA_LOOKUP`, in order of preference, as a list",
        default: "all that the gateway has",
    },
    SettingInfo {
        name: "poll_ms",
        meaning: "poll intervals while an outcome is pending, as a list; the last one repeats",
        default: "the gateway's rule",
    },
    SettingInfo {
        name: "call_timeout_ms",
        meaning: "time-out of a call, 100 to 60,000; two time-outs fit into a lease",
        default: "10,000",
    },
    SettingInfo {
        name: "calls_per_minute",
        meaning: "calls of any kind in any 60 seconds, over all workers; 0: no limit",
        default: "the gateway's published limit",
    },
    SettingInfo {
        name: "concurrency",
        meaning: "calls at once, over all workers; 0: no limit",
        default: "no limit",
    },
    SettingInfo {
        name: "hours",
        meaning: "times of day in India at which new attempts may begin: `[\"21:30-10:00\", \"13:00-17:00\"]`",
        default: "always",
    },
    SettingInfo {
        name: "upi_penny_drop_hours",
        meaning: "the same for penny drops to UPI addresses, within `hours`",
        default: "always",
    },
    SettingInfo {
        name: "recover_for_s",
        meaning: "seconds for which Khata tries to recover a lost response before it calls another gateway",
        default: "3,600",
    },
    SettingInfo {
        name: "bank_flow",
        meaning: "`async`, or `sync`: the response holds the outcome, but a lost one cannot be recovered; cannot be changed later",
        default: "`async`",
    },
];

/// What every gateway account may be set to. A connector with settings of its own reads them beside these
/// ([`CommonSettings::read_with`]).
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CommonSettings {
    /// Waits between looks at a pending outcome in milliseconds, the last one repeated.
    poll_ms: Option<Vec<u64>>,
    /// Longest call in milliseconds.
    call_timeout_ms: Option<u64>,
    /// How bank accounts are asked for: `async` (by our reference, safe to recover) or `sync`.
    pub(crate) bank_flow: BankFlow,
    /// The methods that may be used, in order of preference; all that the gateway has, where absent.
    methods: Option<Vec<String>>,
    /// Calls of any kind in any 60 seconds over all workers; 0: no limit; the gateway's own limit where absent.
    calls_per_minute: Option<u32>,
    /// Calls under way at once over all workers; 0: no limit.
    concurrency: Option<u32>,
    /// When new attempts may begin, times of day in India: `["00:00-10:00", "13:00-17:00"]`.
    hours: Vec<String>,
    /// When new UPI penny drops may begin, within `hours`.
    upi_penny_drop_hours: Vec<String>,
    /// Seconds that a lost answer is asked for before another gateway account may be, at the risk of a second rupee.
    recover_for_s: Option<u64>,
}

/// The two ways some gateways have of validating a bank account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BankFlow {
    /// Accepted now, told later.
    #[default]
    Async,
    /// Told in the answer; a lost answer cannot be found again.
    Sync,
}

impl CommonSettings {
    pub(crate) fn read(settings: &serde_json::Value) -> Result<Self, ConfigError> {
        Deserialize::deserialize(settings)
            .map_err(|error: serde_json::Error| ConfigError::Settings(error.to_string()))
    }

    /// These and a connector's own: `Own` takes its members, and what is left must be of these. `Own` itself must not
    /// deny unknown fields; a word that neither knows is told all the same.
    pub(crate) fn read_with<Own: DeserializeOwned>(
        settings: &serde_json::Value,
    ) -> Result<(Self, Own), ConfigError> {
        #[derive(Deserialize)]
        struct Both<Own> {
            #[serde(flatten)]
            own: Own,
            #[serde(flatten)]
            common: serde_json::Map<String, serde_json::Value>,
        }
        let both: Both<Own> = Deserialize::deserialize(settings)
            .map_err(|error: serde_json::Error| ConfigError::Settings(error.to_string()))?;
        Ok((Self::read(&both.common.into())?, both.own))
    }

    /// The waits between looks.
    pub(crate) fn polling(&self, default: &[Duration]) -> Result<PollSchedule, ConfigError> {
        let waits = match &self.poll_ms {
            Some(waits) => waits.iter().copied().map(Duration::from_millis).collect(),
            None => default.to_vec(),
        };
        PollSchedule::new(waits)
            .ok_or_else(|| ConfigError::Settings("poll_ms must not be empty".into()))
    }

    /// The time-out of a call, `longest` at most.
    pub(crate) fn call_timeout(&self, longest: Duration) -> Result<Duration, ConfigError> {
        let timeout = self
            .call_timeout_ms
            .map_or(DEFAULT_CALL_TIMEOUT, Duration::from_millis);
        if timeout < Duration::from_millis(100) || timeout > MAX_CALL_TIMEOUT {
            return Err(ConfigError::Settings(format!(
                "call_timeout_ms must be between 100 and {}",
                MAX_CALL_TIMEOUT.as_millis()
            )));
        }
        Ok(timeout.min(longest))
    }

    /// The methods to use, in order of preference: all of `offered`, or those of them that the settings name.
    pub(crate) fn methods(&self, offered: &[Method]) -> Result<Vec<Method>, ConfigError> {
        let Some(words) = &self.methods else {
            return Ok(offered.to_vec());
        };
        let method = |word: &String| {
            Method::parse(word)
                .filter(|method| offered.contains(method))
                .ok_or_else(|| {
                    let words: Vec<_> = offered.iter().map(|method| method.as_str()).collect();
                    let known = words.join(", ");
                    ConfigError::Settings(format!("methods must be of {known}, not {word:?}"))
                })
        };
        let methods: Vec<_> = words.iter().map(method).collect::<Result<_, _>>()?;
        if methods.is_empty() {
            return Err(ConfigError::Settings("methods must not be empty".into()));
        }
        Ok(methods)
    }

    /// The limits; `calls_per_minute` is the gateway's own, where it publishes one.
    pub(crate) fn traffic(&self, calls_per_minute: Option<u32>) -> Result<Traffic, ConfigError> {
        let hours = |name: &str, spans: &[String]| {
            Hours::parse(spans).ok_or_else(|| {
                ConfigError::Settings(format!(
                    "{name} must be spans of a day in India such as \"13:00-17:00\""
                ))
            })
        };
        let limit = |number: Option<u32>| number.and_then(NonZeroU32::new);
        Ok(Traffic {
            calls_per_minute: limit(self.calls_per_minute.or(calls_per_minute)),
            concurrency: limit(self.concurrency),
            hours: hours("hours", &self.hours)?,
            upi_penny_drop_hours: hours("upi_penny_drop_hours", &self.upi_penny_drop_hours)?,
            recover_for: self
                .recover_for_s
                .map_or(Traffic::default().recover_for, Duration::from_secs),
        })
    }
}

/// Of these methods, in order of preference, the first that suits the details and that the consent suffices for: a
/// penny drop to a UPI address needs the payee's (NPCI, May 2025).
pub(crate) fn suited(
    methods: &[Method],
    details: &Details,
    consent: Option<&Consent>,
) -> Result<Method, Ineligible> {
    let consented = consent.is_some_and(|consent| consent.obtained);
    let suits = |method: &Method| match (details, method) {
        (Details::Bank(_), Method::PennyDrop | Method::Penniless)
        | (Details::Upi(_), Method::VpaLookup) => true,
        (Details::Upi(_), Method::PennyDrop) => consented,
        (Details::Bank(_), Method::VpaLookup) | (Details::Upi(_), Method::Penniless) => false,
    };
    methods.iter().copied().find(suits).ok_or(Ineligible::Kind)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use khata_domain::{AccountNumber, BankAccount, Ifsc, Vpa};
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_the_gateways_own_until_set() {
        let traffic = |settings| {
            let settings = CommonSettings::read(&settings).unwrap();
            settings.traffic(Some(100)).unwrap().calls_per_minute
        };
        assert_eq!(traffic(json!({})), NonZeroU32::new(100));
        assert_eq!(traffic(json!({"calls_per_minute": 7})), NonZeroU32::new(7));
        assert_eq!(traffic(json!({"calls_per_minute": 0})), None);
    }

    #[test]
    fn only_methods_that_the_gateway_has_can_be_set() {
        let methods = |settings| {
            let offered = [Method::PennyDrop, Method::VpaLookup];
            CommonSettings::read(&settings).unwrap().methods(&offered)
        };
        assert_eq!(methods(json!({})).unwrap().len(), 2);
        assert_eq!(
            methods(json!({"methods": ["VPA_LOOKUP"]})).unwrap(),
            [Method::VpaLookup]
        );
        assert!(methods(json!({"methods": ["PENNILESS"]})).is_err());
        assert!(methods(json!({"methods": []})).is_err());
    }

    #[test]
    fn the_first_method_that_suits_is_used() {
        use Method::{Penniless, PennyDrop, VpaLookup};
        let bank = Details::Bank(BankAccount {
            ifsc: Ifsc::parse("HDFC0000001").unwrap(),
            account_number: AccountNumber::parse("00011020001772").unwrap(),
            beneficiary_name: None,
        });
        let upi = Details::Upi(Vpa::parse("asha@upi").unwrap());
        let consent = |obtained| Consent {
            obtained,
            purpose: String::new(),
            timestamp: DateTime::UNIX_EPOCH,
        };
        let (yes, no) = (consent(true), consent(false));
        let all = [PennyDrop, Penniless, VpaLookup];
        for (methods, details, consent, method) in [
            (&all[..], &bank, None, Ok(PennyDrop)),
            (
                &[VpaLookup, Penniless, PennyDrop],
                &bank,
                None,
                Ok(Penniless),
            ),
            (&[VpaLookup], &bank, None, Err(Ineligible::Kind)),
            (&all, &upi, Some(&yes), Ok(PennyDrop)),
            (&all, &upi, Some(&no), Ok(VpaLookup)),
            (&all, &upi, None, Ok(VpaLookup)),
            (&[VpaLookup, PennyDrop], &upi, Some(&yes), Ok(VpaLookup)),
            (&[PennyDrop, Penniless], &upi, None, Err(Ineligible::Kind)),
        ] {
            assert_eq!(suited(methods, details, consent), method, "{methods:?}");
        }
    }

    #[test]
    fn a_connectors_own_settings_stand_beside_the_common_ones() {
        #[derive(Debug, Deserialize)]
        struct Own {
            product: Option<String>,
        }
        let read = |settings| CommonSettings::read_with::<Own>(&settings);
        let (common, own) = read(json!({"product": "bav", "bank_flow": "sync"})).unwrap();
        assert_eq!(
            (common.bank_flow, own.product.as_deref()),
            (BankFlow::Sync, Some("bav"))
        );
        assert_eq!(read(json!({})).unwrap().1.product, None);
        for bad in [
            json!({"prodcut": "bav"}),
            json!({"product": 1}),
            json!({"bank_flow": "both"}),
            json!([]),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_setting_that_nobody_knows_or_that_makes_no_sense_is_told() {
        assert!(CommonSettings::read(&json!({"pol_ms": [1]})).is_err());
        let settings =
            CommonSettings::read(&json!({"hours": ["25:00-26:00"], "poll_ms": []})).unwrap();
        assert!(settings.traffic(None).is_err());
        assert!(settings.polling(&[Duration::ZERO]).is_err());
    }
}
