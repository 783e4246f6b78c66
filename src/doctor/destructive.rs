//! What costs the grant to find out. Reuse is tried first, because only it needs a spent token; revocation last, because nothing is
//! left to revoke after it. Where a trial has ended the grant, the next one begins with a login.

use super::{
    browser::{Browser, Errand},
    examiner::{Doctor, reason},
    facts::{DestructiveFacts, Logout, Reuse, Revocation},
    login::LoginFailure,
    renewals::HeldGrant,
};
use crate::{renewal::is_end_of_grant, secret::Secret};

/// What came of presenting a refresh token.
enum Presented {
    Accepted,
    Refused,
    /// The provider could not be asked, for this reason.
    Unknown(String),
}

impl Doctor {
    /// Tries all of it. Leaves the grant that is still alive, if one is.
    pub(super) async fn try_destructive(
        &self,
        browser: &mut impl Browser,
        grant: &mut Option<HeldGrant>,
    ) -> std::io::Result<DestructiveFacts> {
        // A provider that accepts a spent token answers with a further one, which is revoked last, because that may end the grant.
        let mut further = None;
        let reuse = match grant {
            Some(held) => self.try_reuse(held, &mut further).await,
            None => Reuse::Unknown("the renewal storm has ended the grant".to_owned()),
        };
        if !matches!(reuse, Reuse::NotRotated | Reuse::Accepted | Reuse::Refused) {
            self.drop_grant(grant).await;
        }
        let end_session = self.provider.end_session_url(None, &self.signed_out_uri, None);
        let logout = match end_session {
            None => Logout::NoEndpoint,
            Some(url) => match self.grant_or_login(browser, grant).await? {
                Err(reason) => Logout::Unknown(reason),
                Ok(held) => {
                    browser.visit(Errand::Logout, &url).await?;
                    match self.present(held).await {
                        Presented::Accepted => Logout::Survived,
                        Presented::Refused => Logout::Ended,
                        Presented::Unknown(reason) => Logout::Unknown(reason),
                    }
                }
            },
        };
        if !matches!(logout, Logout::NoEndpoint | Logout::Survived) {
            self.drop_grant(grant).await;
        }
        let revocation = match self.grant_or_login(browser, grant).await? {
            Err(reason) => Revocation::Unknown(reason),
            Ok(held) => self.try_revocation(held).await,
        };
        if revocation == Revocation::Works {
            *grant = None;
        }
        if let Some(token) = further {
            let _revoked_or_expires = self.provider.revoke(&token).await;
        }
        Ok(DestructiveFacts { reuse, logout, revocation })
    }

    /// Presents a spent refresh token, and then its successor. `further` is the token that the spent one brought.
    async fn try_reuse(&self, grant: &mut HeldGrant, further: &mut Option<Secret>) -> Reuse {
        let Some(spent) = grant.spent.take() else { return Reuse::NotRotated };
        let mut reused = HeldGrant { identity: grant.identity.clone(), current: spent, spent: None };
        let again = self.present(&mut reused).await;
        *further = reused.spent.is_some().then_some(reused.current);
        match again {
            Presented::Accepted => return Reuse::Accepted,
            Presented::Unknown(reason) => return Reuse::Unknown(reason),
            Presented::Refused => {}
        }
        match self.present(grant).await {
            Presented::Accepted => Reuse::Refused,
            Presented::Refused => Reuse::EndsGrant,
            Presented::Unknown(reason) => Reuse::Unknown(reason),
        }
    }

    /// Revokes the refresh token, and presents it.
    async fn try_revocation(&self, grant: &mut HeldGrant) -> Revocation {
        match self.provider.revoke(&grant.current).await {
            Ok(false) => return Revocation::NoEndpoint,
            Ok(true) => {}
            Err(error) => return Revocation::Unknown(reason(&error)),
        }
        match self.present(grant).await {
            Presented::Accepted => Revocation::HasNoEffect,
            Presented::Refused => Revocation::Works,
            Presented::Unknown(reason) => Revocation::Unknown(reason),
        }
    }

    /// Presents the current refresh token, and keeps what comes of it.
    async fn present(&self, grant: &mut HeldGrant) -> Presented {
        match self.provider.refresh(&grant.current).await {
            Ok(tokens) => {
                grant.replace(tokens.refresh_token);
                Presented::Accepted
            }
            Err(failure) if is_end_of_grant(&failure, self.provider.preset().error_rules) => Presented::Refused,
            Err(failure) => Presented::Unknown(reason(&failure)),
        }
    }

    /// The grant, or that of another login, or why there is none.
    async fn grant_or_login<'a>(
        &self,
        browser: &mut impl Browser,
        grant: &'a mut Option<HeldGrant>,
    ) -> std::io::Result<Result<&'a mut HeldGrant, String>> {
        if grant.is_none() {
            let prompt = self.provider.should_prompt_for_consent().then_some("consent");
            *grant = match self.log_in(browser, Errand::LoginAgain, prompt).await {
                Ok(login) => HeldGrant::of(&login),
                Err(LoginFailure::Browser(error)) => return Err(error),
                Err(LoginFailure::Provider { why, mut left_over }) => {
                    self.drop_grant(&mut left_over).await;
                    return Ok(Err(why));
                }
            };
        }
        Ok(grant.as_mut().ok_or_else(|| "another login brought no refresh token".to_owned()))
    }
}
