//! A forward proxy between Evergate and the provider (`HTTPS_PROXY`, `NO_PROXY`).
//!
//! The provider is at `https://0.0.0.0`, which leads to this machine and is not loopback, which no proxy is used for.

use std::time::Duration;

use http::Method;

use crate::harness::{
    Builder, World, certificates::Authority, connect_proxy::ConnectProxy, eventually::eventually, logs::lines_with,
    tls_front::TlsFront,
};

const EXPIRED: Duration = Duration::from_secs(301);

struct Surroundings {
    authority: Authority,
    front: TlsFront,
    proxy: ConnectProxy,
}

impl Surroundings {
    async fn start(credentials: Option<&str>) -> Self {
        let authority = Authority::new();
        let front = TlsFront::start(&authority, "0.0.0.0").await;
        Self { authority, front, proxy: ConnectProxy::start(credentials).await }
    }

    /// `host:port` of the provider.
    fn provider(&self) -> String {
        format!("0.0.0.0:{}", self.front.address.port())
    }

    fn build(&self) -> Builder {
        World::build().provider_at(&format!("https://{}", self.provider())).set("oidc_ca_file", &self.authority.ca_file())
    }

    async fn started(&self, builder: Builder) -> World {
        builder.start_with(|idp| self.front.forward_to(idp.address)).await
    }
}

#[tokio::test]
async fn logins_renewals_and_revocations_go_through_the_proxy_with_its_credentials() {
    let around = Surroundings::start(Some("ann:s@cret")).await;
    let proxy = format!("http://ann:s%40cret@{}", around.proxy.address);
    let world = around.started(around.build().variable("HTTPS_PROXY", &proxy)).await;
    let visitor = world.signed_in().await;
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewals"], 1);
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    eventually("it is revoked", async || !world.idp.has_live_refresh_token()).await;
    let asked = around.proxy.asked();
    assert!(asked.len() >= 6, "metadata, keys, code, user info, refresh and revocation: {asked:?}");
    assert!(asked.iter().all(|target| *target == around.provider()), "{asked:?}");
    let address = format!("http://{}/", around.proxy.address);
    assert_eq!(lines_with(&[world.idp.issuer(), "go through a proxy", &address]).len(), 1);
    let (code, printed) = world.command(&["check"]).await;
    assert!(code < 2 && printed.contains(&format!("calls to the provider go through {address} (HTTPS_PROXY)")), "{printed}");
    assert!(!printed.contains("cret") && lines_with(&["s@cret"]).is_empty() && lines_with(&["s%40cret"]).is_empty());
}

#[tokio::test]
async fn what_no_proxy_names_is_called_without_the_proxy() {
    let around = Surroundings::start(None).await;
    let proxy = around.proxy.address.to_string();
    let builder = around.build().variable("https_proxy", &proxy).variable("no_proxy", "example.com,0.0.0.0/8");
    let world = around.started(builder).await;
    assert!(world.signed_in().await.get("/").await.is_upstreams());
    let (code, printed) = world.command(&["check"]).await;
    assert!(code < 2 && printed.contains(&format!("calls to the provider do not go through http://{proxy}/")), "{printed}");
    assert_eq!(around.proxy.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_reason_and_nothing_goes_past_it() {
    let around = Surroundings::start(Some("ann:secret")).await;
    let address = format!("http://{}", around.proxy.address);
    let world = around.started(around.build().variable("HTTPS_PROXY", &address).without_provider()).await;
    eventually("the log says why", async || {
        let reason = format!("the proxy {address}/ (HTTPS_PROXY) opens no tunnel");
        !lines_with(&[world.idp.issuer(), "provider discovery failed", &reason, "authorization required"]).is_empty()
    })
    .await;
    let (code, printed) = world.command(&["check"]).await;
    assert!(code == 2 && printed.contains("(HTTPS_PROXY) opens no tunnel"), "{printed}");
}
