//! What a security event means here (CAEP 1.0, RISC 1.0, Shared Signals Framework 1.0): whose sessions end, if anybody's.

use serde_json::{Map, Value, json};

use super::subject_identifier::{self, NamedIssuer, SubjectError};
use crate::{jose::has_member, oidc::SecurityEventToken, sign_out::EndExtent};

/// What an event has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This ends.
    End(EndExtent),
    /// The session at the provider that has this identifier ends; or everything of the user, if it is a `sub`. The transmitter and the
    /// receiver agree on what it is (RFC 9493 section 3.2.4), and CAEP's examples of a revoked session name the session so.
    EndSessionOrUser(String),
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// Nothing: the transmitter tries whether its events arrive.
    Verification,
    /// Nothing: the transmitter has changed the stream, which may bring no more events now.
    StreamUpdated,
}

/// What an event's type and details ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The end of a session, if the subject names one, or else of everything.
    SessionEnd,
    /// The end of everything of the user.
    UserEnd,
    Nothing(&'static str),
    Verification,
    StreamUpdated,
}

/// What is common to the types of all events.
const TYPES: &str = "https://schemas.openid.net/secevent/";
/// The members of a complex subject (Shared Signals Framework section 3.3).
const COMPLEX: [&str; 7] = ["user", "session", "device", "tenant", "org_unit", "group", "application"];

/// What an event means for the users of a provider, whose issuers are those that `whose` says.
///
/// # Errors
/// It names nobody.
pub(super) fn meaning(token: &SecurityEventToken, whose: impl Fn(&str) -> NamedIssuer + Copy) -> Result<Meaning, SubjectError> {
    let asked = asked(&token.event_type, &token.event);
    let ends_a_session = match asked {
        Asked::SessionEnd => true,
        Asked::UserEnd => false,
        Asked::Nothing(why) => return Ok(Meaning::Nothing(why)),
        Asked::Verification => return Ok(Meaning::Verification),
        Asked::StreamUpdated => return Ok(Meaning::StreamUpdated),
    };
    // Earlier drafts, and Google, have the subject within the event.
    let subject = token.sub_id.as_ref().or_else(|| token.event.get("subject")).ok_or(SubjectError::Malformed("sub_id"))?;
    if let Some(id) = session(subject).filter(|_| ends_a_session) {
        return Ok(Meaning::EndSessionOrUser(id));
    }
    extent(subject, ends_a_session, whose).map(Meaning::End)
}

fn asked(event_type: &str, event: &Map<String, Value>) -> Asked {
    let says = |name: &str, value: &str| event.get(name).and_then(Value::as_str) == Some(value);
    match event_type.strip_prefix(TYPES).unwrap_or_default() {
        "caep/event-type/session-revoked" => Asked::SessionEnd,
        "caep/event-type/credential-change" if says("change_type", "create") => Asked::Nothing("a new credential ends nothing"),
        "caep/event-type/assurance-level-change" if !says("change_direction", "decrease") => {
            Asked::Nothing("the assurance has not decreased")
        }
        "caep/event-type/device-compliance-change" if !says("current_status", "not-compliant") => {
            Asked::Nothing("the device is compliant")
        }
        "caep/event-type/credential-change"
        | "caep/event-type/assurance-level-change"
        | "caep/event-type/device-compliance-change"
        | "risc/event-type/account-disabled"
        | "risc/event-type/account-purged"
        | "risc/event-type/account-credential-change-required"
        | "risc/event-type/credential-compromise"
        | "risc/event-type/sessions-revoked"
        // Google's.
        | "oauth/event-type/tokens-revoked" => Asked::UserEnd,
        "caep/event-type/token-claims-change" => Asked::Nothing("new claims come with the next token refresh"),
        "risc/event-type/account-enabled" => Asked::Nothing("whoever is enabled has to log in"),
        // The earlier names of the framework, and Google's.
        "ssf/event-type/verification" | "sse/event-type/verification" | "risc/event-type/verification" => Asked::Verification,
        "ssf/event-type/stream-updated" | "sse/event-type/stream-updated" => Asked::StreamUpdated,
        _ => Asked::Nothing("its type is not one that ends sessions"),
    }
}

fn extent(subject: &Value, ends_a_session: bool, whose: impl Fn(&str) -> NamedIssuer + Copy) -> Result<EndExtent, SubjectError> {
    let Value::Object(members) = subject else { return Err(SubjectError::Malformed("the subject is no object")) };
    let format = members.get("format").and_then(Value::as_str);
    // Earlier drafts had no format there.
    let is_complex = format == Some("complex") || (format.is_none() && COMPLEX.iter().any(|name| has_member(members, name)));
    if !is_complex {
        return subject_identifier::keys(&with_format(members), whose).map(EndExtent::Everything);
    }
    // Whatever else is there narrows it down to what is not known here, such as the device.
    let user = members.get("user").filter(|user| !user.is_null()).map(|user| match user {
        Value::Object(members) => subject_identifier::keys(&with_format(members), whose),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(SubjectError::Malformed("user is no object"))
        }
    });
    match (user, members.get("session").and_then(session).filter(|_| ends_a_session)) {
        // A session at the provider is one user's. That of a user of whom no gateway could know is found by itself.
        (None | Some(Err(SubjectError::Unsupported)), Some(provider_session)) => {
            Ok(EndExtent::Logout { subject: None, provider_session: Some(provider_session) })
        }
        (Some(Ok(user)), Some(provider_session)) => Ok(EndExtent::SessionOfUser { user, provider_session }),
        (Some(keys), None) => keys.map(EndExtent::Everything),
        (Some(Err(error)), Some(_)) => Err(error),
        (None, None) => Err(SubjectError::Unsupported),
    }
}

/// The session at the provider (`sid`). Earlier drafts call the identifier `sub`.
fn session(identifier: &Value) -> Option<String> {
    let text = |name: &str| identifier.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let is_opaque = text("format") == Some("opaque");
    let id = text("id").or_else(|| text("sub")).filter(|id| is_opaque && subject_identifier::is_name(id));
    id.map(str::to_owned)
}

/// The identifier with the format where RFC 9493 has it. The first drafts of RISC, as Google speaks them, call it `subject_type`, and write
/// it with hyphens.
fn with_format(members: &Map<String, Value>) -> Value {
    let mut members = members.clone();
    if let (false, Some(subject_type)) = (has_member(&members, "format"), members.get("subject_type").and_then(Value::as_str)) {
        let format = subject_type.replace('-', "_");
        // The claims of an ID token, of which the subject is enough.
        let format = if format == "id_token_claims" { "iss_sub".to_owned() } else { format };
        members.insert("format".to_owned(), json!(format));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, session::UserKey};

    fn of(event_type: &str, event: Value, sub_id: Value) -> Result<Meaning, SubjectError> {
        let Value::Object(event) = event else { panic!("{event} is no object") };
        let token = SecurityEventToken {
            issuer: "https://idp".into(),
            id: "1".into(),
            issued_at: Timestamp(0),
            event_type: if event_type.contains("://") { event_type.into() } else { format!("{TYPES}{event_type}") },
            event,
            sub_id: Some(sub_id).filter(|sub_id| !sub_id.is_null()),
        };
        meaning(&token, |issuer| if issuer == "https://idp" { NamedIssuer::Own } else { NamedIssuer::Foreign })
    }

    fn everything(keys: &[UserKey]) -> Result<Meaning, SubjectError> {
        Ok(Meaning::End(EndExtent::Everything(keys.to_vec())))
    }

    #[test]
    fn events_that_say_that_a_user_is_no_longer_to_be_trusted_end_everything_of_theirs() {
        let ann = json!({"format": "iss_sub", "iss": "https://idp", "sub": "a"});
        let all = [UserKey::Subject("a".into())];
        for (event_type, event, ends) in [
            ("caep/event-type/session-revoked", json!({}), true),
            ("caep/event-type/credential-change", json!({"change_type": "update", "credential_type": "password"}), true),
            ("caep/event-type/credential-change", json!({"change_type": "revoke"}), true),
            ("caep/event-type/credential-change", json!({"change_type": "delete"}), true),
            ("caep/event-type/credential-change", json!({}), true),
            ("caep/event-type/credential-change", json!({"change_type": "create"}), false),
            ("caep/event-type/assurance-level-change", json!({"change_direction": "decrease"}), true),
            ("caep/event-type/assurance-level-change", json!({"change_direction": "increase"}), false),
            ("caep/event-type/assurance-level-change", json!({}), false),
            ("caep/event-type/device-compliance-change", json!({"current_status": "not-compliant"}), true),
            ("caep/event-type/device-compliance-change", json!({"current_status": "compliant"}), false),
            ("caep/event-type/token-claims-change", json!({"claims": {"role": "none"}}), false),
            ("caep/event-type/session-established", json!({}), false),
            ("risc/event-type/account-disabled", json!({"reason": "hijacking"}), true),
            ("risc/event-type/account-purged", json!({}), true),
            ("risc/event-type/account-credential-change-required", json!({}), true),
            ("risc/event-type/credential-compromise", json!({"credential_type": "password"}), true),
            ("risc/event-type/sessions-revoked", json!({}), true),
            ("oauth/event-type/tokens-revoked", json!({}), true),
            ("oauth/event-type/token-revoked", json!({}), false),
            ("risc/event-type/account-enabled", json!({}), false),
            ("risc/event-type/identifier-changed", json!({"new-value": "b@example.com"}), false),
            ("https://example.com/session-revoked", json!({}), false),
            ("http://schemas.openid.net/event/backchannel-logout", json!({}), false),
        ] {
            let meant = of(event_type, event.clone(), ann.clone());
            match ends {
                true => assert_eq!(meant, everything(&all), "{event_type} {event}"),
                false => assert!(matches!(meant, Ok(Meaning::Nothing(_))), "{event_type} {event}: {meant:?}"),
            }
        }
        for (event_type, meant) in [
            ("ssf/event-type/verification", Meaning::Verification),
            ("sse/event-type/verification", Meaning::Verification),
            ("risc/event-type/verification", Meaning::Verification),
            ("ssf/event-type/stream-updated", Meaning::StreamUpdated),
        ] {
            assert_eq!(of(event_type, json!({"state": "s"}), json!({"format": "opaque", "id": "stream"})), Ok(meant));
        }
    }

    #[test]
    fn whom_an_event_is_about_is_read_wherever_transmitters_write_it() {
        let subject = || UserKey::Subject("a".into());
        let [by_issuer, email] = [
            json!({"format": "iss_sub", "iss": "https://idp", "sub": "a"}),
            json!({"format": "email", "email": "A@example.com"}),
        ];
        let session = json!({"format": "opaque", "id": "sid-1"});
        let either = Ok(Meaning::EndSessionOrUser("sid-1".into()));
        let logout = Ok(Meaning::End(EndExtent::Logout { subject: None, provider_session: Some("sid-1".into()) }));
        let of_user =
            |key: UserKey| Ok(Meaning::End(EndExtent::SessionOfUser { user: vec![key], provider_session: "sid-1".into() }));
        for (subject_of_event, expected) in [
            (session.clone(), either.clone()),
            (json!({"format": "opaque", "sub": "sid-1"}), either),
            (json!({"format": "opaque", "id": ""}), Err(SubjectError::Malformed("id"))),
            (json!({"format": "opaque", "id": "a".repeat(1025)}), Err(SubjectError::Malformed("id"))),
            (by_issuer.clone(), everything(&[subject()])),
            (email.clone(), everything(&[UserKey::email("a@example.com")])),
            (json!({"subject_type": "iss-sub", "iss": "https://idp", "sub": "a"}), everything(&[subject()])),
            (json!({"subject_type": "email", "email": "a@example.com"}), everything(&[UserKey::email("a@example.com")])),
            (
                json!({"subject_type": "id_token_claims", "iss": "https://idp", "sub": "a", "email": "x@example.com"}),
                everything(&[subject()]),
            ),
            (
                json!({"format": "complex", "user": by_issuer, "tenant": {"format": "opaque", "id": "t"}}),
                everything(&[subject()]),
            ),
            (json!({"user": email, "device": {"format": "opaque", "id": "d"}}), everything(&[UserKey::email("a@example.com")])),
            (json!({"format": "complex", "user": by_issuer, "session": session}), of_user(subject())),
            (json!({"user": email, "session": session}), of_user(UserKey::email("a@example.com"))),
            (json!({"format": "complex", "user": {"format": "phone_number"}, "session": session}), logout.clone()),
            (json!({"format": "complex", "session": session}), logout),
            (
                json!({"format": "complex", "user": by_issuer, "session": {"format": "opaque", "id": ""}}),
                everything(&[subject()]),
            ),
            (json!({"format": "iss_sub", "iss": "https://other", "sub": "a"}), Err(SubjectError::OtherIssuer)),
            (
                json!({"format": "complex", "user": {"format": "iss_sub", "iss": "https://other", "sub": "a"}, "session": session}),
                Err(SubjectError::OtherIssuer),
            ),
            (json!({"format": "complex", "device": {"format": "opaque", "id": "d"}}), Err(SubjectError::Unsupported)),
            (json!({"format": "complex", "user": "ann"}), Err(SubjectError::Malformed("user is no object"))),
            (json!({"subject_type": "oauth_token", "token": "t"}), Err(SubjectError::Unsupported)),
            (json!({"format": "phone_number", "phone_number": "+1"}), Err(SubjectError::Unsupported)),
            (json!({}), Err(SubjectError::Malformed("format"))),
            (json!("ann"), Err(SubjectError::Malformed("the subject is no object"))),
        ] {
            let revoked = |event: Value, sub_id: Value| of("caep/event-type/session-revoked", event, sub_id);
            assert_eq!(revoked(json!({}), subject_of_event.clone()), expected, "{subject_of_event}");
            assert_eq!(revoked(json!({"subject": subject_of_event}), Value::Null), expected, "within the event");
        }
        assert_eq!(of("caep/event-type/session-revoked", json!({}), Value::Null), Err(SubjectError::Malformed("sub_id")));
        let other = json!({"format": "opaque", "id": "b"});
        let both = of("risc/event-type/account-disabled", json!({"subject": other}), json!({"format": "opaque", "id": "a"}));
        assert_eq!(both, everything(&[subject()]), "what stands outside counts");
        let disabled = of("risc/event-type/account-disabled", json!({}), json!({"user": by_issuer, "session": session}));
        assert_eq!(disabled, everything(&[subject()]), "more than a session");
        let compliance = json!({"current_status": "not-compliant"});
        assert_eq!(
            of("caep/event-type/device-compliance-change", compliance, json!({"session": session})),
            Err(SubjectError::Unsupported)
        );
    }
}
