//! What administrators read, in German.

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
        SessionState::Ended(ended) => format!("Grant beendet: {}", ended.reason.as_str()),
        SessionState::Refused(code) => format!("Erneuerung abgelehnt: {code}"),
        SessionState::RefreshTokenExpired(_) => "Refresh-Token unbenutzt abgelaufen".to_owned(),
        SessionState::Unknown => "Ausgang der Erneuerung unbekannt".to_owned(),
        SessionState::Fresh => "in Ordnung".to_owned(),
        SessionState::Renewable => "in Ordnung, wird bei Benutzung erneuert".to_owned(),
        SessionState::Expired => "Token abgelaufen, nicht erneuerbar".to_owned(),
    }
}

pub(super) fn ending(ending: &Ending) -> String {
    match ending {
        Ending::LoginDenied { rule, detail } => {
            let detail = detail.as_deref().map(|detail| format!("; {detail}")).unwrap_or_default();
            format!("eine Anmeldung wurde von der Regel {rule} abgewiesen{detail}")
        }
        Ending::LoggedOut(by) => logged_out(by),
        Ending::Idle => "die Sitzung ist zu Ende: niemand hat sie für CODER_SESSION_DURATION benutzt".to_owned(),
        Ending::TooOld => "die Sitzung ist zu Ende: sie hat CODER_SESSION_MAX_DURATION erreicht".to_owned(),
        Ending::TokenExpired => "das Zugangstoken des Benutzers ist abgelaufen".to_owned(),
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
        LoggedOutBy::Other(other) => return format!("die Sitzung wurde beendet ({other})"),
    };
    let text = match by {
        LogoutInitiator::User => "der Benutzer hat sich abgemeldet",
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
            "der Ausgang einer Erneuerung ist unbekannt, und Refresh-Tokens dieses Anmeldedienstes gelten nur einmal".to_owned()
        }
        EndReason::IdentityRefused => "eine Erneuerung brachte eine Identität, die nicht die dieses Benutzers ist".to_owned(),
        EndReason::Expired => "das Zugriffstoken ist abgelaufen, und der Anmeldedienst gab kein Refresh-Token".to_owned(),
        EndReason::KeyLost => "die Tokens sind mit einem Schlüssel verschlüsselt, den es nicht mehr gibt".to_owned(),
        EndReason::OtherProvider => "er gehört zu einem anderen Anmeldedienst oder Client als den jetzt eingestellten".to_owned(),
    }
}

pub(super) fn end_cause(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Idle => "weil sie zu lange unbenutzt ist (CODER_SESSION_DURATION)",
        EndCause::Absolute => "weil sie zu alt ist (CODER_SESSION_MAX_DURATION)",
        EndCause::TokenExpiry => "weil das Zugangstoken des Benutzers abläuft",
        EndCause::NoRefreshToken => "weil das Zugriffstoken abläuft und es kein Refresh-Token gibt",
        EndCause::RefreshTokenIdle => "weil das Refresh-Token beim Anmeldedienst abläuft, wenn es nicht benutzt wird",
        EndCause::GrantEnded => "weil der Grant beendet ist: die nächste Seite führt über den Anmeldedienst",
    }
}

pub(super) fn event(event: &Event) -> String {
    let words = event.words().map(|words| format!(" ({words})")).unwrap_or_default();
    if let Some(end) = Ending::of(event) {
        return ending(&end);
    }
    match (event.kind, event.outcome.as_str()) {
        (Kind::Login, _) if event.reason == "personal_token" => "ein Zugangstoken wurde gemacht".to_owned(),
        (Kind::Login, _) => "Anmeldung".to_owned(),
        (Kind::Renewal, "ok") if event.rotated == Some(true) => "erneuert, mit neuem Refresh-Token".to_owned(),
        (Kind::Renewal, "ok") => "erneuert".to_owned(),
        (Kind::Renewal, _) => format!("nicht erneuert: {}{words}", event.reason),
        (Kind::Revocation, "ok") => "das Refresh-Token wurde beim Anmeldedienst widerrufen".to_owned(),
        (Kind::Revocation, _) => format!("das Refresh-Token wurde beim Anmeldedienst nicht widerrufen{words}"),
        (Kind::AppToken, _) => format!("ein Auftrag der Anwendung bekam das Zugriffstoken{words}"),
        (Kind::Administration, outcome) => {
            let who = event.detail.as_deref().unwrap_or("ein Administrator");
            let what = match Action::parse(&event.reason) {
                Some(Action::EndSession) => "hat die Sitzung beendet",
                Some(Action::EndUser) => "hat alle Sitzungen des Benutzers beendet",
                Some(Action::EndEveryone) => "hat alle Sitzungen beendet",
                Some(Action::Renew) => "hat den Grant erneuern lassen",
                None => event.reason.as_str(),
            };
            format!("{who} {what} ({outcome})")
        }
        (Kind::Logout | Kind::Limit, _) => format!("beendet{words}"),
    }
}
