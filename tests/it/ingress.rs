//! Forward authentication with real ingresses, by the configurations of `docs/forward-auth.md`.

use crate::harness::{behind_ingress::everything_works, ingress::Kind};

#[tokio::test]
async fn nginx_asks_about_every_request() {
    everything_works(Kind::Nginx).await;
}

#[tokio::test]
async fn caddy_asks_about_every_request() {
    everything_works(Kind::Caddy).await;
}

#[tokio::test]
async fn haproxy_asks_about_every_request() {
    everything_works(Kind::HaProxy).await;
}

#[tokio::test]
async fn traefik_asks_about_every_request() {
    everything_works(Kind::Traefik).await;
}

#[tokio::test]
async fn envoy_asks_about_every_request() {
    everything_works(Kind::Envoy).await;
}
