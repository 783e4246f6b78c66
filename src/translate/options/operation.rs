//! Options about addresses, TLS, pages, logs and health.

use super::option::{Form, Meaning, ProxyOption, list, option, restriction, switch, text};

pub(crate) const SERVER: &[ProxyOption] = &[
    text("http-address", "`CODER_HTTP_ADDRESS`. Sockets (`unix://`) and `fd:` have no equivalent"),
    text("https-address", "`CODER_TLS_ADDRESS`"),
    text("tls-cert-file", "`CODER_TLS_CERT_FILE` and `CODER_TLS_ENABLE`"),
    text("tls-key-file", "`CODER_TLS_KEY_FILE`"),
    text("tls-min-version", "`CODER_TLS_MIN_VERSION`"),
    option("tls-cipher-suite", Form::List, Meaning::NoEffect("TLS has no insecure cipher suites here, and nothing to choose")),
    text("redirect-url", "its origin is `CODER_ACCESS_URL`, and its path is `CODER_PATH_PREFIX` and `/callback`"),
    option(
        "relative-redirect-url",
        Form::Switch,
        Meaning::NoEquivalent("each site has a redirect URI of its own, which the provider must know"),
    ),
    text("proxy-prefix", "`CODER_PATH_PREFIX`"),
    switch(
        "force-https",
        "`CODER_REDIRECT_TO_ACCESS_URL`, which redirects plain http where Evergate terminates TLS. Where a proxy does, it must redirect",
    ),
    switch(
        "reverse-proxy",
        "`CODER_PROXY_TRUSTED_ORIGINS`: the networks of the proxy, which `trusted-proxy-ip` or you must name",
    ),
    list("trusted-proxy-ip", "`CODER_PROXY_TRUSTED_ORIGINS`"),
    text("real-client-ip-header", "`CODER_PROXY_TRUSTED_HEADERS`"),
    text("metrics-address", "`CODER_PROMETHEUS_ENABLE` and `CODER_PROMETHEUS_ADDRESS`"),
    option("metrics-secure-address", Form::Text, Meaning::NoEquivalent("metrics are served in plain text")),
    option("metrics-tls-cert-file", Form::Text, Meaning::NoEquivalent("metrics are served in plain text")),
    option("metrics-tls-key-file", Form::Text, Meaning::NoEquivalent("metrics are served in plain text")),
];

const ONE_LOG: &str = "there is one log, of lines with fields, on standard error (`CODER_LOGGING_JSON`, `CODER_LOG_FILTER`)";
const NO_FILES: &str = "whoever collects logs rotates them";

pub(crate) const OPERATION: &[ProxyOption] = &[
    option(
        "skip-provider-button",
        Form::Switch,
        Meaning::NoEffect("a page view without a session goes to the provider, with no page before it"),
    ),
    option("custom-templates-dir", Form::Text, Meaning::NoEquivalent("the pages have a fixed layout (settings: Pages)")),
    text("custom-sign-in-logo", "`CODER_OIDC_ICON_URL`, if it is an https URL"),
    option("banner", Form::Text, Meaning::NoEquivalent("the pages have a fixed layout (settings: Pages)")),
    option("footer", Form::Text, Meaning::NoEquivalent("the pages have a fixed layout (settings: Pages)")),
    option("show-debug-on-error", Form::Switch, Meaning::NoEquivalent("causes are in the log alone, by the page's request id")),
    option(
        "ping-path",
        Form::Text,
        Meaning::NoEquivalent("`/oauth2/healthz` and `/oauth2/ping` say that Evergate is alive; change the probe"),
    ),
    option("ping-user-agent", Form::Text, Meaning::NoEquivalent("a probe asks for `/oauth2/healthz`")),
    option(
        "ready-path",
        Form::Text,
        Meaning::NoEquivalent("`/oauth2/readyz` and `/oauth2/ready` say whether Evergate is ready; change the probe"),
    ),
    option("gcp-healthchecks", Form::Switch, Meaning::NoEquivalent("a probe asks for `/oauth2/healthz`")),
    switch("request-logging", "`false`: `CODER_LOG_FILTER=info,evergate::access=off`"),
    text("logging-filename", "`CODER_LOGGING_JSON`, to whose file Evergate appends"),
    option("standard-logging", Form::Switch, Meaning::NoEffect(ONE_LOG)),
    option("standard-logging-format", Form::Text, Meaning::NoEffect(ONE_LOG)),
    option("request-logging-format", Form::Text, Meaning::NoEffect(ONE_LOG)),
    option("auth-logging", Form::Switch, Meaning::NoEffect(ONE_LOG)),
    option("auth-logging-format", Form::Text, Meaning::NoEffect(ONE_LOG)),
    option("errors-to-info-log", Form::Switch, Meaning::NoEffect(ONE_LOG)),
    option("silence-ping-logging", Form::Switch, Meaning::NoEffect(ONE_LOG)),
    option("exclude-logging-path", Form::List, Meaning::NoEquivalent("the access log has all requests or none")),
    option("request-id-header", Form::Text, Meaning::NoEquivalent("the header is `X-Request-Id`")),
    option("logging-compress", Form::Switch, Meaning::NoEffect(NO_FILES)),
    option("logging-local-time", Form::Switch, Meaning::NoEffect("times are UTC")),
    option("logging-max-age", Form::Text, Meaning::NoEffect(NO_FILES)),
    option("logging-max-backups", Form::Text, Meaning::NoEffect(NO_FILES)),
    option("logging-max-size", Form::Text, Meaning::NoEffect(NO_FILES)),
    restriction("config", Form::Text, "read along"),
    restriction("alpha-config", Form::Text, "read along"),
    option("config-test", Form::Switch, Meaning::NoEffect("`evergate config` and `evergate check` test the settings")),
    option("convert-config-to-alpha", Form::Switch, Meaning::NoEffect("it asks oauth2-proxy for something else")),
    option("version", Form::Switch, Meaning::NoEffect("it asks oauth2-proxy for something else")),
];
