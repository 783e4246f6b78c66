//! Every operation of the store: its name in the metrics, and what it does.

use super::gate::Access;

/// Declares [`Operation`] by one line for each: variant, name, access.
macro_rules! operations {
    ($($operation:ident $name:literal $access:ident,)+) => {
        /// What the store is asked to do in one call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation {
            $($operation),+
        }

        impl Operation {
            /// All operations.
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
    // Logins and sessions.
    SaveLogin "save_login" Once,
    HandOver "hand_over" Once,
    Session "session" Read,
    Successor "successor" Read,
    FindSessions "find_sessions" Read,
    ListSessions "list_sessions" Read,
    SessionsNamed "sessions_named" Read,
    SessionsOfUser "sessions_of_user" Read,
    SessionsByPrefix "sessions_by_prefix" Read,
    SessionsBeginning "sessions_beginning" Read,
    TouchSessions "touch_sessions" Repeatable,
    EndSession "end_session" Once,
    SaveToken "save_token" Once,
    TokensOf "tokens_of" Read,
    // Login attempts and logouts at the provider.
    ConsumeOnce "consume_once" Once,
    IsConsumed "is_consumed" Read,
    ForgetConsumed "forget_consumed" Repeatable,
    SaveReturnTo "save_return_to" Repeatable,
    ReturnTo "return_to" Read,
    RememberLogout "remember_logout" Repeatable,
    WasLoggedOut "was_logged_out" Read,
    EndUsers "end_users" Repeatable,
    EndedUsers "ended_users" Read,
    UserEndedAt "user_ended_at" Read,
    // Forms that met the end of their session.
    SaveKeptPost "save_kept_post" Repeatable,
    KeptPost "kept_post" Read,
    TakeKeptPost "take_kept_post" Once,
    ScimUsers "scim_users" Read,
    ScimNamesOfOthers "scim_names_of_others" Read,
    KnownClients "known_clients" Read,
    RecordedClients "recorded_clients" Read,
    RecordClients "record_clients" Repeatable,
    SaveScimUser "save_scim_user" Repeatable,
    DeleteScimUser "delete_scim_user" Repeatable,
    LockOutScimUser "lock_out_scim_user" Repeatable,
    // Grants and their renewal.
    Grant "grant" Read,
    IdToken "id_token" Read,
    HasSessions "has_sessions" Read,
    BeginRenewal "begin_renewal" Repeatable,
    SaveRenewal "save_renewal" Repeatable,
    PutRight "put_right" Repeatable,
    ReleaseIntent "release_intent" Repeatable,
    ExpireLease "expire_lease" Repeatable,
    ExpireDeadOwnersLease "expire_dead_owners_lease" Repeatable,
    AbandonAttempt "abandon_attempt" Repeatable,
    EndGrant "end_grant" Once,
    SaveIdentity "save_identity" Repeatable,
    MarkUnverified "mark_unverified" Repeatable,
    DueBeforeIdleExpiry "due_before_idle_expiry" Once,
    ProviderKnowledge "provider_knowledge" Read,
    SaveProviderKnowledge "save_provider_knowledge" Repeatable,
    // Revocations.
    EnqueueRevocation "enqueue_revocation" Repeatable,
    ClaimRevocation "claim_revocation" Once,
    WouldEndOthers "would_end_others" Read,
    EndWasRequested "end_was_requested" Read,
    DeleteRevocation "delete_revocation" Repeatable,
    PostponeRevocation "postpone_revocation" Repeatable,
    // Encryption keys.
    SealedTokens "sealed_tokens" Read,
    SaveResealed "save_resealed" Repeatable,
    SealedRevocations "sealed_revocations" Read,
    SaveResealedRevocation "save_resealed_revocation" Repeatable,
    KeysOfOthers "keys_of_others" Read,
    LivingReplicas "living_replicas" Read,
    MarkRestored "mark_restored" Repeatable,
    // History and upkeep.
    Announce "announce" Repeatable,
    ForgetAnnouncements "forget_announcements" Repeatable,
    RecordEvents "record_events" Once,
    Events "events" Read,
    EventUsers "event_users" Read,
    EventSessions "event_sessions" Read,
    EventGrants "event_grants" Read,
    AddProviderHours "add_provider_hours" Once,
    ProviderHours "provider_hours" Read,
    SampleGrants "sample_grants" Read,
    LastRenewal "last_renewal" Read,
    EventsOfAdministrators "events_of_administrators" Read,
    Sweep "sweep" Once,
    Counts "counts" Read,
    Now "now" Read,
    ForgetReplica "forget_replica" Repeatable,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        assert_eq!(Operation::ALL.iter().map(|operation| operation.name()).collect::<BTreeSet<_>>().len(), Operation::ALL.len());
    }
}
