//! `khata webhook enable`, `disable` and `delete`.

use anyhow::bail;
use diesel::Connection;
use khata_domain::events::DisabledBy;
use khata_store::audit::{Changes, record};
use khata_store::webhooks::{self, shown_url};
use serde_json::json;

use super::list::json_of;
use super::set::CHANGED_MEANWHILE;
use super::settings::audited;
use super::which::{FoundEndpoint, WhichEndpoint};
use crate::options::OperatorOptions;
use crate::output::time;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Switch {
    #[command(flatten)]
    which: WhichEndpoint,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Switch {
    pub(super) fn enable(self) -> anyhow::Result<()> {
        self.switch(true)
    }

    pub(super) fn disable(self) -> anyhow::Result<()> {
        self.switch(false)
    }

    fn switch(self, enabled: bool) -> anyhow::Result<()> {
        let (which, actor) = (self.which, self.operator.actor()?);
        let (mut connection, found) = which.find()?;
        let FoundEndpoint { merchant, endpoint } = &found;
        let key = endpoint.key();
        let changed = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let (changed, action) = if enabled {
                (webhooks::enable(connection, key)?, "webhook.enable")
            } else {
                let by = DisabledBy::Operator;
                (webhooks::disable(connection, key, by)?, "webhook.disable")
            };
            if changed.is_some() {
                let (subject, about) = (
                    endpoint.id.to_string(),
                    json!({ "url": shown_url(&endpoint.url) }),
                );
                let changes = Changes::of("enabled", !enabled, enabled);
                record(
                    connection,
                    merchant.id,
                    &actor,
                    action,
                    &subject,
                    about,
                    &changes,
                )?;
            }
            Ok(changed)
        })?;
        let (name, is_changed) = (found.name(), changed.is_some());
        let sentence = match (enabled, is_changed) {
            (_, false) => format!(
                "Nothing to change: {name} is already {}.",
                if enabled { "enabled" } else { "disabled" }
            ),
            (false, true) => format!(
                "Disabled {name}. Calls end within five seconds. Open deliveries stay; `khata webhook enable` continues them."
            ),
            (true, true) => {
                let missed = endpoint.disabled_at.map(|at| {
                    format!(
                        " Events since {0} have no delivery to it: `khata event replay --merchant {1} --endpoint {2} --since {0} \
                         --undelivered` makes them.",
                        time(at),
                        merchant.name,
                        endpoint.id
                    )
                });
                format!(
                    "Enabled {name}. Open deliveries continue within five seconds.{}",
                    missed.unwrap_or_default()
                )
            }
        };
        let mut document = json_of(changed.as_ref().unwrap_or(endpoint));
        document["changed"] = is_changed.into();
        which.common.print(&document, &sentence)
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    which: WhichEndpoint,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Delete {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let actor = self.operator.actor()?;
        let (mut connection, found) = self.which.find()?;
        let FoundEndpoint { merchant, endpoint } = &found;
        connection.transaction::<_, anyhow::Error, _>(|connection| {
            if !webhooks::delete(connection, endpoint.key())? {
                bail!(CHANGED_MEANWHILE);
            }
            let (subject, about) = (endpoint.id.to_string(), json!({}));
            let changes = Changes::between(&audited(endpoint), &json!(null));
            let (id, action) = (merchant.id, "webhook.delete");
            Ok(record(
                connection, id, &actor, action, &subject, about, &changes,
            )?)
        })?;
        let document = json!({ "id": endpoint.id.to_string(), "deleted": true });
        let sentence = format!(
            "Deleted {}. Calls end within five seconds; workers delete its deliveries.",
            found.name()
        );
        self.which.common.print(&document, &sentence)
    }
}
