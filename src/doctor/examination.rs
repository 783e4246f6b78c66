//! The examination, from its first login to the revocation of what is left.

use std::io;

use super::{
    browser::{Browser, Errand},
    examiner::{Doctor, reason},
    facts::{Cleanup, Facts, LoginFacts, RefreshLifetime},
    login::LoginFailure,
    renewals::HeldGrant,
    report::Report,
};
use crate::oidc::VerifiedLogin;

/// What is examined beyond a login and two renewals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// A renewal storm.
    pub storm: bool,
    /// What costs the grant to find out, and up to two logins more.
    pub destructive: bool,
}

impl Doctor {
    /// Examines the provider.
    ///
    /// # Errors
    /// The browser could not be sent. Everything else is a finding.
    pub async fn examine(&self, browser: &mut impl Browser, extent: Extent) -> io::Result<Report> {
        if let Err(error) = self.provider.discover().await {
            return Ok(Report::of(self.facts(Err(reason(&error)))));
        }
        let (login, login_facts) = match self.first_login(browser).await {
            Ok(login) => login,
            Err(LoginFailure::Browser(error)) => return Err(error),
            Err(LoginFailure::Provider { why, left_over }) => {
                let cleanup = self.clean_up(left_over.as_ref()).await;
                return Ok(Report::of(Facts { cleanup, ..self.facts(Err(why)) }));
            }
        };
        let mut facts = self.facts(Ok(login_facts));
        let mut grant = HeldGrant::of(&login);
        if let Some(held) = &mut grant {
            // The second shows that what the first one brought is accepted.
            for _ in 0..2 {
                let renewal = self.renew(held).await;
                let has_failed = renewal.result.is_err();
                facts.renewals.push(renewal);
                if has_failed {
                    break;
                }
            }
        }
        let is_renewable = facts.renewals.iter().all(|renewal| renewal.result.is_ok());
        let has_grant = grant.is_some() && is_renewable;
        if let Some(held) = grant.as_mut().filter(|_| extent.storm && has_grant) {
            let storm = self.make_storm(held).await;
            let went_well = storm.as_ref().is_ok_and(|storm| storm.answered == storm.requests);
            facts.storm = Some(storm);
            if !went_well {
                self.drop_grant(&mut grant).await;
            }
        }
        if extent.destructive && has_grant {
            // Boxed, because it is large and rarely needed.
            match Box::pin(self.try_destructive(browser, &mut grant)).await {
                Ok(found) => facts.destructive = Some(found),
                Err(error) => {
                    self.clean_up(grant.as_ref()).await;
                    return Err(error);
                }
            }
        }
        facts.cleanup = self.clean_up(grant.as_ref()).await;
        Ok(Report::of(facts))
    }

    /// The login, and once more with `prompt=consent` where every login does that.
    async fn first_login(&self, browser: &mut impl Browser) -> Result<(VerifiedLogin, LoginFacts), LoginFailure> {
        let mut login = self.log_in(browser, Errand::Login, None).await?;
        let mut needed_consent = false;
        if login.tokens.refresh_token.is_none() && self.provider.should_prompt_for_consent() {
            login = self.log_in(browser, Errand::Consent, Some("consent")).await?;
            needed_consent = true;
        }
        let tokens = &login.tokens;
        let facts = LoginFacts {
            has_refresh_token: tokens.refresh_token.is_some(),
            needed_consent: needed_consent && tokens.refresh_token.is_some(),
            granted_scopes: tokens.scope.as_deref().map(|scopes| scopes.split(' ').map(str::to_owned).collect()),
            access_lifetime: tokens.expires_in,
            refresh_lifetime: tokens
                .refresh_expires_in
                .map(RefreshLifetime::Response)
                .or_else(|| self.provider.refresh_lifetime(tokens).map(RefreshLifetime::Preset)),
            groups: login.identity.groups.len(),
            groups_unknown: login.identity.groups_unknown,
        };
        Ok((login, facts))
    }

    /// The facts as they are after the login.
    fn facts(&self, login: Result<LoginFacts, String>) -> Facts {
        Facts {
            issuer: self.provider.issuer().to_owned(),
            preset: self.provider.preset().name,
            redirect_uri: self.redirect_uri.clone(),
            requested_scopes: self.provider.requested_scopes().unwrap_or_default(),
            requested_by: self.provider.offline_access_request(),
            group_field: self.settings.oidc.mapping.groups.clone(),
            session_idle: self.settings.session_idle,
            login_lifetime: self.provider.preset().login_lifetime,
            login,
            renewals: Vec::new(),
            storm: None,
            destructive: None,
            cleanup: Cleanup::NothingLeft,
        }
    }
}
