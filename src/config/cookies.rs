//! Settings of Evergate's cookies: their names and attributes.

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
};
use crate::session::cookie::{Cookies, DEFAULT_NAME, EmbeddingContext, MAX_NAME_LEN};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Cookies",
    settings: &[&COOKIE_NAME, &COOKIE_FORMER_NAMES, &SECURE_AUTH_COOKIE, &SAMESITE_AUTH_COOKIE, &HOST_PREFIX_COOKIE],
};

const COOKIE_NAME: Setting = setting(
    "cookie_name",
    ValueType::Text,
    DEFAULT_NAME,
    "The prefix of the names of Evergate's cookies. Two gateways on one host name with different ports need different prefixes, because browsers do not separate cookies by port. Sessions, and logins that are under way, outlive a change of this setting only if `CODER_COOKIE_FORMER_NAMES` has the name before; with several replicas see there.",
);
const COOKIE_FORMER_NAMES: Setting = setting(
    "cookie_former_names",
    ValueType::List,
    "",
    "What `CODER_COOKIE_NAME` was before, so that nobody is logged out by its change: cookies of sessions and of logins under way are accepted under these names too, and apps do not get them. A logout and a login end all of a browser's sessions, whatever their names. Needed for as long as a session lasts (`CODER_SESSION_MAX_DURATION`). With several replicas (rolling deploy) change the name in two steps: first set the **new** name here on every replica, then change `CODER_COOKIE_NAME` and set the old one here.",
);
const SECURE_AUTH_COOKIE: Setting = setting(
    "secure_auth_cookie",
    ValueType::Bool,
    "",
    "Whether Evergate's cookies are `Secure`. Not set: as the access URL's scheme says. They are `Secure` with an https access URL whatever is set; `true` makes them so over plain http too, where browsers accept them from loopback at most.",
);
const SAMESITE_AUTH_COOKIE: Setting = setting(
    "samesite_auth_cookie",
    ValueType::Text,
    "lax",
    "`SameSite` of Evergate's cookies: `lax`, or `none` for an app that other sites show in a frame (iframe). With `none` the cookies are `Secure` and `Partitioned` (CHIPS), so that each embedding site has its own login. Sessions outlive a change of this setting. Evergate's own CSRF protection does not depend on it (`CODER_ALLOWED_ORIGINS`).",
);
const HOST_PREFIX_COOKIE: Setting = setting(
    "host_prefix_cookie",
    ValueType::Bool,
    "",
    "The names of Evergate's cookies have the `__Host-` prefix, which keeps sibling hosts from setting them, with an https access URL whatever is set. `true` makes sure of that: Evergate does not start with an http access URL.",
);

/// Names and attributes of the cookies of a gateway whose access URL is https or not.
pub(super) fn read(reader: &mut Reader<'_>, is_https: bool) -> Option<Cookies> {
    let name = reader.parsed(&COOKIE_NAME, cookie_name);
    let mut former = Vec::new();
    for text in reader.list(&COOKIE_FORMER_NAMES) {
        match cookie_name(&text) {
            Ok(name) => former.push(name),
            Err(why) => reader.problem(&COOKIE_FORMER_NAMES, &why),
        }
    }
    let secure = reader.boolean(&SECURE_AUTH_COOKIE);
    let same_site = reader.parsed(&SAMESITE_AUTH_COOKIE, embedding);
    let host_prefix = reader.boolean(&HOST_PREFIX_COOKIE);
    if secure == Some(false) && is_https {
        reader.warn(&SECURE_AUTH_COOKIE, "has no effect: with an https access URL cookies are Secure");
    }
    if host_prefix == Some(false) && is_https {
        reader.warn(&HOST_PREFIX_COOKIE, "has no effect: with an https access URL cookies have the prefix");
    }
    if host_prefix == Some(true) && !is_https {
        reader.problem(&HOST_PREFIX_COOKIE, "needs an https access URL: browsers refuse the prefix over plain http");
    }
    let cookies = Cookies::new(is_https, &name?).formerly(&former).sent_in(same_site?);
    let cookies = if secure == Some(true) { cookies.always_secure() } else { cookies };
    if same_site == Some(EmbeddingContext::Embedded) && !cookies.is_secure() {
        reader.problem(&SAMESITE_AUTH_COOKIE, "must be lax: browsers refuse none over plain http");
    }
    Some(cookies)
}

/// A cookie name is a token (RFC 6265 section 4.1.1); only its plain characters are allowed here.
fn cookie_name(text: &str) -> Result<String, String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if (1..=MAX_NAME_LEN).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be up to {MAX_NAME_LEN} letters, digits, dots, dashes and underscores, as in evergate"))
    }
}

fn embedding(text: &str) -> Result<EmbeddingContext, String> {
    match text.to_ascii_lowercase().as_str() {
        "lax" => Ok(EmbeddingContext::TopLevel),
        "none" => Ok(EmbeddingContext::Embedded),
        _ => Err("must be lax or none".to_owned()),
    }
}
