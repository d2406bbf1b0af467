//! The parts that requests share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use khata_crypto::Keyring;
use khata_queue::WakeupPublisher;
use khata_store::group_commit::Lane;

use crate::auth::Authenticator;
use crate::connectors::WebhookAccounts;
use crate::create_commits::CreateCommits;
use crate::database::Database;
use crate::gateway_choices::GatewayChoices;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;

pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) creates: Lane<CreateCommits>,
    pub(crate) wakeup_publisher: WakeupPublisher,
    pub(crate) outcomes: Outcomes,
    pub(crate) authenticator: Authenticator,
    pub(crate) limits: Limits,
    pub(crate) gateway_choices: GatewayChoices,
    pub(crate) webhook_accounts: WebhookAccounts,
    pub(crate) metrics: Arc<Metrics>,
    /// Set once the database has every migration of this version.
    pub(crate) schema_is_current: AtomicBool,
}
