//! The one call that a login makes, and the browser that is opened for it.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use url::form_urlencoded;

use super::kept::KeptToken;
use crate::{cli::output::printable, clock::Clock, secret::Secret, tls::ClientTls};

/// Calls Evergate.
pub(super) struct Client(Http<HttpsConnector<HttpConnector>, Full<Bytes>>);

const DEADLINE: Duration = Duration::from_secs(30);
/// No response of Evergate's is longer.
const LARGEST: usize = 64 * 1024;

/// A token as Evergate tells it.
#[derive(Deserialize)]
pub(super) struct Told {
    access_token: String,
    pub(super) expires_in: u64,
}

impl From<Told> for KeptToken {
    fn from(told: Told) -> Self {
        let expires_at = Clock::System.now().plus(Duration::from_secs(told.expires_in));
        Self { token: Secret::new(told.access_token), expires_at }
    }
}

impl Client {
    /// Trusts the certificates in `ca_file`, or those that the system trusts.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let trust = ClientTls { ca_file: ca_file.map(Path::to_owned), client_certificate: None };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(trust.client_config()?).https_or_http().enable_http1().build();
        Ok(Self(Http::builder(TokioExecutor::new()).build(connector)))
    }

    /// Redeems a code at `address`.
    pub(super) async fn redeem(&self, address: &str, code: &str, verifier: &str) -> anyhow::Result<Told> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", code)
            .append_pair("code_verifier", verifier)
            .finish();
        let request = Request::post(address)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Full::from(form))?;
        let call = async {
            let response = self.0.request(request).await.context("Evergate cannot be reached")?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(anyhow::Error::from_boxed)?;
            Ok::<_, anyhow::Error>((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(DEADLINE, call).await.context("Evergate did not answer in time")??;
        if !status.is_success() {
            let told: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let message = told.get("message").and_then(|message| message.as_str()).unwrap_or("no reason was told");
            bail!("no token was given ({status}): {}; try again", printable(message));
        }
        serde_json::from_slice(&body).context("what answers there is no Evergate that gives tokens")
    }
}

/// Opens a page in the user's browser, if there is one; its address is printed anyhow.
pub(super) fn open_browser(address: &str) {
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let quiet = std::process::Stdio::null;
    let _best_effort =
        std::process::Command::new(program).args(arguments).arg(address).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
}
