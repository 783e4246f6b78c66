//! Which route a request takes: by the host that it names and the path that it asks for. Pure.
//!
//! The longest prefix wins, by whole segments. The rule and the upstream see the same path, as it was sent; a path that another
//! server could interpret as one under another rule is refused (path confusion, see [`interpretations`]).

pub mod interpretations;

mod shown;

use std::{cmp::Reverse, sync::Arc};

use crate::{
    address::HostPattern,
    identity::HeaderSet,
    policy::{Cors, Rule},
};

pub use shown::Shown;

use interpretations::{
    all_interpretations, all_interpretations_behind_prefix, decoded_texts, has_script_or_plus, strip_prefix_ignoring_case,
};

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The sites that it is for; `None` is every site.
    pub host: Option<RouteHost>,
    /// The path and all below it; empty is every path. It begins with a slash and does not end with one.
    pub prefix: String,
    /// Who may pass.
    pub rule: Rule,
    /// Whether sessions are served on it while the provider is away (the outage grace).
    pub serves_stale: bool,
    /// The headers that tell the app of the visitor.
    pub identity: Arc<HeaderSet>,
    /// Whom signed assertions are for, if the app gets them: the route's URL.
    pub assertion: Option<Arc<str>>,
    /// Whether the app may ask for its users' tokens, each by an assertion.
    pub app_tokens: bool,
    /// Whose scripts may use it from pages of other origins; `None` leaves that to the app.
    pub cors: Option<Arc<Cors>>,
    /// How the portal shows it; `None`: not at all.
    pub shown: Option<Arc<Shown>>,
    /// Whether forms that meet the end of a session are kept until their users sign in again.
    pub keeps_form_posts: bool,
    /// Where the route leads: one of the forwarder's targets.
    pub target: usize,
}

/// The sites that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteHost {
    /// One, by its host and port as browsers name them.
    One(String),
    /// All that match.
    Matching(HostPattern),
}

impl RouteHost {
    /// Whether all of these sites are among those of a route for `other`, as far as the two say.
    pub fn is_within(&self, other: Option<&Self>) -> bool {
        match (self, other) {
            (_, None) => true,
            (Self::One(host), Some(other)) => other.is(host),
            (Self::Matching(pattern), Some(Self::Matching(other))) => pattern == other,
            (Self::Matching(_), Some(Self::One(_))) => false,
        }
    }

    fn is(&self, host: &str) -> bool {
        match self {
            Self::One(own) => own.eq_ignore_ascii_case(host),
            Self::Matching(pattern) => pattern.values(host).is_some(),
        }
    }
}

impl std::fmt::Display for RouteHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(host) => f.write_str(host),
            Self::Matching(pattern) => pattern.fmt(f),
        }
    }
}

/// All routes, the longest prefix first.
#[derive(Clone, Debug)]
pub struct Routes {
    all: Vec<Route>,
    /// Whether a prefix has letters that an upstream may not tell from those in lower case.
    has_upper_case: bool,
    /// The length of the longest prefix, beyond which nothing tells one route from another but the slash behind it.
    longest_prefix: usize,
}

/// The path under which protected resource metadata are (RFC 9728 section 3.1); a route's prefix follows.
pub const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// The name of a route: its host, where it has one, and its prefix.
pub fn route_name(host: Option<&RouteHost>, prefix: &str) -> String {
    let prefix = if prefix.is_empty() { "/" } else { prefix };
    format!("{}{prefix}", host.map(RouteHost::to_string).unwrap_or_default())
}

/// Why a request takes no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// No route leads there.
    #[error("no route leads there")]
    Unknown,
    /// Servers interpret the path in ways that lead to different routes, or no server should be asked for it.
    #[error("the path can be interpreted in more than one way")]
    Ambiguous,
}

impl Routes {
    /// Orders routes: those of one host before those of hosts that match, the narrowest pattern first, and these before those of all;
    /// then the longest prefix first.
    pub fn new(mut routes: Vec<Route>) -> Self {
        let breadth = |route: &Route| match &route.host {
            Some(RouteHost::One(_)) => (0, Reverse(0)),
            Some(RouteHost::Matching(pattern)) => (1, Reverse(pattern.fixed_len())),
            None => (2, Reverse(0)),
        };
        routes.sort_by_key(|route| (breadth(route), Reverse(route.prefix.len())));
        let has_upper_case = routes.iter().any(|route| route.prefix.contains(|letter: char| letter.is_ascii_uppercase()));
        let longest_prefix = routes.iter().map(|route| route.prefix.len()).max().unwrap_or(0);
        Self { all: routes, has_upper_case, longest_prefix }
    }

    /// Has routes whose headers are those of a route of `before` share them with it, so that what was rendered for a user is used
    /// again.
    pub fn share_identities(&mut self, before: &Self) {
        for route in &mut self.all {
            if let Some(same) = before.all.iter().find(|old| old.identity == route.identity) {
                route.identity = Arc::clone(&same.identity);
            }
        }
    }

    /// The route of a request.
    ///
    /// # Errors
    /// [`NoRoute`].
    pub fn find(&self, host: &str, path: &str) -> Result<&Route, NoRoute> {
        let texts = decoded_texts(path).ok_or(NoRoute::Ambiguous)?;
        let route = self.longest(host, |prefix| path.strip_prefix(prefix)).ok_or(NoRoute::Unknown)?;
        if self.all.len() == 1 {
            return Ok(route);
        }
        let limit = self.longest_prefix + 1;
        let leads_to_route = |interpretation: &str| {
            let found = self.longest(host, |prefix| strip_prefix_ignoring_case(interpretation, prefix));
            // The same route, not one with the same rule: between two interpretations lie others, which lead no deeper than either
            // and could lead to a third.
            found.is_some_and(|found| std::ptr::eq(found, route))
        };
        if self.has_upper_case && !leads_to_route(path) {
            return Err(NoRoute::Ambiguous);
        }
        let leads_to_route_behind_prefix =
            |rest: &str| all_interpretations_behind_prefix(rest, limit, |rest| leads_to_route(&[&route.prefix, rest].concat()));
        let rest = path.get(route.prefix.len()..).unwrap_or_default();
        let leads_to_it = if texts.is_empty() {
            !has_script_or_plus(rest, limit) || leads_to_route_behind_prefix(rest)
        } else {
            // A prefix has nothing in it that is decoded or folded.
            let behind = |text: &str| match text.strip_prefix(&route.prefix) {
                Some(rest) => leads_to_route_behind_prefix(rest),
                None => false,
            };
            let is_whole = |text: &str| route.prefix.is_empty() || all_interpretations(text, limit, leads_to_route);
            texts.iter().all(|text| is_whole(text) && behind(text)) && leads_to_route_behind_prefix(rest)
        };
        if leads_to_it { Ok(route) } else { Err(NoRoute::Ambiguous) }
    }

    /// The route that takes tokens of the provider and whose protected resource metadata are asked for by this path.
    pub fn protected_resource(&self, host: &str, path: &str) -> Option<&Route> {
        let prefix = path.strip_prefix(PROTECTED_RESOURCE)?;
        let of_provider = |route: &&Route| route.rule.tokens.as_ref().is_some_and(|tokens| tokens.of_provider);
        self.longest(host, |own| prefix.strip_prefix(own)).filter(|route| route.prefix == prefix).filter(of_provider)
    }

    /// All routes, the longest prefix first.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.all.iter()
    }

    /// The route that every path of this host takes, if they all take the same one.
    pub fn only(&self, host: &str) -> Option<&Route> {
        self.longest(host, |_| Some("")).filter(|route| route.prefix.is_empty())
    }

    /// The names of all routes: host, where there is one, and prefix.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.all.iter().map(|route| route_name(route.host.as_ref(), &route.prefix))
    }

    /// The index of a route among the names; their number for a route that is none of these.
    pub fn position(&self, route: &Route) -> usize {
        self.all.iter().position(|one| std::ptr::eq(one, route)).unwrap_or(self.all.len())
    }

    /// The first route of the host to whose prefix `rest` finds a rest that begins with a whole segment.
    fn longest<'a>(&self, host: &str, rest: impl Fn(&str) -> Option<&'a str>) -> Option<&Route> {
        self.all.iter().find(|route| {
            route.host.as_ref().is_none_or(|own| own.is(host))
                && rest(&route.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests;
