//! `start`: at which provider a login begins, and the page where a user chooses.

use axum::body::Body;
use http::{Response, StatusCode};
use url::form_urlencoded::Serializer;

use super::{Call, Endpoints, Refused, login::browser_of};
use crate::{
    pages::{Choice, ChoicePage, Message},
    refusal::{
        Refusal,
        response::{document, redirect},
    },
    sign_in::{LastChoice, Purpose, Redirect, SignIn, return_to::ReturnTo},
    telemetry::logs::causes,
};

impl Endpoints {
    /// Begins a login that leads to `return_to`: at the provider that `provider` names, that another party names (`iss`), or that the
    /// user's address belongs to, at the only one that the page is for, or at the one that the user chooses.
    pub(super) async fn begin(&self, call: &Call<'_>, return_to: ReturnTo) -> Result<Response<Body>, Refused> {
        let (sign_ins, names) = (&self.components.sign_ins, self.providers_of(call, &return_to));
        let hint = call.login_hint();
        let purpose = match &hint {
            _ if call.flag("another") => Purpose::AnotherAccount,
            Some(hint) => Purpose::LoginOf(hint),
            None => Purpose::Login,
        };
        let candidates = sign_ins.among(&names);
        let of_address = || hint.as_ref().and_then(|hint| sign_ins.of_address(hint));
        let chosen = match (self.named_provider(call)?, candidates.as_slice()) {
            (Some(named), _) => Some(named),
            (None, [only]) => Some(&***only),
            (None, _) => {
                of_address().filter(|found| candidates.iter().any(|one| one.is_at(&found.provider))).map(|found| &**found)
            }
        };
        let browser = browser_of(call);
        let Some(sign_in) = chosen else {
            if let Some(to) = sign_ins.hand_over_of_any(browser, &return_to, purpose, &names).await {
                return Ok(redirect(&to, "sign_in"));
            }
            let last = sign_ins.last_choice(call.headers, &candidates);
            if let Some(to) = self.begin_straight(call, last, &return_to).await {
                return Ok(redirect(&to, "sign_in"));
            }
            let candidates: Vec<_> = candidates.iter().map(|one| &***one).collect();
            return Ok(self.choice(call, &candidates, last.map(|last| last.provider), &return_to));
        };
        match sign_in.begin(browser, &return_to, purpose).await {
            Ok(to) => Ok(redirect(&to, "sign_in")),
            Err(error) => Err(Refused {
                refusal: Refusal::ProviderUnavailable(error),
                return_to: Some(return_to),
                cookies: Vec::new(),
                allow: None,
            }),
        }
    }

    /// Begins a login at the provider that the user chose last, unless they are to be asked, say another or name an address. `None`: it
    /// cannot begin there, or should not.
    async fn begin_straight(&self, call: &Call<'_>, last: Option<LastChoice<'_>>, return_to: &ReturnTo) -> Option<Redirect> {
        let LastChoice { provider, is_straight } = last?;
        if !is_straight || call.flag("another") || call.login_hint().is_some() {
            return None;
        }
        let sign_in = self.components.sign_ins.named(provider)?;
        // It counts for the detection of redirect loops: nobody has clicked.
        match sign_in.begin(browser_of(call), return_to, Purpose::LoginOnTheWay).await {
            Ok(mut to) => {
                to.cookies.extend(self.components.sign_ins.sent_straight(provider));
                Some(to)
            }
            Err(error) => {
                tracing::warn!(
                    request.id = call.exchange.id_text(),
                    provider,
                    error = causes(&error),
                    "a login cannot begin at the provider that its user chose last; they are asked"
                );
                None
            }
        }
    }

    /// The login at the provider that the query names.
    ///
    /// # Errors
    /// There is none of that name, or of that issuer.
    pub(super) fn named_provider(&self, call: &Call<'_>) -> Result<Option<&SignIn>, Refusal> {
        let sign_ins = &self.components.sign_ins;
        if let Some(name) = call.parameter("provider").filter(|name| !name.is_empty()) {
            let named =
                sign_ins.named(&name).ok_or(Refusal::BadRequest("there is no provider of the name that the login asks for"))?;
            return Ok(Some(named));
        }
        let Some(issuer) = call.parameter("iss") else { return Ok(None) };
        match sign_ins.iter().find(|sign_in| sign_in.provider.issuer() == issuer) {
            Some(named) => Ok(Some(named)),
            None => Err(Refusal::BadRequest("the login that another site began is for another provider")),
        }
    }

    /// The names of the providers that a page is for; none for all.
    fn providers_of(&self, call: &Call<'_>, return_to: &ReturnTo) -> Vec<String> {
        let site = &call.exchange.site;
        let (path, query) = return_to.path().split_once('?').unwrap_or((return_to.path(), ""));
        // Another site's page, whose browser has come here for a session.
        if let Some("/hand_over") = path.strip_prefix(self.components.prefix.as_str()) {
            let request = self.components.sign_ins.parts().hand_over_request(site, query);
            return request.map(|request| request.providers().to_vec()).unwrap_or_default();
        }
        let route = self.components.routes.find(site.authority(), path);
        route.map(|route| route.rule.providers.clone()).unwrap_or_default()
    }

    /// The page where a user chooses.
    fn choice(&self, call: &Call<'_>, candidates: &[&SignIn], last: Option<&str>, return_to: &ReturnTo) -> Response<Body> {
        let (look, another) = (self.look(call), call.flag("another"));
        let start = format!("{}/start", self.components.prefix);
        let address = |name: &str| {
            let mut query = Serializer::new(String::new());
            query.append_pair("provider", name).append_pair("rd", return_to.path());
            if another {
                query.append_pair("another", "true");
            }
            format!("{start}?{}", query.finish())
        };
        let choices = candidates.iter().map(|sign_in| {
            let name = sign_in.provider.name();
            Choice { href: address(name), name, label: sign_in.label(), is_last: last == Some(name) }
        });
        let mut choices: Vec<_> = choices.collect();
        // A stable sort: the one that was chosen last comes first.
        choices.sort_by_key(|choice| !choice.is_last);
        let hint = call.login_hint();
        let mut hidden = vec![("rd", return_to.path())];
        hidden.extend(another.then_some(("another", "true")));
        let knows_addresses = candidates.iter().any(|sign_in| !sign_in.email_domains.is_empty());
        let message = match &hint {
            Some(_) if knows_addresses => Message::AddressUnknown,
            Some(_) | None if knows_addresses => Message::ChooseByAddress,
            Some(_) | None => Message::ChooseProvider,
        };
        let value = hint.as_deref().unwrap_or_default();
        let address = knows_addresses.then_some(value);
        let page = ChoicePage { message, choices: &choices, address, href: &start, hidden: &hidden, look: &look };
        document(page.html(), &look, StatusCode::OK, "choose_provider")
    }
}
