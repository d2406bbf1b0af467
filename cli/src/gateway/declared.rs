//! Gateway accounts as `khata apply` declares them.

use diesel::PgConnection;
use khata_domain::GatewayAccountId;
use khata_store::audit::{Actor, Changes};
use khata_store::gateway_accounts;
use khata_store::merchants::Merchant;
use zeroize::Zeroizing;

use super::add::NewAccount;
use super::configuration::ConfigurationOptions;
use super::connectors::Connectors;
use super::set::change_account;
use super::switch::switch_account;
use super::which::{find_by_name, parse_gateway};

/// A gateway account that a file declares.
pub(crate) struct DeclaredAccount {
    pub(crate) gateway: String,
    pub(crate) reference_id: String,
    /// Without a file of credentials: they are read already.
    pub(crate) options: ConfigurationOptions,
    pub(crate) credentials: Option<Zeroizing<Vec<u8>>>,
    /// Use the gateway's public base URL.
    pub(crate) no_base_url: bool,
    /// `None`: stays as it is; a new account is enabled.
    pub(crate) enabled: Option<bool>,
}

/// The effect of a declaration.
pub(crate) struct AppliedAccount {
    pub(crate) id: GatewayAccountId,
    pub(crate) is_new: bool,
    pub(crate) changes: Changes,
}

/// Adds the account, or changes what the file names of it. Call it in a transaction.
pub(crate) fn apply_account(
    connection: &mut PgConnection,
    connectors: &Connectors,
    actor: &Actor,
    merchant: &Merchant,
    declared: DeclaredAccount,
) -> anyhow::Result<AppliedAccount> {
    let gateway = parse_gateway(&declared.gateway)?;
    let reference_id = declared.reference_id.as_str();
    let given = declared
        .options
        .given(declared.credentials, declared.no_base_url)?;
    let existing = gateway_accounts::find(connection, merchant.id, gateway.id(), reference_id)?;
    let added = if existing.is_none() {
        let new = NewAccount::check(connectors, gateway, reference_id, &given)?;
        new.insert(connection, &connectors.keyring, actor, merchant)?
    } else {
        None
    };
    let is_new = added.is_some();
    let found = find_by_name(connection, merchant.clone(), gateway, reference_id)?;
    let mut changes = match added {
        Some((_, changes)) => changes,
        None => change_account(connection, connectors, actor, &found, &given)?,
    };
    if let Some(enabled) = declared.enabled
        && switch_account(connection, actor, &found, enabled)?
    {
        changes.add("enabled", !enabled, enabled);
    }
    Ok(AppliedAccount {
        id: found.account.id,
        is_new,
        changes,
    })
}
