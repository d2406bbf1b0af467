//! Name resolution for webhooks: a connection gets the checked addresses and no others.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::address;

/// Maximum number of lookups at once. A lookup holds its thread until the name server replies or the system gives up, also if
/// its call has ended before.
const MAX_LOOKUPS: usize = 256;
/// Maximum number of lookups of one host at once. The twenty endpoints of a merchant whose name servers do not reply leave most of
/// the lookups to others.
const MAX_LOOKUPS_OF_HOST: usize = 4;
/// Maximum number of addresses that a connection tries, so that a name with thousands of addresses makes Khata scan no network.
const MAX_ADDRESSES: usize = 8;

/// The name resolution of the operating system.
pub(crate) struct SystemResolver {
    lookups: Arc<Semaphore>,
    /// The lookups of each host that calls look up now.
    of_hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
    sandbox_mode: bool,
}

impl SystemResolver {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            of_hosts: Mutex::default(),
            sandbox_mode,
        }
    }

    /// Returns the lookups of one host.
    fn of_host(&self, host: &str) -> Arc<Semaphore> {
        let of_hosts = self.of_hosts.lock();
        let mut of_hosts = of_hosts.unwrap_or_else(PoisonError::into_inner);
        if let Some(lookups) = of_hosts.get(host).and_then(Weak::upgrade) {
            return lookups;
        }
        of_hosts.retain(|_, lookups| lookups.strong_count() > 0);
        let lookups = Arc::new(Semaphore::new(MAX_LOOKUPS_OF_HOST));
        of_hosts.insert(host.to_owned(), Arc::downgrade(&lookups));
        lookups
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookups, of_host) = (Arc::clone(&self.lookups), self.of_host(name.as_str()));
        let host = lookup_name(name.as_str(), self.sandbox_mode);
        Box::pin(async move {
            // A call that ends while it waits has used no thread.
            let permits = (
                of_host.acquire_owned().await?,
                lookups.acquire_owned().await?,
            );
            let found = tokio::task::spawn_blocking(move || {
                let found = (host.as_str(), 0).to_socket_addrs();
                drop(permits);
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

    #[tokio::test]
    async fn a_host_has_a_part_of_the_lookups() {
        let resolver = SystemResolver::new(true);
        let held = resolver.of_host("localhost").acquire_many_owned(4).await;
        tokio::select! {
            biased;
            _ = resolver.resolve("localhost".parse().unwrap()) => panic!("a fifth lookup does not wait"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(resolver.of_host("other.example").available_permits(), 4);
        drop(held);
        let found = resolver.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_ok());
        resolver.of_host("third.example");
        let hosts = resolver.of_hosts.lock().unwrap();
        assert_eq!(
            hosts.len(),
            1,
            "hosts without lookups are forgotten: {hosts:?}"
        );
    }

    #[test]
    fn names_are_complete_outside_sandbox_mode() {
        assert_eq!(lookup_name("hooks.example", false), "hooks.example.");
        assert_eq!(lookup_name("receiver", true), "receiver");
    }
}
