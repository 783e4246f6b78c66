//! `start`: at which provider a login begins, and the page where a user chooses.

use axum::body::Body;
use http::{Response, StatusCode};
use url::form_urlencoded::Serializer;

use super::{Call, Endpoints, Refused, login::browser_of};
use crate::{
    pages::{AddressField, ChoicePage, Message},
    refusal::{
        Refusal,
        response::{document, redirect},
    },
    sign_in::{Purpose, SignIn, return_to::ReturnTo},
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
            return match sign_ins.hand_over_of_any(browser, &return_to, purpose, &names).await {
                Some(to) => Ok(redirect(&to, "sign_in")),
                None => Ok(self.choice(call, &candidates.iter().map(|one| &***one).collect::<Vec<_>>(), &return_to)),
            };
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
            let request = self.components.sign_ins.first().hand_over_request(site, query);
            return request.map(|request| request.providers().to_vec()).unwrap_or_default();
        }
        let route = self.components.routes.find(site.authority(), path);
        route.map(|route| route.rule.providers.clone()).unwrap_or_default()
    }

    /// The page where a user chooses.
    fn choice(&self, call: &Call<'_>, candidates: &[&SignIn], return_to: &ReturnTo) -> Response<Body> {
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
        let choices: Vec<_> = candidates.iter().map(|sign_in| (address(sign_in.provider.name()), sign_in.label())).collect();
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
        let address = knows_addresses.then_some(AddressField { href: &start, value, hidden: &hidden });
        let page = ChoicePage { message, choices: &choices, address, look: &look };
        document(page.html(), &look, StatusCode::OK, "choose_provider")
    }
}
