//! Metrics about rows in the database. Every worker reads the same rows every fifteen seconds, so that one running worker is
//! enough; dashboards take the maximum over workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use khata_config::shutdown::Shutdown;
use khata_domain::{Gateway, ValidationState};
use khata_store::database_metrics::{
    self, AccountsInReview, Budget, DisabledEndpoint, ExpiringKeys, GatewayStatus, OpenDeliveries,
    OpenValidations,
};
use khata_store::{Pool, PooledConnection, encryption_counts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::sync::Notify;
use tracing::warn;

use crate::labels::{
    GatewayAccountLabels, HealthLabels, KeyLabels, MerchantLabels, MerchantNameLabels, StateLabels,
};

const READ_INTERVAL: Duration = Duration::from_secs(15);
/// Age after which values are not exported any more: a gap is better than stale values.
const MAX_AGE: Duration = Duration::from_mins(1);
/// Disabled endpoints that are read, for the alerts to operators.
const MAX_DISABLED: i64 = 500;

/// The rows that were read last.
#[derive(Debug, Default)]
pub(crate) struct DatabaseMetrics {
    known: Mutex<Option<Known>>,
    /// A reading has ended.
    has_read: Notify,
}

/// Rows of one reading.
#[derive(Debug)]
pub(crate) struct Known {
    read_at: Instant,
    unfinished: Vec<OpenValidations>,
    pub(crate) gateways: Vec<GatewayStatus>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) disabled_endpoints: Vec<DisabledEndpoint>,
    /// Age in seconds of the oldest event that readers do not see yet.
    held_back_seconds: f64,
    expiring_keys: Vec<ExpiringKeys>,
    in_review: Vec<AccountsInReview>,
    deliveries: Vec<OpenDeliveries>,
    /// Encryption key and its number of encryptions.
    encryptions: Vec<(i64, i64)>,
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
            self.has_read.notify_one();
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
            unfinished: database_metrics::open_validations(&mut connection)?,
            gateways: database_metrics::gateways(&mut connection)?,
            budgets: database_metrics::budgets(&mut connection)?,
            disabled_endpoints: database_metrics::disabled_endpoints(
                &mut connection,
                MAX_DISABLED,
            )?,
            held_back_seconds: database_metrics::events_held_back(&mut connection)?,
            expiring_keys: database_metrics::expiring_keys(&mut connection)?,
            in_review: database_metrics::accounts_in_review(&mut connection)?,
            deliveries: database_metrics::open_deliveries(&mut connection)?,
            encryptions: encryption_counts::all(&mut connection)?,
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }

    /// Waits for the end of the next reading. One task waits.
    pub(crate) async fn read_again(&self) {
        self.has_read.notified().await;
    }

    /// Returns what `take` reads in the rows; `None` if they are too old.
    pub(crate) fn recent<T>(&self, take: impl FnOnce(&Known) -> T) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref();
        known
            .filter(|known| known.read_at.elapsed() <= MAX_AGE)
            .map(take)
    }
}

/// Declares gauges: how to export, name, unit if there is one, help, and value.
macro_rules! gauges {
    ($encoder:expr; $($export:ident $name:literal $($unit:ident)?, $help:literal, $value:expr;)+) => {$({
        let unit: &[Unit] = &[$(Unit::$unit)?];
        let metric = $encoder.encode_descriptor($name, $help, unit.first(), MetricType::Gauge)?;
        $export(metric, $value)?;
    })+};
}

impl Collector for DatabaseMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.as_ref() else {
            return Ok(());
        };
        let age = known.read_at.elapsed();
        gauges! { encoder;
            one "facts_age" Seconds, "Time since this worker read the rows behind the database metrics",
                age.as_secs_f64();
        }
        if age > MAX_AGE {
            return Ok(());
        }
        let rows = &known.unfinished;
        let merchants = by_merchant(rows);
        let each = |value: fn(&OpenValidations) -> f64| {
            let merchants = merchants.iter();
            merchants.map(move |(merchant, sum)| (merchant.clone(), value(sum)))
        };
        let all = |value: fn(&OpenValidations) -> f64| merchants.values().map(value);
        gauges! { encoder;
            each_of "validations", "OpenValidations validations", by_state(rows);
            one "validations_stuck",
                "OpenValidations validations that the scheduler should have processed and has not",
                all(|sum| number(sum.stuck)).sum();
            one "validations_set_aside",
                "Unfinished validations that are set aside, because ten steps in a row failed",
                all(|sum| number(sum.set_aside)).sum();
            one "validation_oldest_unfinished_age" Seconds, "Age of the oldest unfinished validation",
                all(|sum| sum.oldest_seconds).fold(0.0, f64::max);
            one "validation_oldest_overdue_age" Seconds,
                "Time by which the most overdue validation without a lease is late",
                all(|sum| sum.overdue_seconds).fold(0.0, f64::max);
            each_of "merchant_validations_unfinished",
                "The merchant's unfinished validations; no series if there are none",
                each(|sum| number(sum.count));
            each_of "merchant_validations_stuck",
                "The merchant's unfinished validations that the scheduler should have processed and has not",
                each(|sum| number(sum.stuck));
            each_of "merchant_oldest_unfinished_age" Seconds,
                "Age of the merchant's oldest unfinished validation",
                each(|sum| sum.oldest_seconds);
        }
        let budgets = known.budgets.iter().map(|budget| {
            let merchant_id = budget.merchant.to_string();
            (MerchantLabels { merchant_id }, budget.used_share)
        });
        let expiring = known.expiring_keys.iter().map(|expiring| {
            let merchant_id = expiring.merchant.to_string();
            (MerchantLabels { merchant_id }, number(expiring.keys))
        });
        let in_review = |value: fn(&AccountsInReview) -> f64| {
            known.in_review.iter().map(move |review| {
                let merchant_id = review.merchant.to_string();
                (MerchantLabels { merchant_id }, value(review))
            })
        };
        let encryptions = known.encryptions.iter();
        let encryptions = encryptions.map(|&(key_id, count)| (KeyLabels { key_id }, number(count)));
        gauges! { encoder;
            each_of "merchant_penny_drop_budget_used_ratio",
                "Used share of the merchant's penny drops of this day; 1: further calls are rejected", budgets;
            each_of "merchant_api_keys_expiring",
                "The merchant's API keys that expire within 14 days and have no successor; no series if there are none",
                expiring;
            each_of "merchant_accounts_in_review",
                "The merchant's accounts that wait for a person's decision about the holder's name; no series if there are none",
                in_review(|review| number(review.count));
            each_of "merchant_oldest_review_age" Seconds,
                "Time since the merchant's oldest account in review began to wait for a person",
                in_review(|review| review.oldest_seconds);
            each_of "encryption_key_encryptions",
                "Values that all processes have encrypted with this key; AES-GCM permits 2^32", encryptions;
        }
        let deliveries = &known.deliveries;
        gauges! { encoder;
            one "events_held_back_age" Seconds,
                "Age of the oldest event that readers do not see yet, because an older write transaction is open; 0 if there is none",
                known.held_back_seconds;
            each_of "webhook_deliveries_open", "Deliveries of events that no endpoint has accepted yet, by state",
                deliveries_by_state(deliveries);
            each_of "webhook_oldest_due_age" Seconds,
                "Time since the oldest due delivery was due, by the health of its endpoint",
                overdue_deliveries(deliveries);
        }
        let gateways = |value: fn(&GatewayStatus) -> bool| {
            let gateways = known.gateways.iter();
            gateways.map(move |status| (account_of(status), f64::from(u8::from(value(status)))))
        };
        gauges! { encoder;
            each_of "gateway_circuit_open", "1 while most calls fail and only test calls are made",
                gateways(|status| status.is_down);
            each_of "gateway_paused", "1 while no calls are made because the gateway asked for a pause",
                gateways(|status| status.is_paused);
            each_of "gateway_misconfigured",
                "1 while the gateway rejects us: credentials, balance, IP allow-list or a disabled feature",
                gateways(|status| status.is_misconfigured);
            each_of "merchant_gateways_usable",
                "Enabled gateway accounts of the merchant that are not down, paused, misconfigured or pinned-only",
                usable(&known.gateways);
        }
        let help = "Name of the merchant, if it has a gateway account";
        let mut metric = encoder.encode_descriptor("merchant", help, None, MetricType::Info)?;
        let names: BTreeSet<_> = known.gateways.iter().map(name_of).collect();
        names.iter().try_for_each(|name| metric.encode_info(name))
    }
}

fn one(metric: MetricEncoder<'_>, value: f64) -> Result<(), std::fmt::Error> {
    ConstGauge::new(value).encode(metric)
}

fn each_of<L: EncodeLabelSet>(
    mut metric: MetricEncoder<'_>,
    values: impl IntoIterator<Item = (L, f64)>,
) -> Result<(), std::fmt::Error> {
    values.into_iter().try_for_each(|(labels, value)| {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)
    })
}

/// Counts the unfinished validations in every open state.
fn by_state(rows: &[OpenValidations]) -> impl Iterator<Item = (StateLabels, f64)> {
    let states = ValidationState::ALL.iter().filter(|state| state.is_open());
    states.map(|&state| {
        let rows = rows.iter().filter(|row| row.state == state);
        let labels = StateLabels {
            state: state.as_str(),
        };
        (labels, number(rows.map(|row| row.count).sum()))
    })
}

/// Counts the open deliveries in every state; those of disabled endpoints have one of their own.
fn deliveries_by_state(rows: &[OpenDeliveries]) -> impl Iterator<Item = (StateLabels, f64)> {
    let sum = |is_disabled: bool, count: fn(&OpenDeliveries) -> i64| {
        let rows = rows.iter().filter(|row| row.is_disabled == is_disabled);
        number(rows.map(count).sum())
    };
    let all: fn(&OpenDeliveries) -> i64 = |row| row.due + row.started + row.waiting;
    [
        ("due", sum(false, |row| row.due)),
        ("started", sum(false, |row| row.started)),
        ("waiting", sum(false, |row| row.waiting)),
        ("disabled", sum(true, all)),
    ]
    .into_iter()
    .map(|(state, count)| (StateLabels { state }, count))
}

/// Returns how late deliveries are: those of working endpoints, and those of endpoints whose last call failed.
fn overdue_deliveries(rows: &[OpenDeliveries]) -> impl Iterator<Item = (HealthLabels, f64)> {
    [("working", false), ("failing", true)]
        .into_iter()
        .map(|(endpoint, is_failing)| {
            let rows = rows
                .iter()
                .filter(|row| !row.is_disabled && row.is_failing == is_failing);
            let oldest = rows.map(|row| row.overdue_seconds).fold(0.0, f64::max);
            (HealthLabels { endpoint }, oldest)
        })
}

/// Adds up each merchant's states.
fn by_merchant(rows: &[OpenValidations]) -> BTreeMap<MerchantLabels, OpenValidations> {
    let mut merchants: BTreeMap<MerchantLabels, OpenValidations> = BTreeMap::new();
    for row in rows {
        let merchant_id = row.merchant.to_string();
        merchants
            .entry(MerchantLabels { merchant_id })
            .and_modify(|sum| {
                sum.count += row.count;
                sum.stuck += row.stuck;
                sum.set_aside += row.set_aside;
                sum.oldest_seconds = sum.oldest_seconds.max(row.oldest_seconds);
                sum.overdue_seconds = sum.overdue_seconds.max(row.overdue_seconds);
            })
            .or_insert_with(|| row.clone());
    }
    merchants
}

/// Counts each merchant's gateway accounts that can validate now.
fn usable(gateways: &[GatewayStatus]) -> BTreeMap<MerchantLabels, f64> {
    let mut usable = BTreeMap::new();
    for status in gateways.iter().filter(|status| !status.pinned_only) {
        let merchant_id = status.merchant.to_string();
        let is_usable = !(status.is_down || status.is_paused || status.is_misconfigured);
        *usable.entry(MerchantLabels { merchant_id }).or_default() +=
            f64::from(u8::from(is_usable));
    }
    usable
}

fn name_of(status: &GatewayStatus) -> MerchantNameLabels {
    MerchantNameLabels {
        merchant_id: status.merchant.to_string(),
        name: status.merchant_name.clone(),
    }
}

/// Returns the labels of a gateway account.
pub(crate) fn account_of(status: &GatewayStatus) -> GatewayAccountLabels {
    GatewayAccountLabels {
        merchant_id: status.merchant.to_string(),
        gateway: Gateway::from_id(status.gateway_id).map_or("", Gateway::name),
        gateway_account: status.reference_id.clone(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::DateTime;
    use khata_domain::MerchantId;
    use khata_domain::events::{DisabledBy, EndpointId};
    use prometheus_client::registry::Registry;

    use super::*;

    /// One merchant with three gateway accounts and two states.
    pub(crate) fn example() -> DatabaseMetrics {
        let merchant = MerchantId(uuid::Uuid::nil());
        let unfinished = |state: ValidationState, count, stuck, oldest_seconds| OpenValidations {
            merchant,
            state,
            count,
            stuck,
            set_aside: 0,
            oldest_seconds,
            overdue_seconds: oldest_seconds / 2.0,
        };
        let status = |name: &str, is_down, pinned_only| GatewayStatus {
            merchant,
            gateway_id: Gateway::Cashfree.id(),
            reference_id: name.to_owned(),
            merchant_name: "shop".to_owned(),
            is_down,
            is_paused: false,
            is_misconfigured: false,
            pinned_only,
        };
        let known = Known {
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
            budgets: vec![Budget {
                merchant,
                merchant_name: "shop".to_owned(),
                used_share: 1.004,
            }],
            disabled_endpoints: vec![DisabledEndpoint {
                merchant,
                merchant_name: "shop".to_owned(),
                id: EndpointId(uuid::Uuid::nil()),
                disabled_by: DisabledBy::Gone,
                disabled_at: DateTime::UNIX_EPOCH,
            }],
            held_back_seconds: 75.5,
            expiring_keys: vec![ExpiringKeys { merchant, keys: 2 }],
            in_review: vec![AccountsInReview {
                merchant,
                count: 3,
                oldest_seconds: 86_400.0,
            }],
            deliveries: [(false, false), (false, true), (true, true)]
                .map(|(is_disabled, is_failing)| OpenDeliveries {
                    is_disabled,
                    is_failing,
                    due: 3,
                    started: 1,
                    waiting: 2,
                    overdue_seconds: if is_failing { 900.0 } else { 0.25 },
                })
                .to_vec(),
            encryptions: vec![(1, 3_000_000_000)],
        };
        DatabaseMetrics {
            known: Mutex::new(Some(known)),
            ..DatabaseMetrics::default()
        }
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
            format!(
                "khata_merchant_penny_drop_budget_used_ratio{{merchant_id=\"{merchant}\"}} 1.004"
            ),
            format!("khata_merchant_api_keys_expiring{{merchant_id=\"{merchant}\"}} 2.0"),
            format!("khata_merchant_accounts_in_review{{merchant_id=\"{merchant}\"}} 3.0"),
            format!(
                "khata_merchant_oldest_review_age_seconds{{merchant_id=\"{merchant}\"}} 86400.0"
            ),
            "khata_encryption_key_encryptions{key_id=\"1\"} 3000000000.0".to_owned(),
            "khata_events_held_back_age_seconds 75.5".to_owned(),
            "khata_webhook_deliveries_open{state=\"due\"} 6.0".to_owned(),
            "khata_webhook_deliveries_open{state=\"started\"} 2.0".to_owned(),
            "khata_webhook_deliveries_open{state=\"waiting\"} 4.0".to_owned(),
            "khata_webhook_deliveries_open{state=\"disabled\"} 6.0".to_owned(),
            "khata_webhook_oldest_due_age_seconds{endpoint=\"working\"} 0.25".to_owned(),
            "khata_webhook_oldest_due_age_seconds{endpoint=\"failing\"} 900.0".to_owned(),
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
        if let Some(known) = metrics.known.lock().unwrap().as_mut() {
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
