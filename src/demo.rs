//! `evergate demo`: a small provider and a sample app, with a real gateway between them.
//!
//! The provider signs its tokens, rotates refresh tokens and refuses a used one; the app knows only the headers that it is
//! sent. The gateway itself uses nothing of this.

mod history;
mod provider;
mod sample_app;

use std::{net::SocketAddr, path::Path};

use anyhow::Context;
use tokio::net::TcpListener;

use crate::{
    app::{self, Running},
    clock::Clock,
    config::{Checked, Environment, Problems, check},
    timings::Timings,
};

pub use provider::ACCESS_TOKEN_LIFE;

/// A running demonstration.
#[derive(Debug)]
pub struct Demo {
    /// The URL for the browser.
    pub url: String,
    /// The provider's issuer.
    pub issuer: String,
    /// The gateway.
    pub gateway: Running,
}

/// What a demonstration begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nobody has ever been there.
    Nothing,
    /// Two weeks of made history, and its administration.
    Administration,
}

/// The group whose members administer.
const ADMINISTRATORS: &str = "on-call";

/// Makes history in the store of these settings.
async fn made_history(checked: &Checked, issuer: &str) -> anyhow::Result<Vec<provider::MadePerson>> {
    let administration = app::administer(checked)?;
    administration.store.migrate().await?;
    let fingerprint = administration.sign_out.providers.iter().next().map(|provider| provider.fingerprint().clone());
    let fingerprint = fingerprint.context("there is no provider")?;
    history::fill(&administration, issuer, &fingerprint, Clock::System.now()).await
}

/// Starts provider, app and gateway on loopback; the gateway keeps its data in `directory`. `own_app` is the address of an
/// app to stand in for the sample one.
///
/// # Errors
/// A port is taken, or the directory cannot be written.
pub async fn start(port: Option<u16>, own_app: Option<&str>, directory: &Path, content: Content) -> anyhow::Result<Demo> {
    let listen = |port| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
    let (idp, upstream) = (listen(0).await?, listen(0).await?);
    let issuer = format!("http://{}", idp.local_addr()?);
    // The gateway's host name differs from the provider's, because cookies are not separated by port.
    let port = match port {
        Some(port) => port,
        None => listen(0).await?.local_addr()?.port(),
    };
    let url = format!("http://localhost:{port}");
    let settings = [
        ("access_url", url.clone()),
        ("http_address", format!("127.0.0.1:{port}")),
        ("upstream_url", own_app.map_or(format!("http://{}", upstream.local_addr()?), str::to_owned)),
        ("oidc_issuer_url", issuer.clone()),
        ("oidc_client_id", provider::CLIENT_ID.to_owned()),
        ("oidc_group_field", "groups".to_owned()),
        ("data_dir", directory.display().to_string()),
        // A demonstration should stop quickly; no replica takes its WebSockets over.
        ("shutdown_timeout", "2s".to_owned()),
    ];
    let groups = (content == Content::Administration).then(|| ("admin_groups", ADMINISTRATORS.to_owned()));
    let settings = settings.into_iter().chain(groups);
    let environment =
        Environment { flags: settings.map(|(name, value)| (name.to_owned(), value)).collect(), ..Environment::default() };
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let checked = check(&raw, problems)?;
    let made = match content {
        Content::Nothing => Vec::new(),
        Content::Administration => made_history(&checked, &issuer).await.context("the history could not be made")?,
    };
    let provider = provider::router(&issuer, &url, made)?;
    tokio::spawn(async move { axum::serve(idp, provider).await });
    tokio::spawn(async move { axum::serve(upstream, sample_app::router()).await });
    let gateway = app::start(checked, Clock::System, Timings::default()).await.context("the gateway did not start")?;
    Ok(Demo { url, issuer, gateway })
}
