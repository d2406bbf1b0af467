//! Metrics about rows in the database. Every worker reads the same rows every fifteen seconds, so that one running worker is
//! enough; dashboards take the maximum over workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use khata_config::shutdown::Shutdown;
use khata_domain::{Gateway, ValidationState};
use khata_store::database_metrics::{self, GatewayStatus, Unfinished};
use khata_store::{Pool, PooledConnection};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tracing::warn;

use crate::labels::{GatewayAccountLabels, MerchantLabels, MerchantNameLabels, StateLabels};

const READ_INTERVAL: Duration = Duration::from_secs(15);
/// Age after which values are not exported any more: a gap is better than stale values.
const MAX_AGE: Duration = Duration::from_mins(1);

/// The rows that were read last.
#[derive(Debug, Default)]
pub(crate) struct DatabaseMetrics(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    read_at: Instant,
    unfinished: Vec<Unfinished>,
    gateways: Vec<GatewayStatus>,
}

impl DatabaseMetrics {
    /// Reads until shut down.
    pub(crate) async fn run(self: Arc<Self>, pool: Pool, mut shutdown: Shutdown) {
        let mut failed = false;
        loop {
            let (metrics, pool) = (Arc::clone(&self), pool.clone());
            let read = tokio::task::spawn_blocking(move || metrics.read(&pool)).await;
            match read.map_err(anyhow::Error::from).flatten() {
                Ok(()) => failed = false,
                Err(failure) if !failed => {
                    warn!(error = %failure, "database metrics not read; retrying");
                    failed = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.raised() => return,
                () = tokio::time::sleep(READ_INTERVAL) => {}
            }
        }
    }

    fn read(&self, pool: &Pool) -> anyhow::Result<()> {
        let mut connection: PooledConnection = pool.get()?;
        let known = Known {
            read_at: Instant::now(),
            unfinished: database_metrics::unfinished(&mut connection)?,
            gateways: database_metrics::gateways(&mut connection)?,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }
}

impl Collector for DatabaseMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.as_ref() else {
            return Ok(());
        };
        let age = known.read_at.elapsed();
        let mut export = Export(&mut encoder);
        export.one(
            "facts_age",
            "Time since this worker read the rows behind the database metrics",
            Some(&Unit::Seconds),
            age.as_secs_f64(),
        )?;
        if age > MAX_AGE {
            return Ok(());
        }
        export.validations(&known.unfinished)?;
        export.merchants(&known.unfinished)?;
        export.gateways(&known.gateways)
    }
}

struct Export<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Export<'_, '_> {
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

    fn validations(&mut self, rows: &[Unfinished]) -> Result<(), std::fmt::Error> {
        let all = |value: fn(&Unfinished) -> i64| rows.iter().map(value).sum::<i64>();
        let longest = |value: fn(&Unfinished) -> f64| rows.iter().map(value).fold(0.0, f64::max);
        let states = ValidationState::ALL.iter().filter(|state| state.is_open());
        let in_states = states.map(|state| {
            let state = state.as_str();
            let rows = rows.iter().filter(|row| row.state == state);
            let count = rows.map(|row| row.count).sum();
            (StateLabels { state }, number(count))
        });
        self.gauge("validations", "Unfinished validations", None, in_states)?;
        self.one(
            "validations_stuck",
            "Unfinished validations that the scheduler should have processed and has not",
            None,
            number(all(|row| row.stuck)),
        )?;
        self.one(
            "validation_oldest_unfinished_age",
            "Age of the oldest unfinished validation",
            Some(&Unit::Seconds),
            longest(|row| row.oldest_seconds),
        )?;
        self.one(
            "validation_oldest_overdue_age",
            "Time by which the most overdue validation without a lease is late",
            Some(&Unit::Seconds),
            longest(|row| row.overdue_seconds),
        )
    }

    fn merchants(&mut self, rows: &[Unfinished]) -> Result<(), std::fmt::Error> {
        let mut merchants: BTreeMap<MerchantLabels, (i64, i64, f64)> = BTreeMap::new();
        for row in rows {
            let merchant_id = row.merchant().to_string();
            let sum = merchants.entry(MerchantLabels { merchant_id }).or_default();
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
            "The merchant's unfinished validations; no series if there are none",
            None,
            each(|sum| number(sum.0)),
        )?;
        self.gauge(
            "merchant_validations_stuck",
            "The merchant's unfinished validations that the scheduler should have processed and has not",
            None,
            each(|sum| number(sum.1)),
        )?;
        self.gauge(
            "merchant_oldest_unfinished_age",
            "Age of the merchant's oldest unfinished validation",
            Some(&Unit::Seconds),
            each(|sum| sum.2),
        )
    }

    fn gateways(&mut self, statuses: &[GatewayStatus]) -> Result<(), std::fmt::Error> {
        let each = |value: fn(&GatewayStatus) -> bool| {
            statuses
                .iter()
                .map(|status| (account_of(status), f64::from(u8::from(value(status)))))
                .collect::<Vec<_>>()
        };
        self.gauge(
            "gateway_circuit_open",
            "1 while most calls fail and only test calls are made",
            None,
            each(|status| status.is_down),
        )?;
        self.gauge(
            "gateway_paused",
            "1 while no calls are made because the gateway asked for a pause",
            None,
            each(|status| status.is_paused),
        )?;
        self.gauge(
            "gateway_misconfigured",
            "1 while the gateway rejects us: credentials, balance, IP allow-list or a disabled feature",
            None,
            each(|status| status.is_misconfigured),
        )?;
        let mut usable: BTreeMap<MerchantLabels, f64> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for status in statuses {
            let merchant_id = status.merchant().to_string();
            names.insert(MerchantNameLabels {
                merchant_id: merchant_id.clone(),
                name: status.merchant_name.clone(),
            });
            let is_usable = !(status.is_down || status.is_paused || status.is_misconfigured);
            if !status.pinned_only {
                *usable.entry(MerchantLabels { merchant_id }).or_default() +=
                    f64::from(u8::from(is_usable));
            }
        }
        self.gauge(
            "merchant_gateways_usable",
            "Enabled gateway accounts of the merchant that are not down, paused, misconfigured or pinned-only",
            None,
            usable,
        )?;
        let mut metric = self.0.encode_descriptor(
            "merchant",
            "Name of the merchant, if it has a gateway account",
            None,
            MetricType::Info,
        )?;
        for name in names {
            metric.encode_info(&name)?;
        }
        Ok(())
    }
}

fn account_of(status: &GatewayStatus) -> GatewayAccountLabels {
    GatewayAccountLabels {
        merchant_id: status.merchant().to_string(),
        gateway: Gateway::from_id(status.gateway_id).map_or("", Gateway::name),
        gateway_account: status.reference_id.clone(),
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
    pub(crate) fn example() -> DatabaseMetrics {
        let merchant = MerchantId(uuid::Uuid::nil());
        let unfinished = |state: ValidationState, count, stuck, oldest_seconds| Unfinished {
            merchant_id: merchant.0,
            state: state.as_str().to_owned(),
            count,
            stuck,
            oldest_seconds,
            overdue_seconds: oldest_seconds / 2.0,
        };
        let status = |name: &str, is_down, pinned_only| GatewayStatus {
            merchant_id: merchant.0,
            gateway_id: Gateway::Cashfree.id(),
            reference_id: name.to_owned(),
            merchant_name: "shop".to_owned(),
            is_down,
            is_paused: false,
            is_misconfigured: false,
            pinned_only,
        };
        DatabaseMetrics(Mutex::new(Some(Known {
            read_at: Instant::now(),
            unfinished: vec![
                unfinished(ValidationState::Due, 4, 0, 10.0),
                unfinished(ValidationState::Leased, 3, 1, 95.0),
            ],
            gateways: vec![
                status("main", false, false),
                status("down", true, false),
                status("named_only", false, true),
            ],
        })))
    }

    fn text(metrics: DatabaseMetrics) -> String {
        let mut registry = Registry::with_prefix("khata");
        registry.register_collector(Box::new(metrics));
        khata_telemetry::metrics::text(&registry).unwrap()
    }

    #[test]
    fn rows_become_metrics() {
        let exported = text(example());
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
            assert!(
                exported.lines().any(|exported| exported == line),
                "{line}\n{exported}"
            );
        }
    }

    #[test]
    fn old_values_are_not_exported() {
        let metrics = example();
        if let Some(known) = metrics.0.lock().unwrap().as_mut() {
            known.read_at = Instant::now()
                .checked_sub(MAX_AGE + Duration::from_secs(1))
                .unwrap();
        }
        let exported = text(metrics);
        assert!(
            exported.contains("khata_facts_age_seconds 61"),
            "{exported}"
        );
        assert!(!exported.contains("khata_validations"), "{exported}");
        assert_eq!(text(DatabaseMetrics::default()), "# EOF\n");
    }
}
