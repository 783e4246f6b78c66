//! What clients send under the names of identity headers, which no app is to take for Evergate's (header spoofing).

use http::{HeaderName, header};

use super::{forward::TrustedTarget, identity::HeaderSets};
use crate::{
    forward::{Address, Target},
    routing::{Route, RouteHost},
};

/// Has each target keep from its app what clients send under the names of identity headers, those of other routes among them: the
/// same app may be behind a route without authentication. `Authorization` is more than a name, it proves itself, and other apps
/// take it from clients. It is kept from the apps of the routes that set it. Where an ingress forwards, which asks, an app has no address
/// here: its host stands for it.
pub(super) fn keep_from_clients(sets: &HeaderSets, routes: &[Route], targets: &mut [TrustedTarget]) {
    let names = sets.names();
    let sets_it = |route: &&Route| route.identity.names().any(|name| name == header::AUTHORIZATION);
    let apps_of = |target: &Target| -> Vec<String> {
        let template = target.template.iter().map(|template| template.address.to_string());
        target.upstreams.iter().map(Address::to_string).chain(template).collect()
    };
    let of_route = |route: &Route| targets.get(route.target).map(|(target, _)| apps_of(target)).unwrap_or_default();
    let apps: Vec<String> = routes.iter().filter(sets_it).flat_map(of_route).collect();
    let takes_whole_host = |host: &Option<RouteHost>| routes.iter().any(|route| route.host == *host && route.prefix.is_empty());
    // Whether requests at the host of `narrow` may take the route `wide`.
    let reaches = |wide: &Route, narrow: &Route| {
        narrow.host.as_ref().is_some_and(|host| host.is_within(wide.host.as_ref())) && !takes_whole_host(&narrow.host)
    };
    let is_at_host_of = |route: &Route| {
        let share = |other: &Route| other.host == route.host || reaches(other, route) || reaches(route, other);
        routes.iter().filter(sets_it).any(share)
    };
    let hides: Vec<usize> = routes
        .iter()
        .filter(|route| {
            let own = of_route(route);
            if own.is_empty() { is_at_host_of(route) } else { own.iter().any(|app| apps.contains(app)) }
        })
        .map(|route| route.target)
        .collect();
    for (at, (target, _)) in targets.iter_mut().enumerate() {
        let is_kept = |name: &&HeaderName| **name != header::AUTHORIZATION || hides.contains(&at);
        target.identity_headers = names.iter().filter(is_kept).cloned().collect();
    }
}
