//! The accounts of a create call: encrypted for the store, and presented once they are committed.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use khata_crypto::{Keyring, Purpose};
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, MerchantId, ValidationId, ValidationKey};
use khata_store::accounts::{self, CreateAccounts, Created, CreatedAccount};

use super::request::{CreateRequest, RequestedAccount};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::present::{self, CustomerAccount};

/// The accounts of one create call.
pub(super) struct NewAccounts {
    keyring: Arc<Keyring>,
    merchant: MerchantId,
    created_at: DateTime<Utc>,
    request: CreateRequest,
    /// Id and first validation of each account, in the order of the call.
    pub(super) keys: Vec<(AccountId, ValidationKey)>,
}

impl NewAccounts {
    /// Encrypts the accounts of a call. Returns the call as the store takes it, too.
    pub(super) fn encrypt(
        context: &RequestContext,
        customer: CustomerRef,
        request: CreateRequest,
    ) -> (Self, CreateAccounts) {
        // Postgres keeps microseconds, and a later read must return the same time.
        let now = Utc::now().trunc_subsecs(6);
        let (keyring, merchant) = (Arc::clone(&context.state.keyring), context.merchant_id());
        let accounts: Vec<_> = request
            .accounts
            .iter()
            .map(|account| encrypt(&keyring, merchant, account))
            .collect();
        let keys = accounts
            .iter()
            .map(|account| {
                let id = account.validation;
                (account.id, ValidationKey { merchant, id })
            })
            .collect();
        let stored = request.to_store(context, customer, accounts, now);
        let new = Self {
            keyring,
            merchant,
            created_at: now,
            request,
            keys,
        };
        (new, stored)
    }

    pub(super) fn requested(&self) -> &[RequestedAccount] {
        &self.request.accounts
    }

    /// The accounts right after their commit.
    pub(super) fn present(&self, created: &Created) -> Result<Vec<CustomerAccount>, ApiError> {
        let Created::Accounts {
            customer,
            object_reference_id,
            accounts,
        } = created
        else {
            return Err(ApiError::Internal);
        };
        let request = &self.request;
        let (pin, metadata) = (&request.options.pin, &request.metadata);
        let new = present::created(
            *customer,
            object_reference_id,
            self.created_at,
            pin,
            metadata,
        );
        self.keys
            .iter()
            .zip(&request.accounts)
            .zip(accounts)
            .map(|(((id, _), requested), outcome)| match outcome {
                CreatedAccount::Existing(row) => {
                    present::stored(&self.keyring, self.merchant, (**row).clone())
                }
                CreatedAccount::New => Ok(new(*id, &requested.details, bank_code(requested))),
            })
            .collect()
    }
}

fn bank_code(account: &RequestedAccount) -> Option<String> {
    let code = account.bank_code.as_ref();
    code.map(|code| code.as_str().to_owned())
}

fn encrypt(
    keyring: &Keyring,
    merchant: MerchantId,
    account: &RequestedAccount,
) -> accounts::NewAccount {
    let id = AccountId::new();
    let plaintext = account.details.to_plaintext();
    accounts::NewAccount {
        id,
        validation: ValidationId::new(),
        kind: account.details.kind(),
        sealed_details: keyring.encrypt(merchant, id.0, Purpose::Details, &plaintext),
        fingerprint: keyring.fingerprint(merchant, &account.details),
        masked: account.details.masked(),
        bank_code: bank_code(account),
    }
}
