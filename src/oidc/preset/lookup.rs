//! Finds the preset of a name, or of an issuer and its metadata.

use serde_json::{Map, Value};
use url::Url;

use super::{
    DetectedBy, IssuerPattern, MetadataSign, Preset,
    table::{GENERIC, PRESETS},
};

impl Preset {
    /// The preset with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The preset that an issuer shows, before its metadata are known.
    pub(in crate::oidc) fn of_issuer(issuer: &str) -> &'static Self {
        by_issuer(issuer).unwrap_or(&GENERIC)
    }

    /// The preset for an issuer and its metadata. The issuer comes first: whoever chose it knows the product.
    pub(in crate::oidc) fn detect(
        issuer: &str,
        scopes_supported: &[String],
        members: &Map<String, Value>,
    ) -> (&'static Self, DetectedBy) {
        if let Some(preset) = by_issuer(issuer) {
            return (preset, DetectedBy::Issuer);
        }
        let shown = |preset: &&Self| shows_all(preset, scopes_supported, members);
        PRESETS.iter().find(shown).map_or((&GENERIC, DetectedBy::Nothing), |preset| (preset, DetectedBy::Metadata))
    }
}

fn by_issuer(issuer: &str) -> Option<&'static Preset> {
    let url = Url::parse(issuer).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let path = url.as_ref().map(Url::path).unwrap_or_default();
    let looks = |pattern: &IssuerPattern| match pattern {
        IssuerPattern::Exact(whole) => issuer.trim_end_matches('/') == *whole,
        IssuerPattern::HostPrefix(begin) => host.starts_with(begin),
        IssuerPattern::HostSuffix(end) => host.ends_with(end),
        IssuerPattern::PathContains(part) => path.contains(part),
        IssuerPattern::PathSuffix(end) => path.trim_end_matches('/').ends_with(end),
    };
    PRESETS.iter().find(|preset| preset.issuers.iter().any(looks))
}

/// Whether metadata have all signs of a preset, which has some.
fn shows_all(preset: &Preset, scopes_supported: &[String], members: &Map<String, Value>) -> bool {
    let shows = |sign: &MetadataSign| match sign {
        MetadataSign::Scope(scope) => scopes_supported.iter().any(|listed| listed == scope),
        MetadataSign::Member(name) => members.get(*name).is_some_and(|value| !value.is_null()),
        MetadataSign::PathContains(name, part) => path_of(members, name).is_some_and(|path| path.contains(part)),
        MetadataSign::PathSuffix(name, end) => path_of(members, name).is_some_and(|path| path.ends_with(end)),
    };
    !preset.metadata_signs.is_empty() && preset.metadata_signs.iter().all(shows)
}

/// The path of the address in a member.
fn path_of(members: &Map<String, Value>, name: &str) -> Option<String> {
    let url = Url::parse(members.get(name)?.as_str()?.trim()).ok()?;
    Some(url.path().to_owned())
}

#[cfg(test)]
mod tests;
