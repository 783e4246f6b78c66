//! What apps' jobs got of a grant, kept with the grant as this process knows it: a renewal or the end of the grant drops it with the
//! access token that it came from, and a record that is read anew with the same token has it still.

use std::{sync::Arc, time::Duration};

use crate::{clock::Timestamp, lock::Mutex, secret::Secret};

/// What an access token is exchanged for (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeTarget {
    /// The name of the other service, or its address.
    pub name: String,
    /// Whether it is an address (`resource`), and no name (`audience`).
    pub is_resource: bool,
    /// The scopes that are asked for; `None` leaves them to the provider.
    pub scope: Option<String>,
}

/// A token that an access token was exchanged for.
#[derive(Clone, Debug)]
pub struct ExchangedToken {
    /// The token.
    pub access_token: Secret,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Its lifetime when it was issued.
    pub lifetime: Duration,
    /// The granted scopes, if the provider tells.
    pub scope: Option<String>,
}

/// Why an access token is not exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeFailure {
    /// The provider has no such service, or gives this client no tokens for it.
    InvalidTarget,
    /// It does not give these scopes.
    InvalidScope,
    /// It does not give this user's tokens away.
    Denied,
    /// It does not exchange tokens, or not for this client.
    Unsupported,
    /// It refuses for another reason, or its response is no token.
    Failed,
    /// It does not respond, or not now. It may be asked again after this long.
    Unavailable(Duration),
}

/// The outcome of the last exchange.
#[derive(Clone, Debug, Default)]
pub enum KeptExchange {
    /// There was none.
    #[default]
    Nothing,
    /// It brought a token.
    Token(ExchangedToken),
    /// It failed, and the provider is not asked again before this.
    Failed(ExchangeFailure, Timestamp),
}

/// The exchange for one target. Whoever holds the lock exchanges, and the others wait for what comes of it (single-flight).
pub type ExchangeSlot = Arc<tokio::sync::Mutex<KeptExchange>>;

/// What apps' jobs got of one grant.
#[derive(Debug, Default)]
pub struct ExchangedTokens(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    slots: Mutex<Vec<(ExchangeTarget, ExchangeSlot)>>,
    given: Mutex<Vec<String>>,
}

/// How many are kept of each. An app's jobs call a few services.
const MAX_KEPT: usize = 16;

impl Clone for ExchangedTokens {
    /// Nothing is copied: a copy of a grant is made to be given other tokens.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl ExchangedTokens {
    /// The same, for another record of the grant that has the same access token.
    pub fn shared(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// The slot of a target. The one that was asked for longest ago makes room.
    pub fn slot(&self, target: &ExchangeTarget) -> ExchangeSlot {
        let mut slots = self.0.slots.lock();
        let known = slots.iter().position(|(known, _)| known == target);
        let (target, slot) = match known {
            Some(at) => slots.remove(at),
            None => (target.clone(), ExchangeSlot::default()),
        };
        if slots.len() >= MAX_KEPT {
            slots.remove(0);
        }
        slots.push((target, Arc::clone(&slot)));
        slot
    }

    /// Whether nothing was given to this app yet, by the name of its route and of the other service.
    pub fn is_first_for(&self, app: &str) -> bool {
        let mut given = self.0.given.lock();
        if given.iter().any(|known| known == app) {
            return false;
        }
        if given.len() >= MAX_KEPT {
            given.remove(0);
        }
        given.push(app.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_slot_while_it_is_used_and_no_copy_of_the_grant_has_it() {
        let exchanged = ExchangedTokens::default();
        let target = |name: String| ExchangeTarget { name, is_resource: false, scope: None };
        let first = exchanged.slot(&target("billing".into()));
        assert!(Arc::ptr_eq(&first, &exchanged.slot(&target("billing".into()))));
        let copy = exchanged.clone();
        assert!(!Arc::ptr_eq(&first, &copy.slot(&target("billing".into()))));
        assert!(Arc::ptr_eq(&first, &exchanged.shared().slot(&target("billing".into()))));
        let resource = ExchangeTarget { is_resource: true, ..target("billing".into()) };
        assert!(!Arc::ptr_eq(&first, &exchanged.slot(&resource)), "a resource is no audience");
        for number in 0..MAX_KEPT * 2 {
            exchanged.slot(&target(number.to_string()));
            assert!(Arc::ptr_eq(&first, &exchanged.slot(&target("billing".into()))), "what is used stays");
        }
        assert_eq!(exchanged.0.slots.lock().len(), MAX_KEPT);
        for number in 0..MAX_KEPT {
            exchanged.slot(&target(number.to_string()));
        }
        assert!(!Arc::ptr_eq(&first, &exchanged.slot(&target("billing".into()))), "what is not makes room");
    }

    #[test]
    fn what_was_given_is_news_once_for_each_app_and_token() {
        let given = ExchangedTokens::default();
        assert!(given.is_first_for("a") && given.is_first_for("b"));
        assert!(!given.is_first_for("a") && !given.is_first_for("b"));
        let copy = given.clone();
        assert!(copy.is_first_for("a"));
        for number in 0..MAX_KEPT * 2 {
            assert!(given.is_first_for(&number.to_string()));
        }
        assert_eq!(given.0.given.lock().len(), MAX_KEPT);
    }
}
