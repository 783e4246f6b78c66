//! The texts of our pages in English.

use std::{borrow::Cow, time::Duration};

use crate::pages::{Message, Text};

/// The title and the text of a page of one message.
pub(in crate::pages) const fn message(message: Message) -> (&'static str, &'static str) {
    match message {
        Message::HeadTooLarge => (
            "Request too large",
            "The header of the request is larger than it may be, mostly because of too many cookies. Delete this site's cookies, and try again.",
        ),
        Message::TargetTooLong => ("Address too long", "The address is longer than it may be."),
        Message::BadRequest => ("Bad request", "The request is malformed."),
        Message::Misdirected => (
            "Wrong address",
            "This service is not known by the address that was asked for. Check the address, or ask whoever runs this service. For administrators: CODER_ACCESS_URL sets it.",
        ),
        Message::Elsewhere => ("Elsewhere", "This service has another address."),
        Message::MethodNotAllowed => ("Method not allowed", "This method is not allowed here."),
        Message::NotFound => ("Not found", "There is no such page."),
        Message::SignIn => ("Sign in", "You need to sign in to see this page."),
        Message::SignInFrame => (
            "Sign in",
            "You need to sign in to see what belongs here. That takes a window of its own; when you are done there, load this again.",
        ),
        Message::FormLost => (
            "Sign in",
            "You are not signed in any more, so what you sent was not taken. Sign in, go back to the page, and send it again.",
        ),
        Message::KeptPost => (
            "Send it again?",
            "You were not signed in any more when you sent this form. It was kept for you, and has not been taken yet. Send it now, or discard it.",
        ),
        Message::KeptPostGone => (
            "Nothing is kept any more",
            "This form has been sent or discarded already, was kept for longer than 15 minutes, or was lost in an outage as it was sent. See whether it has arrived before you fill it in again.",
        ),
        Message::KeptPostOfAnother => (
            "Not your form",
            "The form that is kept here was sent by somebody with another account. With that account alone can it be seen and sent.",
        ),
        Message::SignInDoesNotLast => (
            "Sign-in does not last",
            "The sign-in service signed you in, and ended it at once. Please try again; if it happens again, tell whoever runs this service.",
        ),
        Message::SignInNotKept => (
            "Sign-in does not last",
            "You signed in, and your browser has not kept the cookie that says so, or has two different ones. Please delete this site's cookies, allow it to keep new ones, and sign in again.",
        ),
        Message::NavigationRequired => ("Request refused", "This takes place in a page of its own, not within another."),
        Message::OwnWindow => (
            "In a window of its own",
            "An app that you use here could read this page (by a service worker), so it is shown in a window of its own.",
        ),
        Message::FormExpired => (
            "This page is too old",
            "It was open for more than an hour, or you have signed in again or signed out since, so what you sent was not taken. Load it again, and repeat what you did.",
        ),
        Message::AccessWithdrawn => (
            "No access",
            "The sign-in service has withdrawn your access shortly after you signed in. You can sign in again, or with another account.",
        ),
        Message::LogoutToken => ("Bad request", "The logout token is not acceptable."),
        Message::TokenScope => ("Not allowed", "The access token lacks a scope that this service demands."),
        Message::TokenElsewhere => ("Access token refused", "The access token is not for this service."),
        Message::TokenInvalid => {
            ("Access token refused", "The access token is expired, revoked, or not one of those that are taken here.")
        }
        Message::TokenUnverifiable => {
            ("Just a moment", "The access token cannot be verified right now. Please try again shortly.")
        }
        Message::StoreUnavailable => (
            "Just a moment",
            "The service cannot look up who is signed in right now. Nobody is signed out by that; please try again shortly.",
        ),
        Message::LoginUnsaved => ("Just a moment", "The service cannot keep your sign-in right now. Please try again shortly."),
        Message::RenewalUnavailable => {
            ("Just a moment", "Your sign-in cannot be renewed right now. You are still signed in; please try again shortly.")
        }
        Message::ProviderMisconfigured => (
            "Sign-in is not set up correctly",
            "This service and its sign-in service are not configured to fit each other, which only an administrator can mend. Please tell whoever runs this service, and try again after.",
        ),
        Message::ProviderUnavailable => {
            ("Just a moment", "The sign-in service does not answer right now. Please try again shortly.")
        }
        Message::UpstreamUnreachable => {
            ("The application is not running", "The application behind this gateway cannot be reached. Please try again shortly.")
        }
        Message::UpstreamBroken => ("The application failed", "The application broke off before it answered."),
        Message::UpstreamBusy => (
            "The application is busy",
            "The application behind this gateway has as much to do as it may have. Please try again shortly.",
        ),
        Message::ServerBusy => {
            ("This service is busy", "As many people use this service right now as it can serve. Please try again shortly.")
        }
        Message::UpstreamTimedOut => ("The application is too slow", "The application did not answer in time."),
        Message::RequestIncomplete => {
            ("The request broke off", "The rest of the request did not come, or was not wanted any more.")
        }
        Message::CrossOrigin => (
            "Request refused",
            "A page of another site, or one that hides where it comes from (Referrer-Policy: no-referrer), sent this request, which may not be done here. Nothing was changed, and nobody is signed out by that.",
        ),
        Message::Origin => ("Request refused", "Pages of the origin that sent this request may not use this service (CORS)."),
        Message::EmailNotVerified => (
            "No access",
            "The sign-in service has not verified your e-mail address, which this service needs. Have it verified there, and sign in again.",
        ),
        Message::EmailDomain => (
            "No access",
            "Your account's e-mail address is not one that may use this service. If you have another account, sign in with that one.",
        ),
        Message::Deprovisioned => (
            "No access",
            "Your organisation has deactivated your account for this service. Please ask its administrators if that is a mistake.",
        ),
        Message::ForeignAddress => (
            "No access",
            "Your account's name or e-mail address belongs to another sign-in service than the one that you signed in with. Sign in there, or have it changed where you signed in.",
        ),
        Message::OtherProvider => {
            ("No access", "This page is for users of another sign-in service than the one that you signed in with.")
        }
        Message::ChooseProvider => ("Sign in", "Choose how to sign in."),
        Message::ChooseByAddress => ("Sign in", "Type your e-mail address, or choose how to sign in."),
        Message::AddressUnknown => {
            ("Sign in", "No sign-in service is known for that address. Correct it, or choose how to sign in.")
        }
        Message::GroupsUnknown => (
            "No access",
            "The sign-in service did not tell which groups your account is in, because there are too many. Please try again; if it happens again, tell whoever runs this service.",
        ),
        Message::Group => (
            "No access",
            "Your account is in none of the groups that may use this page. If you have another account, sign in with that one.",
        ),
        Message::Claim => {
            ("No access", "Your account may not use this page. If you have another account, sign in with that one.")
        }
        Message::Network => ("No access", "This page cannot be used from where you are."),
        Message::Destination => ("No access", "Nothing can be copied or moved from here to there."),
        Message::CallbackIncomplete => ("Sign-in failed", "The answer of the sign-in service is incomplete."),
        Message::AttemptUnknown => (
            "Sign-in expired",
            "This sign-in was begun in another browser, too long ago, or has been completed already. Please begin again.",
        ),
        Message::WrongIssuer => ("Sign-in failed", "The answer does not come from this service's sign-in service."),
        Message::LoginDeclined => ("Sign-in declined", "The sign-in was declined. You can try again."),
        Message::LoginRefused => ("Sign-in failed", "The sign-in service reported an error."),
        Message::ProviderBusy => ("Just a moment", "The sign-in service is busy. Wait a little, then sign in."),
        Message::LoginBusy => ("Just a moment", "Many people are signing in right now. This page tries again by itself."),
        Message::ProviderFailed => ("Sign-in failed", "The sign-in service could not complete the sign-in. Please try again."),
        Message::IdentityRefused => ("Sign-in failed", "The sign-in service's answer could not be verified."),
        Message::ClaimsRefused => ("No access", "The sign-in service does not say who you are."),
        Message::SignedOut => ("Signed out", "You are signed out of this service."),
        Message::SignOut => ("Sign out?", "You will be signed out of this service."),
        Message::SignOutEverywhere => {
            ("Sign out?", "You will be signed out of this service in all your browsers, and all your access tokens end.")
        }
        Message::NotSignedOut => (
            "Not signed out",
            "The service cannot end your session right now: you are not signed out yet. Please try again shortly.",
        ),
        Message::LoginDone => ("You are signed in", "Close this window, and go on where you were."),
        Message::NewToken => ("Your new token", "Copy it now: it is not shown again. Whoever has it acts as you."),
        Message::TooManyTokens => ("No token was made", "You have as many as you may have, at all sites. End one first."),
        Message::TokenMadeBefore => (
            "This token was made already",
            "A token is shown once, and this one was. If you have not copied it, end it and make another.",
        ),
        Message::TerminalCode => {
            ("Back to your terminal", "Copy this code into the terminal within five minutes. It works there alone.")
        }
    }
}

/// A label or a sentence.
pub(in crate::pages) fn text(text: &Text<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match *text {
        Text::SignIn => "Sign in",
        Text::SessionEnded => "Your session has ended.",
        Text::SignInAgain => "Sign in again",
        Text::SignInAndGoBack => "Sign in and go back to the page",
        Text::SignInInNewWindow => "Sign in in a new window",
        Text::OpenInNewWindow => "Open it in a new window",
        Text::AnotherAccount => "Use another account",
        Text::SignInThere => "Sign in there",
        Text::EmailAddress => "E-mail address",
        Text::Continue => "Continue",
        Text::LastUsed => "last used",
        Text::TryAgain => "Try again",
        Text::LoadAgain => "Load again",
        Text::SignOut => "Sign out",
        Text::StaySignedIn => "Stay signed in",
        Text::Help => "Help",
        Text::Request(id) => return format!("Request {id}").into(),
        Text::SignedInAs(account) => return format!("You are signed in as {account}.").into(),
        Text::KnownAs(account) => return format!("The sign-in service knows you as {account}.").into(),
        Text::ProviderCode(code) => return format!("Its error code is {code}.").into(),
        Text::HintRequest => {
            "For administrators: the provider does not accept the request as it is; the log has what it says, and evergate check what is configured."
        }
        Text::HintClient => {
            "For administrators: the client may not use the authorization code flow; allow it where the client is registered."
        }
        Text::HintScopes => "For administrators: the provider does not grant one of CODER_OIDC_SCOPES.",
        Text::HintProvider => "For administrators: the provider itself has failed, and nothing is to be changed here.",
        Text::HintInteraction => {
            "For administrators: the provider needs to ask its user something that it was told not to; see CODER_OIDC_AUTH_URL_PARAMS."
        }
        Text::KeptPostTarget { path, kibibytes } => return format!("It goes to {path} and has up to {kibibytes} KiB.").into(),
        Text::KeptPostFields => "Its fields",
        Text::SendAgain => "Send",
        Text::Discard => "Discard",
        Text::FrontPage => "To the front page",
        Text::Tokens => "Access tokens",
        Text::TokensAreOf(user) => {
            return format!(
                "Scripts, terminals and Git sign in with these as {user}: as a bearer token, or as a password with any user name. \
                 Whoever has one acts as you."
            )
            .into();
        }
        Text::Apps => "Your apps",
        Text::NoApps => "There is no app here that you may open.",
        Text::Sessions => "Your sessions",
        Text::SessionsAreOf(user) => return format!("Where {user} is signed in. End what you do not know.").into(),
        Text::OneEnded => "The session or token has ended.",
        Text::OthersEnded => "All other sessions have ended.",
        Text::ThisBrowser => "this browser",
        Text::UnknownBrowser => "A browser",
        Text::SessionTimes { since, seen } => {
            let seen = seen.map(|seen| format!(", last used {} ago", span(seen))).unwrap_or_default();
            return format!("signed in {} ago{seen}", span(since)).into();
        }
        Text::SessionEnds { left, unused: true } => return format!("ends in {} unless it is used", span(left)).into(),
        Text::SessionEnds { left, unused: false } => return format!("ends in {}", span(left)).into(),
        Text::MoreTokens => "There are more. The page of the tokens has them.",
        Text::MoreRoutes(count) => return format!("and {count} more, which evergate login --route can name").into(),
        Text::NextPage => "Next page",
        Text::More(count) => return format!("and {count} more").into(),
        Text::EndOthers => "End all others",
        Text::SignOutEverywhere => "Sign out everywhere",
        Text::End => "End",
        Text::EndNamed(name) => return format!("End {name}").into(),
        Text::TokenPlaces => "Where it may be used (all, if none is chosen)",
        Text::TokenForAdministration => "The administration (only if it is chosen)",
        Text::TokenForAdministrationAlone => "It is for the administration.",
        Text::TokenRoutes(&[], site) => return format!("every route at {site}").into(),
        Text::TokenRoutes(routes, site) => return format!("{} at {site}", routes.join(", ")).into(),
        Text::TokenTimes { made, used, left } => {
            let used = used.map_or_else(|| "never".to_owned(), days_ago);
            let end = left.map_or_else(|| "ended with its login".to_owned(), |left| format!("ends in {}", days(left)));
            return format!("made {}, used {used}, {end}", days_ago(made)).into();
        }
        Text::NewTokenHeading => "A new token",
        Text::TokenName => "Name",
        Text::TokenDays => "Days",
        Text::MakeToken => "Make a token",
        Text::BackToTokens => "Back to the tokens",
        Text::NoTokenMade => "No token was made",
        Text::TokenNameUnfit => "A token needs a name of 64 characters at most.",
        Text::TokenLifetimeUnfit => "The token would live for longer than it may (CODER_MAX_TOKEN_LIFETIME), or not at all.",
        Text::TokenRouteUnfit => "There is no such route that takes tokens.",
        Text::TokenNotRenewable => {
            "Your login has brought no refresh token (offline_access), so that the token would end with it."
        }
        Text::TerminalTitle => "Sign in a terminal?",
        Text::TerminalAsks { user, left, routes } => {
            let at = if routes.is_empty() { String::new() } else { format!(" at {}", routes.join(", ")) };
            return format!(
                "A terminal asks for an access token that acts as {user} for {}{at}. Allow it only if you have just run \
                 evergate login yourself.",
                days(left)
            )
            .into();
        }
        Text::TerminalName => "It calls itself:",
        Text::Allow => "Allow",
        Text::DoNotAllow => "Do not allow",
    })
}

/// A length of time in its largest unit.
fn span(time: Duration) -> String {
    let (count, unit) = match time.as_secs() {
        0..60 => return "less than a minute".to_owned(),
        seconds @ 60..3600 => (seconds / 60, "minute"),
        seconds @ 3600..86_400 => (seconds / 3600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

fn days(count: u64) -> String {
    if count == 1 { "1 day".to_owned() } else { format!("{count} days") }
}

fn days_ago(count: u64) -> String {
    match count {
        0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        _ => format!("{count} days ago"),
    }
}
