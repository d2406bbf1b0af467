//! Starting and stopping the services of a test stack, and changing the database that they use.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::TestStack;
use crate::database::{Database, as_role};
use crate::deadline::TIMEOUT;
use crate::queues::Queues;
use crate::service::{Service, program_in};
use crate::settings::{Settings, settings};

impl TestStack {
    /// Starts another `khata-api`; returns when it listens.
    pub async fn start_api(&mut self) -> anyhow::Result<&Service> {
        self.start_api_of(None).await
    }

    /// Starts another `khata-api` with these further settings; returns when it listens.
    pub async fn start_api_with(&mut self, more: &[(&str, &str)]) -> anyhow::Result<&Service> {
        self.start_api_as(None, settings(more)).await
    }

    /// Starts the `khata-api` of another release, found in this folder.
    pub async fn start_api_of(&mut self, release: Option<&Path>) -> anyhow::Result<&Service> {
        self.start_api_as(release, Settings::new()).await
    }

    async fn start_api_as(
        &mut self,
        release: Option<&Path>,
        more: Settings,
    ) -> anyhow::Result<&Service> {
        let program = program_in(release, "khata-api")?;
        let own = [self.service_settings("khata_api"), more].concat();
        let stem = self.next_stem("khata-api");
        let service = Service::start_api(&program, own, &stem).await?;
        if self.apis.is_empty() {
            self.api.url.clone_from(&service.url);
        }
        self.apis.push(service);
        self.apis.last().context("just pushed")
    }

    /// Starts another `khata-worker`; returns when it listens.
    pub async fn start_worker(&mut self) -> anyhow::Result<&Service> {
        self.start_worker_of(None).await
    }

    /// Starts another `khata-worker` with these further settings; returns when it listens.
    pub async fn start_worker_with(&mut self, more: &[(&str, &str)]) -> anyhow::Result<&Service> {
        self.start_worker_as(None, settings(more)).await
    }

    /// Starts the `khata-worker` of another release, found in this folder.
    pub async fn start_worker_of(&mut self, release: Option<&Path>) -> anyhow::Result<&Service> {
        self.start_worker_as(release, Settings::new()).await
    }

    async fn start_worker_as(
        &mut self,
        release: Option<&Path>,
        more: Settings,
    ) -> anyhow::Result<&Service> {
        let program = program_in(release, "khata-worker")?;
        let own = [
            self.service_settings("khata_worker"),
            self.worker_settings.clone(),
            more,
        ]
        .concat();
        let stem = self.next_stem("khata-worker");
        let service = Service::start_worker(&program, own, &stem).await?;
        self.workers.push(service);
        self.workers.last().context("just pushed")
    }

    /// Returns the settings of a service that connects to the database in this role.
    fn service_settings(&self, role: &str) -> Settings {
        let url = as_role(&self.postgres, role);
        let database = settings(&[("KHATA_DATABASE_URL", url.as_str())]);
        [self.services.clone(), database].concat()
    }

    /// Returns the path of the next process's files, without an ending.
    pub(super) fn next_stem(&mut self, program: &str) -> PathBuf {
        self.started += 1;
        self.folder.join(format!("{program}-{}", self.started))
    }

    /// Stops all workers, then all `khata-api`, with SIGTERM.
    pub async fn stop_services(&mut self) -> anyhow::Result<()> {
        for mut service in self.workers.drain(..).chain(self.apis.drain(..)) {
            service.process.terminate()?;
            service.process.wait(TIMEOUT).await?;
        }
        Ok(())
    }

    /// Makes services that start from now on use this database and new queues, as after a restore. Returns the old
    /// database.
    pub fn use_database(&mut self, database: Database) -> Database {
        self.queues = Queues::create();
        self.postgres = database.url.clone();
        // Later settings win.
        self.services
            .extend(settings(&[("KHATA_QUEUE_PREFIX", self.queues.prefix())]));
        std::mem::replace(&mut self.database, database)
    }

    /// Gives services that start from now on these settings, or takes them away (`None`).
    pub fn change_settings(&mut self, changes: &[(&str, Option<&str>)]) {
        for (name, value) in changes {
            self.services.retain(|(known, _)| known != name);
            let value = value.map(|value| ((*name).to_owned(), value.to_owned()));
            self.services.extend(value);
        }
    }

    /// Returns the logs of all services, those of killed ones included.
    pub fn logs(&self) -> anyhow::Result<String> {
        let mut all = String::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_service = name.starts_with("khata-api-") || name.starts_with("khata-worker-");
            if is_service && path.extension().is_some_and(|extension| extension == "log") {
                all.push_str(&std::fs::read_to_string(&path)?);
            }
        }
        Ok(all)
    }
}
