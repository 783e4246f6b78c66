//! Looks upstreams' names up. Where a request decides which name that is, the name may not lead to what only this machine should reach
//! (server-side request forgery): whoever has a record in the domain could point it there.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper_util::client::legacy::connect::dns::Name;
use ipnet::IpNet;
use tower_service::Service;

use super::lookups::Lookups;

/// The addresses that names may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllowedAddresses {
    /// All: the administrator names the upstream.
    Any,
    /// Those of these networks.
    Only(Arc<[IpNet]>),
    /// All but this machine, its link, multicast and the clouds' own services.
    Usual,
}

/// Services that clouds offer to each machine, credentials among them, at addresses that are not link-local.
/// In their order: Alibaba, Azure, Oracle; AWS (all that is the instance's own), Google, Oracle, Scaleway, Alibaba.
const CLOUD_SERVICES: [&str; 8] = [
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
    "fd00:c1::a9fe:a9fe/128",
    "fd00:42::42/128",
    "fd00:100::100:200/128",
];

impl AllowedAddresses {
    fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::Any => true,
            Self::Only(networks) => networks.iter().any(|network| network.contains(&address)),
            Self::Usual => !is_special(address),
        }
    }
}

fn is_special(address: IpAddr) -> bool {
    let is_of_one_kind = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let is_cloud_service =
        CLOUD_SERVICES.iter().any(|network| network.parse().is_ok_and(|network: IpNet| network.contains(&address)));
    is_of_one_kind || is_cloud_service || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

/// A resolver by the system's means.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    lookups: Arc<Lookups>,
    allowed: AllowedAddresses,
}

impl Resolver {
    /// A resolver of names that may lead to `allowed`, which takes part in these lookups.
    pub(super) fn new(lookups: Arc<Lookups>, allowed: AllowedAddresses) -> Self {
        Self { lookups, allowed }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (lookups, allowed) = (Arc::clone(&self.lookups), self.allowed.clone());
        Box::pin(async move {
            let found = lookups.addresses(name.clone()).await?.into_iter();
            let (good, bad): (Vec<_>, Vec<_>) = found.partition(|address| allowed.allow(address.ip()));
            match bad.first() {
                Some(bad) if good.is_empty() => Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("{name} leads to {}, where the name in a request may not lead (upstream_networks)", bad.ip()),
                )),
                Some(_) | None => Ok(good.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_request_leads_neither_to_this_machine_nor_to_its_cloud_s_own_services() {
        let networks = AllowedAddresses::Only(["10.0.0.0/8".parse().unwrap(), "127.0.0.0/8".parse().unwrap()].into());
        for (address, usual, only) in [
            ("10.1.2.3", true, true),
            ("192.168.1.1", true, false),
            ("::ffff:10.1.2.3", true, true),
            ("2001:db8::1", true, false),
            ("127.0.0.1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("::1", false, false),
            ("0.0.0.0", false, false),
            ("0.1.2.3", false, false),
            ("::", false, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("fd00:ec2::254", false, false),
            ("fd00:ec2::23", false, false),
            ("fd00:ec2:1::1", false, false),
            ("fd00:ec3::254", true, false),
            ("fd20:ce::254", false, false),
            ("fd00:c1::a9fe:a9fe", false, false),
            ("fd00:42::42", false, false),
            ("fd00:100::100:200", false, false),
            ("fd00:100::1", true, false),
            ("192.0.0.192", false, false),
            ("100.100.100.200", false, false),
            ("168.63.129.16", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
            ("255.255.255.255", false, false),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!((AllowedAddresses::Usual.allow(parsed), networks.allow(parsed)), (usual, only), "{address}");
            assert!(AllowedAddresses::Any.allow(parsed));
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_where_it_may_not_is_an_error_that_says_so() {
        let name = || "localhost".parse::<Name>().unwrap();
        let error = Resolver::new(Lookups::new(), AllowedAddresses::Usual).call(name()).await.map(drop).unwrap_err().to_string();
        assert!(error.starts_with("localhost leads to ") && error.contains("upstream_networks"), "{error}");
        assert!(Resolver::new(Lookups::new(), AllowedAddresses::Any).call(name()).await.unwrap().len() > 0);
    }
}
