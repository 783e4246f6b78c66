//! The table against the records of the interoperability tests: what real providers served and did.

use super::*;
use crate::oidc::preset::{IdleExpiry, RefreshIntrospection, RefreshTokenRotation};

fn records() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/seen");
    let records = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    records.map(|text| serde_json::from_str(&text).unwrap()).collect()
}

#[test]
fn what_real_providers_served_shows_their_products() {
    for record in records() {
        let document = record["metadata"].as_object().unwrap();
        let (found, by) = Preset::detect(document["issuer"].as_str().unwrap(), &list(&record["metadata"]), document);
        assert_eq!(found.name, record["preset"]["name"], "{} is detected as {by:?}", record["provider"]);
    }
}

#[test]
fn what_real_providers_did_is_what_the_table_says() {
    for record in records() {
        let (provider, facts) = (&record["provider"], &record["doctor"]["facts"]);
        let preset = Preset::named(record["preset"]["name"].as_str().unwrap()).unwrap();
        let reuse = facts["destructive"]["reuse"].as_str().unwrap();
        let is_as_said = match preset.rotation {
            RefreshTokenRotation::Reusable => matches!(reuse, "accepted" | "not_rotated"),
            RefreshTokenRotation::ReuseInterval(_) => reuse == "accepted",
            RefreshTokenRotation::ReuseDetection => reuse == "ends_grant",
            RefreshTokenRotation::SingleUse => reuse == "refused",
            RefreshTokenRotation::NonRotating => reuse == "not_rotated",
            RefreshTokenRotation::Observed => true,
        };
        assert!(is_as_said, "{provider}: {reuse}, and the table has {:?}", preset.rotation);
        assert_eq!(facts["login"]["refresh_token"], true, "{provider} with {:?}", preset.offline_access);
        let introspection = &record["introspection"];
        match preset.introspection {
            RefreshIntrospection::Works => assert_eq!(introspection["valid"], true, "{provider}"),
            RefreshIntrospection::Unreliable => assert_ne!(introspection["valid"], true, "{provider}"),
            // Nothing is known of products without a preset.
            RefreshIntrospection::Untested => {
                assert!(preset.name == "generic" || introspection["valid"] != false, "{provider} calls valid tokens inactive");
            }
        }
        assert_ne!(introspection["spent"], true, "{provider} calls spent tokens active");
        let stranger = record["prompt_none"]["stranger"].as_str().unwrap();
        assert_eq!(
            preset.supports_prompt_none,
            !stranger.starts_with("a page"),
            "{provider} answers prompt=none with {stranger}"
        );
        let listed = record["metadata"]["grant_types_supported"].as_array();
        let lists = listed.is_none_or(|types| types.contains(&json!("refresh_token")));
        assert_eq!(preset.lists_refresh_token_grant, lists, "{provider} lists {listed:?}");
        let dies_early = record["renewal"] == "before the expiry alone";
        assert_eq!(preset.idle_expiry == IdleExpiry::WithAccessToken, dies_early, "{provider}");
    }
}
