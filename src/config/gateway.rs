//! Settings of `gateway`: the addresses that browsers know, and what is asked of every request.

use super::table::{Section, Setting, ValueType, setting};
use crate::session::cookie::DEFAULT_NAME;

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Addresses",
    settings: &[
        &ACCESS_URL,
        &PATH_PREFIX,
        &REDIRECT_TO_ACCESS_URL,
        &STRICT_TRANSPORT_SECURITY,
        &STRICT_TRANSPORT_SECURITY_OPTIONS,
        &COOKIE_NAME,
        &PROXY_TRUSTED_ORIGINS,
        &ALLOWED_ORIGINS,
    ],
};

const ACCESS_URL: Setting = setting(
    "access_url",
    ValueType::Url,
    "",
    "Required. The address that browsers reach Evergate by: scheme, host and port, as in `https://app.example.com`. Two addresses under it are to be registered at the provider: `<access URL>/oauth2/callback` as redirect URI, `<access URL>/oauth2/signed_out` as post-logout redirect URI. Over plain http cookies are not protected on the network.",
);
const PATH_PREFIX: Setting =
    setting("path_prefix", ValueType::Text, "/oauth2", "Where Evergate's own pages are. The rest of the URL space is the app's.");
const REDIRECT_TO_ACCESS_URL: Setting = setting(
    "redirect_to_access_url",
    ValueType::Bool,
    "false",
    "Whether requests that name another host, or that come in plain text while `CODER_TLS_ENABLE` is set, are redirected (308) to the access URL. Otherwise other hosts are answered 421.",
);
const STRICT_TRANSPORT_SECURITY: Setting = setting(
    "strict_transport_security",
    ValueType::Number,
    "0",
    "Seconds for which browsers are told to come by https alone (`Strict-Transport-Security`, RFC 6797). `0` does not tell them.",
);
const STRICT_TRANSPORT_SECURITY_OPTIONS: Setting =
    setting("strict_transport_security_options", ValueType::List, "", "What is said besides: `includeSubDomains`, `preload`.");
const COOKIE_NAME: Setting = setting(
    "cookie_name",
    ValueType::Text,
    DEFAULT_NAME,
    "What the names of Evergate's cookies begin with. Two on one host name, on different ports, need different ones: browsers do not tell cookies apart by port.",
);
const PROXY_TRUSTED_ORIGINS: Setting = setting(
    "proxy_trusted_origins",
    ValueType::List,
    "",
    "Networks (CIDR) of the proxies in front of Evergate, whose `X-Forwarded-For`, `-Proto` and `-Host` are believed. Everybody else's are replaced.",
);
const ALLOWED_ORIGINS: Setting = setting(
    "allowed_origins",
    ValueType::List,
    "",
    "Origins (`https://other.example.com`) whose pages may send the app requests that change something or open WebSockets, besides the access URL's own. `*` allows all and leaves the defence to the app. Others are answered 403.",
);
