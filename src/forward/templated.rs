//! The upstreams of a route whose host is a pattern: one for each host, made when the first request for it comes. Their number is
//! bounded, because whoever may use the route chooses the hosts.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    address_template::UpstreamTemplate,
    lookups::Lookups,
    resolver::{AllowedAddresses, Resolver},
    target::Target,
    upstream::{Connecting, UpstreamClient},
};

use crate::lock::Mutex;

/// The most hosts whose connections are kept. The one that was used longest ago makes room, which costs its next request a new
/// connection.
const MAX_HOSTS: usize = 256;

/// The connections to the upstreams of hosts.
#[derive(Debug)]
pub(super) struct TemplatedClients {
    template: UpstreamTemplate,
    connecting: Connecting,
    /// One for all hosts, which limits how many of their names are looked up at the same time.
    resolver: Resolver,
    kept: Mutex<HashMap<Box<str>, Kept>>,
    uses: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    client: Arc<UpstreamClient>,
    last_use: u64,
}

impl TemplatedClients {
    pub(super) fn new(template: UpstreamTemplate, connecting: Connecting) -> Self {
        let resolver = Resolver::new(Lookups::new(), allowed(&template));
        Self { template, connecting, resolver, kept: Mutex::default(), uses: AtomicU64::new(0) }
    }

    /// The connections to the upstream of `host`; `None` if the route is for other hosts.
    pub(super) fn client(&self, host: &str, target: &Target) -> Option<Arc<UpstreamClient>> {
        let last_use = self.uses.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock();
        if let Some(known) = kept.get_mut(host) {
            known.last_use = last_use;
            return Some(Arc::clone(&known.client));
        }
        let address = self.template.address.fill(&self.template.hosts.values(host)?)?;
        if kept.len() >= MAX_HOSTS {
            // One that counts requests is let be as long as others do not, so that it goes on counting. So is one that is about to.
            let is_in_use = |client: &Arc<UpstreamClient>| client.has_requests() || Arc::strong_count(client) > 1;
            let oldest = kept.iter().min_by_key(|(_, kept)| (is_in_use(&kept.client), kept.last_use));
            if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
                kept.remove(&oldest);
            }
        }
        let client = Arc::new(UpstreamClient::new(&address, target, &self.connecting, &self.resolver));
        kept.insert(host.into(), Kept { client: Arc::clone(&client), last_use });
        Some(client)
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.kept.lock().len()
    }
}

/// The addresses that names of a template may lead to.
fn allowed(template: &UpstreamTemplate) -> AllowedAddresses {
    match &template.networks {
        _ if !template.address.names_hosts() => AllowedAddresses::Any,
        Some(networks) => AllowedAddresses::Only(networks.as_slice().into()),
        None => AllowedAddresses::Usual,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        address::HostPattern,
        forward::{AddressTemplate, Edits, Protocol, Timeouts, UpstreamConnections},
        tls::ClientTls,
    };

    fn target() -> Target {
        let second = Duration::from_secs(1);
        Target {
            upstreams: Vec::new(),
            template: None,
            protocol: Protocol::Http1,
            strip_prefix: String::new(),
            upgrades: Vec::new(),
            own_host: false,
            rewrites_destination: false,
            identity_headers: Vec::new(),
            address_headers: Vec::new(),
            request_edits: Edits::default(),
            answer_edits: Edits::default(),
            injection: None,
            max_requests: Some(1),
            timeouts: Timeouts { connect: second, body: None, head: None, idle: None, total: None, ping: None },
        }
    }

    #[tokio::test]
    async fn connections_of_a_bounded_number_of_hosts_are_kept_and_those_in_use_go_last() {
        let hosts = HostPattern::parse("*.apps.example.com").unwrap();
        let address = AddressTemplate::parse("unix:/run/apps/{label}.sock", &hosts).unwrap();
        let template = UpstreamTemplate { hosts, address, networks: None };
        let (tls, open) = (ClientTls::default().client_config().unwrap(), UpstreamConnections::new(1));
        let clients = TemplatedClients::new(template, Connecting { tls, min_idle: Duration::ZERO, open });
        let host = |number: usize| format!("h{number}.apps.example.com");
        let client = |number| clients.client(&host(number), &target()).unwrap();
        assert!(clients.client("apps.example.com", &target()).is_none() && clients.client("a.b", &target()).is_none());
        // A tunnel holds its place among the requests alone.
        let in_use = client(0).try_acquire_slot().unwrap();
        assert!(client(0).try_acquire_slot().is_err());
        for number in 1..3 * MAX_HOSTS {
            client(number);
        }
        assert_eq!(clients.kept(), MAX_HOSTS);
        assert!(client(0).try_acquire_slot().is_err(), "it goes on counting its requests");
        drop(in_use);
        assert!(client(0).try_acquire_slot().is_ok());
        let all_in_use: Vec<_> = (0..2 * MAX_HOSTS).map(client).collect();
        assert_eq!((clients.kept(), all_in_use.len()), (MAX_HOSTS, 2 * MAX_HOSTS), "a request is not refused for that");
    }
}
