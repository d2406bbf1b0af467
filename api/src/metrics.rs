//! Metrics of `khata-api` for Prometheus: replies, accepted validations, and the state of its parts. Labels are bounded:
//! routes are templates, operators create the merchants, and every other label has a few values. `docs/metrics.md` lists all.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use khata_crypto::RotateBy;
use khata_domain::{AccountKind, Gateway, MerchantId, words};
use khata_queue::WakeupCounts;
use khata_store::Pool;
use khata_telemetry::metrics::{
    BATCH_SIZES, Buckets, Build, COMMIT_SECONDS, Exemplar, Times, register_pool,
    register_rotate_by, registry,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::error::ApiError;

/// Seconds. Most replies take milliseconds; a call that waits for outcomes takes up to its `wait_seconds`.
const REQUEST_SECONDS: Buckets = Buckets(&[
    0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
]);

khata_telemetry::metrics! {
    /// The metrics of one `khata-api`.
    #[derive(Debug)]
    #[allow(dead_code, reason = "the wake-up publisher counts its own metrics")]
    pub(crate) struct Metrics(wakeups: &WakeupCounts);
    requests: Family<RequestLabels, Counter> = Family::default(),
        "http_requests", "Requests answered",
        by RequestLabels { route: String, method: &'static str, status_class: &'static str };
    times: Times<TimeLabels> = Times::new_with_constructor(REQUEST_SECONDS),
        "http_request_duration" in Seconds, "Time from the head of a request to its reply",
        by TimeLabels { route: String, method: &'static str, waits: bool };
    in_flight: Gauge = Gauge::default(),
        "http_requests_in_flight", "Requests in progress";
    by_merchant: Family<MerchantLabels, Counter> = Family::default(),
        "merchant_requests", "Requests with a valid key answered",
        by MerchantLabels { merchant_id: String, status_class: &'static str };
    accepted: Family<AcceptedLabels, Counter> = Family::default(),
        "validations_accepted", "Validations stored",
        by AcceptedLabels { merchant_id: String, kind: &'static str, how: &'static str };
    limited: Family<LimitedLabels, Counter> = Family::default(),
        "requests_limited", "Requests rejected with 429",
        by LimitedLabels { merchant_id: String, limit: &'static str };
    authentication_failures: Family<AuthenticationLabels, Counter> = Family::default(),
        "authentication_failures", "Requests rejected with 401",
        by AuthenticationLabels { reason: &'static str };
    replays: Counter = Counter::default(),
        "idempotent_replays", "Requests answered with the reply of an earlier call with the same Idempotency-Key";
    waiters: Gauge = Gauge::default(),
        "outcome_waiters", "Validations whose outcome a call waits for";
    batches: Histogram = BATCH_SIZES.new_metric(),
        "create_batch_size", "Calls in one transaction of the group commit";
    commits: Histogram = COMMIT_SECONDS.new_metric(),
        "create_commit_duration" in Seconds, "Time of one transaction of the group commit";
    wakeups_published: Counter = wakeups.published.clone(),
        "wakeups", "Wake-ups published in messages that the broker confirmed";
    wakeups_lost: Counter = wakeups.lost.clone(),
        "wakeups_lost", "Wake-ups not published because the broker was away or the queue was full; the scheduler publishes them later";
    clock_offset: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default(),
        "clock_offset" in Seconds, "Time by which this machine's clock is ahead of Postgres's";
    lists: Family<ListLabels, Gauge> = Family::default(),
        "list_timestamp" in Seconds, "Day of a list that is part of this program, in Unix time",
        by ListLabels { list: &'static str };
    gateway_webhooks: Family<WebhookLabels, Counter> = Family::default(),
        "gateway_webhooks", "Gateway webhooks by result",
        by WebhookLabels { gateway: &'static str, result: &'static str };
    webhook_fields: Family<FieldLabels, Counter> = Family::default(),
        "gateway_webhook_fields_not_understood", "Fields of gateway webhooks that could not be read, and were left out",
        by FieldLabels { merchant_id: String, gateway: &'static str, gateway_account: String, field: String };
}

words! {
    /// The call that started a validation.
    StartedBy {
        Create = "create",
        Validate = "validate",
    }
}

words! {
    /// Why a request was rejected with 401.
    AuthenticationFailure {
        NoKey = "no_key",
        Malformed = "malformed",
        OtherMode = "other_mode",
        UnknownKey = "unknown_key",
        BadSignature = "bad_signature",
    }
}

/// One request and its reply.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Template of the route, `/customers/{customer_id}/accounts`; `unmatched` if there is none.
    pub(crate) route: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) status: StatusCode,
    /// The merchant of a valid key.
    pub(crate) merchant: Option<MerchantId>,
    pub(crate) waited: bool,
    pub(crate) took: Duration,
    /// W3C trace context of the request's span.
    pub(crate) trace_parent: Option<&'a str>,
    pub(crate) error: Option<&'a ApiError>,
    /// Whether the reply is that of an earlier call with the same `Idempotency-Key`.
    pub(crate) replayed: bool,
}

impl Metrics {
    pub(crate) fn new(pool: Pool, wakeups: &WakeupCounts, rotate_by: RotateBy) -> Self {
        let mut metrics = Self::register(
            registry(Build {
                service: "khata-api",
                version: khata_version::VERSION,
                commit: khata_version::COMMIT,
            }),
            wakeups,
        );
        register_pool(&mut metrics.registry, move || {
            khata_store::connections(&pool)
        });
        if let Some(seconds) = rotate_by.unix_seconds() {
            register_rotate_by(&mut metrics.registry, seconds);
        }
        for (list, day) in [
            ("ifsc", khata_ifsc::list_date()),
            ("upi_handles", khata_ifsc::HANDLES_DATE),
        ] {
            // Both are constants, whose form a test checks.
            if let Ok(day) = day.parse::<NaiveDate>() {
                let seconds = day.and_time(NaiveTime::MIN).and_utc().timestamp();
                metrics
                    .lists
                    .get_or_create(&ListLabels { list })
                    .set(seconds);
            }
        }
        metrics
    }

    pub(crate) fn answered(&self, request: &Request<'_>) {
        let (method, status_class) = (method_label(request.method), status_class(request.status));
        let (route, waits) = (request.route.to_owned(), request.waited);
        let labels = RequestLabels {
            route: route.clone(),
            method,
            status_class,
        };
        self.requests.get_or_create(&labels).inc();
        let labels = TimeLabels {
            route,
            method,
            waits,
        };
        let exemplar = Exemplar::of(request.trace_parent);
        let times = self.times.get_or_create(&labels);
        times.observe(request.took.as_secs_f64(), exemplar, None);
        if request.replayed {
            self.replays.inc();
        }
        let Some(merchant) = request.merchant else {
            return;
        };
        let merchant_id = merchant.to_string();
        let limit = match request.error {
            Some(ApiError::TooManyRequests { .. }) => Some("requests_per_second"),
            Some(ApiError::TooMuchInProgress | ApiError::RepliesNotTaken) => Some("in_progress"),
            Some(ApiError::TooManyValidations { .. }) => Some("validations_per_day"),
            Some(ApiError::BudgetExhausted { .. }) => Some("penny_drops_per_day"),
            Some(ApiError::IdempotencyStorageFull) => Some("idempotency_storage"),
            _ => None,
        };
        if let Some(limit) = limit {
            let merchant_id = merchant_id.clone();
            let labels = LimitedLabels { merchant_id, limit };
            self.limited.get_or_create(&labels).inc();
        }
        let labels = MerchantLabels {
            merchant_id,
            status_class,
        };
        self.by_merchant.get_or_create(&labels).inc();
    }

    /// Counts a stored validation.
    pub(crate) fn accepted(&self, merchant: MerchantId, kind: AccountKind, by: StartedBy) {
        let labels = AcceptedLabels {
            merchant_id: merchant.to_string(),
            kind: kind.as_str(),
            how: by.as_str(),
        };
        self.accepted.get_or_create(&labels).inc();
    }

    /// Counts a group commit.
    pub(crate) fn committed(&self, calls: usize, took: Duration) {
        #[allow(clippy::cast_precision_loss, reason = "256 at most")]
        self.batches.observe(calls as f64);
        self.commits.observe(took.as_secs_f64());
    }

    /// Counts a request rejected with 401.
    pub(crate) fn authentication_failed(&self, why: AuthenticationFailure) {
        let reason = why.as_str();
        let labels = AuthenticationLabels { reason };
        self.authentication_failures.get_or_create(&labels).inc();
    }

    /// Records the time by which this machine's clock is ahead of Postgres's.
    pub(crate) fn compare_clock(&self, offset: TimeDelta) {
        self.clock_offset.set(offset.as_seconds_f64());
    }

    /// Returns Postgres's time, as far as the clocks were compared.
    pub(crate) fn database_time(&self) -> DateTime<Utc> {
        #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
        let offset = TimeDelta::milliseconds((1_000.0 * self.clock_offset.get()) as i64);
        Utc::now() - offset
    }

    /// Counts the fields of a webhook that could not be read.
    pub(crate) fn webhook_not_understood(
        &self,
        merchant: MerchantId,
        gateway: Gateway,
        gateway_account: &str,
        fields: &[String],
    ) {
        for field in fields {
            let labels = FieldLabels {
                merchant_id: merchant.to_string(),
                gateway: gateway.name(),
                gateway_account: gateway_account.to_owned(),
                field: field.clone(),
            };
            self.webhook_fields.get_or_create(&labels).inc();
        }
    }

    /// Counts a gateway webhook.
    pub(crate) fn webhook_received(&self, gateway: Gateway, result: &'static str) {
        let gateway = gateway.name();
        let labels = WebhookLabels { gateway, result };
        self.gateway_webhooks.get_or_create(&labels).inc();
    }
}

/// Increments a gauge until it is dropped.
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

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// The label of a method. Unknown methods share one label, because a client may send any word.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use khata_telemetry::metrics::page;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// Metrics with at least one sample each.
    fn sampled() -> Metrics {
        let pool = khata_store::open("postgres://khata@127.0.0.1:9/none", "test", 7);
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
        metrics.accepted(MerchantId::new(), AccountKind::Bank, StartedBy::Create);
        metrics.authentication_failed(AuthenticationFailure::UnknownKey);
        metrics.committed(17, Duration::from_millis(4));
        metrics.webhook_received(Gateway::Cashfree, "received");
        let fields = ["utr".to_owned()];
        metrics.webhook_not_understood(MerchantId::new(), Gateway::Cashfree, "main", &fields);
        metrics
    }

    #[test]
    fn the_metrics_page_lists_every_metric() {
        let faults = page::differences(
            include_str!("../../docs/metrics.md"),
            "khata-api",
            &sampled().text().unwrap(),
        );
        assert!(faults.is_empty(), "docs/metrics.md: {faults:#?}");
    }

    #[test]
    fn names_units_and_exemplars_follow_prometheus() {
        let metrics = sampled();
        let flight = Counted::new(&metrics.in_flight);
        let text = metrics.text().unwrap();
        for line in [
            "khata_http_requests_total{route=\"/customers/{customer_id}/accounts\",method=\"POST\",status_class=\"4xx\"} 1",
            "# UNIT khata_http_request_duration_seconds seconds",
            "khata_http_request_duration_seconds_bucket{le=\"0.005\",route=\"/customers/{customer_id}/accounts\",\
             method=\"POST\",waits=\"false\"} 1 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.003",
            "khata_http_requests_in_flight 1",
            "khata_create_batch_size_bucket{le=\"32.0\"} 1",
            "khata_idempotent_replays_total 1",
            "# UNIT khata_list_timestamp_seconds seconds",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
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
    fn an_unknown_method_creates_no_series() {
        let method = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(method_label(&method), "_OTHER");
        assert_eq!(method_label(&Method::DELETE), "DELETE");
    }
}
