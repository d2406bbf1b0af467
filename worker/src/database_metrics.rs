//! What the database knows, told to Prometheus. Every worker reads the same every fifteen seconds, so that one that is left
//! still tells; dashboards take the greatest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use khata_config::shutdown::Shutdown;
use khata_domain::{Gateway, ValidationState};
use khata_store::database_metrics::{self, GatewayStatus, OpenValidations};
use khata_store::{Pool, PooledConnection};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tracing::warn;

use crate::metrics::Place;

const EVERY: Duration = Duration::from_secs(15);
/// What was read longer ago is not told any more: no number is better than one of another day.
const STALE: Duration = Duration::from_mins(1);
const STATES: [ValidationState; 3] = [
    ValidationState::Due,
    ValidationState::Leased,
    ValidationState::Waiting,
];

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Facts(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    read_at: Instant,
    unfinished: Vec<OpenValidations>,
    gateways: Vec<GatewayStatus>,
}

impl Facts {
    /// Reads until shut down.
    pub(crate) async fn run(self: Arc<Self>, pool: Pool, mut shutdown: Shutdown) {
        let mut failed = false;
        loop {
            let (facts, pool) = (Arc::clone(&self), pool.clone());
            let read = tokio::task::spawn_blocking(move || facts.read(&pool)).await;
            match read.map_err(anyhow::Error::from).flatten() {
                Ok(()) => failed = false,
                Err(failure) if !failed => {
                    warn!(error = %failure, "cannot read what metrics tell of the database; trying again");
                    failed = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.raised() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    fn read(&self, pool: &Pool) -> anyhow::Result<()> {
        let mut connection: PooledConnection = pool.get()?;
        let known = Known {
            read_at: Instant::now(),
            unfinished: database_metrics::open_validations(&mut connection)?,
            gateways: database_metrics::gateways(&mut connection)?,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Merchant {
    merchant_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct MerchantName {
    merchant_id: String,
    name: String,
}

impl Collector for Facts {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.as_ref() else {
            return Ok(());
        };
        let age = known.read_at.elapsed();
        let mut told = Told(&mut encoder);
        told.one(
            "facts_age",
            "How long ago the numbers of the database were read",
            Some(&Unit::Seconds),
            age.as_secs_f64(),
        )?;
        if age > STALE {
            return Ok(());
        }
        told.validations(&known.unfinished)?;
        told.merchants(&known.unfinished)?;
        told.gateways(&known.gateways)
    }
}

struct Told<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Told<'_, '_> {
    fn one(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: f64,
    ) -> Result<(), std::fmt::Error> {
        let metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    fn gauge<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> Result<(), std::fmt::Error> {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn validations(&mut self, rows: &[OpenValidations]) -> Result<(), std::fmt::Error> {
        let all = |value: fn(&OpenValidations) -> i64| rows.iter().map(value).sum::<i64>();
        let longest =
            |value: fn(&OpenValidations) -> f64| rows.iter().map(value).fold(0.0, f64::max);
        let in_state = |state: ValidationState| {
            let rows = rows.iter().filter(|row| row.state == state);
            (
                State {
                    state: state.as_str(),
                },
                number(rows.map(|row| row.count).sum()),
            )
        };
        self.gauge(
            "validations",
            "Unfinished validations",
            None,
            STATES.map(in_state),
        )?;
        self.one(
            "validations_stuck",
            "Unfinished validations that the scheduler should have taken care of and has not",
            None,
            number(all(|row| row.stuck)),
        )?;
        self.one(
            "validation_oldest_unfinished_age",
            "How long ago the oldest unfinished validation was asked for",
            Some(&Unit::Seconds),
            longest(|row| row.oldest_seconds),
        )?;
        self.one(
            "validation_oldest_overdue_age",
            "How long ago the scheduler should have looked at the first of those that no worker holds",
            Some(&Unit::Seconds),
            longest(|row| row.overdue_seconds),
        )
    }

    fn merchants(&mut self, rows: &[OpenValidations]) -> Result<(), std::fmt::Error> {
        let mut merchants: BTreeMap<Merchant, (i64, i64, f64)> = BTreeMap::new();
        for row in rows {
            let merchant_id = row.merchant.to_string();
            let sum = merchants.entry(Merchant { merchant_id }).or_default();
            *sum = (
                sum.0 + row.count,
                sum.1 + row.stuck,
                sum.2.max(row.oldest_seconds),
            );
        }
        let each = |value: fn(&(i64, i64, f64)) -> f64| {
            merchants
                .iter()
                .map(move |(merchant, sum)| (merchant.clone(), value(sum)))
                .collect::<Vec<_>>()
        };
        self.gauge(
            "merchant_validations_unfinished",
            "A merchant's unfinished validations; none: no series",
            None,
            each(|sum| number(sum.0)),
        )?;
        self.gauge(
            "merchant_validations_stuck",
            "Of these the scheduler should have taken care and has not",
            None,
            each(|sum| number(sum.1)),
        )?;
        self.gauge(
            "merchant_oldest_unfinished_age",
            "How long ago the merchant's oldest unfinished validation was asked for",
            Some(&Unit::Seconds),
            each(|sum| sum.2),
        )
    }

    fn gateways(&mut self, standings: &[GatewayStatus]) -> Result<(), std::fmt::Error> {
        let each = |value: fn(&GatewayStatus) -> bool| {
            standings
                .iter()
                .map(|standing| (account_of(standing), f64::from(u8::from(value(standing)))))
                .collect::<Vec<_>>()
        };
        self.gauge(
            "gateway_circuit_open",
            "1 while most calls fail: it is left alone, but for one call now and then",
            None,
            each(|standing| standing.is_down),
        )?;
        self.gauge(
            "gateway_paused",
            "1 while it is left alone as it asked for",
            None,
            each(|standing| standing.is_paused),
        )?;
        self.gauge(
            "gateway_misconfigured",
            "1 while the gateway refuses us: credentials, balance, list of IP addresses, a feature that is off",
            None,
            each(|standing| standing.is_misconfigured),
        )?;
        let mut usable: BTreeMap<Merchant, f64> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for standing in standings {
            let merchant_id = standing.merchant.to_string();
            names.insert(MerchantName {
                merchant_id: merchant_id.clone(),
                name: standing.merchant_name.clone(),
            });
            let is_usable = !(standing.is_down || standing.is_paused || standing.is_misconfigured);
            if !standing.pinned_only {
                *usable.entry(Merchant { merchant_id }).or_default() +=
                    f64::from(u8::from(is_usable));
            }
        }
        self.gauge(
            "merchant_gateways_usable",
            "Enabled gateway accounts of the merchant that are neither down nor paused nor refuse us, nor are asked only where named",
            None,
            usable,
        )?;
        let mut metric = self.0.encode_descriptor(
            "merchant",
            "The merchant's name; for those with a gateway account",
            None,
            MetricType::Info,
        )?;
        for name in names {
            metric.encode_info(&name)?;
        }
        Ok(())
    }
}

fn account_of(standing: &GatewayStatus) -> Place {
    Place {
        merchant_id: standing.merchant.to_string(),
        gateway: Gateway::from_id(standing.gateway_id).map_or("", Gateway::name),
        gateway_account: standing.reference_id.clone(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "fifty thousand at most")]
fn number(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use khata_domain::MerchantId;
    use prometheus_client::registry::Registry;

    use super::*;

    /// One merchant with three gateway accounts and two states.
    pub(crate) fn known() -> Facts {
        let merchant = MerchantId(uuid::Uuid::nil());
        let unfinished = |state, count, stuck, oldest_seconds| OpenValidations {
            merchant,
            state,
            count,
            stuck,
            oldest_seconds,
            overdue_seconds: oldest_seconds / 2.0,
        };
        let standing = |name: &str, is_down, pinned_only| GatewayStatus {
            merchant,
            gateway_id: Gateway::Cashfree.id(),
            reference_id: name.to_owned(),
            merchant_name: "shop".to_owned(),
            is_down,
            is_paused: false,
            is_misconfigured: false,
            pinned_only,
        };
        Facts(Mutex::new(Some(Known {
            read_at: Instant::now(),
            unfinished: vec![
                unfinished(ValidationState::Due, 4, 0, 10.0),
                unfinished(ValidationState::Leased, 3, 1, 95.0),
            ],
            gateways: vec![
                standing("main", false, false),
                standing("down", true, false),
                standing("named_only", false, true),
            ],
        })))
    }

    fn text(facts: Facts) -> String {
        let mut registry = Registry::with_prefix("khata");
        registry.register_collector(Box::new(facts));
        khata_telemetry::metrics::text(&registry).unwrap()
    }

    #[test]
    fn the_database_is_told_of() {
        let told = text(known());
        let merchant = MerchantId(uuid::Uuid::nil());
        for line in [
            "khata_validations{state=\"DUE\"} 4.0".to_owned(),
            "khata_validations{state=\"WAITING\"} 0.0".to_owned(),
            "khata_validations_stuck 1.0".to_owned(),
            "khata_validation_oldest_unfinished_age_seconds 95.0".to_owned(),
            "khata_validation_oldest_overdue_age_seconds 47.5".to_owned(),
            format!("khata_merchant_validations_unfinished{{merchant_id=\"{merchant}\"}} 7.0"),
            format!("khata_merchant_gateways_usable{{merchant_id=\"{merchant}\"}} 1.0"),
            format!("khata_merchant_info{{merchant_id=\"{merchant}\",name=\"shop\"}} 1"),
            format!(
                "khata_gateway_circuit_open{{merchant_id=\"{merchant}\",gateway=\"CASHFREE\",gateway_account=\"down\"}} 1.0"
            ),
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\n{told}");
        }
    }

    #[test]
    fn old_numbers_are_not_told() {
        let facts = known();
        if let Some(known) = facts.0.lock().unwrap().as_mut() {
            known.read_at = Instant::now()
                .checked_sub(STALE + Duration::from_secs(1))
                .unwrap();
        }
        let told = text(facts);
        assert!(told.contains("khata_facts_age_seconds 61"), "{told}");
        assert!(!told.contains("khata_validations"), "{told}");
        assert_eq!(text(Facts::default()), "# EOF\n");
    }
}
