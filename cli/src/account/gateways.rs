//! A merchant's gateway accounts, as far as they matter to one customer account.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::routing::Pin;
use khata_domain::{Gateway, GatewayAccountId};
use khata_store::gateway_accounts;
use khata_store::inspect::Account;
use serde_json::Value;

use crate::gateway::{HealthIssue, gateway_name};

/// A health issue with the gateway account that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GatewayIssue {
    pub(super) gateway: String,
    /// The merchant's name for the account at the gateway.
    pub(super) reference_id: String,
    pub(super) issue: HealthIssue,
}

impl fmt::Display for GatewayIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.", self.name(), self.issue)
    }
}

impl GatewayIssue {
    /// Returns `CASHFREE main`.
    fn name(&self) -> String {
        format!("{} {}", self.gateway, self.reference_id)
    }

    pub(super) fn json(&self) -> Value {
        let mut document = self.issue.json();
        document["gateway"] = self.name().into();
        document
    }
}

/// The gateway accounts at which a new attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Candidates {
    None,
    /// At least one, but each has a health issue.
    OnlyWithIssues,
    Healthy,
}

pub(super) struct Gateways(Vec<GatewayAccount>);

struct GatewayAccount {
    id: GatewayAccountId,
    /// `CASHFREE main`
    name: String,
    /// Whether a new attempt for the customer account may be made here.
    is_candidate: bool,
    issues: Vec<GatewayIssue>,
}

impl Gateways {
    pub(super) fn read(
        connection: &mut PgConnection,
        account: &Account,
        now: DateTime<Utc>,
    ) -> QueryResult<Self> {
        let merchant = account.merchant;
        let pin = Pin {
            gateway_id: account.pinned_gateway_id,
            reference_id: account.pinned_gateway_reference_id.clone(),
        };
        let mut issues = HealthIssue::of_merchant(connection, merchant, now)?;
        let accounts = gateway_accounts::of_merchant(connection, merchant)?;
        let accounts = accounts.into_iter().map(|one| {
            let gateway = gateway_name(one.gateway_id);
            let allowed = Gateway::from_id(one.gateway_id)
                .is_some_and(|it| pin.allows(it, &one.reference_id, one.pinned_only));
            let issues = issues.remove(&one.id).unwrap_or_default().into_iter();
            let issue = |issue| GatewayIssue {
                gateway: gateway.clone(),
                reference_id: one.reference_id.clone(),
                issue,
            };
            GatewayAccount {
                id: one.id,
                name: format!("{gateway} {}", one.reference_id),
                is_candidate: one.enabled && allowed,
                issues: issues.map(issue).collect(),
            }
        });
        Ok(Self(accounts.collect()))
    }

    /// Returns `CASHFREE main`, or the id of a gateway account that is gone.
    pub(super) fn name(&self, id: GatewayAccountId) -> String {
        let found = self.0.iter().find(|account| account.id == id);
        found.map_or_else(|| id.to_string(), |account| account.name.clone())
    }

    pub(super) fn candidates(&self) -> Candidates {
        let mut candidates = self.0.iter().filter(|it| it.is_candidate).peekable();
        if candidates.peek().is_none() {
            Candidates::None
        } else if candidates.any(|account| account.issues.is_empty()) {
            Candidates::Healthy
        } else {
            Candidates::OnlyWithIssues
        }
    }

    /// Returns the issues that may delay the next call: those of the gateway account with the open attempt, or without
    /// one those of all candidates.
    pub(super) fn issues(&self, open_attempt_at: Option<GatewayAccountId>) -> Vec<GatewayIssue> {
        let concerned = self.0.iter().filter(|account| match open_attempt_at {
            Some(id) => account.id == id,
            None => account.is_candidate,
        });
        concerned
            .flat_map(|account| account.issues.clone())
            .collect()
    }
}
