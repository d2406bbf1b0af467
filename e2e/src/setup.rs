//! The parts of a test stack.

#[derive(Clone, Debug)]
pub struct Setup {
    /// Number of `khata-api` processes.
    pub apis: usize,
    /// Number of `khata-worker` processes.
    pub workers: usize,
    /// Start a trace viewer, and let the services send their spans to it.
    pub traces: bool,
    /// Start proxies before Postgres, RabbitMQ, the gateway sandbox and the trace viewer.
    pub proxies: bool,
    /// Seed of the sandbox's random faults; without one, that of `KHATA_SANDBOX_SEED`, or a random one.
    pub sandbox_seed: Option<u64>,
    /// `KHATA_LOG`
    pub log: &'static str,
    /// Time-out of a gateway call, in milliseconds.
    pub call_timeout_ms: u64,
    /// More settings of all services.
    pub service_settings: &'static [(&'static str, &'static str)],
    /// More settings of the workers.
    pub worker_settings: &'static [(&'static str, &'static str)],
    /// Run no other stack of this test program at the same time, because the test measures under load. A test that has
    /// another stack already would wait for itself.
    pub alone: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 1,
            traces: false,
            proxies: false,
            sandbox_seed: None,
            log: "info",
            call_timeout_ms: 3_000,
            service_settings: &[],
            worker_settings: &[],
            alone: false,
        }
    }
}
