//! The list of all sessions, a page at a time, and what passes a filter.

use super::{Administration, ListPlace};
use crate::{
    clock::Timestamp,
    grant::EndReason,
    store::{ListPosition, ListedSession, StoreError},
};

/// Which sessions are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those whose user is in this group.
    pub group: Option<String>,
    /// Those whose login was for this host.
    pub site: Option<String>,
    /// Those of the provider with this issuer.
    pub issuer: Option<String>,
    /// Those whose grant has ended.
    pub ended: Option<EndedBecause>,
    /// Those without a refresh token.
    pub not_renewable: bool,
    /// Those whose renewal the provider refused.
    pub refused: bool,
    /// Those that are personal access tokens.
    pub tokens: bool,
    /// Those that were last renewed before.
    pub not_renewed_since: Option<Timestamp>,
}

/// Why a grant has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBecause {
    /// For whatever reason.
    Any,
    /// For this one.
    Of(EndReason),
}

/// A part of the list.
#[derive(Debug)]
pub struct Listing {
    /// The sessions, the last login first.
    pub sessions: Vec<ListedSession>,
    /// Where the list goes on, if it does.
    pub next: Option<String>,
    /// How many sessions were looked at.
    pub looked_at: usize,
}

/// How many sessions are looked at for one part of the list, so that a filter that few pass costs no more.
pub(super) const MOST_LOOKED_AT: usize = 2000;

impl Filter {
    /// Whether a session is shown.
    pub fn matches(&self, listed: &ListedSession) -> bool {
        let grant = &listed.grant;
        let ended = grant.ended.as_ref().map(|ended| ended.reason);
        self.group.as_ref().is_none_or(|group| grant.identity.group_names().contains(group))
            && self.issuer.as_ref().is_none_or(|issuer| grant.issuer == *issuer)
            && self
                .site
                .as_ref()
                .is_none_or(|site| listed.session.site.as_deref().is_some_and(|at| at.eq_ignore_ascii_case(site)))
            && self.ended.is_none_or(|reason| match reason {
                EndedBecause::Any => ended.is_some(),
                EndedBecause::Of(reason) => ended == Some(reason),
            })
            && !(self.not_renewable && grant.has_refresh_token)
            && !(self.refused && grant.refused.is_none())
            && !(self.tokens && listed.session.token.is_none())
            && self.not_renewed_since.is_none_or(|since| grant.renewed_at < since)
    }
}

impl Administration {
    /// The part of the list behind `after`: `most` sessions at most that pass the filter.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self, filter: &Filter, after: ListPosition, most: usize) -> Result<Listing, StoreError> {
        let mut listing = Listing { sessions: Vec::new(), next: None, looked_at: 0 };
        let mut position = after;
        loop {
            let (page, next) = self.list_sessions(position).await?;
            for listed in page {
                let at = ListPosition { created_at: listed.session.created_at, hash: listed.session.hash };
                if !filter.matches(&listed) {
                    listing.looked_at += 1;
                    position = at;
                    continue;
                }
                if listing.sessions.len() >= most {
                    listing.next = Some(ListPlace::Login(position).written());
                    return Ok(listing);
                }
                listing.looked_at += 1;
                position = at;
                listing.sessions.push(listed);
            }
            let Some(next) = next else { return Ok(listing) };
            position = next;
            if listing.looked_at >= MOST_LOOKED_AT {
                listing.next = Some(ListPlace::Login(position).written());
                return Ok(listing);
            }
        }
    }
}
