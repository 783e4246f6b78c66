//! Whom a name means to somebody who acts on it. What is shown may be anybody's that the name finds; what ends or is renewed may not.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Administration,
    search::{is_of, spelled},
};
use crate::{
    secret::hex,
    store::{ListedSession, StoreError},
};

/// Whose sessions a name means.
#[derive(Debug)]
pub enum Meant {
    /// These, and those of users of these names are not, which nobody has typed.
    These(Vec<ListedSession>, BTreeSet<String>),
    /// Nobody's: no name is spelled as it was typed, and it may be each of these, which differ in case alone.
    Unclear(BTreeSet<String>),
    /// Nobody's: the identifier of each of these begins so.
    Ambiguous(Vec<Identified>),
}

/// A session or a grant whose identifier begins as another's does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Which of the two it is.
    pub kind: IdentifiedKind,
    /// As much of the identifier as none of the others begins with.
    pub id: String,
    /// The user, by the name that administrators see.
    pub user: String,
}

/// What an identifier is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentifiedKind {
    /// A session.
    Session,
    /// A grant.
    Grant,
}

/// The least of an identifier that is shown where a shorter beginning is another's too.
const MIN_SHOWN: usize = 12;

impl Administration {
    /// Whom a name means to somebody who acts on it, of the users of the provider with this `issuer` alone if one is given.
    ///
    /// # Errors
    /// The store failed.
    pub async fn meant(&self, name: &str, issuer: Option<&str>) -> Result<Meant, StoreError> {
        let mut found = self.named(name).await?;
        found.retain(|found| issuer.is_none_or(|issuer| found.grant.issuer == issuer));
        // A user of this name may have no session left, when it is the beginning of somebody else's.
        if !found.is_empty() && !found.iter().any(|found| is_of(name, found)) {
            let users = self.store.event_users(name).await?;
            if users.iter().any(|(of, _)| issuer.is_none_or(|issuer| of == issuer)) {
                found.clear();
            }
        }
        Ok(Meant::of(name, found))
    }
}

impl Meant {
    /// Whom `name` means, of the sessions that it has found: those of users of this name, or else those of the one session or grant whose
    /// identifier begins so.
    fn of(name: &str, mut found: Vec<ListedSession>) -> Self {
        let mut spellings: BTreeSet<_> = found.iter().filter_map(|listed| spelled(name, listed)).map(str::to_owned).collect();
        if spellings.is_empty() {
            let identified = identified(name, &found);
            return if identified.len() > 1 { Self::Ambiguous(identified) } else { Self::These(found, spellings) };
        }
        if spellings.remove(name) {
            found.retain(|listed| spelled(name, listed) == Some(name));
        } else if spellings.len() > 1 {
            return Self::Unclear(spellings);
        } else {
            spellings.clear();
        }
        Self::These(found, spellings)
    }
}

/// The sessions and grants whose identifiers begin so.
fn identified(prefix: &str, found: &[ListedSession]) -> Vec<Identified> {
    let prefix = prefix.to_ascii_lowercase();
    let mut all = BTreeMap::new();
    for listed in found {
        let user = listed.grant.identity.display();
        let ids = [(IdentifiedKind::Session, hex(&listed.session.hash.0)), (IdentifiedKind::Grant, listed.grant.id.to_string())];
        all.extend(ids.into_iter().filter(|(_, id)| id.starts_with(&prefix)).map(|(kind, id)| (id, (kind, user))));
    }
    let begin = |id: &str, length| id.chars().take(length).collect::<String>();
    let is_enough = |length: &usize| all.keys().map(|id| begin(id, *length)).collect::<BTreeSet<_>>().len() == all.len();
    let longest = all.keys().map(String::len).max().unwrap_or(0);
    let length = (MIN_SHOWN..longest).find(is_enough).unwrap_or(longest);
    all.iter().map(|(id, (kind, user))| Identified { kind: *kind, id: begin(id, length), user: (*user).to_owned() }).collect()
}
