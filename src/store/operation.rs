//! Every operation of the store: its name in the metrics, and what it does.
//!
//! What reads is told from what writes by its type: a server that takes no writes may lack what was committed last, so that whoever
//! reads gets a [`Reading`](crate::reading::Reading), which does not let them forget it.

use super::gate::Access;

/// Declares operations by one line for each: variant, name, access.
macro_rules! operations {
    ($(#[$doc:meta])* $operations:ident: $($operation:ident $name:literal $access:ident,)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $operations {
            $($operation),+
        }

        impl $operations {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$operation),+];

            /// The operation's name in the metrics.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name),+
                }
            }

            /// What the operation does, which decides whether it may be sent and repeated.
            pub(super) fn access(self) -> Access {
                match self {
                    $(Self::$operation => Access::$access),+
                }
            }
        }
    };
}

operations! {
    /// What is read in one call.
    Read:
    // Logins and sessions.
    Session "session" Read,
    Successor "successor" Read,
    FindSessions "find_sessions" Read,
    ListSessions "list_sessions" Read,
    SessionsNamed "sessions_named" Read,
    SessionsOfUser "sessions_of_user" Read,
    SessionsByPrefix "sessions_by_prefix" Read,
    SessionsBeginning "sessions_beginning" Read,
    TokensOf "tokens_of" Read,
    // Login attempts and logouts at the provider.
    IsConsumed "is_consumed" Read,
    ReturnTo "return_to" Read,
    WasLoggedOut "was_logged_out" Read,
    EndedUsers "ended_users" Read,
    UserEndedAt "user_ended_at" Read,
    // Forms that met the end of their session.
    KeptPost "kept_post" Read,
    ScimUsers "scim_users" Read,
    ScimNamesOfOthers "scim_names_of_others" Read,
    KnownClients "known_clients" Read,
    RecordedClients "recorded_clients" Read,
    // Grants and their renewal.
    Grant "grant" Read,
    IdToken "id_token" Read,
    HasSessions "has_sessions" Read,
    ProviderKnowledge "provider_knowledge" Read,
    // Revocations.
    WouldEndOthers "would_end_others" Read,
    EndWasRequested "end_was_requested" Read,
    // Encryption keys.
    SealedTokens "sealed_tokens" Read,
    SealedRevocations "sealed_revocations" Read,
    KeysOfOthers "keys_of_others" Read,
    LivingReplicas "living_replicas" Read,
    // History and upkeep.
    Events "events" Read,
    EventUsers "event_users" Read,
    EventSessions "event_sessions" Read,
    EventGrants "event_grants" Read,
    ProviderHours "provider_hours" Read,
    SampleGrants "sample_grants" Read,
    RecentRenewals "recent_renewals" Read,
    EventsOfAdministrators "events_of_administrators" Read,
    Counts "counts" Read,
    Now "now" Read,
}

operations! {
    /// What is written in one call, which may read as well. It is sent to no server that takes no writes.
    Write:
    // Logins and sessions.
    SaveLogin "save_login" Once,
    HandOver "hand_over" Once,
    TouchSessions "touch_sessions" Repeatable,
    EndSession "end_session" Once,
    SaveToken "save_token" Once,
    // Login attempts and logouts at the provider.
    ConsumeOnce "consume_once" Once,
    ForgetConsumed "forget_consumed" Repeatable,
    SaveReturnTo "save_return_to" Repeatable,
    RememberLogout "remember_logout" Repeatable,
    EndUsers "end_users" Repeatable,
    // Forms that met the end of their session.
    SaveKeptPost "save_kept_post" Repeatable,
    TakeKeptPost "take_kept_post" Once,
    RecordClients "record_clients" Repeatable,
    SaveScimUser "save_scim_user" Repeatable,
    DeleteScimUser "delete_scim_user" Repeatable,
    LockOutScimUser "lock_out_scim_user" Repeatable,
    LetTokensIn "let_tokens_in" Repeatable,
    // Grants and their renewal.
    BeginRenewal "begin_renewal" Repeatable,
    SaveRenewal "save_renewal" Repeatable,
    PutRight "put_right" Repeatable,
    ReleaseIntent "release_intent" Repeatable,
    ExpireLease "expire_lease" Repeatable,
    ExpireDeadOwnersLease "expire_dead_owners_lease" Repeatable,
    AbandonAttempt "abandon_attempt" Repeatable,
    EndGrant "end_grant" Repeatable,
    SaveIdentity "save_identity" Repeatable,
    MarkUnverified "mark_unverified" Repeatable,
    DueBeforeIdleExpiry "due_before_idle_expiry" Once,
    SaveProviderKnowledge "save_provider_knowledge" Repeatable,
    // Revocations.
    EnqueueRevocation "enqueue_revocation" Repeatable,
    RequestRevocation "request_revocation" Repeatable,
    ClaimRevocation "claim_revocation" Once,
    DeleteRevocation "delete_revocation" Repeatable,
    PostponeRevocation "postpone_revocation" Repeatable,
    // Encryption keys.
    SaveResealed "save_resealed" Repeatable,
    SaveResealedRevocation "save_resealed_revocation" Repeatable,
    MarkRestored "mark_restored" Repeatable,
    // History and upkeep.
    Announce "announce" Repeatable,
    ForgetAnnouncements "forget_announcements" Repeatable,
    RecordEvents "record_events" Once,
    AddProviderHours "add_provider_hours" Once,
    Sweep "sweep" Once,
    ForgetReplica "forget_replica" Repeatable,
}

/// The names of all operations in the metrics.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    Read::ALL.iter().map(|read| read.name()).chain(Write::ALL.iter().map(|write| write.name()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let names: Vec<_> = names().collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
