//! The sockets that clients connect to: bound here, or passed on by the service manager.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::serving::Served;
use crate::{
    app_tokens,
    clock::Clock,
    config::Checked,
    server,
    systemd::{Purpose, Sockets},
    tls::CertResolver,
};

/// Where this process listens.
pub(super) struct Listeners {
    pub(super) served: Served,
    /// The certificates that are served, with TLS.
    pub(super) certificates: Option<Arc<CertResolver>>,
    pub(super) metrics: Option<TcpListener>,
    /// For apps' jobs that ask for tokens.
    pub(super) jobs: Option<app_tokens::Listener>,
}

/// The addresses of the listeners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) plain: SocketAddr,
    pub(super) secure: Option<SocketAddr>,
    pub(super) ext_authz: Option<SocketAddr>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) administration: Option<SocketAddr>,
    /// On loopback.
    pub(super) jobs: Option<SocketAddr>,
}

impl Listeners {
    /// Takes over `sockets`, and binds the addresses of the others.
    ///
    /// # Errors
    /// An address cannot be listened on, the certificates cannot be served, or nothing is served on one of the sockets.
    pub(super) async fn open(mut sockets: Sockets, settings: &Checked, clock: &Clock) -> anyhow::Result<Self> {
        let (are_passed_on, is_https_passed_on) = (!sockets.is_empty(), sockets.has(Purpose::Https));
        let hosts = settings.gateway.exchange.sites.certificate_hosts();
        let plain = listener(&mut sockets, Purpose::Http, settings.server.address, None)?;
        let (secure, certificates) = match &settings.server.tls {
            Some((address, certificates)) => {
                let loaded = certificates.load(hosts, clock.clone());
                let (config, resolver) = loaded.context("the certificates of CODER_TLS_CERT_FILE cannot be served")?;
                let tls = Some(Arc::new(config).into());
                (Some(listener(&mut sockets, Purpose::Https, *address, tls)?), Some(resolver))
            }
            None => (None, None),
        };
        let tls = || secure.as_ref().and_then(|listener| listener.tls.clone());
        let ext_authz = match settings.server.ext_authz {
            Some(asked) => {
                let tls = if asked.is_secure { Some(tls().context("there are no certificates to serve")?) } else { None };
                Some(listener(&mut sockets, Purpose::ExtAuthz, asked.address, tls)?)
            }
            None => None,
        };
        let metrics = match settings.telemetry.metrics_address {
            Some(address) => Some(listen(&mut sockets, Purpose::Metrics, address)?),
            None => None,
        };
        let administration = match settings.administration.as_ref().and_then(|administration| administration.address) {
            Some(address) => Some(listener(&mut sockets, Purpose::Administration, address, tls())?),
            None => None,
        };
        sockets.all_taken()?;
        if let (true, false, Some(secure)) = (are_passed_on, is_https_passed_on, &secure) {
            let address = secure.socket.local_addr()?;
            tracing::warn!(tls.address = %address, "sockets were passed on (LISTEN_FDS), and none for HTTPS: is evergate-https.socket enabled?");
        }
        let jobs = listen_for_jobs(settings.app_tokens.as_ref()).await?;
        let served = Served { plain, secure, administration, ext_authz };
        Ok(Self { served, certificates, metrics, jobs })
    }

    /// Where they listen, also where the settings leave the port to the system.
    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        let of = |listener: &Option<server::Listener>| listener.as_ref().map(|listener| listener.socket.local_addr()).transpose();
        Ok(Addresses {
            plain: self.served.plain.socket.local_addr()?,
            secure: of(&self.served.secure)?,
            ext_authz: of(&self.served.ext_authz)?,
            metrics: self.metrics.as_ref().map(TcpListener::local_addr).transpose()?,
            administration: of(&self.served.administration)?,
            jobs: self.jobs.as_ref().and_then(app_tokens::Listener::address),
        })
    }
}

fn listener(
    sockets: &mut Sockets,
    purpose: Purpose,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
) -> anyhow::Result<server::Listener> {
    Ok(server::Listener { socket: listen(sockets, purpose, address)?, tls })
}

/// The socket that was passed on, or else one that is bound to `address`.
fn listen(sockets: &mut Sockets, purpose: Purpose, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let Some(socket) = sockets.take(purpose) else {
        let bound = server::bind(address);
        return bound.with_context(|| format!("cannot listen on {address} ({})", purpose.address_setting()));
    };
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket)?)
}

/// Binds the address at which apps' jobs ask for tokens, if there is one.
async fn listen_for_jobs(allowed: Option<&app_tokens::Settings>) -> anyhow::Result<Option<app_tokens::Listener>> {
    let Some(address) = allowed.map(|allowed| &allowed.listen) else { return Ok(None) };
    let bound = app_tokens::Listener::bind(address).await.map(Some);
    bound.with_context(|| format!("cannot listen on {address} for apps' jobs (CODER_APP_TOKEN_ADDRESS)"))
}
