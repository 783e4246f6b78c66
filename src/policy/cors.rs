//! CORS (Fetch, section 3.2): whose scripts may send requests to a route from pages of other origins, and read the responses.
//!
//! What is decided here takes a method and headers, and gives header lines. An origin that may send credentials is let through the
//! CSRF check too, because it may read what it changes; one that may not is another site like every other.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    method_override::{overrides_method, overriding_methods},
    origin_pattern::OriginPattern,
};

/// What a route's `cors` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsSettings {
    /// The origins whose scripts may.
    pub origins: Vec<OriginPattern>,
    /// The methods that they may use.
    pub methods: Allowed<Method>,
    /// The headers, beyond those that every script may send, that they may send.
    pub headers: Allowed<HeaderName>,
    /// The headers of responses, beyond those that every script may read, that they may read.
    pub exposed_headers: Allowed<HeaderName>,
    /// Whether their requests may have the user's cookies.
    pub credentials: bool,
    /// How long a browser may remember the response to a preflight; `None` leaves that to the browser.
    pub max_age: Option<Duration>,
}

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed<T> {
    /// These.
    Only(Vec<T>),
    /// All (`*`). Browsers take that literally for requests with credentials, and never for `Authorization`.
    Any(Vec<T>),
}

impl<T> Default for Allowed<T> {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl<T: PartialEq + AsRef<str>> Allowed<T> {
    /// Whether it allows `one`.
    fn has(&self, one: &T) -> bool {
        match self {
            Self::Only(listed) => listed.contains(one),
            Self::Any(_) => true,
        }
    }

    /// Those that are named.
    pub fn named(&self) -> &[T] {
        match self {
            Self::Only(named) | Self::Any(named) => named,
        }
    }

    /// As a header's value, with `more` behind; `None` where nothing is allowed.
    fn line(&self, more: &[&str]) -> Option<HeaderValue> {
        let star = matches!(self, Self::Any(_)).then_some("*");
        let all: Vec<&str> = star.into_iter().chain(self.named().iter().map(AsRef::as_ref)).chain(more.iter().copied()).collect();
        HeaderValue::try_from(all.join(", ")).ok().filter(|_| !all.is_empty())
    }
}

/// The CORS policy of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    settings: CorsSettings,
    /// Whether every origin may, so that responses do not depend on it.
    allows_every_origin: bool,
    /// What preflights are answered with, besides the origin.
    preflight: Vec<(HeaderName, HeaderValue)>,
    /// What scripts may read of the app's responses.
    exposed: Option<HeaderValue>,
    /// What scripts may read of Evergate's own.
    exposed_of_own: Option<HeaderValue>,
}

/// The origin of a request, as a route's CORS policy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOrigin {
    /// The request names none, so that no other origin's script reads the response.
    None,
    /// An allowed one.
    Allowed(HeaderValue),
    /// One that is not allowed, or several.
    Foreign,
}

/// Who made a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMaker {
    /// The app.
    App,
    /// Evergate, which refuses a request.
    Evergate,
    /// Evergate, to a preflight.
    Preflight,
}

/// What a script may need of a refusal.
pub const EXPOSED_OF_REFUSALS: &str = "evergate-response, evergate-answer, retry-after, www-authenticate";

/// Whether a request is a preflight (Fetch, section 3.2.2): a browser asks what a script's request may be. It has no cookies, and
/// nothing that an app could take for another method.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && !overrides_method(headers)
}

impl Cors {
    /// The policy that `settings` describe.
    pub fn new(settings: CorsSettings) -> Self {
        let age = settings.max_age.map(|age| HeaderValue::from(age.as_secs()));
        let lines = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, settings.methods.line(&[])),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, settings.headers.line(&[])),
            (header::ACCESS_CONTROL_MAX_AGE, age),
        ];
        Self {
            allows_every_origin: settings.origins.contains(&OriginPattern::Any),
            preflight: lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            exposed: settings.exposed_headers.line(&[]),
            exposed_of_own: settings.exposed_headers.line(&[EXPOSED_OF_REFUSALS]),
            settings,
        }
    }

    /// The origin of a request with these headers.
    pub fn origin_of(&self, headers: &HeaderMap) -> RequestOrigin {
        let mut lines = headers.get_all(header::ORIGIN).iter();
        match (lines.next(), lines.next()) {
            (None, _) => RequestOrigin::None,
            (Some(origin), None) if self.allows(origin) => RequestOrigin::Allowed(origin.clone()),
            (Some(_), _) => RequestOrigin::Foreign,
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.settings.origins.iter().any(|pattern| pattern.matches(origin)))
    }

    /// Whether a request with the user's cookies passes the CSRF check because of its origin. `upgrades`: it asks for a WebSocket,
    /// over which a page can change something, so that an origin which may only read opens none. What the request overrides its method by
    /// must be allowed too.
    pub fn lets_through(&self, method: &Method, upgrades: bool, headers: &HeaderMap) -> bool {
        let Self { settings, .. } = self;
        let may = || match upgrades {
            true => settings.methods.named().iter().any(|method| !matches!(*method, Method::GET | Method::HEAD)),
            false => {
                let is_allowed = |named: &HeaderValue| {
                    let named = Method::from_bytes(&named.as_bytes().to_ascii_uppercase());
                    named.is_ok_and(|named| settings.methods.has(&named))
                };
                settings.methods.has(method) && overriding_methods(headers).all(is_allowed)
            }
        };
        settings.credentials && may() && matches!(self.origin_of(headers), RequestOrigin::Allowed(_))
    }

    /// Writes into a response to a request of `origin` who may read it, in place of all that the app says about that.
    pub fn write(&self, headers: &mut HeaderMap, origin: &RequestOrigin, maker: ResponseMaker) {
        let is_cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let apps: Vec<HeaderName> = headers.keys().filter(is_cors).cloned().collect();
        for name in apps {
            headers.remove(name);
        }
        let readable_by = match origin {
            _ if self.allows_every_origin => Some(HeaderValue::from_static("*")),
            RequestOrigin::Allowed(origin) => Some(origin.clone()),
            RequestOrigin::None | RequestOrigin::Foreign => None,
        };
        // A cache must not serve one origin's response to another.
        if !self.allows_every_origin && !varies_by_origin(headers) {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(readable_by) = readable_by else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, readable_by);
        if self.settings.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let exposed = match maker {
            ResponseMaker::App => &self.exposed,
            ResponseMaker::Evergate => &self.exposed_of_own,
            ResponseMaker::Preflight => {
                headers.extend(self.preflight.iter().cloned());
                return;
            }
        };
        headers.extend(exposed.iter().map(|exposed| (header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone())));
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

#[cfg(test)]
mod tests;
