//! Options about who may enter, and what apps are told.

use super::option::{Form, Meaning, ProxyOption, list, option, restriction, secret, switch};

pub(crate) const ACCESS: &[ProxyOption] = &[
    restriction(
        "email-domain",
        Form::List,
        "`CODER_OIDC_EMAIL_DOMAIN`; nothing for `*`; `claims_match` of each route for subdomains (`.example.com`, `*.example.com`)",
    ),
    restriction("authenticated-emails-file", Form::Text, "`CODER_OIDC_ALLOWED_EMAILS_FILE`"),
    restriction("allowed-group", Form::List, "`CODER_OIDC_ALLOWED_GROUPS`"),
    option(
        "htpasswd-file",
        Form::Text,
        Meaning::NoEquivalent("the provider alone logs users in; who has a password here alone needs an account there"),
    ),
    option("htpasswd-user-group", Form::List, Meaning::NoEquivalent("the provider alone logs users in")),
    option("display-htpasswd-form", Form::Switch, Meaning::NoEffect("there is no form for passwords")),
    list(
        "skip-auth-route",
        "a `[[route]]` with `rule = \"public\"`, if the regular expression is a path and what is below it; others are told. A \
         pattern for one path alone would open what is below it too, and stands commented out",
    ),
    ProxyOption {
        flag: "skip-auth-regex",
        aliases: &["skip-auth-regexes"],
        form: Form::List,
        meaning: Meaning::Becomes("as `skip-auth-route`"),
    },
    option(
        "skip-auth-preflight",
        Form::Switch,
        Meaning::NoEffect(
            "`cors` of a route answers preflights, and those of the origins in `CODER_ALLOWED_ORIGINS` pass ([cors.md](cors.md))",
        ),
    ),
    option(
        "api-route",
        Form::List,
        Meaning::NoEffect("scripts are told from page views on every path, and get 401 and JSON, never a redirect"),
    ),
    option(
        "trusted-ip",
        Form::List,
        Meaning::NoEquivalent("no address stands for a login; a route can be public for some `networks`, and closed for others"),
    ),
    list(
        "whitelist-domain",
        "the sites that Evergate serves: `CODER_WILDCARD_ACCESS_URL`, `CODER_OIDC_REDIRECT_ALLOWED_HOSTS`. After a login a browser \
         is sent to no other",
    ),
    option("force-json-errors", Form::Switch, Meaning::NoEffect("scripts get JSON and people get pages by themselves")),
    option(
        "signature-key",
        Form::Secret,
        Meaning::NoEquivalent("an app can verify a signed assertion instead ([assertion.md](assertion.md))"),
    ),
];

pub(crate) const HEADERS: &[ProxyOption] = &[
    switch(
        "pass-user-headers",
        "the default (`CODER_IDENTITY=evergate`); `false` with `pass-basic-auth=false`: `CODER_IDENTITY=none`",
    ),
    switch("pass-basic-auth", "with `basic-auth-password`: `CODER_IDENTITY_BASIC_PASSWORD` and `CODER_IDENTITY_BASIC_USER`"),
    secret("basic-auth-password", "`CODER_IDENTITY_BASIC_PASSWORD_FILE`"),
    switch("prefer-email-to-user", "`CODER_IDENTITY_HEADERS` with the address as `X-Forwarded-User`"),
    switch("pass-access-token", "`CODER_PASS_ACCESS_TOKEN`"),
    switch("pass-authorization-header", "`Authorization = \"Bearer {id_token}\"` in `CODER_IDENTITY_HEADERS`"),
    switch("set-xauthrequest", "`CODER_FORWARD_AUTH`, whose responses always have the `X-Auth-Request-…` headers"),
    switch("set-authorization-header", "`CODER_FORWARD_AUTH`, and `Authorization` in `CODER_IDENTITY_HEADERS`"),
    switch("set-basic-auth", "`CODER_FORWARD_AUTH`, and as `pass-basic-auth`"),
    option(
        "skip-auth-strip-headers",
        Form::Switch,
        Meaning::NoEffect("Evergate removes clients' own identity headers on every route, also on public ones"),
    ),
];
