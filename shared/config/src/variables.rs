//! Environment variables that are almost the name of a setting. A misspelt setting has no effect, and nothing else would say so.

/// The variables of all programs, as docs/settings.md lists them.
const SETTINGS: [&str; 38] = [
    "KHATA_ACTOR",
    "KHATA_API_CONNECTIONS",
    "KHATA_API_DOCS",
    "KHATA_API_DRAIN_SECONDS",
    "KHATA_API_THREADS",
    "KHATA_API_URL",
    "KHATA_AMQP_URL",
    "KHATA_DATABASE_URL",
    "KHATA_DELIVERY_CONCURRENCY",
    "KHATA_KEYRING",
    "KHATA_KEYRING_FILE",
    "KHATA_KEY_MAX_AGE_DAYS",
    "KHATA_LISTEN",
    "KHATA_LOG",
    "KHATA_LOG_FORMAT",
    "KHATA_METRICS_LISTEN",
    "KHATA_METRICS_PORT_FILE",
    "KHATA_OPERATOR_ALERTS_AUTHORIZATION_FILE",
    "KHATA_OPERATOR_ALERTS_URL",
    "KHATA_PORT_FILE",
    "KHATA_QUEUE_PREFIX",
    "KHATA_RUNBOOK_URL",
    "KHATA_SANDBOX_MODE",
    "KHATA_SCHEDULER_INTERVAL_MS",
    "KHATA_TIMEZONE",
    "KHATA_TRACES_MEMORY_BYTES",
    "KHATA_TRACES_PER_SECOND",
    "KHATA_TRACES_SLOW_MS",
    "KHATA_TRACE_CALLERS",
    "KHATA_VAULT_TOKEN_FILE",
    "KHATA_VAULT_TRANSIT_KEY",
    "KHATA_VAULT_URL",
    "KHATA_WEBHOOK_SECRET",
    "KHATA_WORKER_CONCURRENCY",
    "KHATA_WORKER_DRAIN_SECONDS",
    "KHATA_WORKER_LEASE_SECONDS",
    "KHATA_WORKER_LISTEN",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Letters by which a name may differ from a setting's. Scripts and other programs have variables too, which are further away.
const MAX_DISTANCE: usize = 2;

/// Logs each variable of the process that is almost the name of a setting. A warning only: after a rollback the environment may have a
/// setting of the newer release.
pub fn warn_of_misspelt() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (name, meant) in misspelt(names) {
        tracing::warn!("setting ignored: {name} is not a setting; did you mean {meant}?");
    }
}

fn misspelt(names: impl IntoIterator<Item = String>) -> Vec<(String, &'static str)> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_unstable();
    names
        .into_iter()
        .filter(|name| {
            let ours = name.starts_with("KHATA_") || name.starts_with("OTEL_EXPORTER_OTLP_");
            ours && !SETTINGS.contains(&name.as_str())
        })
        .filter_map(|name| {
            let distance = |setting: &&str| strsim::levenshtein(&name, setting);
            let meant = SETTINGS.into_iter().min_by_key(distance)?;
            (distance(&meant) <= MAX_DISTANCE).then_some((name, meant))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<(String, &'static str)> {
        misspelt(names.iter().copied().map(str::to_owned))
    }

    #[test]
    fn every_setting_of_the_page_is_known() {
        let page = include_str!("../../../docs/settings.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut listed: Vec<&str> = rows
            .filter_map(|row| Some(row.split_once('`')?.0))
            .collect();
        let mut known = SETTINGS.to_vec();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_misspelt_setting_is_found_with_its_right_name() {
        assert_eq!(
            found(&["PATH", "KHATA_LOG", "KHATA_WORKER_CONCURENCY", "KHATA_LOGS"]),
            [
                ("KHATA_LOGS".to_owned(), "KHATA_LOG"),
                (
                    "KHATA_WORKER_CONCURENCY".to_owned(),
                    "KHATA_WORKER_CONCURRENCY"
                ),
            ]
        );
    }

    #[test]
    fn variables_of_scripts_and_of_kubernetes_are_no_settings() {
        let others = [
            "KHATA_API_KEY",
            "KHATA_API_PORT",
            "KHATA_API_PORT_80_TCP",
            "KHATA_API_SERVICE_HOST",
            "KHATA_IMAGES",
            "KHATA_LOCAL_DIR",
            "KHATA_METRICS_URL",
            "KHATA_OWNER_URL",
            "KHATA_PID_API",
            "KHATA_PORT_API",
            "KHATA_POSTGRES_URI",
            "KHATA_PROFILE",
            "KHATA_SANDBOX_SEED",
            "KHATA_SANDBOX_URL",
            "KHATA_TEST_AMQP_URL",
            "KHATA_TRACES_LISTEN",
            "KHATA_TRACES_URL",
            "KHATA_WORKER_SERVICE_PORT",
            "KHATA_WORKER_URL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ];
        assert_eq!(found(&others), []);
    }
}
