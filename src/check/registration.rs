//! What is to be registered at the provider, ready to paste.

use super::Finding;
use crate::config::Checked;

/// The addresses, each once.
pub(super) fn check(checked: &Checked) -> Vec<Finding> {
    let gateway = &checked.gateway;
    let of_all_sites = |page: &str| {
        let uris = gateway.redirect_uris(page);
        let mut all: Vec<_> = gateway.exchange.sites.all().map(|site| uris.of(site)).collect();
        // Without one redirect URI for all sites, each host of a pattern has its own.
        all.extend(gateway.exchange.sites.pattern_examples().map(|(pattern, site)| {
            let pattern = pattern.to_string();
            uris.of(&site).replace(site.host(), pattern.split(':').next().unwrap_or_default())
        }));
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
