//! Name resolution for webhooks: a connection gets the checked addresses and no others.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::address;

/// Maximum number of lookups at once. A lookup holds its thread until the name server replies or the system gives up, also if
/// its call has ended before.
const MAX_LOOKUPS: usize = 64;
/// Maximum number of addresses that a connection tries, so that a name with thousands of addresses makes Khata scan no network.
const MAX_ADDRESSES: usize = 8;

/// The name resolution of the operating system.
pub(crate) struct SystemResolver {
    lookups: Arc<Semaphore>,
    sandbox_mode: bool,
}

impl SystemResolver {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            sandbox_mode,
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = Arc::clone(&self.lookups);
        let host = lookup_name(name.as_str(), self.sandbox_mode);
        Box::pin(async move {
            // A call that ends while it waits has used no thread.
            let permit = lookups.acquire_owned().await?;
            let found = tokio::task::spawn_blocking(move || {
                let found = (host.as_str(), 0).to_socket_addrs();
                drop(permit);
                found
            });
            Ok(Box::new(found.await??) as Addrs)
        })
    }
}

/// Returns the name to look up. A full stop at the end makes it complete: the system then tries no search domain, such as that of
/// a Kubernetes cluster. In sandbox mode an endpoint may have a name that only its own network knows.
fn lookup_name(host: &str, sandbox_mode: bool) -> String {
    format!("{host}{}", if sandbox_mode { "" } else { "." })
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
                    Ok(()) if accepted.len() == MAX_ADDRESSES => break,
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Resolves every name to private addresses and then to public ones.
    struct Many;

    impl Resolve for Many {
        fn resolve(&self, _: Name) -> Resolving {
            let addresses = [10, 8].into_iter().flat_map(|first| {
                (0..200).map(move |last| SocketAddr::from((Ipv4Addr::new(first, 8, 8, last), 25)))
            });
            Box::pin(async { Ok(Box::new(addresses) as Addrs) })
        }
    }

    #[tokio::test]
    async fn a_connection_gets_eight_public_addresses_without_ports() {
        let resolver = CheckedResolver {
            resolver: Arc::new(Many),
            sandbox_mode: false,
        };
        let addresses = resolver.resolve("hooks.example".parse().unwrap()).await;
        let addresses: Vec<SocketAddr> = addresses.unwrap().collect();
        let expected = (0..8).map(|last| SocketAddr::from((Ipv4Addr::new(8, 8, 8, last), 0)));
        assert_eq!(addresses, expected.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_system_resolves_a_local_name_in_sandbox_mode() {
        let resolver = SystemResolver::new(true);
        let found = resolver.resolve("localhost".parse().unwrap()).await;
        assert!(found.unwrap().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn names_are_complete_outside_sandbox_mode() {
        assert_eq!(lookup_name("hooks.example", false), "hooks.example.");
        assert_eq!(lookup_name("receiver", true), "receiver");
    }
}
