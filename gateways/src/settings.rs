//! Settings that every gateway account has: `settings`, JSON.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use khata_domain::Method;
use khata_domain::traffic::{Hours, Traffic};
use khata_domain::validation::PollSchedule;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::{ConfigError, ConnectorConfig};
use crate::info::SettingInfo;
use crate::name::is_plain;
use crate::policy::CallPolicy;

/// Poll intervals if neither the gateway nor the settings say more. NPCI, 2025: the first poll no sooner than 90 s after
/// the call, at most 3 within 2 h.
pub(crate) const NPCI_POLLING: [Duration; 4] = [
    Duration::from_secs(90),
    Duration::from_mins(15),
    Duration::from_mins(100),
    Duration::from_hours(6),
];
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(10);
const MIN_CALL_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Settings that every gateway account has. All are optional.
pub const COMMON_SETTINGS: &[SettingInfo] = &[
    SettingInfo {
        name: "methods",
        meaning: "allowed methods of `PENNY_DROP`, `PENNILESS` and `VPA_LOOKUP`, in order of preference, as a list",
        default: "all that the gateway has; at SETU all but `PENNILESS`",
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
        default: "on each worker three quarters of `KHATA_WORKER_CONCURRENCY`",
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
        default: "the merchant's setting",
    },
    SettingInfo {
        name: "bank_flow",
        meaning: "`async`, or `sync`: the response holds the outcome, but a lost one cannot be recovered; cannot be changed later",
        default: "`async`",
    },
];

/// Parsed settings that every gateway account has. A connector with settings of its own reads them beside these
/// ([`CommonSettings::read_with`]).
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CommonSettings {
    poll_ms: Option<Vec<u64>>,
    call_timeout_ms: Option<u64>,
    pub(crate) bank_flow: BankFlow,
    methods: Option<Vec<String>>,
    calls_per_minute: Option<u32>,
    concurrency: Option<u32>,
    hours: Vec<String>,
    upi_penny_drop_hours: Vec<String>,
    recover_for_s: Option<u64>,
}

/// One of the two ways in which some gateways validate a bank account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BankFlow {
    /// The gateway accepts the call and reports the outcome later.
    #[default]
    Async,
    /// The response holds the outcome; a lost response cannot be recovered.
    Sync,
}

impl CommonSettings {
    pub(crate) fn read(settings: &serde_json::Value) -> Result<Self, ConfigError> {
        Self::deserialize(settings).map_err(|error| ConfigError::Settings(error.to_string()))
    }

    /// Reads these settings and a connector's own: `Own` takes its members, and all others must be common settings. `Own`
    /// must not deny unknown fields; a setting that neither type knows is an error all the same.
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

    /// Checks the settings. `offered` are the gateway's methods, `polling` its poll intervals, and `calls_per_minute` its
    /// own limit, if it publishes one.
    pub(crate) fn policy(
        &self,
        config: &ConnectorConfig<'_>,
        offered: &[Method],
        polling: &[Duration],
        calls_per_minute: Option<u32>,
    ) -> Result<CallPolicy, ConfigError> {
        Ok(CallPolicy {
            methods: self.methods(offered)?,
            polling: self.polling(polling)?,
            traffic: self.traffic(calls_per_minute)?,
            call_timeout: self.call_timeout(config.longest_call)?,
        })
    }

    /// Whether the settings name the allowed methods.
    pub(crate) fn names_methods(&self) -> bool {
        self.methods.is_some()
    }

    /// Returns the poll intervals.
    pub(crate) fn polling(&self, default: &[Duration]) -> Result<PollSchedule, ConfigError> {
        let waits = match &self.poll_ms {
            Some(waits) => waits.iter().copied().map(Duration::from_millis).collect(),
            None => default.to_vec(),
        };
        PollSchedule::new(waits)
            .ok_or_else(|| ConfigError::Settings("poll_ms must not be empty".into()))
    }

    fn call_timeout(&self, longest: Duration) -> Result<Duration, ConfigError> {
        let timeout = self
            .call_timeout_ms
            .map_or(DEFAULT_CALL_TIMEOUT, Duration::from_millis);
        if (MIN_CALL_TIMEOUT..=MAX_CALL_TIMEOUT).contains(&timeout) {
            return Ok(timeout.min(longest));
        }
        Err(ConfigError::Settings(format!(
            "call_timeout_ms must be between {} and {}",
            MIN_CALL_TIMEOUT.as_millis(),
            MAX_CALL_TIMEOUT.as_millis()
        )))
    }

    /// Returns the allowed methods, in order of preference: all of `offered`, or those that the settings name.
    fn methods(&self, offered: &[Method]) -> Result<Vec<Method>, ConfigError> {
        let Some(words) = &self.methods else {
            return Ok(offered.to_vec());
        };
        let method = |word: &String| {
            Method::parse(word)
                .filter(|method| offered.contains(method))
                .ok_or_else(|| {
                    let offered: Vec<_> = offered.iter().map(|method| method.as_str()).collect();
                    let offered = offered.join(", ");
                    ConfigError::Settings(format!("methods must be of {offered}, not {word:?}"))
                })
        };
        let methods: Vec<_> = words.iter().map(method).collect::<Result<_, _>>()?;
        if methods.is_empty() {
            return Err(ConfigError::Settings("methods must not be empty".into()));
        }
        Ok(methods)
    }

    fn traffic(&self, calls_per_minute: Option<u32>) -> Result<Traffic, ConfigError> {
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
            shares_worker: self.concurrency.is_none(),
            hours: hours("hours", &self.hours)?,
            upi_penny_drop_hours: hours("upi_penny_drop_hours", &self.upi_penny_drop_hours)?,
            recover_for: self.recover_for_s.map(Duration::from_secs),
        })
    }
}

/// Checks the setting of this name, a text that the payee reads beside the rupee.
pub(crate) fn payee_text(
    name: &str,
    text: &str,
    length: RangeInclusive<usize>,
) -> Result<String, ConfigError> {
    if length.contains(&text.len()) && is_plain(text, b" ") {
        return Ok(text.to_owned());
    }
    let (min, max) = length.into_inner();
    Err(ConfigError::Settings(format!(
        "{name} must be {min} to {max} letters, digits and spaces"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::info::tests::assert_settings;

    #[test]
    fn every_common_setting_is_described() {
        assert_settings::<CommonSettings>(COMMON_SETTINGS);
    }

    #[test]
    fn limits_are_the_gateways_own_until_set() {
        let limit = |settings| {
            let settings = CommonSettings::read(&settings).unwrap();
            settings.traffic(Some(100)).unwrap().calls_per_minute
        };
        assert_eq!(limit(json!({})), NonZeroU32::new(100));
        assert_eq!(limit(json!({"calls_per_minute": 7})), NonZeroU32::new(7));
        assert_eq!(limit(json!({"calls_per_minute": 0})), None);
    }

    #[test]
    fn an_account_shares_the_worker_until_its_concurrency_is_set() {
        let traffic = |settings| {
            let settings = CommonSettings::read(&settings).unwrap();
            let traffic = settings.traffic(None).unwrap();
            (traffic.concurrency, traffic.shares_worker)
        };
        assert_eq!(traffic(json!({})), (None, true));
        assert_eq!(
            traffic(json!({"concurrency": 7})),
            (NonZeroU32::new(7), false)
        );
        assert_eq!(traffic(json!({"concurrency": 0})), (None, false));
    }

    #[test]
    fn only_methods_that_the_gateway_offers_can_be_set() {
        let methods = |settings| {
            let offered = [Method::PennyDrop, Method::VpaLookup];
            CommonSettings::read(&settings).unwrap().methods(&offered)
        };
        assert_eq!(methods(json!({})).unwrap().len(), 2);
        let lookup_only = methods(json!({"methods": ["VPA_LOOKUP"]})).unwrap();
        assert_eq!(lookup_only, [Method::VpaLookup]);
        assert!(methods(json!({"methods": ["PENNILESS"]})).is_err());
        assert!(methods(json!({"methods": []})).is_err());
    }

    #[test]
    fn a_connectors_own_settings_are_read_beside_the_common_ones() {
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
    fn an_unknown_or_impossible_setting_is_an_error() {
        assert!(CommonSettings::read(&json!({"pol_ms": [1]})).is_err());
        let settings = json!({"hours": ["25:00-26:00"], "poll_ms": [], "call_timeout_ms": 1});
        let settings = CommonSettings::read(&settings).unwrap();
        assert!(settings.traffic(None).is_err());
        assert!(settings.polling(&[Duration::ZERO]).is_err());
        assert!(settings.call_timeout(Duration::MAX).is_err());
    }
}
