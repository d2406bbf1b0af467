//! What Prometheus reads of a worker at `/metrics`: the calls it made at gateways, and what came of them. Labels are bounded:
//! gateway accounts are set up by ops people, everything else is one of a few words.

use std::time::Duration;

use khata_shared::domain::Method;
use khata_shared::domain::validation::Heard;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::directory::Entry;

/// Seconds; a gateway answers within milliseconds or hangs until the time-out.
const BUCKETS: [f64; 11] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Which gateway account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    merchant_id: String,
    gateway: &'static str,
    gateway_account: String,
}

impl Place {
    fn of(entry: &Entry) -> Self {
        Self {
            merchant_id: entry.account.merchant().to_string(),
            gateway: entry.gateway.name(),
            gateway_account: entry.account.reference_id.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    merchant_id: String,
    gateway: &'static str,
    gateway_account: String,
    method: &'static str,
    /// The class, or `NO_ANSWER`.
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GatewayName {
    gateway: &'static str,
}

#[derive(Clone)]
struct Latencies;

impl MetricConstructor<Histogram> for Latencies {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// One worker's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    latencies: Family<GatewayName, Histogram, Latencies>,
    unlisted_codes: Family<GatewayName, Counter>,
    possible_double_drops: Family<Place, Counter>,
    misconfigured: Family<Place, Gauge>,
    call_backs: Family<GatewayName, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("khata");
        let calls = Family::default();
        let latencies = Family::new_with_constructor(Latencies);
        let unlisted_codes = Family::default();
        let possible_double_drops = Family::default();
        let misconfigured = Family::default();
        let call_backs = Family::default();
        registry.register(
            "gateway_calls",
            "Calls made at gateways, by what came of them",
            calls.clone(),
        );
        registry.register_with_unit(
            "gateway_call_duration",
            "How long a gateway took to answer, or not to",
            Unit::Seconds,
            latencies.clone(),
        );
        registry.register(
            "gateway_unlisted_codes",
            "Answers whose code stands in none of the connector's tables",
            unlisted_codes.clone(),
        );
        registry.register(
            "gateway_possible_double_drops",
            "Attempts begun although the rupee of a lost one may have been dropped",
            possible_double_drops.clone(),
        );
        registry.register(
            "gateway_misconfigured",
            "1 while the gateway refuses us: credentials, balance, list of IP addresses, a feature that is off",
            misconfigured.clone(),
        );
        registry.register(
            "gateway_call_backs_heard",
            "Outcomes that a gateway called back with and that were heard",
            call_backs.clone(),
        );
        Self {
            registry,
            calls,
            latencies,
            unlisted_codes,
            possible_double_drops,
            misconfigured,
            call_backs,
        }
    }

    /// A call was made.
    pub(crate) fn called(&self, entry: &Entry, method: Method, heard: &Heard, took: Duration) {
        let gateway = GatewayName {
            gateway: entry.gateway.name(),
        };
        let account = Place::of(entry);
        let class = match heard {
            Heard::Answer(answer) => answer.class.as_str(),
            Heard::Nothing(_) => "NO_ANSWER",
        };
        if let Heard::Answer(answer) = heard {
            if answer.unlisted {
                self.unlisted_codes.get_or_create(&gateway).inc();
            }
            let refuses = answer.class == khata_shared::domain::Class::Misconfigured;
            self.misconfigured
                .get_or_create(&account)
                .set(i64::from(refuses));
        }
        self.calls
            .get_or_create(&Call {
                merchant_id: account.merchant_id,
                gateway: account.gateway,
                gateway_account: account.gateway_account,
                method: method.as_str(),
                class,
            })
            .inc();
        self.latencies
            .get_or_create(&gateway)
            .observe(took.as_secs_f64());
    }

    /// A gateway's call-back was heard.
    pub(crate) fn heard_call_back(&self, entry: &Entry) {
        let gateway = GatewayName {
            gateway: entry.gateway.name(),
        };
        self.call_backs.get_or_create(&gateway).inc();
    }

    /// An attempt was begun that may drop a second rupee.
    pub(crate) fn may_drop_twice(&self, entry: &Entry) {
        self.possible_double_drops
            .get_or_create(&Place::of(entry))
            .inc();
    }

    /// In the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_as_prometheus_wants_them() {
        let metrics = Metrics::new();
        let gateway = GatewayName {
            gateway: "CASHFREE",
        };
        metrics.unlisted_codes.get_or_create(&gateway).inc();
        metrics.latencies.get_or_create(&gateway).observe(0.01);
        let text = metrics.text().unwrap();
        for line in [
            "khata_gateway_unlisted_codes_total{gateway=\"CASHFREE\"} 1",
            "# UNIT khata_gateway_call_duration_seconds seconds",
            "khata_gateway_call_duration_seconds_count{gateway=\"CASHFREE\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
