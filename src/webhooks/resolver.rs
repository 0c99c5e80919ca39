//! Name resolution that leaves only addresses webhooks may reach: what was checked is what is connected to, so a name
//! cannot change its mind between the check and the connection.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_allowed;

/// Every address of the host is one webhooks may not reach.
#[derive(Debug, thiserror::Error)]
#[error("the address is not on the public internet")]
pub(super) struct AddressRefused;

/// A resolver behind [`is_allowed`].
pub(super) struct PublicOnly<R> {
    /// Who knows the addresses.
    pub(super) resolver: R,
    /// Networks allowed besides the public internet.
    pub(super) allowed: Arc<[IpNet]>,
}

/// The system's resolver.
pub(super) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl<R: Resolve> Resolve for PublicOnly<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.resolver.resolve(name);
        let allowed = Arc::clone(&self.allowed);
        Box::pin(async move {
            let usable: Vec<SocketAddr> =
                found.await?.filter(|address| is_allowed(address.ip(), &allowed)).collect();
            if usable.is_empty() {
                return Err(AddressRefused.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressRefused, PublicOnly, Resolve, System};

    async fn resolve(allowed: &str) -> Result<usize, bool> {
        let allowed = allowed.split(' ').filter_map(|net| net.parse().ok()).collect();
        let resolver = PublicOnly { resolver: System, allowed };
        match resolver.resolve("localhost".parse().unwrap()).await {
            Ok(addresses) => Ok(addresses.count()),
            Err(error) => Err(error.is::<AddressRefused>()),
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_has_no_address_unless_allowed() {
        assert_eq!(resolve("").await, Err(true));
        assert!(resolve("127.0.0.0/8 ::1/128").await.unwrap() >= 1);
    }
}
