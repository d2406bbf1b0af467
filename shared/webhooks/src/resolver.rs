//! Name resolution for webhooks: a connection gets the checked addresses and no others.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::address;

/// Maximum number of lookups at once. A lookup holds its thread until the name server replies or the system gives up, also if
/// its calls have ended before.
const MAX_LOOKUPS: usize = 256;
/// Maximum number of addresses that a connection tries, so that a name with thousands of addresses makes Khata scan no network.
const MAX_ADDRESSES: usize = 8;

/// Addresses of a host, or the error of its lookup; `None`: the lookup is in progress.
type Found = Option<Result<Arc<[SocketAddr]>, Arc<io::Error>>>;

/// The name resolution of the operating system. Calls that look up the same host at the same time share one lookup: a name server that
/// does not reply holds one thread for each host, and a slow one delays no call by the lookups of the calls before it.
pub(crate) struct SystemResolver {
    lookups: Arc<Semaphore>,
    in_progress: Arc<Mutex<HashMap<String, watch::Receiver<Found>>>>,
    sandbox_mode: bool,
}

impl SystemResolver {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            in_progress: Arc::default(),
            sandbox_mode,
        }
    }

    /// Returns the lookup of a host that is in progress, or begins one.
    fn look_up(&self, host: &str) -> watch::Receiver<Found> {
        let mut in_progress = lock(&self.in_progress);
        if let Some(found) = in_progress.get(host) {
            return found.clone();
        }
        let (sender, found) = watch::channel(None);
        in_progress.insert(host.to_owned(), found.clone());
        let (lookups, in_progress) = (Arc::clone(&self.lookups), Arc::clone(&self.in_progress));
        let (host, name) = (host.to_owned(), lookup_name(host, self.sandbox_mode));
        tokio::spawn(async move {
            let permit = lookups.acquire_owned().await;
            {
                // The map has one receiver. The calls that waited have ended: the lookup costs no thread.
                let mut in_progress = lock(&in_progress);
                if sender.receiver_count() == 1 {
                    in_progress.remove(&host);
                    return;
                }
            }
            let found = spawn_blocking(move || Ok((name.as_str(), 0).to_socket_addrs()?.collect()));
            let found = found.await.map_err(io::Error::other).flatten();
            drop(permit);
            lock(&in_progress).remove(&host);
            sender.send_replace(Some(found.map_err(Arc::new)));
        });
        found
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let mut found = self.look_up(name.as_str());
        Box::pin(async move {
            let found = found.wait_for(Option::is_some).await?.clone();
            let addresses = found.unwrap_or_else(|| Ok(Arc::default()))?;
            let addresses: Vec<SocketAddr> = addresses.to_vec();
            Ok(Box::new(addresses.into_iter()) as Addrs)
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
    async fn calls_share_the_lookup_of_their_host() {
        let resolver = SystemResolver::new(true);
        let name = || "localhost".parse().unwrap();
        let all = Arc::clone(&resolver.lookups);
        let held = all.acquire_many(256).await; // MAX_LOOKUPS
        let calls = [resolver.resolve(name()), resolver.resolve(name())];
        let ended = resolver.resolve("other.example".parse().unwrap());
        drop(ended);
        assert_eq!(lock(&resolver.in_progress).len(), 2);
        drop(held);
        for found in calls {
            assert!(
                found
                    .await
                    .unwrap()
                    .all(|address| address.ip().is_loopback())
            );
        }
        // The resolver makes no lookup whose calls have ended, and forgets those that ended.
        while !lock(&resolver.in_progress).is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(resolver.resolve(name()).await.is_ok());
    }

    #[test]
    fn names_are_complete_outside_sandbox_mode() {
        assert_eq!(lookup_name("hooks.example", false), "hooks.example.");
        assert_eq!(lookup_name("receiver", true), "receiver");
    }
}
