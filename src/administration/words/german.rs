//! What administrators read, in German.

use super::actor;
use crate::{
    administration::{Action, EndCause, Ending, LoggedOutBy, SessionState},
    grant::EndReason,
    history::{Event, Kind},
    session::{EndSource, Limit},
    sign_out::LogoutInitiator,
};

pub(super) fn state(state: SessionState<'_>) -> String {
    match state {
        SessionState::Limit(Limit::Idle) => "zu lange unbenutzt".to_owned(),
        SessionState::Limit(Limit::Absolute) => "zu alt".to_owned(),
        SessionState::Limit(Limit::Duration) => "Grenze ihres Alters erreicht".to_owned(),
        SessionState::Limit(Limit::TokenExpiry) => "persönliches Zugriffstoken abgelaufen".to_owned(),
        SessionState::Ended(ended) => format!("Grant beendet: {}", grant(ended.reason, ended.code.as_deref())),
        SessionState::Refused(code) => format!("Erneuerung abgelehnt: {code}"),
        SessionState::RefreshTokenExpired(_) => "Refresh-Token unbenutzt abgelaufen".to_owned(),
        SessionState::Unknown => "Ausgang der Erneuerung unbekannt".to_owned(),
        SessionState::Restored => "aus einer Sicherung, Refresh-Token seither vielleicht benutzt".to_owned(),
        SessionState::Unserved(words) => format!("wird erst bedient, wenn der Anmeldedienst sie erneuert: {words}"),
        SessionState::Fresh => "in Ordnung".to_owned(),
        SessionState::Renewable => "in Ordnung, wird bei Benutzung erneuert".to_owned(),
        SessionState::Expired => "Token abgelaufen, nicht erneuerbar".to_owned(),
    }
}

pub(super) fn ending(ending: &Ending) -> String {
    match ending {
        Ending::LoginDenied { rule, detail } => {
            let detail = detail.as_deref().map(|detail| format!("; {detail}")).unwrap_or_default();
            format!("eine Anmeldung wurde abgewiesen: {}{detail}", denied(rule))
        }
        Ending::LoggedOut(by) => logged_out(by),
        Ending::Idle => "die Sitzung ist zu Ende: niemand hat sie für CODER_SESSION_DURATION benutzt".to_owned(),
        Ending::TooOld => "die Sitzung ist zu Ende: sie hat CODER_SESSION_MAX_DURATION erreicht".to_owned(),
        Ending::Duration => {
            "die Sitzung ist zu Ende: seit der Anmeldung war CODER_SESSION_DURATION vergangen, die Benutzung nicht verlängert"
                .to_owned()
        }
        Ending::TokenExpired => "das persönliche Zugriffstoken ist abgelaufen".to_owned(),
        Ending::Grant(reason, words) => grant(*reason, words.as_deref()),
        Ending::NeedsPerson(words) => {
            format!("der Anmeldedienst verweigert die Erneuerung, was jemand beheben muss ({words})")
        }
    }
}

fn logged_out(by: &LoggedOutBy) -> String {
    let by = match by {
        LoggedOutBy::Initiator(initiator) => *initiator,
        LoggedOutBy::AnotherLogin => return "der Browser hat sich neu angemeldet und hat eine andere Sitzung".to_owned(),
        LoggedOutBy::DuringLogin => {
            return "der Benutzer wurde beim Anmeldedienst oder von einem Sicherheitswerkzeug abgemeldet, während die Anmeldung lief"
                .to_owned();
        }
        LoggedOutBy::EndedBefore => {
            return "die Sitzung wurde noch einmal beendet: sie war zu Ende, bevor die Datenbank in der Zeit zurückging"
                .to_owned();
        }
        LoggedOutBy::Other(other) => return format!("die Sitzung wurde beendet ({other})"),
    };
    let text = match by {
        LogoutInitiator::User => "der Benutzer hat sich abgemeldet",
        LogoutInitiator::UserElsewhere => "der Benutzer hat die Sitzung in einem anderen Browser beendet",
        LogoutInitiator::TokenOwner => "der Benutzer hat das persönliche Zugriffstoken beendet",
        LogoutInitiator::UserEverywhere => "der Benutzer hat sich in allen Browsern abgemeldet",
        LogoutInitiator::Administrator => "ein Administrator hat die Sitzung beendet",
        LogoutInitiator::Other(EndSource::BackChannelLogout) => {
            "der Benutzer hat sich beim Anmeldedienst abgemeldet, der das gemeldet hat"
        }
        LogoutInitiator::Other(EndSource::FrontChannelLogout) => {
            "der Benutzer hat sich beim Anmeldedienst abgemeldet, dessen Seite das gemeldet hat (Front-Channel-Logout)"
        }
        LogoutInitiator::Other(EndSource::GlobalTokenRevocation) => {
            "der Anmeldedienst oder ein Sicherheitswerkzeug hat alles des Benutzers widerrufen (Global Token Revocation)"
        }
        LogoutInitiator::Other(EndSource::Scim) => "ein Verzeichnis hat den Benutzer deaktiviert oder gelöscht (SCIM)",
        LogoutInitiator::Other(EndSource::SecurityEvent) => {
            "der Anmeldedienst oder ein anderer Sender hat ein Sicherheitsereignis des Benutzers gemeldet"
        }
    };
    text.to_owned()
}

fn grant(reason: EndReason, words: Option<&str>) -> String {
    let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
    match reason {
        EndReason::Dead => format!("der Anmeldedienst hat das Refresh-Token abgelehnt{words}"),
        EndReason::OutcomeUnknown => {
            "der Ausgang einer Erneuerung ist unbekannt, und das Refresh-Token ist vielleicht verbraucht".to_owned()
        }
        EndReason::Restored => {
            "die Datenbank stammt aus einer Sicherung, und das Refresh-Token wurde seither vielleicht benutzt".to_owned()
        }
        EndReason::IdentityRefused => "eine Erneuerung brachte eine Identität, die nicht die dieses Benutzers ist".to_owned(),
        EndReason::Expired => "das Zugriffstoken ist abgelaufen, und der Anmeldedienst gab kein Refresh-Token".to_owned(),
        EndReason::KeyLost => {
            "die Tokens lassen sich nicht entschlüsseln: den Schlüssel gibt es nicht mehr, oder sie wurden verändert".to_owned()
        }
        EndReason::OtherProvider => "er gehört zu einem anderen Anmeldedienst oder Client als den jetzt eingestellten".to_owned(),
    }
}

pub(super) fn end_cause(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Idle => "weil sie zu lange unbenutzt ist (CODER_SESSION_DURATION)",
        EndCause::Absolute => "weil sie zu alt ist (CODER_SESSION_MAX_DURATION)",
        EndCause::Duration => {
            "weil sie die Grenze ihres Alters erreicht (CODER_SESSION_DURATION), die Benutzung nicht verlängert"
        }
        EndCause::TokenExpiry => "weil das persönliche Zugriffstoken abläuft",
        EndCause::NoRefreshToken => "weil das Zugriffstoken abläuft und es kein Refresh-Token gibt",
        EndCause::RefreshTokenIdle => "weil das Refresh-Token beim Anmeldedienst abläuft, wenn es nicht benutzt wird",
        EndCause::Refused => {
            "weil der Anmeldedienst sie nicht erneuert und nach dem Zugriffstoken CODER_OIDC_OUTAGE_GRACE abläuft"
        }
        EndCause::GrantEnded => "weil der Grant beendet ist: die nächste Seite führt über den Anmeldedienst",
    }
}

pub(super) fn event(event: &Event) -> String {
    let words = event.words().map(|words| format!(" ({words})")).unwrap_or_default();
    let more = event.words().map(|words| format!("; {words}")).unwrap_or_default();
    if let Some(end) = Ending::of(event) {
        return ending(&end);
    }
    match (event.kind, event.outcome.as_str()) {
        (Kind::Login, _) if event.reason == "personal_token" => "ein persönliches Zugriffstoken wurde gemacht".to_owned(),
        (Kind::Login, _) => "Anmeldung".to_owned(),
        (Kind::Renewal, "ok") if event.rotated == Some(true) => "erneuert, mit neuem Refresh-Token".to_owned(),
        (Kind::Renewal, "ok") => "erneuert".to_owned(),
        (Kind::Renewal, "retry") => format!("noch nicht erneuert, wird wieder versucht ({}{more})", event.reason),
        (Kind::Renewal, "ambiguous") => format!("der Ausgang einer Erneuerung war unbekannt ({}{more})", event.reason),
        (Kind::Renewal, "superseded") => {
            "nicht erneuert, weil eine neuere Anmeldung oder Erneuerung an seine Stelle getreten war".to_owned()
        }
        (Kind::Renewal, _) => format!("nicht erneuert ({}{more})", event.reason),
        (Kind::Revocation, "ok") => "das Refresh-Token wurde beim Anmeldedienst widerrufen".to_owned(),
        (Kind::Revocation, _) => format!("das Refresh-Token wurde beim Anmeldedienst nicht widerrufen{words}"),
        (Kind::AppToken, _) => format!("ein Auftrag der Anwendung bekam das Zugriffstoken{words}"),
        (Kind::Administration, outcome) => {
            let who = event.detail.as_deref().unwrap_or("ein Administrator");
            let of = actor::of(event);
            let what = match Action::parse(&event.reason) {
                Some(Action::EndSession) => "hat die Sitzung beendet".to_owned(),
                Some(Action::EndUser) => "hat alle Sitzungen des Benutzers beendet".to_owned(),
                Some(Action::EndEveryone) if event.issuer.is_empty() => "hat alle Sitzungen beendet".to_owned(),
                Some(Action::EndEveryone) => format!("hat die Sitzungen aller Benutzer von {} beendet", event.issuer),
                Some(Action::Renew) => "hat den Grant erneuern lassen".to_owned(),
                Some(Action::Restored) => {
                    "hat alle Refresh-Tokens als möglicherweise benutzt markiert, nachdem die Datenbank wiederhergestellt wurde"
                        .to_owned()
                }
                Some(Action::Reseal) => "hat alle Tokens mit dem neuesten Schlüssel verschlüsseln lassen".to_owned(),
                None => event.reason.clone(),
            };
            format!("{who}{of} {what}{}", outcome_of_action(outcome))
        }
        (Kind::Logout | Kind::Limit, _) => format!("beendet{words}"),
    }
}

/// What became of an action, after the words that say what it was.
fn outcome_of_action(outcome: &str) -> String {
    match outcome {
        "ok" | "renewed" => String::new(),
        "begun" => ", was begonnen hat".to_owned(),
        "failed" => ", was nicht ganz gelungen ist".to_owned(),
        other => format!(": {}", not_done(other)),
    }
}

/// Why something was not done, by its name.
pub(super) fn not_done(why: &str) -> String {
    match why {
        "ended" => "er ist beendet",
        "not_renewable" => "es gibt kein Refresh-Token",
        "other_provider" => "er gehört zu einem anderen Anmeldedienst oder Client als den eingestellten",
        "key_missing" => "seine Tokens sind unter einem Schlüssel verschlüsselt, der nicht da ist",
        "refused" => "der Anmeldedienst verweigert es, was jemand beheben muss",
        "unavailable" => "der Anmeldedienst kann jetzt nicht gefragt werden",
        "under_way" => "das geschieht gerade und dauert länger, als man darauf wartet",
        other => other,
    }
    .to_owned()
}

/// By which rule a login was denied; what a newer release knows has its name.
fn denied(rule: &str) -> String {
    match rule {
        "email_not_verified" => "der Anmeldedienst hat die E-Mail-Adresse nicht bestätigt",
        "email_domain" => "die E-Mail-Adresse ist keine der erlaubten",
        "foreign_address" => "die Adresse gehört zu einer Domain eines anderen Anmeldedienstes",
        "provider" => "die Route ist für Benutzer anderer Anmeldedienste",
        "groups_unknown" => "der Anmeldedienst hat die Gruppen nicht genannt",
        "group" => "der Benutzer ist in keiner der nötigen Gruppen",
        "claim" => "ein Claim hat nicht den nötigen Wert",
        "deprovisioned" => "ein Verzeichnis oder der Anmeldedienst hat den Benutzer gesperrt",
        "network" => "die Adresse ist in keinem der erlaubten Netze",
        other => return format!("von der Regel {other}"),
    }
    .to_owned()
}
