//! What the settings say by themselves.

use super::Finding;
use crate::config::Checked;

/// Oddities of the settings, and whether cookies are protected on the network.
pub(super) fn check(checked: &Checked) -> Vec<Finding> {
    const CHECK: &str = "settings";
    let mut findings: Vec<_> =
        checked.warnings.iter().map(|warning| Finding::warning(CHECK, warning.to_string()).see("docs/settings.md")).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "all settings are understood"));
    }
    let site = checked.gateway.exchange.sites.main();
    findings.push(if site.is_https() {
        Finding::ok("access URL", format!("{} is https: cookies are Secure", site.at("")))
    } else {
        let seen = format!("{} is plain http: session cookies can be read on the network between browsers and here", site.at(""));
        Finding::warning("access URL", seen).advise("set CODER_ACCESS_URL to an https URL").see("docs/data-plane.md")
    });
    if checked.gateway.lacks_group_claim {
        let seen = "routes ask for groups, and no claim is known that holds them: nobody gets in there";
        findings.push(Finding::error("groups", seen).advise("set CODER_OIDC_GROUP_FIELD").see("docs/settings.md"));
    }
    findings
}
