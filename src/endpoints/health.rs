//! `healthz` and `readyz`: the probes of orchestrators and load balancers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::{
    oidc::Providers,
    refusal::response::{json as json_response, own_headers},
    renewal::{ClientStanding, Renewer},
    sign_in::{SignIn, SignIns},
    store::{Condition, Store},
    tls::{CertResolver, CertificateState},
    visitor::Visitors,
};

/// What readiness is told from.
#[derive(Clone, Debug)]
pub struct Health {
    /// Must take writes.
    pub store: Store,
    /// Knows who was ended.
    pub visitors: Arc<Visitors>,
    /// Are waited for at the start, for a moment.
    pub providers: Providers,
    /// The state of the served certificates is told, where TLS is terminated here.
    pub certificates: Option<Arc<CertResolver>>,
    /// Set during a drain: unready first.
    pub draining: Arc<AtomicBool>,
    /// Whether browsers reach us in plain text although TLS is terminated here.
    pub access_url_is_plain_http: bool,
    /// Whether routes ask for groups and no claim is known that holds them.
    pub lacks_group_claim: bool,
}

/// Liveness: the process answers.
pub(super) fn alive() -> Response<Body> {
    let mut response = Response::new(Body::from("ok\n"));
    own_headers(response.headers_mut(), "healthz");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

impl Health {
    /// Whether sessions can be served.
    pub(super) fn is_ready(&self) -> bool {
        self.store.condition() == Condition::Writable && !self.is_draining() && !self.providers.are_about_to_be_known()
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Readiness: sessions can be served. The rest is told and does not decide: without the provider nobody who is signed in needs
    /// to notice (only a replica that starts waits a moment for it, because its first logins would fail), and whoever is not served because of a certificate or a rule would not be by another replica either.
    pub(super) fn ready(&self, sign_ins: &SignIns, renewer: &Renewer) -> Response<Body> {
        let (draining, store) = (self.is_draining(), self.store.condition());
        let ready = self.is_ready();
        let told: Vec<_> = sign_ins.iter().map(|sign_in| ProviderHealth::of(sign_in, renewer)).collect();
        // Of several, what is wrong with any of them.
        let worst =
            |part: fn(&ProviderHealth<'_>) -> &'static str| told.iter().map(part).find(|told| *told != "ok").unwrap_or("ok");
        let mut body = json!({
            "ready": ready,
            "draining": draining,
            "store": match store {
                Condition::Writable => "ok",
                Condition::ReadOnly => "read_only",
                Condition::Unavailable => "unavailable",
            },
            "announcements": self.store.hearing().name(),
            // Bearer tokens of the providers are refused until it is known whose users were ended.
            "ended_users": if self.visitors.knows_ended_users() { "ok" } else { "unknown" },
            "clock": if self.store.clock_agrees() { "ok" } else { "skewed" },
            "missing_keys": self.store.missing_keys().iter().map(|under| (under.key.to_string(), under.grants.into()))
                .collect::<serde_json::Map<_, _>>(),
            "provider": worst(|told| told.provider),
            "provider_error": told.iter().find_map(|told| told.provider_error),
            "refresh_token": worst(|told| told.refresh_token),
            "client": worst(|told| told.client),
            "certificate": self.certificates.as_ref().map(|served| match served.certificate_state() {
                CertificateState::Valid => "ok",
                CertificateState::WrongName => "wrong_name",
                CertificateState::NotYetValid(_) => "not_yet_valid",
                CertificateState::Expired(_) => "expired",
            }),
            "access_url": if self.access_url_is_plain_http { "plain_http" } else { "ok" },
            "groups": if self.lacks_group_claim { "no_claim" } else { "ok" },
        });
        if let (Some(members), None) = (body.as_object_mut(), sign_ins.only()) {
            let each = told.iter().map(|told| (told.name.to_owned(), told.json())).collect::<serde_json::Map<_, _>>();
            members.insert("providers".to_owned(), each.into());
        }
        json_response(&body, if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, "readyz")
    }
}

/// What is told of one provider.
struct ProviderHealth<'a> {
    name: &'a str,
    provider: &'static str,
    provider_error: Option<&'static str>,
    refresh_token: &'static str,
    client: &'static str,
}

impl<'a> ProviderHealth<'a> {
    fn of(sign_in: &'a SignIn, renewer: &Renewer) -> Self {
        let provider = &sign_in.provider;
        Self {
            name: provider.name(),
            provider: if provider.is_ready() { "ok" } else { "not_reached" },
            provider_error: match (provider.is_ready(), provider.is_misconfigured()) {
                (false, _) if provider.is_about_to_be_known() => None,
                (true, _) if provider.is_missing_an_endpoint() => Some("endpoint_not_found"),
                (true, _) => None,
                (false, true) => Some("configuration"),
                (false, false) => Some("unreachable"),
            },
            refresh_token: if sign_in.refresh_tokens.are_missing() { "not_issued" } else { "ok" },
            client: match renewer.client_standing(provider.name()) {
                ClientStanding::Accepted => "ok",
                ClientStanding::Refused => "refused",
                ClientStanding::Unknown => "unknown",
            },
        }
    }

    fn json(&self) -> serde_json::Value {
        let Self { name: _, provider, provider_error, refresh_token, client } = self;
        json!({ "provider": provider, "provider_error": provider_error, "refresh_token": refresh_token, "client": client })
    }
}
