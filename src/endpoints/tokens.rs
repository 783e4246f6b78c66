//! `tokens`: a user's personal access tokens; `terminal`: how `evergate login` gets one.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use url::form_urlencoded;

use super::{
    Call, Endpoints, Refused,
    account::{field_of, own_page, page_number, within},
    read_form,
};
use crate::{
    admission::AdmittedSession,
    pages::{Action, Message, Page, SecretPage, TerminalPage, Text, TokenLine, TokensPage},
    personal_tokens::{DAY, NotMade, TerminalRequest, Unfit, Wanted, days, days_left, identifier, in_days},
    refusal::{
        Refusal,
        response::{html, json as json_response, redirect},
    },
    session::PersonalToken,
    sign_in::Redirect,
    store::OwnToken,
    visitor::SignInReason,
};

/// How many tokens are on a page, so that it stays small.
const ON_PAGE: usize = 20;

impl Endpoints {
    /// Shows the user's tokens, makes one and ends one.
    pub(super) async fn tokens(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        if *call.method != Method::POST {
            return self.tokens_page(call, &self.token_user(call).await?).await;
        }
        self.refuse_without_tokens()?;
        let form = read_form(body).await?;
        let admitted = self.sender_of(call, &form).await?;
        let fields = || form_urlencoded::parse(&form);
        let field = |name: &str| field_of(&form, name);
        let grant = &admitted.usable.grant;
        let tokens = &self.components.personal_tokens;
        if let Some(named) = field("end") {
            tokens.end(grant, own_site(call, &admitted), &named).await.map_err(Refusal::from)?;
            let location = call.exchange.site.at(&self.tokens_href());
            return Ok(redirect(&Redirect::to(location), "token_ended"));
        }
        let lifetime = match field("days") {
            Some(text) => Some(days(&text).ok_or(Refusal::BadRequest("days is no number"))?),
            None => None,
        };
        let site = call.exchange.site.authority();
        let routes: Vec<_> = fields().filter(|(name, _)| name == "route").map(|(_, route)| route.into_owned()).collect();
        let wanted = Wanted { name: field("name").unwrap_or_default(), site: site.to_owned(), lifetime, routes };
        if let Err(error) = self.check_offered(&admitted, &wanted) {
            return Ok(self.not_made(call, error)?);
        }
        let made = match tokens.make(admitted.session(), grant, &wanted, &form).await {
            Ok(made) => made,
            Err(error) => return Ok(self.not_made(call, error)?),
        };
        let (href, look) = (self.tokens_href(), self.look(call));
        let (title, text) = look.message(Message::NewToken);
        let back = look.text(Text::BackToTokens);
        let page = SecretPage { title, text, secret: made.text.expose(), back: Some((&href, &back)), look: &look };
        Ok(own_page(page.html(), &look, "token_made"))
    }

    /// Asks the user whether a terminal may act as them, and hands it a code if they agree.
    pub(super) async fn terminal(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        let site = call.exchange.site.authority();
        if *call.method != Method::POST {
            let admitted = self.token_user(call).await?;
            let request = TerminalRequest::parse(site, |name| call.parameter(name)).map_err(Refusal::BadRequest)?;
            // A stranger's link could have the page say anything.
            if let Err(error) = self.check_offered(&admitted, &request.wanted) {
                return Ok(self.not_made(call, error)?);
            }
            return Ok(self.terminal_page(call, &admitted, &request));
        }
        self.refuse_without_tokens()?;
        let form = read_form(body).await?;
        let admitted = self.sender_of(call, &form).await?;
        let field = |name: &str| field_of(&form, name);
        let request = TerminalRequest::parse(site, field).map_err(Refusal::BadRequest)?;
        if let Err(error) = self.check_offered(&admitted, &request.wanted) {
            return Ok(self.not_made(call, error)?);
        }
        let code = match self.components.personal_tokens.code(admitted.session().hash, &request) {
            Ok(code) => code,
            Err(error) => return Ok(self.not_made(call, error)?),
        };
        if let Some(port) = request.port {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("code", code.expose())
                .append_pair("state", &request.state)
                .finish();
            let location = format!("http://127.0.0.1:{port}/?{query}");
            return Ok(redirect(&Redirect::to(location), "terminal_code"));
        }
        let look = self.look(call);
        let (title, text) = look.message(Message::TerminalCode);
        let page = SecretPage { title, text, secret: code.expose(), back: None, look: &look };
        Ok(own_page(page.html(), &look, "terminal_code"))
    }

    /// Redeems a terminal's code. No cookie plays a part in it.
    pub(super) async fn terminal_token(&self, body: Incoming) -> Result<Response<Body>, Refused> {
        let form = read_form(body).await?;
        let field =
            |name: &str| form_urlencoded::parse(&form).find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
        let (code, verifier) = (field("code").unwrap_or_default(), field("code_verifier").unwrap_or_default());
        let tokens = &self.components.personal_tokens;
        let made = tokens.redeem(&code, &verifier).await.map_err(|error| match error {
            NotMade::Store(error) => Refusal::from(error),
            NotMade::SessionEnded => Refusal::SignInNeeded(SignInReason::UnknownSession),
            NotMade::Unfit(why) => Refusal::BadRequest(why.as_str()),
            NotMade::Code(why) => Refusal::BadRequest(why),
            NotMade::Repeated => Refusal::BadRequest("it was redeemed before"),
            NotMade::TooMany => Refusal::BadRequest("the user has too many tokens"),
        })?;
        let body = json!({
            "access_token": made.text.expose(), "token_type": "Bearer",
            "expires_in": made.token.expires_at.since(tokens.clock.now()).as_secs(), "name": made.token.scope.name,
        });
        Ok(json_response(&body, StatusCode::OK, "token_made"))
    }

    /// Whether a token may be made for the administration, by who may administer.
    fn offers_administration(&self, admitted: &AdmittedSession) -> bool {
        self.components.personal_tokens.administration && self.is_administrator(admitted)
    }

    /// Checks that a token may be made as it is wanted, by this user.
    fn check_offered(&self, admitted: &AdmittedSession, wanted: &Wanted) -> Result<(), NotMade> {
        if wanted.routes.iter().any(|route| route == PersonalToken::ADMINISTRATION) && !self.offers_administration(admitted) {
            return Err(NotMade::Unfit(Unfit::Route));
        }
        self.components.personal_tokens.checked(wanted).map(|_fit| ())
    }

    async fn token_user(&self, call: &Call<'_>) -> Result<AdmittedSession, Refused> {
        self.refuse_without_tokens()?;
        let admitted = self.account_user(call).await?;
        // Where only the administration takes tokens, they are nobody else's business.
        if !self.may_make_tokens(&admitted) {
            return Err(Refusal::NoSuchPage.into());
        }
        Ok(admitted)
    }

    /// Whether a user finds a use for tokens.
    pub(super) fn may_make_tokens(&self, admitted: &AdmittedSession) -> bool {
        !self.components.personal_tokens.routes.is_empty() || self.offers_administration(admitted)
    }

    fn refuse_without_tokens(&self) -> Result<(), Refusal> {
        if self.components.personal_tokens.are_taken() { Ok(()) } else { Err(Refusal::NoSuchPage) }
    }

    async fn tokens_page(&self, call: &Call<'_>, admitted: &AdmittedSession) -> Result<Response<Body>, Refused> {
        let (tokens, grant, look) = (&self.components.personal_tokens, &admitted.usable.grant, self.look(call));
        let found = tokens.of_user(grant, own_site(call, admitted)).await.map_err(Refusal::from)?;
        let now = tokens.clock.now();
        let days_since = |at| in_days(now.since(at));
        let line = |OwnToken { session, is_over }: &OwnToken| {
            let token = session.token.as_ref()?;
            let used = (session.last_seen != session.created_at).then(|| days_since(session.last_seen));
            let left = (!is_over).then(|| days_left(token, now));
            let times = Text::TokenTimes { made: days_since(session.created_at), used, left };
            let routes = Text::TokenRoutes(&token.scope.routes, &token.scope.site);
            let (routes, times) = (look.text(routes).into_owned(), look.text(times).into_owned());
            Some(TokenLine { id: identifier(session.hash), name: token.scope.name.to_string(), routes, times })
        };
        let number = within(page_number(call)?, found.len(), ON_PAGE);
        let next = format!("{}?page={}", self.tokens_href(), number + 1);
        let page = TokensPage {
            user: grant.identity.display(),
            tokens: &found.iter().skip((number - 1) * ON_PAGE).take(ON_PAGE).filter_map(line).collect::<Vec<_>>(),
            next: (found.len() > number * ON_PAGE).then_some(&next),
            routes: &tokens.routes,
            administration: self.offers_administration(admitted).then_some(PersonalToken::ADMINISTRATION),
            days: (tokens.settings.longest >= DAY)
                .then(|| [tokens.settings.longest, tokens.settings.default.min(tokens.settings.longest)].map(whole_days))
                .map(|[longest, usual]| (longest, usual)),
            href: &self.tokens_href(),
            seal: &self.form_seal(call, admitted),
            look: &look,
        };
        Ok(own_page(page.html(), &look, "tokens"))
    }

    fn terminal_page(&self, call: &Call<'_>, admitted: &AdmittedSession, request: &TerminalRequest) -> Response<Body> {
        let (tokens, look) = (&self.components.personal_tokens, self.look(call));
        let lifetime = request.wanted.lifetime.unwrap_or(tokens.settings.default.min(tokens.settings.longest));
        let fields = request.parameters();
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let page = TerminalPage {
            user: admitted.usable.grant.identity.display(),
            name: &request.wanted.name,
            days: whole_days(lifetime),
            routes: &request.wanted.routes,
            // With its query: a form that was sent too late leads back to this page.
            href: &format!("{}/terminal?{query}", self.components.prefix),
            seal: &self.form_seal(call, admitted),
            fields: &fields,
            look: &look,
        };
        own_page(page.html(), &look, "terminal")
    }

    /// What a person sees whose token is not made.
    fn not_made(&self, call: &Call<'_>, error: NotMade) -> Result<Response<Body>, Refusal> {
        let look = self.look(call);
        let unfit = |text: Text<'_>| (look.text(Text::NoTokenMade), look.text(text), StatusCode::BAD_REQUEST);
        let conflict = |message| {
            let (title, text) = look.message(message);
            (title.into(), text.into(), StatusCode::CONFLICT)
        };
        let (title, text, status) = match error {
            NotMade::Store(error) => return Err(error.into()),
            NotMade::SessionEnded => return Err(Refusal::FormExpired),
            NotMade::Code(why) => return Err(Refusal::BadRequest(why)),
            NotMade::Unfit(Unfit::Name) => unfit(Text::TokenNameUnfit),
            NotMade::Unfit(Unfit::Lifetime) => unfit(Text::TokenLifetimeUnfit),
            NotMade::Unfit(Unfit::Route) => unfit(Text::TokenRouteUnfit),
            NotMade::Unfit(Unfit::NotRenewable) => unfit(Text::TokenNotRenewable),
            NotMade::Repeated => conflict(Message::TokenMadeBefore),
            NotMade::TooMany => conflict(Message::TooManyTokens),
        };
        let (href, label) = (self.tokens_href(), look.text(Text::BackToTokens));
        let action = Action::Link { href: &href, label: &label };
        Ok(html(&Page { title: &title, text: &text, action, again: None, look: &look }, status, "token_not_made"))
    }

    pub(super) fn tokens_href(&self) -> String {
        format!("{}/tokens", self.components.prefix)
    }
}

/// The site beyond which a session that was handed over has no say.
fn own_site<'a>(call: &'a Call<'_>, admitted: &AdmittedSession) -> Option<&'a str> {
    admitted.session().login.as_ref().map(|_| call.exchange.site.authority())
}

/// A lifetime in days, of which a form asks for one at least.
fn whole_days(lifetime: Duration) -> u64 {
    in_days(lifetime).max(1)
}
