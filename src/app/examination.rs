//! Builds what `evergate doctor` runs.

use anyhow::Context;

use crate::{
    config::Checked,
    doctor::{self, Doctor},
};

/// Builds the examination of the provider, whose login comes back to `redirect_uri`, or else to the gateway's own.
///
/// # Errors
/// The redirect URI is no URL, or the client certificate towards the provider or the client's private key cannot be used.
pub fn doctor(settings: &Checked, redirect_uri: Option<&str>) -> anyhow::Result<Doctor> {
    let site = settings.gateway.exchange.sites.main();
    let redirect_uri = match redirect_uri {
        Some(uri) => url::Url::parse(uri).context("--redirect-uri is not a URL")?.into(),
        None => settings.gateway.callback_uris(&settings.provider.oidc.name).of(site),
    };
    Ok(Doctor::new(doctor::Settings {
        oidc: settings.provider.oidc.clone(),
        tls: settings.provider.trust.client_config()?,
        renewal: settings.renewal.clone(),
        session_idle: settings.session.idle,
        redirect_uri,
        signed_out_uri: settings.gateway.redirect_uris("signed_out").of(site),
    })?)
}
