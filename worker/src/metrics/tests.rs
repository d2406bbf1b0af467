use std::time::Instant;

use khata_domain::ValidationKey;
use khata_domain::validation::{AttemptEnd, FailureCode};
use khata_domain::{Class, GatewayResponse, ValidationId};
use khata_store::validations::{AttemptReport, LeaseToken, Provenance};
use khata_telemetry::metrics::page;

use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn account() -> GatewayAccountLabels {
    GatewayAccountLabels {
        merchant_id: "mer_1".to_owned(),
        gateway: "CASHFREE",
        gateway_account: "cf_main".to_owned(),
    }
}

fn settlement(next: Next, method: Method, class: Class) -> Settlement {
    let key = ValidationKey {
        merchant: MerchantId::new(),
        id: ValidationId::new(),
    };
    let state = match next {
        Next::Complete { .. } => AttemptState::Settled,
        Next::Wait { .. } => AttemptState::Pending,
    };
    Settlement {
        attempt: Some(AttemptReport {
            number: 1,
            end: AttemptEnd {
                state,
                class: Some(class),
                code: "ACCOUNT_IS_VALID".into(),
            },
            gateway_reference: None,
            polls: 0,
            latency_ms: Some(20),
            unlisted_code: false,
            failure: None,
            not_understood: Vec::new(),
            webhook_gateway_account: None,
        }),
        provenance: Some(Provenance {
            gateway_id: Gateway::Cashfree.id(),
            gateway_reference_id: "cf_main".into(),
            method,
        }),
        ..Settlement::without_attempt(key, LeaseToken(uuid::Uuid::new_v4()), next, Duration::ZERO)
    }
}

fn timeline(now: DateTime<Utc>, created: i64, received: i64) -> Timeline {
    Timeline {
        created_at: now - TimeDelta::milliseconds(created),
        received_at: now - TimeDelta::milliseconds(received),
        trace_parent: Some(TRACE.to_owned()),
    }
}

fn valid() -> Next {
    Next::Complete {
        outcome: Outcome::Valid,
        failure: None,
    }
}

fn metrics() -> Metrics {
    let pool = khata_store::open("postgres://nobody@127.0.0.1:9/none", "test", 5);
    Metrics::new(
        pool,
        Arc::new(ConsumerLoad::new(512)),
        Arc::new(crate::database_metrics::tests::example()),
        RotateBy::Unknown,
    )
}

#[track_caller]
fn contains(metrics: &Metrics, lines: &[&str]) {
    let text = metrics.text().unwrap();
    for line in lines {
        assert!(
            text.lines().any(|exported| exported == *line),
            "{line}\n{text}"
        );
    }
}

#[test]
fn the_page_lists_every_metric() {
    let (metrics, now) = (metrics(), Utc::now());
    metrics.claimed(ClaimResult::Claimed);
    metrics.committed(3, 2, Duration::from_millis(2));
    metrics.settled(
        &settlement(valid(), Method::PennyDrop, Class::Valid),
        &timeline(now, 900, 10),
        now,
    );
    metrics.no_gateway(MerchantId::new());
    metrics.postponed(account(), PostponeReason::Rate);
    metrics.wakeups_published(WakeupReason::Lost, 2);
    metrics.queue_depth("validations", 4);
    metrics.clock_offset(TimeDelta::milliseconds(20));
    let unlisted = GatewayResponse {
        unlisted: true,
        not_understood: vec!["utr".to_owned()],
        ..GatewayResponse::of(Class::Inconclusive, "UNKNOWN_CODE")
    };
    metrics.called(
        account(),
        Method::PennyDrop,
        &Ok(unlisted),
        Duration::from_millis(40),
        Some(TRACE),
    );
    assert!(
        metrics
            .text()
            .unwrap()
            .contains("khata_gateway_fields_not_understood_total{merchant_id=")
    );
    metrics.webhook_used(Gateway::Setu);
    metrics.attempted(AttemptResult::Failed, Some("timeout"));
    metrics.attempt_repeated();
    metrics.first_attempt(TimeDelta::milliseconds(20), Some(TRACE));
    metrics.endpoint_disabled(DisabledBy::Failing);
    metrics.endpoints(1, 0, 0, 0);
    metrics
        .possible_double_drops
        .get_or_create(&account())
        .inc();
    metrics.alerts_posted(true);
    let differences = page::differences(
        include_str!("../../../docs/metrics.md"),
        "khata-worker",
        &metrics.text().unwrap(),
    );
    assert!(differences.is_empty(), "docs/metrics.md: {differences:#?}");
}

#[test]
fn a_completed_validation_is_counted_with_its_times_and_its_trace() {
    let (metrics, now) = (metrics(), Utc::now());
    metrics.settled(
        &settlement(valid(), Method::PennyDrop, Class::Valid),
        &timeline(now, 900, 200),
        now,
    );
    let failed = Next::Complete {
        outcome: Outcome::Invalid,
        failure: Some(FailureCode::InvalidAccount),
    };
    let failed = settlement(failed, Method::VpaLookup, Class::Invalid);
    metrics.settled(&failed, &timeline(now, 900, 20), now);
    let unavailable = Next::Complete {
        outcome: Outcome::Unavailable,
        failure: Some(FailureCode::ValidationUnavailable),
    };
    metrics.settled(
        &settlement(unavailable, Method::PennyDrop, Class::Retryable),
        &timeline(now, 900, 20),
        now,
    );
    let pending = Next::Wait {
        until: now,
        pending: true,
        reason: khata_domain::PendingReason::AwaitingGatewayResult,
    };
    metrics.settled(
        &settlement(pending, Method::PennyDrop, Class::Pending),
        &timeline(now, 900, 20),
        now,
    );
    metrics.count_settlement(SettleResult::LeaseLost);
    let merchant = failed.key.merchant;
    contains(
        &metrics,
        &[
            "khata_settles_total{result=\"completed\"} 3",
            "khata_settles_total{result=\"waiting\"} 1",
            "khata_settles_total{result=\"lease_lost\"} 1",
            &format!(
                "khata_validations_completed_total{{merchant_id=\"{merchant}\",outcome=\"INVALID\",failure=\"{}\"}} 1",
                FailureCode::InvalidAccount.as_str()
            ),
            "khata_settle_delay_seconds_count 2",
            "khata_validation_duration_seconds_count{outcome=\"VALID\"} 1",
        ],
    );
    let exemplar = "khata_settle_delay_seconds_bucket{le=\"0.05\"} 1 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.02";
    // Neither the VPA lookup nor the pending validation paid a rupee.
    let text = metrics.text().unwrap();
    assert!(text.contains(exemplar), "{text}");
    let drops: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("khata_gateway_penny_drops_completed_total"))
        .collect();
    assert_eq!(drops.len(), 1, "{drops:?}");
    assert!(
        drops[0].contains("gateway_account=\"cf_main\",class=\"VALID\"} 1"),
        "{drops:?}"
    );
}

#[test]
fn an_unknown_queue_depth_is_not_exported() {
    let metrics = metrics();
    metrics.queue_depth("validations", 7);
    metrics.queue_depth("dead_letters", 1);
    contains(
        &metrics,
        &[
            "khata_queue_messages{queue=\"validations\"} 7",
            "khata_queue_messages{queue=\"dead_letters\"} 1",
            "khata_validations_in_progress 0",
            "khata_validations_in_progress_max 576",
            "khata_validations_queued 0",
            "khata_broker_connected 0",
        ],
    );
    metrics.queues.clear();
    assert!(!metrics.text().unwrap().contains("khata_queue_messages{"));
}

/// With every series of a large installation, a scrape must stay cheap.
#[test]
fn a_thousand_gateway_accounts_are_exported_within_a_second() {
    let metrics = metrics();
    for number in 0..1_000 {
        let account = GatewayAccountLabels {
            gateway_account: format!("account_{number}"),
            ..account()
        };
        metrics.called(
            account,
            Method::PennyDrop,
            &Ok(GatewayResponse::of(Class::Valid, "OK")),
            Duration::from_millis(40),
            None,
        );
    }
    // A busy machine may delay some of them.
    let took = [(); 10].map(|()| {
        let started = Instant::now();
        let text = metrics.text().unwrap();
        assert!(text.lines().count() > 2_000);
        started.elapsed()
    });
    let fastest = took.iter().min().unwrap();
    assert!(*fastest < Duration::from_secs(1), "{took:?}");
}
