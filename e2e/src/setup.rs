//! What a test wants of its stack.

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Processes of `khata-api`.
    pub apis: usize,
    /// Processes of `khata-worker`.
    pub workers: usize,
    /// Whether there is a trace viewer, and the services send their spans to it.
    pub traces: bool,
    /// Whether proxies stand in front of Postgres, RabbitMQ and the gateway.
    pub proxies: bool,
    /// `KHATA_LOG`
    pub log: &'static str,
    /// Longest gateway call, in milliseconds.
    pub call_timeout_ms: u64,
    /// More settings for both services.
    pub service_settings: &'static [(&'static str, &'static str)],
    /// More settings for the workers.
    pub worker_settings: &'static [(&'static str, &'static str)],
    /// Whether no other world of this test program stands at the same time: a load is put on it. A test that holds
    /// another world already would wait for itself.
    pub alone: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 1,
            traces: false,
            proxies: false,
            log: "info",
            call_timeout_ms: 3_000,
            service_settings: &[],
            worker_settings: &[],
            alone: false,
        }
    }
}
