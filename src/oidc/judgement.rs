//! Who a renewal's answer speaks for.
//!
//! A grant ends only on proof that it is somebody else. What cannot be read or verified proves nothing: the tokens are kept, and
//! the identity stays as it was last verified.

use super::{
    Provider, ProviderError, TokenAnswer, VerifyError,
    discovery::Known,
    keys::Purpose,
    merge::merge,
    verify::{self, Expected, Nonce},
};
use crate::{
    identity::Identity,
    jose::{Algorithm, JoseError, Object},
};

/// What is known of an answer's ID token by what is at hand, before anything is asked.
#[derive(Debug)]
pub struct FirstLook(Result<Option<Object>, VerifyError>);

/// What is known when all was asked.
#[derive(Debug)]
pub enum Judgement {
    /// It is the same person, who is now described like this.
    Verified(Box<Identity>),
    /// It is proven to be somebody else's.
    SomebodyElse(ProviderError),
    /// Neither.
    CannotTell(ProviderError),
}

impl FirstLook {
    /// Whether the answer may be somebody else's as far as is known: its access token is not to be handed on yet.
    pub fn is_unverified(&self) -> bool {
        self.0.is_err()
    }
}

impl Provider {
    /// Looks at an answer with the keys at hand. Asks nobody, so that it can come before the answer is saved.
    pub fn look_at(&self, answer: &TokenAnswer, before: &Identity) -> FirstLook {
        let (Some(token), Ok(known)) = (&answer.id_token, self.known()) else { return FirstLook(Ok(None)) };
        let signed = self.signed_by(token.expose(), &known.algorithms, &self.keys.known(), Purpose::Renewal);
        FirstLook(self.judge_id_token(&known, signed, answer, Some(before), Nonce::NotAsked).map(Some))
    }

    /// Judges an answer, with newer keys and user info where they are needed.
    pub async fn judge(&self, answer: &TokenAnswer, before: &Identity, first: FirstLook) -> Judgement {
        let known = match self.known() {
            Ok(known) => known,
            Err(error) => return Judgement::CannotTell(error),
        };
        let signed = match (first.0, &answer.id_token) {
            (Err(VerifyError::Signature(error)), Some(token)) if error.may_need_newer_keys() => {
                match self.signed(&known, token.expose(), &known.algorithms, Purpose::Renewal).await {
                    Ok(signed) => self.judge_id_token(&known, signed, answer, Some(before), Nonce::NotAsked).map(Some),
                    Err(away) => return Judgement::CannotTell(away),
                }
            }
            (first, _) => first,
        };
        let signed = match signed {
            Ok(signed) => signed.map(|token| token.members),
            Err(error @ VerifyError::SomebodyElse(_)) => return Judgement::SomebodyElse(error.into()),
            Err(error @ (VerifyError::Signature(_) | VerifyError::Untimely(_) | VerifyError::Refused(_))) => {
                return Judgement::CannotTell(error.into());
            }
        };
        let more = match self.userinfo(&known, &answer.access_token, &before.subject, Purpose::Renewal).await {
            Ok(more) => more,
            Err(ProviderError::OtherSubject) => return Judgement::SomebodyElse(ProviderError::OtherSubject),
            Err(error) => {
                tracing::warn!(
                    oidc.issuer = self.issuer(), %error, "user info could not be read after a renewal; the identity stays as it was"
                );
                let says = signed.map(|signed| self.settings.mapping.tightened(before, &signed));
                return Judgement::Verified(Box::new(says.unwrap_or_else(|| before.clone())));
            }
        };
        // Claims are replaced only as a whole: a half of them would take away what only the other half has.
        let claims = match (signed, more) {
            (Some(signed), Some(more)) => merge(signed, more, &self.settings.mapping),
            (Some(signed), None) if known.userinfo.is_none() => signed,
            (Some(_) | None, _) => return Judgement::Verified(Box::new(before.clone())),
        };
        match self.settings.mapping.identity(&claims) {
            Ok(identity) => Judgement::Verified(Box::new(identity)),
            Err(error) => Judgement::CannotTell(error.into()),
        }
    }

    /// The ID token of a login.
    pub(super) async fn verify_login(&self, known: &Known, answer: &TokenAnswer, nonce: &str) -> Result<Object, ProviderError> {
        let token = answer.id_token.as_ref().ok_or(ProviderError::NoIdToken)?;
        let signed = self.signed(known, token.expose(), &known.algorithms, Purpose::Login).await?;
        Ok(self.judge_id_token(known, signed, answer, None, Nonce::Is(nonce))?)
    }

    fn judge_id_token(
        &self,
        known: &Known,
        signed: Result<(Object, Algorithm), JoseError>,
        answer: &TokenAnswer,
        before: Option<&Identity>,
        nonce: Nonce<'_>,
    ) -> Result<Object, VerifyError> {
        let (token, algorithm) = signed?;
        let expected = Expected {
            issuer: &known.issuer,
            client_id: self.client_id(),
            subject: before.map(|before| before.subject.as_str()),
            nonce,
            access_token: answer.access_token.expose(),
            algorithm,
            now: self.clock.now(),
        };
        verify::judge(&token, expected)?;
        self.note_algorithm(algorithm);
        Ok(token)
    }
}
