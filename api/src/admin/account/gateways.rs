//! The gateway accounts that an account's validation may have to wait for.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_shared::domain::routing::Pin;
use khata_shared::domain::{Gateway, GatewayAccountId};
use khata_shared::store::inspect::Account;
use khata_shared::store::{gateway_accounts, gateway_health};
use serde_json::Value;

use super::super::gateway::gateway_name;
use super::super::gateway::health::Trouble;

/// A gateway account that cannot simply be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Troubled {
    /// `CASHFREE main`.
    pub(super) name: String,
    pub(super) trouble: Trouble,
}

impl fmt::Display for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.", self.name, self.trouble)
    }
}

impl Troubled {
    pub(super) fn json(&self) -> Value {
        let mut told = self.trouble.json();
        told["gateway"] = self.name.as_str().into();
        told
    }
}

/// The merchant's gateway accounts, as far as they matter to one of its accounts.
pub(super) struct Gateways(Vec<Known>);

struct Known {
    id: GatewayAccountId,
    name: String,
    /// New attempts may be made there.
    is_open: bool,
    troubles: Vec<Trouble>,
}

impl Gateways {
    pub(super) fn read(
        connection: &mut PgConnection,
        account: &Account,
        now: DateTime<Utc>,
    ) -> QueryResult<Self> {
        let merchant = account.merchant();
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
                id: one.id(),
                name: format!("{} {}", gateway_name(one.gateway_id), one.reference_id),
                is_open: one.enabled
                    && Gateway::from_id(one.gateway_id).is_some_and(|gateway| {
                        pin.allows(gateway, &one.reference_id, one.pinned_only)
                    }),
                troubles: Trouble::of(states.get(&one.id()), now),
            });
        Ok(Self(known.collect()))
    }

    /// What people call it.
    pub(super) fn name(&self, id: GatewayAccountId) -> String {
        let known = self.0.iter().find(|known| known.id == id);
        known.map_or_else(|| id.to_string(), |known| known.name.clone())
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
                    name: known.name.clone(),
                    trouble: trouble.clone(),
                })
            })
            .collect()
    }
}
