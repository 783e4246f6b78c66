//! Settings of `identity`: which headers say to an app who sends a request.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderName, header};

use super::{
    reader::Reader,
    route_reader::RouteReader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::{
    forward::is_framing_header,
    header_names,
    identity::{ACCESS_TOKEN_LINE, BasicCredentials, HeaderSet, IdentityPreset, PRESETS, Template},
    policy::Rule,
    secret::Secret,
};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Identity headers",
    settings: &[
        &IDENTITY,
        &IDENTITY_HEADERS,
        &IDENTITY_BASIC_USER,
        &IDENTITY_BASIC_PASSWORD,
        &PASS_ACCESS_TOKEN,
        &IDENTITY_ASSERTION,
    ],
};

const IDENTITY: Setting = setting(
    "identity",
    ValueType::Text,
    "",
    "The headers that say to the app who sends a request: `evergate` (the default: `X-Forwarded-User`, `-Email`, `-Preferred-Username`, `-Name`, `-Groups`, `-Roles`), `none`, or those that an app wants: `argocd`, `backstage`, `code-server`, `grafana`, `jupyter`, `kibana`, `n8n`, `oauth2-proxy` (`X-Auth-Request-…`), `open-webui`, `remote-user` (`Remote-User` …), `superset`.",
);
const IDENTITY_HEADERS: Setting = setting(
    "identity_headers",
    ValueType::Map,
    "",
    "Headers of your own, as in `{\"X-User\":\"{username or email}\",\"X-Roles\":\"{claim:realm_access.roles|join:;}\"}`: in braces stands what the user has. They replace those of `evergate`, and are added to those of `CODER_IDENTITY` if that is set too. Evergate removes these headers from clients' requests on every route.",
);
const IDENTITY_BASIC_USER: Setting = setting(
    "identity_basic_user",
    ValueType::Text,
    "{username or email or user}",
    "The user's name in `Authorization: Basic`, with `CODER_IDENTITY_BASIC_PASSWORD`.",
);
const IDENTITY_BASIC_PASSWORD: Setting = setting(
    "identity_basic_password",
    ValueType::Secret,
    "",
    "The password that Evergate sends with each user's name in `Authorization: Basic`, for apps that know users by such a header. Not set: none is sent.",
);
const PASS_ACCESS_TOKEN: Setting = setting(
    "pass_access_token",
    ValueType::Bool,
    "false",
    "Whether Evergate sends the app the user's current access token in `X-Forwarded-Access-Token`.",
);

const IDENTITY_ASSERTION: Setting = setting(
    "identity_assertion",
    ValueType::Bool,
    "false",
    "Whether Evergate sends the app a signed token that says who sends a request (`X-Evergate-Assertion`: a JWT, ES256, valid for 60 s), which the app can verify with the keys at `/oauth2/jwks` ([assertion.md](assertion.md)).",
);

/// The keys of a route.
pub(super) const ROUTE_IDENTITY: Setting = setting(
    "identity",
    ValueType::Text,
    "",
    "As `CODER_IDENTITY`. A route that has this or `identity_headers` gets nothing of the other settings about identity headers.",
);
pub(super) const ROUTE_IDENTITY_HEADERS: Setting = setting(
    "identity_headers",
    ValueType::Map,
    "",
    "As `CODER_IDENTITY_HEADERS`: a table of headers, as in `{ X-User = \"{username or email}\" }`; [identity.md](identity.md) says what may stand in braces.",
);
pub(super) const ROUTE_BASIC_USER: Setting =
    setting("identity_basic_user", ValueType::Text, "", "As `CODER_IDENTITY_BASIC_USER`.");
pub(super) const ROUTE_BASIC_PASSWORD_FILE: Setting = setting(
    "identity_basic_password_file",
    ValueType::Text,
    "",
    "A file with the password, as `CODER_IDENTITY_BASIC_PASSWORD_FILE`.",
);
pub(super) const ROUTE_PASS_ACCESS_TOKEN: Setting =
    setting("pass_access_token", ValueType::Bool, "", "As `CODER_PASS_ACCESS_TOKEN`.");

pub(super) const ROUTE_ASSERTION: Setting =
    setting("assertion", ValueType::Bool, "", "As `CODER_IDENTITY_ASSERTION`, for this route's URL as the audience.");

/// What an administrator says about the identity headers of all routes or of one.
#[derive(Clone, Debug, Default)]
pub(super) struct IdentitySettings {
    /// The ready set, where one is named.
    pub(super) preset: Option<&'static IdentityPreset>,
    /// Headers of the administrator's own, if there are any.
    pub(super) headers: Option<Vec<(HeaderName, Template)>>,
    pub(super) basic_user: Option<Template>,
    pub(super) basic_password: Option<Secret>,
    pub(super) pass_access_token: bool,
    pub(super) assertion: bool,
}

/// The settings for all routes.
pub(super) fn read(reader: &mut Reader<'_>) -> IdentitySettings {
    let settings = IdentitySettings {
        preset: reader.parsed(&IDENTITY, preset),
        headers: reader.parsed(&IDENTITY_HEADERS, headers),
        basic_user: reader.parsed(&IDENTITY_BASIC_USER, template),
        basic_password: reader.owned(&IDENTITY_BASIC_PASSWORD).map(Secret::new),
        pass_access_token: reader.boolean(&PASS_ACCESS_TOKEN).unwrap_or_default(),
        assertion: reader.boolean(&IDENTITY_ASSERTION).unwrap_or_default(),
    };
    if let Err(message) = settings.header_set() {
        reader.problem(&IDENTITY_HEADERS, message);
    }
    settings
}

impl IdentitySettings {
    /// The set of headers.
    ///
    /// # Errors
    /// Two of the headers are one to some apps.
    pub(super) fn header_set(&self) -> Result<HeaderSet, String> {
        let default = if self.headers.is_some() { None } else { PRESETS.first() };
        let mut lines = self.preset.or(default).map(IdentityPreset::header_set).unwrap_or_default().lines;
        let is_same = |one: &HeaderName, other: &HeaderName| header_names::are_equivalent(one.as_str(), other.as_str());
        let own = self.headers.iter().flatten();
        lines.retain(|(name, _)| !own.clone().any(|(other, _)| is_same(name, other)));
        lines.extend(own.cloned());
        let wants_nothing = self.preset.is_some_and(|preset| preset.name == "none") && self.headers.is_none();
        if self.pass_access_token && !wants_nothing {
            let (name, text) = ACCESS_TOKEN_LINE;
            lines.extend(Template::parse(text).ok().map(|template| (HeaderName::from_static(name), template)));
        }
        let basic = self.basic_user.clone().zip(self.basic_password.clone()).filter(|_| !wants_nothing);
        let set = HeaderSet { lines, basic: basic.map(|(user, password)| BasicCredentials { user, password }) };
        let names: Vec<_> = set.names().collect();
        match names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|other| is_same(name, other))) {
            Some((_, name)) => {
                Err(format!("sets {name} twice: many apps take -, _ and other marks in a header's name for the same"))
            }
            None => Ok(set),
        }
    }
}

impl RouteReader<'_> {
    /// The headers of a route with this rule: its own, or those of all routes.
    pub(super) fn identity(&mut self, all: &IdentitySettings, rule: &Rule) -> HeaderSet {
        let own = IdentitySettings {
            preset: self.parsed(&ROUTE_IDENTITY, preset),
            headers: self.parsed(&ROUTE_IDENTITY_HEADERS, headers),
            basic_user: self.parsed(&ROUTE_BASIC_USER, template),
            basic_password: self.parsed(&ROUTE_BASIC_PASSWORD_FILE, password),
            pass_access_token: self.parsed(&ROUTE_PASS_ACCESS_TOKEN, values::boolean).unwrap_or(all.pass_access_token),
            assertion: false,
        };
        let given = [&ROUTE_IDENTITY, &ROUTE_IDENTITY_HEADERS, &ROUTE_BASIC_USER, &ROUTE_BASIC_PASSWORD_FILE];
        if rule.permit_anybody().is_some()
            && let Some(key) = given.into_iter().find(|key| self.is_given(key))
        {
            self.problem(key, "tells of nobody on a public route");
        }
        let is_own = self.is_given(&ROUTE_IDENTITY) || self.is_given(&ROUTE_IDENTITY_HEADERS);
        let settings = IdentitySettings {
            preset: if is_own { own.preset } else { all.preset },
            headers: if is_own { own.headers } else { all.headers.clone() },
            basic_user: own.basic_user.or_else(|| all.basic_user.clone()),
            basic_password: own.basic_password.or_else(|| all.basic_password.clone().filter(|_| !is_own)),
            pass_access_token: own.pass_access_token,
            assertion: false,
        };
        settings.header_set().unwrap_or_else(|message| {
            self.problem(&ROUTE_IDENTITY_HEADERS, message);
            HeaderSet::default()
        })
    }
}

impl RouteReader<'_> {
    /// The audience of a route's assertions, if its app gets them: `url` of the route.
    pub(super) fn assertion(&mut self, all: &IdentitySettings, rule: &Rule, url: String) -> Option<Arc<str>> {
        let own = self.parsed(&ROUTE_ASSERTION, values::boolean);
        let is_public = rule.permit_anybody().is_some();
        if is_public && own == Some(true) {
            self.problem(&ROUTE_ASSERTION, "tells of nobody on a public route");
        }
        (own.unwrap_or(all.assertion) && !is_public).then(|| Arc::from(url))
    }
}

/// A password as a file has it.
fn password(path: &str) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("names a file that cannot be read: {error}"))?;
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err("names a file that holds nothing".to_owned()),
        password => Ok(Secret::new(password)),
    }
}

/// One set for all that say the same, so that it is rendered once.
#[derive(Debug, Default)]
pub(super) struct HeaderSets(Vec<Arc<HeaderSet>>);

impl HeaderSets {
    /// The set that all share who have an equal one.
    pub(super) fn share(&mut self, set: HeaderSet) -> Arc<HeaderSet> {
        if let Some(same) = self.0.iter().find(|known| ***known == set) {
            return Arc::clone(same);
        }
        let set = Arc::new(set);
        self.0.push(Arc::clone(&set));
        set
    }

    /// The names of all headers of all sets, each once.
    pub(super) fn names(&self) -> Vec<HeaderName> {
        let mut names: Vec<HeaderName> = self.0.iter().flat_map(|set| set.names()).cloned().collect();
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        names
    }
}

/// A ready set by its name.
pub(super) fn preset(text: &str) -> Result<&'static IdentityPreset, String> {
    IdentityPreset::find(text)
        .ok_or_else(|| format!("must be one of {}", PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ")))
}

/// Headers and what is in them.
pub(super) fn headers(text: &str) -> Result<Vec<(HeaderName, Template)>, String> {
    let wrong = || r#"must be a map of headers, as in {"X-User":"{username or email}"}"#.to_owned();
    let members: BTreeMap<String, String> = values::map(text).map_err(|_| wrong())?;
    let line = |(name, text): (String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if is_not_for_identity(&name) {
            return Err(format!("cannot set {name}, which says something else of a request"));
        }
        let template = Template::parse(&text).map_err(|error| format!("{error} ({name})"))?;
        Ok((name, template))
    };
    members.into_iter().map(line).collect()
}

/// A text with placeholders.
pub(super) fn template(text: &str) -> Result<Template, String> {
    Template::parse(text).map_err(|error| error.to_string())
}

/// Headers that say something else than who sends a request: where it came from, what it is about, what the client takes. A client
/// that could not send them would be cut off from its app.
fn is_not_for_identity(name: &HeaderName) -> bool {
    const ABOUT_THE_REQUEST: [&str; 16] = [
        "accept",
        "access-control",
        "cache-control",
        "content",
        "cookie",
        "evergate",
        "expect",
        "forwarded",
        "if",
        "origin",
        "range",
        "sec",
        "set-cookie",
        "x-evergate",
        "x-forwarded-for",
        "x-request-id",
    ];
    const EXACT: [&str; 5] = ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "referer", "user-agent"];
    let name_text = name.as_str();
    is_framing_header(name)
        || *name == header::DATE
        || ABOUT_THE_REQUEST.iter().any(|own| header_names::has_prefix(name_text, own))
        || EXACT.iter().any(|own| header_names::are_equivalent(name_text, own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(settings: &IdentitySettings) -> Vec<String> {
        settings.header_set().unwrap().names().map(HeaderName::to_string).collect()
    }

    #[test]
    fn own_headers_replace_ours_and_are_added_to_a_ready_set_that_is_named() {
        let own = headers(r#"{"X-User":"{user}","X-Webauth-User":"{email}"}"#).unwrap();
        let with = |name: Option<&str>, own: &Option<Vec<(HeaderName, Template)>>| IdentitySettings {
            preset: name.map(|name| IdentityPreset::find(name).unwrap()),
            headers: own.clone(),
            ..IdentitySettings::default()
        };
        let own = Some(own);
        assert_eq!(lines(&with(None, &None)).len(), 6, "ours");
        assert_eq!(lines(&with(None, &own)), ["x-user", "x-webauth-user"]);
        assert_eq!(
            lines(&with(Some("grafana"), &own)),
            ["x-webauth-email", "x-webauth-name", "x-webauth-groups", "x-user", "x-webauth-user"]
        );
        assert_eq!(lines(&with(Some("evergate"), &own)).len(), 8);
        assert_eq!(lines(&with(Some("none"), &None)), [""; 0]);
    }

    #[test]
    fn nothing_is_nothing_and_credentials_come_beside_all_else() {
        let basic = IdentitySettings {
            basic_user: Template::parse("{user}").ok(),
            basic_password: Some(Secret::new("p")),
            pass_access_token: true,
            ..IdentitySettings::default()
        };
        let grafana = IdentitySettings { preset: IdentityPreset::find("grafana"), ..basic.clone() };
        assert_eq!(lines(&grafana)[4..], ["x-forwarded-access-token", "authorization"]);
        let none = IdentitySettings { preset: IdentityPreset::find("none"), ..basic.clone() };
        assert_eq!(lines(&none), [""; 0]);
        let twice = IdentitySettings { preset: IdentityPreset::find("kibana"), ..basic };
        assert!(twice.header_set().unwrap_err().contains("authorization twice"));
    }

    #[test]
    fn headers_that_are_about_something_else_cannot_tell_of_a_user() {
        for name in [
            "Host",
            "Content-Length",
            "content_type",
            "X-Forwarded-For",
            "x_forwarded.host",
            "X-Request-Id",
            "Evergate-Response",
            "X-Evergate-Renewed-At",
            "Forwarded",
            "Cookie",
            "Sec-Fetch-Mode",
            "Origin",
        ] {
            assert!(headers(&format!(r#"{{"{name}":"{{user}}"}}"#)).unwrap_err().contains("cannot set"), "{name}");
        }
        for name in ["Authorization", "X-Forwarded-User", "Remote-User", "X-Auth-Request-Email", "REMOTE_USER", "From"] {
            assert!(headers(&format!(r#"{{"{name}":"{{user}}"}}"#)).is_ok(), "{name}");
        }
        for wrong in [r#"{"X User":"a"}"#, r#"["X-User"]"#, "X-User", r#"{"X-User":"{nobody}"}"#, r#"{"X-User":"{"}"#] {
            assert!(headers(wrong).is_err(), "{wrong}");
        }
        let twice = IdentitySettings {
            headers: headers(r#"{"X-User":"{user}","X_User":"{email}"}"#).ok(),
            ..IdentitySettings::default()
        };
        assert!(twice.header_set().is_err());
    }
}
