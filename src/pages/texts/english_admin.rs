//! The texts of the administration in English.

use std::borrow::Cow;

use crate::pages::AdminText;

/// A label or a sentence.
pub(in crate::pages) fn text(text: &AdminText<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match *text {
        AdminText::Administration => "Administration",
        AdminText::Name(name) => return name.to_owned().into(),
        AdminText::SignedIn => "Who is signed in",
        AdminText::Why => "Why logged out?",
        AdminText::WhyLabel => "E-mail address, user name or sub; or the beginning of a session's or grant's name",
        AdminText::WhyText => "What ended somebody's sessions, or kept them from signing in, the last first.",
        AdminText::WhyNothing(name) => return format!("Nothing is known of “{name}”: no session, and no history.").into(),
        AdminText::WhyNoEnd => "Nothing that is kept tells of an end.",
        AdminText::Audit => "What administrators did",
        AdminText::AuditNothing => "Nothing that is still kept.",
        AdminText::Everyone => "End everyone's sessions",
        AdminText::EveryoneText => {
            "Ends all sessions and personal access tokens of all users, yours among them, and revokes their refresh tokens at the provider."
        }
        AdminText::EveryoneConfirm => "Type everyone to confirm",
        AdminText::EveryoneWord => "everyone",
        AdminText::EveryoneUnconfirmed => "Nothing was ended: the word that you typed is another one.",
        AdminText::EveryoneBegun => "Everyone's sessions are being ended.",
        AdminText::EveryoneUnderWay => "Everyone's sessions are being ended already.",
        AdminText::SearchLabel => "E-mail address or user name, or how it begins; or sub",
        AdminText::Search => "Search",
        AdminText::Show => "Show",
        AdminText::ShowAll => "all",
        AdminText::ShowNotRenewable => "without a refresh token",
        AdminText::ShowRefused => "renewal refused by the provider",
        AdminText::ShowEnded => "grant ended",
        AdminText::ShowTokens => "personal access tokens",
        AdminText::Next => "Next page",
        AdminText::Counts(all, renewable) => {
            return format!(
                "{}, {renewable} of them with a refresh token. A large number is estimated.",
                counted(all, "session")
            )
            .into();
        }
        AdminText::LookedAt(1) => "1 session was looked at for this page.",
        AdminText::LookedAt(count) => return format!("{count} sessions were looked at for this page.").into(),
        AdminText::Nobody => "No session is to be shown here.",
        AdminText::Token(name) => return format!("personal access token “{name}”").into(),
        AdminText::User => "User",
        AdminText::Subject => "sub",
        AdminText::Groups => "Groups",
        AdminText::Provider => "Provider",
        AdminText::Grant => "Grant",
        AdminText::State => "State",
        AdminText::Login => "Login",
        AdminText::LastSeen => "Last used",
        AdminText::OpenedBy => "Opened by",
        AdminText::AccessToken => "Access token",
        AdminText::Expires(at) => return format!("expires {at}").into(),
        AdminText::RefreshToken => "Refresh token",
        AdminText::Yes => "yes",
        AdminText::YesUntil(at) => return format!("yes, good until {at} unless it is used").into(),
        AdminText::No => "no",
        AdminText::LastRenewed => "Last renewed",
        AdminText::RenewedAt(at, count) => return format!("{at}, {}", counted(count, "renewal")).into(),
        AdminText::Rotation => "Rotation",
        AdminText::Rotating => "each renewal brings a new refresh token",
        AdminText::Reusable => "the refresh token stays the same",
        AdminText::Unknown => "not known yet",
        AdminText::NextRenewal => "Next renewal",
        AdminText::NextFrom(at) => return format!("at the first use from {at} on").into(),
        AdminText::NextAtUse => "at the next use",
        AdminText::NextAfterPause(at) => return format!("the last one failed; at the first use from {at} on").into(),
        AdminText::NextNever => "none",
        AdminText::EndsUnused => "Ends if it is not used",
        AdminText::EndsUsed => "Ends if it is used",
        AdminText::EndsBy(at, cause) => return format!("{at}, by {cause}").into(),
        AdminText::Sessions => "Sessions",
        AdminText::NoSession => "No session has this grant any more.",
        AdminText::Timeline => "Renewals over time",
        AdminText::TimelineSays { renewed, failed, from, to } => {
            return format!(
                "{} and {failed} that failed, from {from} to {to}. The list below tells them in words, page by page.",
                counted(renewed, "renewal")
            )
            .into();
        }
        AdminText::SignLogin => "login",
        AdminText::SignRenewed => "renewed",
        AdminText::SignFailed => "not renewed",
        AdminText::SignEnded => "ended",
        AdminText::SignNow => "now",
        AdminText::SignNext => "next renewal",
        AdminText::SignPredicted => "predicted end",
        AdminText::History => "History, the last first",
        AdminText::EndSession => "End this session",
        AdminText::EndUser => "End all sessions of this user",
        AdminText::RenewNow => "Renew now",
        AdminText::SessionEnded => "The session has ended.",
        AdminText::UserEnded => "All sessions of the user have ended.",
        AdminText::Gone => "It had ended before.",
        AdminText::Renewed => "The grant was renewed.",
        AdminText::NotRenewed(why) => return format!("The grant was not renewed: {why}.").into(),
        AdminText::Providers => "Providers",
        AdminText::ProvidersText => {
            "Token refreshes as all replicas count them by the hour. A grant that the provider calls dead is an answer as any other."
        }
        AdminText::LastDays(one) => return format!("Last {one} days").into(),
        AdminText::NoCalls(one) => return format!("No token refresh in the last {one} days.").into(),
        AdminText::PresentSettings => "Logins with the present settings",
        AdminText::WithRefreshToken => "Logins with a refresh token",
        AdminText::PartOf(one, all) => return format!("{one} of {all} that were looked at").into(),
        AdminText::ChartOutcomes => "Token refreshes over time, by what they came to; the table below has the figures.",
        AdminText::ChartLatency => "How long token refreshes took over time; the table below has the figures.",
        AdminText::MostCalls(one) => return format!("highest: {one}").into(),
        AdminText::MostMilliseconds(one) => return format!("highest: {one}").into(),
        AdminText::KeysOf(issuer) => return format!("Signing keys of {issuer}").into(),
        AdminText::KeysFetched(at) => {
            return format!("This replica fetched them {at}, and fetches them again for a signature that none of them verifies.")
                .into();
        }
        AdminText::KeysNotFetched => "This replica has not fetched them yet.",
        AdminText::Unnamed => "a key without a name",
        AdminText::NoEnd => "names no end",
        AdminText::MoreThan(one) => return format!("more than {one} ms").into(),
        AdminText::Median => "half within",
        AdminText::Slow => "95 of 100 within",
        AdminText::OutcomeOk => "renewed",
        AdminText::OutcomeDead => "grant dead",
        AdminText::OutcomeConfig => "refused, to be mended",
        AdminText::OutcomeRetry => "failed, tried again",
        AdminText::OutcomeAmbiguous => "outcome unknown",
        AdminText::Day => "Day",
        AdminText::Calls => "All",
        AdminText::AsTable => "The figures, day by day",
        AdminText::Keys => "Certificates and keys",
        AdminText::Certificates => "Certificates that are served",
        AdminText::NoCertificates => "Evergate does not terminate TLS here.",
        AdminText::OtherCertificates => "Certificates that Evergate presents, and CA bundles that it trusts",
        AdminText::ClientCertificate => "presented as a client",
        AdminText::SigningCertificate => "of the key that signs for the provider",
        AdminText::TrustedCertificates => "CA bundle",
        AdminText::EncryptionKeys => "Encryption keys",
        AdminText::EncryptionKeysText => {
            "They do not expire. Of the first 1,000 grants it is told how many have a token under each."
        }
        AdminText::KeySeals(one) => return format!("encrypts: {}", counted(one, "grant")).into(),
        AdminText::KeyOpens(one) => {
            return format!("opens older tokens: {}; evergate keys reseal makes it unnecessary", counted(one, "grant")).into();
        }
        AdminText::KeyMissing(one) => return format!("is missing: {}, whose users sign in again", counted(one, "grant")).into(),
        AdminText::HealthSays { days, calls, answered, median, slow } => {
            return format!(
                "{} in the last {days} days; of a hundred, {answered} were answered as they should be. Half took at most: {median}; 95 of a hundred at most: {slow}.",
                counted(calls, "token refresh")
            )
            .into();
        }
    })
}

/// So many of a thing.
fn counted(count: impl std::fmt::Display, thing: &str) -> String {
    let count = count.to_string();
    let many = if thing.ends_with("sh") { "es" } else { "s" };
    if count == "1" { format!("1 {thing}") } else { format!("{count} {thing}{many}") }
}
