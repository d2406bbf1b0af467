//! Name resolution for webhooks: a connection gets the checked addresses and no others.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address;

/// The name resolution of the operating system.
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = addresses.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Removes the addresses that a webhook must not reach. The connection is made to an address that passed, without another
/// lookup, so that a name server cannot give one address to the check and another one to the connection (DNS rebinding).
pub(crate) struct CheckedResolver {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) sandbox_mode: bool,
}

impl Resolve for CheckedResolver {
    /// Fails with an [`address::AddressError`] if the host has addresses and no public one.
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = self.resolver.resolve(name);
        let sandbox_mode = self.sandbox_mode;
        Box::pin(async move {
            let (mut accepted, mut refused) = (Vec::new(), None);
            for found in resolving.await? {
                match address::check(found.ip(), sandbox_mode) {
                    // The port is the URL's.
                    Ok(()) => accepted.push(SocketAddr::new(found.ip(), 0)),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            if accepted.is_empty() {
                return Err(refused.map_or_else(|| "no address".into(), Into::into));
            }
            Ok(Box::new(accepted.into_iter()) as Addrs)
        })
    }
}
