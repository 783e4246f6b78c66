//! `evergate doctor`: what it says of a provider that behaves, and of one that does not.

mod findings;
mod process;
mod trials;

use std::{io, sync::Arc};

use evergate::{
    app,
    clock::Clock,
    config::{Environment, Problems, check},
    doctor::{Browser, Errand, Extent, Report},
};
use url::Url;

use crate::harness::{
    faults::FaultProxy,
    idp::{self, Idp},
};

const ACCESS: &str = "https://app.test";

/// A provider by the clock that the doctor reads.
async fn provider() -> (Arc<Idp>, FaultProxy) {
    let line = FaultProxy::start().await;
    let idp = Idp::start(&line.url(), Clock::System).await;
    line.forward_to(idp.address);
    (idp, line)
}

/// The settings of a gateway before it.
fn settings(idp: &Idp, access_url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("access_url", access_url.to_owned()),
        ("upstream_url", "http://127.0.0.1:9".to_owned()),
        ("oidc_issuer_url", idp.issuer().to_owned()),
        ("oidc_client_id", idp::CLIENT_ID.to_owned()),
        ("oidc_client_secret", idp::CLIENT_SECRET.to_owned()),
        ("oidc_group_field", "groups".to_owned()),
        // It is never written to.
        ("data_dir", "/nonexistent".to_owned()),
    ]
}

/// The administrator's browser.
struct Person<'a> {
    idp: &'a Idp,
    /// What it was sent for, in order.
    errands: Vec<Errand>,
    /// Changes the address that the provider sends it back to.
    comes_back: fn(&mut Url),
    /// What the provider does at a logout.
    at_logout: fn(&Idp),
}

impl<'a> Person<'a> {
    fn at(idp: &'a Idp) -> Self {
        Self { idp, errands: Vec::new(), comes_back: |_| {}, at_logout: |_| {} }
    }
}

impl Browser for Person<'_> {
    async fn visit(&mut self, errand: Errand, url: &Url) -> io::Result<String> {
        self.errands.push(errand);
        if errand == Errand::Logout {
            assert!(!url.as_str().contains("id_token_hint"), "a token is shown");
            (self.at_logout)(self.idp);
            return Ok(String::new());
        }
        let mut back = self.idp.authorize(url).await;
        (self.comes_back)(&mut back);
        Ok(back.query().unwrap_or_default().to_owned())
    }
}

/// Examines the provider, and checks that no report shows a secret.
async fn examine(person: &mut Person<'_>, extent: Extent) -> Report {
    let flags = settings(person.idp, ACCESS).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let raw = Environment { flags, ..Environment::default() }.read(&mut Problems::default());
    let checked = check(&raw, Problems::default()).unwrap();
    let report = Box::pin(app::doctors(&checked, None, None).unwrap().remove(0).examine(person, extent)).await.unwrap();
    let shown = [report.text(), report.json().to_string(), report.html()].concat();
    for secret in person.idp.secrets() {
        assert!(!shown.contains(&secret), "{secret} is shown in {shown}");
    }
    assert!(!shown.contains("sub-ann") && !shown.contains("ann@example.com"), "a person is named in {shown}");
    report
}
