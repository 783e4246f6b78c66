//! Addresses at which nothing answers, not even a refusal.

use std::{convert::Infallible, net::SocketAddr, task, time::Duration, vec};

use evergate::connect_timeout::{ConnectTimeout, tcp_connector};
use http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::net::TcpListener;
use tower_service::Service;

use crate::harness::silent::Silent;

/// Resolves every name to these addresses.
#[derive(Clone)]
struct Fixed(Vec<SocketAddr>);

impl Service<Name> for Fixed {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        std::future::ready(Ok(self.0.clone().into_iter()))
    }
}

#[tokio::test]
async fn a_silent_address_leaves_time_for_the_next_one() {
    const WITHIN: Duration = Duration::from_secs(8);
    let silent = Silent::start().await;
    let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = Fixed(vec![silent.address, living.local_addr().unwrap()]);
    let mut connector = ConnectTimeout::new(tcp_connector(addresses, WITHIN), WITHIN);
    // Without a port in the address, those of the resolver count.
    let connected = connector.call(Uri::from_static("http://two.test/")).await.unwrap();
    assert_eq!(connected.inner().peer_addr().unwrap(), living.local_addr().unwrap());
}
