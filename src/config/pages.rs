//! Settings of Evergate's own pages: texts, icon and policy.

use std::sync::Arc;

use url::Url;

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
};
use crate::pages::Branding;

/// The settings under their heading.
pub(super) const SECTION: Section =
    Section { title: "Pages", settings: &[&SIGN_IN_TEXT, &ICON_URL, &SIGNUPS_DISABLED_TEXT, &ADDITIONAL_CSP_POLICY] };

const SIGN_IN_TEXT: Setting = setting(
    "oidc_sign_in_text",
    ValueType::Text,
    "",
    "The label of the button that begins a login, as in `Sign in with Example`. Not set: `Sign in`.",
);
const ICON_URL: Setting = setting(
    "oidc_icon_url",
    ValueType::Text,
    "",
    "The https URL of an image on Evergate's own pages, which browsers load from there. A path, as of Coder's own icons (`/icon/google.svg`), shows none.",
);
const SIGNUPS_DISABLED_TEXT: Setting = setting(
    "oidc_signups_disabled_text",
    ValueType::Text,
    "",
    "What Evergate says to a user whom the rules do not let in, besides why, as in `Ask helpdesk@example.com for access.`. Shown as it is written: Markdown is not interpreted.",
);
const ADDITIONAL_CSP_POLICY: Setting = setting(
    "additional_csp_policy",
    ValueType::List,
    "",
    "Further directives of the Content-Security-Policy of Evergate's own pages, as in `frame-ancestors https://portal.example.com`. A directive replaces Evergate's own of the same name. The app's pages have the app's policy.",
);

/// What is set of the pages.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Arc<Branding>> {
    let given = reader.text(&ICON_URL).is_some_and(|text| text.starts_with('/'));
    if given {
        reader.warn(&ICON_URL, "has no effect: Evergate serves no icons of its own; name a whole https URL");
    }
    let icon = if given { None } else { reader.parsed(&ICON_URL, icon) };
    let directives = reader.list(&ADDITIONAL_CSP_POLICY);
    let (sign_in_text, denied_text) = (reader.owned(&SIGN_IN_TEXT), reader.owned(&SIGNUPS_DISABLED_TEXT));
    let branding = Branding::new(sign_in_text, denied_text, icon, &directives);
    if branding.is_err() || directives.iter().any(|directive| directive.contains(';')) {
        reader.problem(&ADDITIONAL_CSP_POLICY, "must be directives of printable ASCII separated by commas, without semicolons");
    }
    branding.ok().map(Arc::new)
}

fn icon(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    url.ok_or_else(|| "must be an https URL, as in https://cdn.example.com/logo.svg".to_owned())
}
