//! What is to be registered at the provider, ready to paste.

use super::Finding;
use crate::{address::RedirectUris, config::Checked};

/// The addresses, each once.
pub(super) fn check(checked: &Checked) -> Vec<Finding> {
    let gateway = &checked.gateway;
    let of_all_sites = |uris: &RedirectUris| {
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
    let has_several = !checked.further_providers.is_empty();
    let mut findings: Vec<_> = checked
        .providers()
        .map(|provider| {
            let uris = of_all_sites(&gateway.callback_uris(&provider.oidc.name));
            let finding = to_register("redirect URIs", &uris);
            if has_several { finding.at(&provider.oidc.name) } else { finding }
        })
        .collect();
    findings.extend([
        to_register("post-logout URI", &of_all_sites(&gateway.redirect_uris("signed_out"))),
        to_register("back-channel logout", &main("backchannel_logout")),
        to_register("front-channel logout", &main("frontchannel_logout")),
        to_register("login initiation", &main("start")),
    ]);
    findings
}

fn to_register(check: &'static str, address: &str) -> Finding {
    Finding::info(check, format!("register at the provider: {address}"))
}
