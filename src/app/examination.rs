//! Builds what `evergate doctor` runs.

use anyhow::{Context, bail};

use crate::{
    config::{Checked, ProviderSettings},
    doctor::{self, Doctor},
};

/// Builds the examinations of the provider of this name, or of all, whose logins come back to `redirect_uri`, or else to the gateway's own.
///
/// # Errors
/// There is no such provider, the redirect URI is no URL, or the client certificate towards a provider or the client's private key cannot
/// be used.
pub fn doctors(settings: &Checked, provider: Option<&str>, redirect_uri: Option<&str>) -> anyhow::Result<Vec<Doctor>> {
    let site = settings.gateway.exchange.sites.main();
    let given = redirect_uri.map(url::Url::parse).transpose().context("--redirect-uri is not a URL")?;
    let is_meant = |of: &&ProviderSettings| provider.is_none_or(|name| of.oidc.name == name);
    let doctor = |of: &ProviderSettings| {
        let redirect_uri =
            given.as_ref().map_or_else(|| settings.gateway.callback_uris(&of.oidc.name).of(site), |given| given.clone().into());
        Ok(Doctor::new(doctor::Settings {
            oidc: of.oidc.clone(),
            tls: of.trust.client_config()?,
            renewal: settings.renewal.clone(),
            session_idle: settings.session.idle,
            redirect_uri,
            signed_out_uri: settings.gateway.redirect_uris("signed_out").of(site),
        })?)
    };
    let doctors = settings.providers().filter(is_meant).map(doctor).collect::<anyhow::Result<Vec<_>>>()?;
    if doctors.is_empty() {
        let names: Vec<_> = settings.providers().map(|of| of.oidc.name.as_str()).collect();
        bail!("there is no such provider; the providers are {}", names.join(", "));
    }
    Ok(doctors)
}
