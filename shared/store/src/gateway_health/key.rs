//! The key of a gateway account's rows.

use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;

use crate::statement::{Rows, rows};
use khata_domain::{GatewayAccountId, MerchantId};

/// A gateway account and its merchant: the key of every row of the gateway account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, QueryableByName)]
pub struct GatewayKey {
    #[diesel(sql_type = SqlUuid, column_name = merchant_id)]
    pub merchant: MerchantId,
    #[diesel(sql_type = SqlUuid, column_name = gateway_account_id)]
    pub account: GatewayAccountId,
}

/// The keys as rows `(merchant_id, gateway_account_id)`.
pub(super) fn keys(keys: &[GatewayKey]) -> Rows<'_> {
    rows!(keys, key => {
        merchant_id: SqlUuid = key.merchant,
        gateway_account_id: SqlUuid = key.account,
    })
}
