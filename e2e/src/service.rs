//! A running `khata-api` or `khata-worker`.

use std::path::{Path, PathBuf};

use crate::process::{Process, path_of};
use crate::settings::{Settings, settings};

/// A running service and its addresses.
#[derive(Debug)]
pub struct Service {
    pub process: Process,
    /// `http://127.0.0.1:<port>`
    pub url: String,
    /// Address of `/metrics`: `127.0.0.1:<port>`
    pub metrics: String,
}

impl Service {
    /// Starts `khata-api` on free ports. `stem` is the path of its log and port files without an ending.
    pub(crate) async fn start_api(
        program: &Path,
        own: Settings,
        stem: &Path,
    ) -> anyhow::Result<Self> {
        let metrics_port_file = stem.with_extension("metrics-port");
        let metrics = metrics_port_file.to_string_lossy().into_owned();
        let more = [("KHATA_METRICS_PORT_FILE", metrics.as_str())];
        let own = [own, settings(&more)].concat();
        let mut service = Self::start(program, &["serve"], "KHATA_LISTEN", own, stem).await?;
        let port = service.process.port(&metrics_port_file).await?;
        service.metrics = format!("127.0.0.1:{port}");
        Ok(service)
    }

    /// Starts `khata-worker` on a free port, which serves its health and its metrics.
    pub(crate) async fn start_worker(
        program: &Path,
        own: Settings,
        stem: &Path,
    ) -> anyhow::Result<Self> {
        Self::start(program, &[], "KHATA_WORKER_LISTEN", own, stem).await
    }

    async fn start(
        program: &Path,
        arguments: &[&str],
        listen: &str,
        own: Settings,
        stem: &Path,
    ) -> anyhow::Result<Self> {
        let port_file = stem.with_extension("port");
        let more = [
            (listen, "127.0.0.1:0"),
            ("KHATA_PORT_FILE", &port_file.to_string_lossy()),
        ];
        // Later settings win: those of a test may name an address.
        let all = [settings(&more), own].concat();
        let log = stem.with_extension("log");
        let mut process = Process::start_file(program, arguments, &all, &log)?;
        let port = process.port(&port_file).await?;
        Ok(Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            metrics: format!("127.0.0.1:{port}"),
        })
    }
}

/// Returns the path of a program: in the folder of another release, or as cargo built it.
pub(crate) fn program_in(release: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    release.map_or_else(|| path_of(name), |folder| Ok(folder.join(name)))
}
