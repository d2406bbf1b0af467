//! The key of a gateway account's rows.

use diesel::sql_types::Uuid as SqlUuid;

use crate::statement::{Rows, rows};
use khata_domain::gateway::GatewayKey;

/// The keys as rows `(merchant_id, gateway_account_id)`.
pub(super) fn keys(keys: &[GatewayKey]) -> Rows<'_> {
    rows!(keys, key => {
        merchant_id = key.merchant,
        gateway_account_id = key.account,
    })
}
