//! Why a browser is redirected to the provider.

use super::attempt::LoginMode;
use crate::{grant::Grant, identity::Identity};

/// Why a browser is redirected to the provider.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// An interactive login.
    Login,
    /// An interactive login that another party began for a user it knows, with what it says of them (`login_hint`).
    LoginOf(&'a str),
    /// An interactive login with account selection.
    AnotherAccount,
    /// An interactive login of a browser that requested a page, perhaps without a click; it counts for the detection of redirect
    /// loops.
    LoginOnTheWay,
    /// The automatic retry of a failed login. There is no further one.
    LoginOnceMore,
    /// Silent re-authentication (`prompt=none`), to replace this grant.
    Silent(&'a Grant),
    /// An interactive login of a user whose session goes on, because silent re-authentication needs their interaction.
    Interaction,
    /// A login with `prompt=consent`, because this user's login brought no refresh token.
    Consent(&'a Identity),
}

impl Purpose<'_> {
    /// Whether a user has asked for this login, and not for a page.
    pub(super) fn is_by_hand(self) -> bool {
        match self {
            Self::Login | Self::LoginOf(_) | Self::AnotherAccount => true,
            Self::LoginOnTheWay | Self::LoginOnceMore | Self::Silent(_) | Self::Interaction | Self::Consent(_) => false,
        }
    }

    /// Whether its user is to choose an account, or another party has named one.
    pub(super) fn is_of_chosen_account(self) -> bool {
        match self {
            Self::LoginOf(_) | Self::AnotherAccount => true,
            Self::Login | Self::LoginOnTheWay | Self::LoginOnceMore | Self::Silent(_) | Self::Interaction | Self::Consent(_) => {
                false
            }
        }
    }

    /// Returns the mode that the attempt carries.
    pub(super) fn mode(self) -> LoginMode {
        match self {
            Self::Login | Self::LoginOf(_) | Self::LoginOnTheWay | Self::LoginOnceMore | Self::AnotherAccount => LoginMode::Login,
            Self::Silent(_) => LoginMode::Silent,
            Self::Interaction => LoginMode::Interaction,
            Self::Consent(_) => LoginMode::Consent,
        }
    }
}
