//! Which bearer tokens a route takes, and whether one is for it.

/// The bearer tokens that a route takes (`bearer_tokens` and the settings that belong to it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedTokens {
    /// The route's name, as the access line has it, by which personal access tokens are limited.
    pub route: String,
    /// Whether it takes access tokens of providers.
    pub of_provider: bool,
    /// The names of those providers, where the route is for some alone; an empty list is for all.
    pub providers: Vec<String>,
    /// The names of other issuers whose tokens it takes.
    pub issuers: Vec<String>,
    /// Whether it takes personal access tokens, which users make.
    pub personal: bool,
    /// The audiences of which a token must name one (RFC 9068 section 4, RFC 8707). Empty, it need name none, because its client is
    /// named.
    pub audiences: Vec<String>,
    /// The clients of which one must have obtained the token. Empty, it may be any.
    pub clients: Vec<String>,
    /// The scopes that a token must have.
    pub scopes: Vec<String>,
    /// Whether the app gets the `Authorization` header as it came.
    pub passes_authorization: bool,
}

/// What a token says of where it may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUse {
    /// Its audiences (`aud`).
    pub audiences: Vec<String>,
    /// The client that obtained it (`client_id`, `azp`).
    pub client: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
}

/// Why a good token may not be used on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenDenied {
    /// It is for another resource.
    #[error("it names none of the route's audiences (bearer_audiences; by default the route's URL)")]
    Audience,
    /// Another client obtained it.
    #[error("it was obtained by none of the route's clients (bearer_clients)")]
    Client,
    /// It lacks a scope.
    #[error("it lacks a scope that the route demands (bearer_scopes)")]
    Scope,
    /// Its user made it for other routes.
    #[error("its user made it for other routes")]
    Route,
}

impl AcceptedTokens {
    /// Whether it takes access tokens of the provider with this name.
    pub fn takes_provider(&self, name: &str) -> bool {
        self.of_provider && (self.providers.is_empty() || self.providers.iter().any(|own| own == name))
    }

    /// Checks whether a token of the provider is for the route.
    ///
    /// # Errors
    /// [`TokenDenied`].
    pub fn admit(&self, token: &TokenUse) -> Result<(), TokenDenied> {
        let is_for_here = || token.audiences.iter().any(|audience| self.audiences.contains(audience));
        if !self.audiences.is_empty() && !is_for_here() {
            return Err(TokenDenied::Audience);
        }
        let is_of_client = || token.client.as_ref().is_some_and(|client| self.clients.contains(client));
        if !self.clients.is_empty() && !is_of_client() {
            return Err(TokenDenied::Client);
        }
        if self.scopes.iter().all(|scope| token.scopes.contains(scope)) { Ok(()) } else { Err(TokenDenied::Scope) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_the_route_by_its_audience_its_client_and_its_scopes() {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let accepted = |audiences: &[&str], clients: &[&str], scopes: &[&str]| AcceptedTokens {
            route: "/api".to_owned(),
            of_provider: true,
            providers: Vec::new(),
            issuers: Vec::new(),
            personal: false,
            audiences: texts(audiences),
            clients: texts(clients),
            scopes: texts(scopes),
            passes_authorization: false,
        };
        let token = |audiences: &[&str], client: Option<&str>, scopes: &[&str]| TokenUse {
            audiences: texts(audiences),
            client: client.map(str::to_owned),
            scopes: texts(scopes),
        };
        let (by_audience, by_client) = (accepted(&["https://a.example/api"], &[], &[]), accepted(&[], &["cli"], &[]));
        let both = accepted(&["https://a.example/api"], &["cli"], &["read", "write"]);
        for (accepted, token, result) in [
            (&by_audience, token(&["account", "https://a.example/api"], None, &[]), Ok(())),
            (&by_audience, token(&["https://a.example/api/"], Some("cli"), &[]), Err(TokenDenied::Audience)),
            (&by_audience, token(&["https://a.example"], None, &[]), Err(TokenDenied::Audience)),
            (&by_audience, token(&[], None, &[]), Err(TokenDenied::Audience)),
            (&by_client, token(&[], Some("cli"), &[]), Ok(())),
            (&by_client, token(&["cli"], None, &[]), Err(TokenDenied::Client)),
            (&by_client, token(&[], Some("CLI"), &[]), Err(TokenDenied::Client)),
            (&both, token(&["https://a.example/api"], Some("cli"), &["write", "read", "more"]), Ok(())),
            (&both, token(&["https://a.example/api"], Some("cli"), &["read write"]), Err(TokenDenied::Scope)),
            (&both, token(&["https://a.example/api"], Some("other"), &["read", "write"]), Err(TokenDenied::Client)),
            (&both, token(&["other"], Some("cli"), &["read", "write"]), Err(TokenDenied::Audience)),
        ] {
            assert_eq!(accepted.admit(&token), result, "{accepted:?} {token:?}");
        }
    }
}
