//! Who acted, besides the name: the same in every language.

use crate::history::Event;

/// What is known of an administrator who acted besides the name: the `sub`, the issuer, and the session.
pub(super) fn of(event: &Event) -> String {
    let subject = event.actor_subject.as_ref().map(|subject| format!("sub {subject}"));
    let session = event.actor_session.as_ref().map(|session| format!("session {session}"));
    let known: Vec<_> = [subject, event.actor_issuer.clone(), session].into_iter().flatten().collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}
