//! The sockets that clients connect to: bound here, or passed on by the service manager.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app_tokens,
    clock::Clock,
    server,
    systemd::{Purpose, Sockets},
    telemetry::metrics::Metrics,
    tls::CertResolver,
};

/// Where this process listens.
pub(super) struct Listeners {
    pub(super) plain: server::Listener,
    /// With TLS, and the certificates that are served there.
    pub(super) secure: Option<(server::Listener, Arc<CertResolver>)>,
    /// Where ingresses ask over gRPC.
    pub(super) ext_authz: Option<server::Listener>,
    pub(super) metrics: Option<TcpListener>,
    /// For the administration alone, with TLS if that is spoken at all.
    pub(super) administration: Option<server::Listener>,
}

impl Listeners {
    /// Takes over `sockets`, and binds the addresses of the others.
    pub(super) async fn open(
        mut sockets: Sockets,
        settings: &server::Settings,
        (metrics_address, admin_address): (Option<SocketAddr>, Option<SocketAddr>),
        certificate_hosts: Vec<String>,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let plain = server::Listener { socket: listen(sockets.take(Purpose::Http), settings.address).await?, tls: None };
        let secure = match &settings.tls {
            Some((address, certificates)) => {
                let (config, cert_resolver) = certificates
                    .load(certificate_hosts, clock.clone())
                    .context("the certificates of CODER_TLS_CERT_FILE cannot be served")?;
                let socket = listen(sockets.take(Purpose::Https), *address).await?;
                Some((server::Listener { socket, tls: Some(Arc::new(config).into()) }, cert_resolver))
            }
            None => None,
        };
        let ext_authz = match settings.ext_authz {
            Some(asked) => {
                let served = || secure.as_ref().and_then(|(listener, _)| listener.tls.clone());
                let tls = if asked.is_secure { Some(served().context("there are no certificates to serve")?) } else { None };
                Some(server::Listener { socket: listen(sockets.take(Purpose::ExtAuthz), asked.address).await?, tls })
            }
            None => None,
        };
        let metrics = match metrics_address {
            Some(address) => Some(listen(sockets.take(Purpose::Metrics), address).await?),
            None => None,
        };
        let administration = match admin_address {
            Some(address) => {
                let tls = secure.as_ref().and_then(|(listener, _)| listener.tls.clone());
                Some(server::Listener { socket: listen(sockets.take(Purpose::Administration), address).await?, tls })
            }
            None => None,
        };
        sockets.all_taken()?;
        Ok(Self { plain, secure, ext_authz, metrics, administration })
    }
}

/// The socket that was passed on, or else one that is bound to `address`.
async fn listen(passed_on: Option<std::net::TcpListener>, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let Some(socket) = passed_on else {
        return server::bind(address).await.with_context(|| format!("cannot listen on {address}"));
    };
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket)?)
}

/// Binds the address at which apps' jobs ask for tokens, if there is one.
pub(super) async fn listen_for_jobs(allowed: Option<&app_tokens::Settings>) -> anyhow::Result<Option<app_tokens::Listener>> {
    let Some(address) = allowed.map(|allowed| &allowed.listen) else { return Ok(None) };
    let bound = app_tokens::Listener::bind(address).await.map(Some);
    bound.with_context(|| format!("cannot listen on {address} for apps' jobs (CODER_APP_TOKEN_ADDRESS)"))
}

/// Serves metrics on their own listener, so that no route can expose them.
pub(super) async fn serve_metrics(listener: TcpListener, metrics: Metrics, stop: CancellationToken) {
    let answer = move || {
        let metrics = metrics.clone();
        async move {
            let text = metrics.render().unwrap_or_default();
            ([(http::header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        }
    };
    let pages = axum::Router::new().route("/metrics", axum::routing::get(answer));
    let serving = axum::serve(listener, pages).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = serving.await {
        tracing::warn!(%error, "metrics are no longer served");
    }
}
