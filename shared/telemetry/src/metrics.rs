//! Metrics that both services share: build, database connections, and histograms with example traces. `docs/metrics.md` lists
//! every metric; [`page`] compares the two.

mod declare;
#[doc(hidden)]
pub mod page;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Content type of the metrics text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The running build.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Build {
    /// `khata-api` or `khata-worker`.
    pub service: &'static str,
    pub version: &'static str,
    pub commit: &'static str,
}

/// Creates a registry with the prefix `khata_` and the build info.
pub fn registry(build: Build) -> Registry {
    let mut registry = Registry::with_prefix("khata");
    registry.register("build", "What runs", Info::new(build));
    registry
}

/// Formats the registry as OpenMetrics text.
pub fn text(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// The recorded trace of one observation, which Grafana links to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Exemplar {
    trace_id: String,
}

impl Exemplar {
    /// Makes the exemplar of a W3C `traceparent`, if its trace is recorded.
    pub fn of(trace_parent: Option<&str>) -> Option<Self> {
        let trace_id = crate::recorded_trace_id(trace_parent?)?.to_owned();
        Some(Self { trace_id })
    }
}

/// Upper bounds of a histogram's buckets.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(pub &'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl MetricConstructor<HistogramWithExemplars<Exemplar>> for Buckets {
    fn new_metric(&self) -> HistogramWithExemplars<Exemplar> {
        HistogramWithExemplars::new(self.0.iter().copied())
    }
}

/// Histograms by labels.
pub type Histograms<L> = Family<L, Histogram, Buckets>;
/// Histograms of seconds by labels, with the newest trace of each bucket.
pub type Times<L> = Family<L, HistogramWithExemplars<Exemplar>, Buckets>;

/// Buckets for the requests in one transaction of a lane: at most `group_commit::MAX_BATCH`.
pub const BATCH_SIZES: Buckets =
    Buckets(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 192.0, 256.0]);
/// Buckets for the seconds of a lane's transaction.
pub const COMMIT_SECONDS: Buckets = Buckets(&[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
]);

/// Registers the time by which the encryption key must be replaced, in Unix seconds; 0: the key's age is unknown.
pub fn register_rotate_by(registry: &mut Registry, seconds: i64) {
    registry.register_with_unit(
        "encryption_key_rotate_by_timestamp",
        "Time by which the encryption key must be replaced, in Unix time; 0: the age of the key is unknown",
        Unit::Seconds,
        ConstGauge::new(seconds),
    );
}

/// Registers the number of connections to Postgres, which `count` reads at each scrape: open, idle, at most, and those that the
/// process has closed because their server stopped responding.
pub fn register_pool(
    registry: &mut Registry,
    count: impl Fn() -> (u32, u32, u32, u64) + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(PoolCollector(Box::new(count))));
}

struct PoolCollector(Box<dyn Fn() -> (u32, u32, u32, u64) + Send + Sync>);

impl std::fmt::Debug for PoolCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PoolCollector")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionState {
    state: &'static str,
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let (open, idle, max, closed) = (self.0)();
        let mut metric = encoder.encode_descriptor(
            "database_connections",
            "Connections to Postgres that this process has",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in [("in_use", open.saturating_sub(idle)), ("idle", idle)] {
            ConstGauge::new(count).encode(metric.encode_family(&ConnectionState { state })?)?;
        }
        let most = encoder.encode_descriptor(
            "database_connections_max",
            "Connections to Postgres that this process may have",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(max).encode(most)?;
        let given_up = encoder.encode_descriptor(
            "database_connections_closed",
            "Connections to Postgres that this process closed, because the server did not respond to a statement",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(closed).encode(given_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: Build = Build {
        service: "khata-test",
        version: "0.1.0",
        commit: "0123abcd",
    };

    #[test]
    fn an_observation_has_an_exemplar_if_its_trace_is_recorded() {
        let mut registry = registry(BUILD);
        let times: Times<ConnectionState> = Times::new_with_constructor(COMMIT_SECONDS);
        registry.register("waits", "Waits", times.clone());
        let recorded = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let unrecorded = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00";
        let of_state = times.get_or_create(&ConnectionState { state: "idle" });
        of_state.observe(0.004, Exemplar::of(Some(recorded)), None);
        of_state.observe(0.04, Exemplar::of(Some(unrecorded)), None);
        of_state.observe(0.04, Exemplar::of(None), None);
        drop(of_state);
        let text = text(&registry).unwrap();
        for line in [
            "khata_build_info{service=\"khata-test\",version=\"0.1.0\",commit=\"0123abcd\"} 1",
            "khata_waits_bucket{le=\"0.005\",state=\"idle\"} 1 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.004",
            "khata_waits_bucket{le=\"0.05\",state=\"idle\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn connections_in_use_are_the_ones_that_are_not_idle() {
        let mut registry = registry(BUILD);
        register_pool(&mut registry, || (2, 1, 3, 4));
        let text = text(&registry).unwrap();
        for line in [
            "khata_database_connections_max 3\n",
            "khata_database_connections_closed_total 4\n",
            "khata_database_connections{state=\"in_use\"} 1\n",
            "khata_database_connections{state=\"idle\"} 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
