//! The portal: the apps that a user may open.

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{
    Call, Endpoints, Refused,
    account::{page_number, within},
    logo,
};
use crate::{
    admission::AdmittedSession,
    pages::{PortalApp, PortalPage},
    refusal::{Refusal, response::document},
    routing::{Route, Shown},
};

impl Endpoints {
    /// Shows the apps.
    pub(super) async fn portal(&self, call: &Call<'_>) -> Result<Response<Body>, Refused> {
        if !self.components.branding.brand.has_portal {
            return Err(Refusal::NoSuchPage.into());
        }
        let admitted = self.portal_user(call).await?;
        let shown = |route: &Route| route.shown.clone().filter(|_| may_open(self, call, &admitted, route));
        let mut apps: Vec<_> =
            self.components.routes.iter().filter_map(|route| Some(self.app(call, route, &*shown(route)?))).collect();
        // Routes are in the order in which they are searched, which says nothing to people.
        apps.sort_by_key(|app| app.name.to_lowercase());
        let (look, prefix) = (self.look(call), &self.components.prefix);
        let on_page = PortalApp::on_page(&apps);
        let number = within(page_number(call)?, apps.len(), on_page);
        let next = format!("{prefix}/?page={}", number + 1);
        let has_more = apps.len() > number.saturating_mul(on_page);
        let shown: Vec<_> = apps.into_iter().skip((number - 1).saturating_mul(on_page)).take(on_page).collect();
        let page = PortalPage {
            user: admitted.usable.grant.identity.display(),
            apps: &shown,
            next: has_more.then_some(&next),
            sessions: &format!("{prefix}/sessions"),
            sign_out: &format!("{prefix}/sign_out"),
            look: &look,
        };
        Ok(document(page.html(), &look, StatusCode::OK, "portal"))
    }

    fn app(&self, call: &Call<'_>, route: &Route, shown: &Shown) -> PortalApp {
        let site = shown.site.as_ref().unwrap_or(&call.exchange.site);
        let path = if route.prefix.is_empty() { "/" } else { &route.prefix };
        PortalApp {
            name: shown.name.clone(),
            text: shown.text.clone(),
            icon: shown.icon.as_ref().map(|(name, _)| format!("{}/icon?of={name}", self.components.prefix)),
            href: site.at(path),
        }
    }

    /// The picture of an app, by the digest of its bytes, which only the portal tells.
    pub(super) fn icon(&self, call: &Call<'_>) -> Result<Response<Body>, Refusal> {
        let of = call.parameter("of").ok_or(Refusal::NoSuchPage)?;
        let icons = self.components.routes.iter().filter_map(|route| route.shown.as_ref()?.icon.as_ref());
        let (_, image) = icons.into_iter().find(|(name, _)| *name == of).ok_or(Refusal::NoSuchPage)?;
        let mut response = logo::image(image, "icon");
        // Another picture has another name.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
        Ok(response)
    }
}

/// Whether a page of the route would be served to this user, from where they are.
fn may_open(endpoints: &Endpoints, call: &Call<'_>, admitted: &AdmittedSession, route: &Route) -> bool {
    let (grant, client) = (&admitted.usable.grant, call.exchange.origin.client);
    let takes_provider = || {
        let sign_in = endpoints.components.sign_ins.of(grant);
        sign_in.is_none_or(|sign_in| route.rule.takes_provider(sign_in.provider.name()))
    };
    route.rule.takes(client, &Method::GET, call.headers).is_ok()
        && (route.rule.permit_anybody().is_some()
            || route.rule.permit_anonymous().is_some()
            || (takes_provider() && route.rule.permit(None, &grant.identity, || None).is_ok()))
}
