//! The body of a delivery.

use bytes::Bytes;
use khata_crypto::{Keyring, Purpose};
use khata_domain::Payload;
use khata_present::{AccountEvent, PresentError};
use khata_store::events;
use khata_store::webhooks::{AccountUrl, Endpoint, StartedDelivery};

/// A claimed delivery with what its event is about.
#[derive(Debug)]
pub(crate) struct Started {
    pub(super) delivery: StartedDelivery,
    /// `None`: the rows are gone.
    pub(super) subject: Option<Subject>,
}

/// The object of an event, as it is now.
#[derive(Debug)]
pub(super) enum Subject {
    Account(Box<events::AccountEvent>),
    Endpoint(Box<events::Event>, Option<Box<Endpoint>>),
}

/// Why an attempt has no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(
        "cannot decrypt the body or the account's URL; check that the keyring holds their keys"
    )]
    Encrypted,
    #[error("the event or its account is gone")]
    Gone,
    #[error("{0}")]
    Present(#[from] PresentError),
}

impl Started {
    pub(super) fn event(&self) -> Option<&events::Event> {
        match self.subject.as_ref()? {
            Subject::Account(of) => Some(&of.event),
            Subject::Endpoint(event, _) => Some(event),
        }
    }

    /// Returns the URL that gets the events of the account, if it has one of its own.
    pub(super) fn account_url(&self, keyring: &Keyring) -> Result<Option<AccountUrl>, BodyError> {
        let Some(Subject::Account(of)) = &self.subject else {
            return Ok(None);
        };
        let (merchant, account) = (of.account.merchant, of.account.id);
        let open = |sealed: &Vec<u8>| AccountUrl::open(keyring, merchant, account, sealed);
        let url = of.sealed_webhook_url.as_ref().map(open).transpose();
        url.map_err(|_| BodyError::Encrypted)
    }

    /// Returns the body of the attempts before, or renders it. The same rows give the same bytes, so that an attempt whose result
    /// was lost is repeated with the same body.
    pub(super) fn body(&mut self, keyring: &Keyring, payload: Payload) -> Result<Bytes, BodyError> {
        let (merchant, event) = (self.delivery.key.merchant, self.delivery.event);
        if let Some(sealed) = &self.delivery.sealed_body {
            let plain = keyring.decrypt(merchant, event.0, Purpose::Delivery, sealed);
            let plain = plain.map_err(|_| BodyError::Encrypted)?;
            return Ok(Bytes::copy_from_slice(&plain));
        }
        let body = match self.subject.take().ok_or(BodyError::Gone)? {
            Subject::Account(of) => {
                let events::AccountEvent { event, account, .. } = *of;
                let event = AccountEvent::of(&event, &account).ok_or(BodyError::Gone)?;
                khata_present::event(keyring, merchant, &event, account, payload)?
            }
            Subject::Endpoint(event, endpoint) => {
                khata_present::endpoint_event(&event, endpoint.as_deref()).to_json()?
            }
        };
        Ok(body.into())
    }
}
