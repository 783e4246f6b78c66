//! What the provider is asked at a login, and what can be asked of it.

use super::Provider;

impl Provider {
    /// Whether it answers `prompt=none`, as far as is known: as the administrator says, and else what OIDC Core requires,
    /// unless its metadata or its preset deny it.
    pub fn answers_silently(&self) -> bool {
        let settings = self.settings.silent_login;
        self.known().is_ok_and(|known| settings.unwrap_or(known.answers_silently && known.preset.answers_prompt_none))
    }

    /// The `prompt` with which a login is not answered with the account that the provider's own session is of.
    pub fn prompt_for_another_account(&self) -> &'static str {
        self.known().map_or("login", |known| known.other_account)
    }

    /// What a login says to be given a refresh token, where it says so.
    pub fn asks_for_refresh_tokens(&self) -> Option<&'static str> {
        let known = self.known().ok()?;
        let by_parameter = known.plan.params.get("access_type").is_some_and(|value| value == "offline");
        let by_scope = known.plan.scopes.iter().any(|scope| scope == "offline_access");
        by_scope.then_some("the scope offline_access").or_else(|| by_parameter.then_some("access_type=offline"))
    }

    /// Whether every login asks for its user's consent already.
    pub fn asks_for_consent(&self) -> bool {
        self.settings.auth_params.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|value| value == "consent"))
    }
}
