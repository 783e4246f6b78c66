//! What a page of one message says, in every language.

use super::texts;
use crate::language::Language;

/// Defines the messages with the names by which settings know them.
macro_rules! messages {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A title and a text that are shown to a person.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Message { $($(#[$doc])* $variant,)* }

        impl Message {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name by which `CODER_PAGE_TEXTS` knows it. It must not change.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

messages! {
    /// The header is too large.
    HeadTooLarge = "head_too_large",
    /// The address is too long.
    TargetTooLong = "target_too_long",
    /// The request is malformed.
    BadRequest = "bad_request",
    /// It names a host that is none of our sites.
    Misdirected = "misdirected_request",
    /// The page is at another address.
    Elsewhere = "elsewhere",
    /// The method is not allowed.
    MethodNotAllowed = "method_not_allowed",
    /// There is no such page.
    NotFound = "not_found",
    /// One must be signed in.
    SignIn = "sign_in_required",
    /// The same within a frame, where no login can take place.
    SignInFrame = "sign_in_frame",
    /// A form came without a session.
    FormLost = "form_lost",
    /// Whether a form that was kept is to be sent again.
    KeptPost = "kept_post",
    /// A form that was kept is not there any more.
    KeptPostGone = "kept_post_gone",
    /// A form that was kept is another user's.
    KeptPostOfAnother = "kept_post_of_another",
    /// The provider's grants end at once.
    SignInDoesNotLast = "sign_in_does_not_last",
    /// The browser keeps no session.
    SignInNotKept = "sign_in_not_kept",
    /// What was asked for is for a page of its own.
    NavigationRequired = "navigation_required",
    /// A page is for a window that no service worker sees.
    OwnWindow = "own_window_required",
    /// A form was sent later than it may be.
    FormExpired = "form_expired",
    /// The provider has withdrawn access.
    AccessWithdrawn = "access_withdrawn",
    /// A logout token is not to be believed.
    LogoutToken = "logout_token",
    /// An access token lacks a scope.
    TokenScope = "insufficient_scope",
    /// An access token is for something else.
    TokenElsewhere = "token_elsewhere",
    /// An access token is not valid.
    TokenInvalid = "invalid_token",
    /// An access token cannot be verified now.
    TokenUnverifiable = "token_unverifiable",
    /// The store cannot be asked.
    StoreUnavailable = "store_unavailable",
    /// A login cannot be saved.
    LoginUnsaved = "login_unsaved",
    /// A token refresh cannot be done now.
    RenewalUnavailable = "renewal_unavailable",
    /// The provider and we do not fit each other.
    ProviderMisconfigured = "provider_misconfigured",
    /// The provider does not answer.
    ProviderUnavailable = "provider_unavailable",
    /// The upstream cannot be reached.
    UpstreamUnreachable = "upstream_unreachable",
    /// The upstream broke off.
    UpstreamBroken = "upstream_broken",
    /// The upstream has too much to do.
    UpstreamBusy = "upstream_busy",
    /// All connections are in use.
    ServerBusy = "server_busy",
    /// The upstream is too slow.
    UpstreamTimedOut = "upstream_timed_out",
    /// The request broke off.
    RequestIncomplete = "request_incomplete",
    /// A page of another site sent the request.
    CrossOrigin = "cross_origin",
    /// The origin is none of those that CORS allows.
    Origin = "origin_not_allowed",
    /// The e-mail address is not verified.
    EmailNotVerified = "email_not_verified",
    /// The e-mail address is none of those that may enter.
    EmailDomain = "email_domain",
    /// The address is one of another provider's.
    ForeignAddress = "foreign_address",
    /// A directory has deactivated the user.
    Deprovisioned = "deprovisioned",
    /// The page is for another provider's users.
    OtherProvider = "other_provider",
    /// The provider does not tell the groups.
    GroupsUnknown = "groups_unknown",
    /// The account is in none of the groups.
    Group = "group",
    /// A rule on claims.
    Claim = "claim",
    /// The network is none of those that may enter.
    Network = "network",
    /// The second path of a WebDAV request.
    Destination = "destination",
    /// The callback lacks a parameter.
    CallbackIncomplete = "bad_callback",
    /// The callback is of no login attempt of this browser.
    AttemptUnknown = "unknown_login_attempt",
    /// The callback is of another issuer.
    WrongIssuer = "wrong_issuer",
    /// The user declined.
    LoginDeclined = "login_declined",
    /// The provider reported an error.
    LoginRefused = "login_refused",
    /// Too many log in at once.
    LoginBusy = "login_busy",
    /// The provider asks to be called less.
    ProviderBusy = "provider_busy",
    /// The provider could not complete the login.
    ProviderFailed = "provider_error",
    /// The provider's response could not be verified.
    IdentityRefused = "identity_refused",
    /// The provider does not say who the user is.
    ClaimsRefused = "claims_refused",
    /// The user chooses a provider.
    ChooseProvider = "choose_provider",
    /// The user chooses a provider, or types an address that leads to one.
    ChooseByAddress = "choose_by_address",
    /// The address leads to no provider.
    AddressUnknown = "address_unknown",
    /// The user is signed out.
    SignedOut = "signed_out",
    /// Whether to sign out.
    SignOut = "sign_out",
    /// Whether to sign out everywhere.
    SignOutEverywhere = "sign_out_everywhere",
    /// The session could not be ended.
    NotSignedOut = "not_signed_out",
    /// A login in a window of its own is complete.
    LoginDone = "signed_in",
    /// A personal access token, shown once.
    NewToken = "token_made",
    /// The user has too many tokens.
    TooManyTokens = "too_many_tokens",
    /// A form has made a token already, which is told no more.
    TokenMadeBefore = "token_made_before",
    /// The code for a terminal, shown once.
    TerminalCode = "terminal_code",
}

impl Message {
    /// The title and the text in a language.
    pub fn said(self, language: Language) -> (&'static str, &'static str) {
        match language {
            Language::English => texts::english::message(self),
            Language::German => texts::german::message(self),
        }
    }

    /// The text in English, for programs.
    pub fn for_programs(self) -> &'static str {
        self.said(Language::English).1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_message_is_said_in_every_language_and_has_a_name_of_its_own() {
        let names: HashSet<_> = Message::ALL.iter().map(|message| message.name()).collect();
        assert_eq!(names.len(), Message::ALL.len());
        for &message in Message::ALL {
            for language in Language::ALL {
                let (title, text) = message.said(language);
                assert!(!title.is_empty() && text.ends_with(['.', '?']), "{message:?} {language:?}");
                assert!(language == Language::English || text != message.for_programs(), "{message:?} is not translated");
            }
            // It may stand in a quoted string of a header (RFC 6750 section 3).
            assert!(
                message.for_programs().bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')),
                "{message:?}"
            );
        }
    }
}
