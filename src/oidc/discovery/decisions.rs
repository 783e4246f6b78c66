//! What discovery decides for the administrator, each decision with its reason and with the setting that replaces it. Pure.

use super::ProviderMetadata;
use crate::oidc::{
    Settings,
    preset::{DetectedBy, RefreshIntrospection, RefreshTokenRotation},
};

/// One automatic decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// The setting that decides instead, if it is set.
    pub(super) setting: &'static str,
    pub(super) value: String,
    pub(super) reason: &'static str,
}

/// All decisions, those included that a setting makes.
pub(super) fn decisions(settings: &Settings, metadata: &ProviderMetadata) -> [Decision; 6] {
    let preset = match metadata.detected_by {
        DetectedBy::Setting => "as configured",
        DetectedBy::Issuer => "the issuer shows the product",
        DetectedBy::Metadata => "the metadata show the product",
        DetectedBy::Nothing => "neither the issuer nor the metadata show a known product",
    };
    let scopes = match settings.scopes {
        Some(_) => "as configured, but for what the preset has added or left out",
        None => "openid, of profile and email what the metadata list, and what the preset has added",
    };
    let (rotation, rotation_reason) = match (settings.refresh_token_reuse_interval, metadata.preset.rotation) {
        (Some(interval), _) => (reuse(RefreshTokenRotation::ReuseInterval(interval)), "as configured"),
        (None, RefreshTokenRotation::Observed) => {
            (reuse(RefreshTokenRotation::Observed), "the provider's configuration decides, so token refreshes show it")
        }
        (None, rotation) => (reuse(rotation), "the preset knows it"),
    };
    let (introspection, introspection_reason) = match (&settings.introspection_url, &metadata.introspection_endpoint) {
        (Some(_), _) => ("asked", "as configured"),
        (None, _) if metadata.preset.introspection == RefreshIntrospection::Unreliable => {
            ("not asked", "this provider calls every refresh token inactive")
        }
        (None, Some(_)) => ("asked", "the metadata name the endpoint"),
        (None, None) => ("not asked", "the metadata name no endpoint"),
    };
    let silent = match (settings.silent_login, metadata.supports_prompt_none, metadata.preset.supports_prompt_none) {
        (Some(silent), ..) => (silent, "as configured"),
        (None, false, _) => (false, "the metadata exclude prompt=none"),
        (None, true, false) => (false, "this provider answers prompt=none with a page of its own"),
        (None, true, true) => (true, "OpenID Connect requires it, and nothing excludes it"),
    };
    let pushed = match (settings.pushed_authorization, metadata.requires_pushed_authorization) {
        (Some(pushed), _) => (pushed, "as configured"),
        (None, true) => (true, "the metadata require pushed authorization requests"),
        (None, false) => (false, "the metadata do not require pushed authorization requests"),
    };
    let truth = |value| if value { "true" } else { "false" };
    let decision = |setting, value: &str, reason| Decision { setting, value: value.to_owned(), reason };
    [
        decision("CODER_OIDC_PRESET", metadata.preset.name, preset),
        decision("CODER_OIDC_SCOPES", &metadata.authorization_params.scopes.join(" "), scopes),
        Decision { setting: "CODER_OIDC_REFRESH_TOKEN_GRACE", value: rotation, reason: rotation_reason },
        decision("CODER_OIDC_INTROSPECTION_URL", introspection, introspection_reason),
        decision("CODER_OIDC_PAR", truth(pushed.0), pushed.1),
        decision("CODER_OIDC_SILENT_LOGIN", truth(silent.0), silent.1),
    ]
}

/// What becomes of a refresh token after its use.
fn reuse(rotation: RefreshTokenRotation) -> String {
    match rotation {
        RefreshTokenRotation::Reusable => "a used refresh token stays valid".to_owned(),
        RefreshTokenRotation::ReuseInterval(interval) => format!("a used refresh token stays valid for {} s", interval.as_secs()),
        RefreshTokenRotation::ReuseDetection => "a second use revokes the grant".to_owned(),
        RefreshTokenRotation::SingleUse => "a second use is refused".to_owned(),
        RefreshTokenRotation::NonRotating => "refresh tokens are never replaced".to_owned(),
        RefreshTokenRotation::Observed => "not known yet".to_owned(),
    }
}
