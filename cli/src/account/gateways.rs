//! The gateway accounts that an account's validation may have to wait for.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::routing::Pin;
use khata_domain::{Gateway, GatewayAccountId};
use khata_store::inspect::Account;
use khata_store::{gateway_accounts, gateway_health};
use serde_json::Value;

use super::super::gateway::gateway_name;
use super::super::gateway::health::HealthIssue;

/// A gateway account that cannot simply be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Troubled {
    pub(super) gateway: String,
    /// The merchant's name for the account there.
    pub(super) reference_id: String,
    pub(super) trouble: HealthIssue,
}

impl fmt::Display for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.", self.name(), self.trouble)
    }
}

impl Troubled {
    /// `CASHFREE main`.
    fn name(&self) -> String {
        format!("{} {}", self.gateway, self.reference_id)
    }

    pub(super) fn json(&self) -> Value {
        let mut told = self.trouble.json();
        told["gateway"] = self.name().into();
        told
    }
}

/// Where a new attempt for an account may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// At no gateway account that there is.
    NoCandidate,
    /// At such only as are in trouble.
    OnlyTroubled,
    /// At one in good health, for all that is known.
    Some,
}

/// The merchant's gateway accounts, as far as they matter to one of its accounts.
pub(super) struct Gateways(Vec<Known>);

struct Known {
    id: GatewayAccountId,
    gateway: String,
    reference_id: String,
    /// New attempts may be made there.
    is_open: bool,
    troubles: Vec<HealthIssue>,
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
        let states: HashMap<_, _> = gateway_health::of_merchant(connection, merchant)?
            .into_iter()
            .map(|state| (state.key.account, state))
            .collect();
        let known = gateway_accounts::of_merchant(connection, merchant)?
            .into_iter()
            .map(|one| Known {
                id: one.id,
                gateway: gateway_name(one.gateway_id),
                is_open: one.enabled
                    && Gateway::from_id(one.gateway_id).is_some_and(|gateway| {
                        pin.allows(gateway, &one.reference_id, one.pinned_only)
                    }),
                troubles: HealthIssue::of(states.get(&one.id), now),
                reference_id: one.reference_id,
            });
        Ok(Self(known.collect()))
    }

    /// What people call it.
    pub(super) fn name(&self, id: GatewayAccountId) -> String {
        let known = self.0.iter().find(|known| known.id == id);
        known.map_or_else(
            || id.to_string(),
            |known| format!("{} {}", known.gateway, known.reference_id),
        )
    }

    /// What can be done with a new attempt.
    pub(super) fn room(&self) -> Room {
        let mut open = self.0.iter().filter(|known| known.is_open).peekable();
        if open.peek().is_none() {
            Room::NoCandidate
        } else if open.any(|known| known.troubles.is_empty()) {
            Room::Some
        } else {
            Room::OnlyTroubled
        }
    }

    /// What may keep the next call from being made: trouble where an attempt is under way; else, wherever a new one may be
    /// made.
    pub(super) fn troubled(&self, under_way: Option<GatewayAccountId>) -> Vec<Troubled> {
        let concerned = self.0.iter().filter(|known| match under_way {
            Some(id) => known.id == id,
            None => known.is_open,
        });
        concerned
            .flat_map(|known| {
                known.troubles.iter().map(|trouble| Troubled {
                    gateway: known.gateway.clone(),
                    reference_id: known.reference_id.clone(),
                    trouble: trouble.clone(),
                })
            })
            .collect()
    }
}
