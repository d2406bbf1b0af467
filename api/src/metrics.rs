//! What Prometheus reads of `khata-api`: the calls it answered, what it took in, and how its parts fare. Labels are bounded:
//! routes by their template, merchants that ops people made, everything else one of a few words. `docs/metrics.md` lists all.

mod listen;

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use khata_crypto::RotateBy;
use khata_domain::{Gateway, MerchantId};
use khata_queue::WakeupCounts;
use khata_store::Pool;
use khata_telemetry::metrics::{
    BATCH_SIZES, Buckets, Build, COMMIT_SECONDS, Exemplar, Times, register_pool,
    register_rotate_by, registry, text,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::error::ApiError;

pub(crate) use listen::serve;

/// Seconds: a call answers within milliseconds; one that waits for outcomes within its `wait_seconds`.
const REQUEST_SECONDS: Buckets = Buckets(&[
    0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
]);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    route: String,
    method: &'static str,
    /// Whether the call waited for outcomes: its time is then a gateway's.
    waits: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status_class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMerchant {
    merchant_id: String,
    status_class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Accepted {
    merchant_id: String,
    kind: &'static str,
    how: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limited {
    merchant_id: String,
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallBack {
    gateway: &'static str,
    result: &'static str,
}

/// How a validation was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedBy {
    /// With a new account.
    Create,
    /// Of an account that was there.
    Validate,
}

/// One answered request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Its template, `/customers/{customer_id}/accounts`; `unmatched` where there is none.
    pub(crate) route: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) status: StatusCode,
    /// Whose key it carried, where that is known.
    pub(crate) merchant: Option<MerchantId>,
    pub(crate) waited: bool,
    pub(crate) took: Duration,
    /// W3C trace context of its span.
    pub(crate) trace_parent: Option<&'a str>,
    /// Why it was not done.
    pub(crate) error: Option<&'a ApiError>,
    /// Whether it is the answer to an earlier call with the same `Idempotency-Key`.
    pub(crate) replayed: bool,
}

/// One `khata-api`'s metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    times: Times<Timed>,
    in_flight: Gauge,
    of_merchants: Family<OfMerchant, Counter>,
    accepted: Family<Accepted, Counter>,
    limited: Family<Limited, Counter>,
    replays: Counter,
    waiters: Gauge,
    batches: Histogram,
    commits: Histogram,
    gateway_webhooks: Family<CallBack, Counter>,
}

impl Metrics {
    pub(crate) fn new(pool: Pool, wakeups: &WakeupCounts, rotate_by: RotateBy) -> Self {
        let metrics = Self {
            registry: registry(Build {
                service: "khata-api",
                version: khata_version::VERSION,
                commit: khata_version::COMMIT,
            }),
            requests: Family::default(),
            times: Times::new_with_constructor(REQUEST_SECONDS),
            in_flight: Gauge::default(),
            of_merchants: Family::default(),
            accepted: Family::default(),
            limited: Family::default(),
            replays: Counter::default(),
            waiters: Gauge::default(),
            batches: BATCH_SIZES.new_metric(),
            commits: COMMIT_SECONDS.new_metric(),
            gateway_webhooks: Family::default(),
        };
        let mut metrics = metrics.registered(pool, wakeups);
        if let Some(seconds) = rotate_by.unix_seconds() {
            register_rotate_by(&mut metrics.registry, seconds);
        }
        metrics
    }

    fn registered(mut self, pool: Pool, wakeups: &WakeupCounts) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "http_requests",
            "Requests that were answered",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From a request's head to its answer",
            Unit::Seconds,
            self.times.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "merchant_requests",
            "Requests with a good key that were answered",
            self.of_merchants.clone(),
        );
        registry.register(
            "validations_accepted",
            "Validations that were stored, to be carried out",
            self.accepted.clone(),
        );
        registry.register(
            "requests_limited",
            "Requests that were refused with 429",
            self.limited.clone(),
        );
        registry.register(
            "idempotent_replays",
            "Requests that were answered with what an earlier one with their Idempotency-Key was",
            self.replays.clone(),
        );
        registry.register(
            "outcome_waiters",
            "Validations whose outcome a call waits for",
            self.waiters.clone(),
        );
        registry.register(
            "create_batch_size",
            "Calls in one transaction of the group commit",
            self.batches.clone(),
        );
        registry.register_with_unit(
            "create_commit_duration",
            "How long one transaction of the group commit took",
            Unit::Seconds,
            self.commits.clone(),
        );
        registry.register(
            "wakeups",
            "Validations rung for, in messages that the broker confirmed",
            wakeups.published.clone(),
        );
        registry.register(
            "rings_lost",
            "Validations not rung for, as the broker was away or too much waited: the scheduler wakeups for them",
            wakeups.lost.clone(),
        );
        registry.register(
            "gateway_call_backs",
            "Call-backs of gateways, by what was done with them",
            self.gateway_webhooks.clone(),
        );
        register_pool(registry, move || khata_store::connections(&pool).into());
        self
    }

    /// Counts a request among those in flight until what it answers is dropped.
    pub(crate) fn begin(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    /// Where calls that wait count themselves.
    pub(crate) fn waiters(&self) -> Gauge {
        self.waiters.clone()
    }

    pub(crate) fn answered(&self, request: &Request<'_>) {
        let (method, status_class) = (method_of(request.method), class_of(request.status));
        self.requests
            .get_or_create(&Answered {
                route: request.route.to_owned(),
                method,
                status_class,
            })
            .inc();
        self.times
            .get_or_create(&Timed {
                route: request.route.to_owned(),
                method,
                waits: request.waited,
            })
            .observe(
                request.took.as_secs_f64(),
                Exemplar::of(request.trace_parent),
                None,
            );
        if request.replayed {
            self.replays.inc();
        }
        let Some(merchant) = request.merchant else {
            return;
        };
        let merchant_id = merchant.to_string();
        let limit = match request.error {
            Some(ApiError::TooManyRequests { .. }) => Some("requests_per_second"),
            Some(ApiError::TooManyValidations { .. }) => Some("validations_per_day"),
            _ => None,
        };
        if let Some(limit) = limit {
            self.limited
                .get_or_create(&Limited {
                    merchant_id: merchant_id.clone(),
                    limit,
                })
                .inc();
        }
        self.of_merchants
            .get_or_create(&OfMerchant {
                merchant_id,
                status_class,
            })
            .inc();
    }

    /// A validation was stored. `kind`: `BANK` or `UPI`.
    pub(crate) fn accepted(&self, merchant: MerchantId, kind: &'static str, how: AskedBy) {
        self.accepted
            .get_or_create(&Accepted {
                merchant_id: merchant.to_string(),
                kind,
                how: match how {
                    AskedBy::Create => "create",
                    AskedBy::Validate => "validate",
                },
            })
            .inc();
    }

    /// A group was committed.
    pub(crate) fn committed(&self, calls: usize, took: Duration) {
        #[allow(clippy::cast_precision_loss, reason = "256 at most")]
        self.batches.observe(calls as f64);
        self.commits.observe(took.as_secs_f64());
    }

    /// A gateway called back; `result` is what it was told, or why nothing was stored.
    pub(crate) fn webhook_received(&self, gateway: Gateway, result: &'static str) {
        self.gateway_webhooks
            .get_or_create(&CallBack {
                gateway: gateway.name(),
                result,
            })
            .inc();
    }

    /// In the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        text(&self.registry)
    }
}

/// One of those that a gauge counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn class_of(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// A client may call with any word.
fn method_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use khata_telemetry::metrics::page;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// Each metric has happened at least once.
    fn busy() -> Metrics {
        let pool = khata_store::open("postgres://nobody@127.0.0.1:9/none", "test", 7);
        let metrics = Metrics::new(pool, &WakeupCounts::default(), RotateBy::Unknown);
        let limited = ApiError::TooManyRequests { retry_after: 1 };
        metrics.answered(&Request {
            route: "/customers/{customer_id}/accounts",
            method: &Method::POST,
            status: StatusCode::TOO_MANY_REQUESTS,
            merchant: Some(MerchantId::new()),
            waited: false,
            took: Duration::from_millis(3),
            trace_parent: Some(TRACE),
            error: Some(&limited),
            replayed: true,
        });
        metrics.accepted(MerchantId::new(), "BANK", AskedBy::Create);
        metrics.committed(17, Duration::from_millis(4));
        metrics.webhook_received(Gateway::Cashfree, "received");
        metrics
    }

    #[test]
    fn the_page_lists_what_is_told() {
        let faults = page::differences(
            include_str!("../../docs/metrics.md"),
            "khata-api",
            &busy().text().unwrap(),
        );
        assert!(faults.is_empty(), "docs/metrics.md: {faults:#?}");
    }

    #[test]
    fn names_units_and_exemplars_are_as_prometheus_wants_them() {
        let metrics = busy();
        let flight = metrics.begin();
        let text = metrics.text().unwrap();
        for line in [
            "khata_http_requests_total{route=\"/customers/{customer_id}/accounts\",method=\"POST\",status_class=\"4xx\"} 1",
            "# UNIT khata_http_request_duration_seconds seconds",
            "khata_http_request_duration_seconds_bucket{le=\"0.005\",route=\"/customers/{customer_id}/accounts\",\
             method=\"POST\",waits=\"false\"} 1 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.003",
            "khata_http_requests_in_flight 1",
            "khata_create_batch_size_bucket{le=\"32.0\"} 1",
            "khata_idempotent_replays_total 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        drop(flight);
        assert!(
            metrics
                .text()
                .unwrap()
                .contains("khata_http_requests_in_flight 0\n")
        );
    }

    #[test]
    fn a_method_nobody_knows_makes_no_new_series() {
        let method = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(method_of(&method), "_OTHER");
        assert_eq!(method_of(&Method::DELETE), "DELETE");
    }
}
