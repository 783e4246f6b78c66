//! A row of the table of refusals.

use std::time::Duration;

use http::StatusCode;

use crate::pages::Message;

/// What the client sees.
pub(super) struct Row {
    pub(super) status: StatusCode,
    /// `error` of the JSON, and the value of the `Evergate-Response` header.
    pub(super) error: &'static str,
    pub(super) message: Message,
    pub(super) retry_after: Option<Duration>,
    pub(super) offers: Offer,
}

/// What a person can do about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Nothing.
    Nothing,
    /// Sign in, or again.
    SignIn,
    /// Sign in as somebody else.
    AnotherAccount,
    /// Sign in at another provider, which the page is for.
    OtherProvider,
    /// Ask for the same page once more.
    TryAgain,
    /// Open the page in a window of its own.
    OwnWindow,
    /// Go to the apps, or to the front page.
    FrontPage,
    /// Load the page of a form once more, which is at the address that the form was sent to.
    LoadAgain,
}
