//! The fuzz target of metadata.

use super::*;
use crate::fuzz::run;

/// Metadata that are accepted are the issuer's, and name https alone.
#[test]
fn metadata() {
    let settings = Settings::of_test("https://id.example");
    run(
        "metadata",
        &[r#""token_endpoint":"#, "http://", "https://id.example/", "file:///", r#"["none"]"#, r#""issuer":"#],
        |data| {
            let Some(document) = MetadataDocument::parse(data) else { return };
            let Ok(metadata) = ProviderMetadata::read(&settings, &document) else { return };
            assert!(metadata.issuer.is_of_response(&settings.issuer));
            for (name, address) in metadata.endpoints() {
                assert!(address.is_none_or(|address| address.starts_with("https://")), "{name}");
            }
        },
    );
}
