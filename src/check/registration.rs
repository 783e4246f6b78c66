//! What is to be registered at the provider, ready to paste.

use super::Finding;
use crate::config::Checked;

/// The addresses, each once.
pub(super) fn check(checked: &Checked) -> Vec<Finding> {
    let gateway = &checked.gateway;
    let pattern = gateway.exchange.sites.wildcard_pattern().unwrap_or_default();
    let pattern = pattern.split(':').next().unwrap_or_default().to_owned();
    let of_all_sites = |page: &str| {
        let uris = gateway.redirect_uris(page);
        let mut all: Vec<_> = gateway.exchange.sites.all().map(|site| uris.of(site)).collect();
        // Without one redirect URI for all sites, each host of the wildcard has its own.
        all.extend(gateway.exchange.sites.wildcard_example().map(|site| uris.of(&site).replace(site.host(), &pattern)));
        all.sort();
        all.dedup();
        all.join(" ")
    };
    let main = |page: &str| gateway.exchange.sites.main().at(&format!("{}/{page}", gateway.prefix));
    [
        ("redirect URIs", of_all_sites("callback")),
        ("post-logout URI", of_all_sites("signed_out")),
        ("back-channel logout", main("backchannel_logout")),
        ("login initiation", main("start")),
    ]
    .map(|(check, address)| Finding::info(check, format!("register at the provider: {address}")))
    .into()
}
