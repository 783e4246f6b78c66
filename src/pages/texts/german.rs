//! The texts of our pages in German.

use std::{borrow::Cow, time::Duration};

use crate::pages::{Message, Text};

/// The title and the text of a page of one message.
pub(in crate::pages) const fn message(message: Message) -> (&'static str, &'static str) {
    match message {
        Message::HeadTooLarge => (
            "Anfrage zu groß",
            "Die Kopfzeilen der Anfrage sind größer als erlaubt, meist wegen zu vieler Cookies. Löschen Sie die Cookies dieser Website, und versuchen Sie es noch einmal.",
        ),
        Message::TargetTooLong => ("Adresse zu lang", "Die Adresse ist länger als erlaubt."),
        Message::BadRequest => ("Ungültige Anfrage", "Die Anfrage ist fehlerhaft."),
        Message::Misdirected => (
            "Falsche Adresse",
            "Unter der aufgerufenen Adresse gibt es diesen Dienst nicht. Prüfen Sie die Adresse, oder fragen Sie die Betreiber dieses Dienstes. Für die Verwaltung: CODER_ACCESS_URL legt sie fest.",
        ),
        Message::Elsewhere => ("Andere Adresse", "Dieser Dienst hat eine andere Adresse."),
        Message::MethodNotAllowed => ("Methode nicht erlaubt", "Diese Methode ist hier nicht erlaubt."),
        Message::NotFound => ("Nicht gefunden", "Diese Seite gibt es nicht."),
        Message::SignIn => ("Anmelden", "Um diese Seite zu sehen, müssen Sie sich anmelden."),
        Message::SignInFrame => (
            "Anmelden",
            "Um zu sehen, was hierher gehört, müssen Sie sich anmelden. Dafür braucht es ein eigenes Fenster; laden Sie dies danach neu.",
        ),
        Message::FormLost => (
            "Anmelden",
            "Sie sind nicht mehr angemeldet, deshalb wurde Ihre Eingabe nicht angenommen. Melden Sie sich an, gehen Sie zur Seite zurück und senden Sie sie noch einmal.",
        ),
        Message::KeptPost => (
            "Noch einmal senden?",
            "Als Sie dieses Formular gesendet haben, waren Sie nicht mehr angemeldet. Es wurde für Sie aufbewahrt und noch nicht angenommen. Senden Sie es jetzt, oder verwerfen Sie es.",
        ),
        Message::KeptPostGone => (
            "Nichts mehr aufbewahrt",
            "Dieses Formular wurde schon gesendet oder verworfen, wurde länger aufbewahrt als 15 Minuten oder ging beim Senden durch eine Störung verloren. Bitte sehen Sie nach, ob es angekommen ist, bevor Sie es noch einmal ausfüllen.",
        ),
        Message::KeptPostOfAnother => (
            "Nicht Ihr Formular",
            "Das Formular, das hier aufbewahrt ist, hat jemand mit einem anderen Konto gesendet. Nur mit diesem Konto kann es angesehen und gesendet werden.",
        ),
        Message::SignInDoesNotLast => (
            "Die Anmeldung hält nicht",
            "Der Anmeldedienst hat Sie angemeldet und die Anmeldung sofort wieder beendet. Bitte versuchen Sie es noch einmal; wenn es wieder geschieht, wenden Sie sich an die Betreiber dieses Dienstes.",
        ),
        Message::SignInNotKept => (
            "Die Anmeldung hält nicht",
            "Sie haben sich angemeldet, aber Ihr Browser hat das Cookie dafür nicht gespeichert oder zwei verschiedene gespeichert. Bitte löschen Sie die Cookies dieser Website, erlauben Sie ihr neue und melden Sie sich noch einmal an.",
        ),
        Message::NavigationRequired => {
            ("Anfrage abgelehnt", "Das geschieht auf einer eigenen Seite, nicht innerhalb einer anderen.")
        }
        Message::OwnWindow => (
            "In einem eigenen Fenster",
            "Eine Anwendung, die Sie hier benutzen, könnte diese Seite mitlesen (durch einen Service Worker). Deshalb wird sie in einem eigenen Fenster gezeigt.",
        ),
        Message::FormExpired => (
            "Diese Seite ist zu alt",
            "Sie war länger als eine Stunde offen, oder Sie haben sich seither neu an- oder abgemeldet; deshalb wurde nicht angenommen, was Sie gesendet haben. Laden Sie die Seite neu und wiederholen Sie, was Sie getan haben.",
        ),
        Message::AccessWithdrawn => (
            "Kein Zugang",
            "Der Anmeldedienst hat Ihren Zugang kurz nach der Anmeldung entzogen. Sie können sich noch einmal oder mit einem anderen Konto anmelden.",
        ),
        Message::LogoutToken => ("Ungültige Anfrage", "Das Logout-Token wird nicht angenommen."),
        Message::TokenScope => ("Nicht erlaubt", "Dem Zugriffstoken fehlt ein Scope, den dieser Dienst verlangt."),
        Message::TokenElsewhere => ("Zugriffstoken abgelehnt", "Das Zugriffstoken ist nicht für diesen Dienst."),
        Message::TokenInvalid => (
            "Zugriffstoken abgelehnt",
            "Das Zugriffstoken ist abgelaufen, widerrufen oder keines von denen, die hier angenommen werden.",
        ),
        Message::TokenUnverifiable => {
            ("Einen Moment", "Das Zugriffstoken kann gerade nicht geprüft werden. Bitte versuchen Sie es gleich noch einmal.")
        }
        Message::StoreUnavailable => (
            "Einen Moment",
            "Der Dienst kann gerade nicht nachsehen, wer angemeldet ist. Niemand wird dadurch abgemeldet; bitte versuchen Sie es gleich noch einmal.",
        ),
        Message::LoginUnsaved => {
            ("Einen Moment", "Der Dienst kann Ihre Anmeldung gerade nicht speichern. Bitte versuchen Sie es gleich noch einmal.")
        }
        Message::RenewalUnavailable => (
            "Einen Moment",
            "Ihre Anmeldung kann gerade nicht erneuert werden. Sie sind weiterhin angemeldet; bitte versuchen Sie es gleich noch einmal.",
        ),
        Message::ProviderMisconfigured => (
            "Die Anmeldung ist nicht richtig eingerichtet",
            "Dieser Dienst und sein Anmeldedienst passen nicht zusammen, was nur die Verwaltung beheben kann. Bitte wenden Sie sich an die Betreiber dieses Dienstes und versuchen Sie es danach noch einmal.",
        ),
        Message::ProviderUnavailable => {
            ("Einen Moment", "Der Anmeldedienst antwortet gerade nicht. Bitte versuchen Sie es gleich noch einmal.")
        }
        Message::UpstreamUnreachable => (
            "Die Anwendung läuft nicht",
            "Die Anwendung hinter diesem Gateway ist nicht erreichbar. Bitte versuchen Sie es gleich noch einmal.",
        ),
        Message::UpstreamBroken => ("Fehler in der Anwendung", "Die Anwendung hat abgebrochen, bevor sie geantwortet hat."),
        Message::UpstreamBusy => (
            "Die Anwendung ist ausgelastet",
            "Die Anwendung hinter diesem Gateway hat so viel zu tun, wie sie haben darf. Bitte versuchen Sie es gleich noch einmal.",
        ),
        Message::ServerBusy => (
            "Dieser Dienst ist ausgelastet",
            "Gerade benutzen so viele diesen Dienst, wie er bedienen kann. Bitte versuchen Sie es gleich noch einmal.",
        ),
        Message::UpstreamTimedOut => ("Die Anwendung ist zu langsam", "Die Anwendung hat nicht rechtzeitig geantwortet."),
        Message::RequestIncomplete => {
            ("Die Anfrage brach ab", "Der Rest der Anfrage kam nicht an oder wurde nicht mehr gebraucht.")
        }
        Message::CrossOrigin => (
            "Anfrage abgelehnt",
            "Eine Seite einer anderen Website, oder eine, die ihre Herkunft verbirgt (Referrer-Policy: no-referrer), hat diese Anfrage gesendet, was hier nicht erlaubt ist. Nichts wurde geändert, und niemand wird dadurch abgemeldet.",
        ),
        Message::Origin => (
            "Anfrage abgelehnt",
            "Seiten des Ursprungs, der diese Anfrage gesendet hat, dürfen diesen Dienst nicht benutzen (CORS).",
        ),
        Message::EmailNotVerified => (
            "Kein Zugang",
            "Der Anmeldedienst hat Ihre E-Mail-Adresse nicht bestätigt, was dieser Dienst verlangt. Lassen Sie sie dort bestätigen und melden Sie sich noch einmal an.",
        ),
        Message::EmailDomain => (
            "Kein Zugang",
            "Mit der E-Mail-Adresse Ihres Kontos darf dieser Dienst nicht benutzt werden. Wenn Sie ein anderes Konto haben, melden Sie sich damit an.",
        ),
        Message::Deprovisioned => (
            "Kein Zugang",
            "Ihre Organisation hat Ihr Konto für diesen Dienst deaktiviert. Bitte fragen Sie deren Administratoren, falls das ein Irrtum ist.",
        ),
        Message::ForeignAddress => (
            "Kein Zugang",
            "Der Name oder die E-Mail-Adresse Ihres Kontos gehört zu einem anderen Anmeldedienst als dem, bei dem Sie sich angemeldet haben. Melden Sie sich dort an, oder lassen Sie die Angabe in Ihrem Konto ändern.",
        ),
        Message::OtherProvider => (
            "Kein Zugang",
            "Diese Seite ist für Benutzer eines anderen Anmeldedienstes als dem, bei dem Sie sich angemeldet haben.",
        ),
        Message::ChooseProvider => ("Anmelden", "Wählen Sie, wie Sie sich anmelden."),
        Message::ChooseByAddress => ("Anmelden", "Geben Sie Ihre E-Mail-Adresse ein, oder wählen Sie, wie Sie sich anmelden."),
        Message::AddressUnknown => (
            "Anmelden",
            "Für diese Adresse ist kein Anmeldedienst bekannt. Berichtigen Sie sie, oder wählen Sie, wie Sie sich anmelden.",
        ),
        Message::GroupsUnknown => (
            "Kein Zugang",
            "Der Anmeldedienst hat nicht mitgeteilt, in welchen Gruppen Ihr Konto ist, weil es zu viele sind. Bitte versuchen Sie es noch einmal; wenn es wieder geschieht, wenden Sie sich an die Betreiber dieses Dienstes.",
        ),
        Message::Group => (
            "Kein Zugang",
            "Ihr Konto ist in keiner der Gruppen, die diese Seite benutzen dürfen. Wenn Sie ein anderes Konto haben, melden Sie sich damit an.",
        ),
        Message::Claim => (
            "Kein Zugang",
            "Ihr Konto darf diese Seite nicht benutzen. Wenn Sie ein anderes Konto haben, melden Sie sich damit an.",
        ),
        Message::Network => ("Kein Zugang", "Diese Seite kann von dort, wo Sie sind, nicht benutzt werden."),
        Message::Destination => ("Kein Zugang", "Von hier kann nichts dorthin kopiert oder verschoben werden."),
        Message::CallbackIncomplete => ("Anmeldung fehlgeschlagen", "Die Antwort des Anmeldedienstes ist unvollständig."),
        Message::AttemptUnknown => (
            "Anmeldung abgelaufen",
            "Diese Anmeldung wurde in einem anderen Browser oder vor zu langer Zeit begonnen, oder sie ist schon abgeschlossen. Bitte beginnen Sie von vorn.",
        ),
        Message::WrongIssuer => ("Anmeldung fehlgeschlagen", "Die Antwort kommt nicht vom Anmeldedienst dieses Dienstes."),
        Message::LoginDeclined => ("Anmeldung abgelehnt", "Die Anmeldung wurde abgelehnt. Sie können es noch einmal versuchen."),
        Message::LoginRefused => ("Anmeldung fehlgeschlagen", "Der Anmeldedienst hat einen Fehler gemeldet."),
        Message::ProviderBusy => {
            ("Einen Moment", "Der Anmeldedienst ist ausgelastet. Bitte warten Sie ein wenig, und melden Sie sich dann an.")
        }
        Message::LoginBusy => {
            ("Einen Moment", "Gerade melden sich viele Leute an. Diese Seite versucht es von selbst noch einmal.")
        }
        Message::ProviderFailed => (
            "Anmeldung fehlgeschlagen",
            "Der Anmeldedienst konnte die Anmeldung nicht abschließen. Bitte versuchen Sie es noch einmal.",
        ),
        Message::IdentityRefused => {
            ("Anmeldung fehlgeschlagen", "Die Antwort des Anmeldedienstes konnte nicht bestätigt werden.")
        }
        Message::ClaimsRefused => ("Kein Zugang", "Der Anmeldedienst teilt nicht mit, wer Sie sind."),
        Message::SignedOut => ("Abgemeldet", "Sie sind von diesem Dienst abgemeldet."),
        Message::SignOut => ("Abmelden?", "Sie werden von diesem Dienst abgemeldet."),
        Message::SignOutEverywhere => {
            ("Abmelden?", "Sie werden in allen Ihren Browsern von diesem Dienst abgemeldet, und alle Ihre Zugriffstokens enden.")
        }
        Message::NotSignedOut => (
            "Nicht abgemeldet",
            "Der Dienst kann Ihre Sitzung gerade nicht beenden: Sie sind noch nicht abgemeldet. Bitte versuchen Sie es gleich noch einmal.",
        ),
        Message::LoginDone => ("Sie sind angemeldet", "Schließen Sie dieses Fenster und machen Sie dort weiter, wo Sie waren."),
        Message::NewToken => {
            ("Ihr neues Token", "Kopieren Sie es jetzt: Es wird nicht noch einmal angezeigt. Wer es hat, handelt in Ihrem Namen.")
        }
        Message::TooManyTokens => (
            "Es wurde kein Token ausgestellt",
            "Sie haben über alle Websites so viele, wie Sie haben dürfen. Beenden Sie zuerst eines.",
        ),
        Message::TokenMadeBefore => (
            "Dieses Token gibt es schon",
            "Ein Token wird nur einmal angezeigt, und dieses wurde es schon. Wenn Sie es nicht kopiert haben, beenden Sie es und stellen Sie ein neues aus.",
        ),
        Message::TerminalCode => {
            ("Zurück zum Terminal", "Kopieren Sie diesen Code innerhalb von fünf Minuten in das Terminal. Er gilt nur dort.")
        }
    }
}

/// A label or a sentence.
pub(in crate::pages) fn text(text: &Text<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match *text {
        Text::SignIn => "Anmelden",
        Text::SessionEnded => "Sie sind abgemeldet.",
        Text::SignInAgain => "Erneut anmelden",
        Text::SignInAndGoBack => "Anmelden und zur Seite zurückgehen",
        Text::SignInInNewWindow => "In einem neuen Fenster anmelden",
        Text::OpenInNewWindow => "In einem neuen Fenster öffnen",
        Text::AnotherAccount => "Ein anderes Konto benutzen",
        Text::SignInThere => "Dort anmelden",
        Text::EmailAddress => "E-Mail-Adresse",
        Text::Continue => "Weiter",
        Text::LastUsed => "zuletzt benutzt",
        Text::TryAgain => "Noch einmal versuchen",
        Text::LoadAgain => "Neu laden",
        Text::SignOut => "Abmelden",
        Text::StaySignedIn => "Angemeldet bleiben",
        Text::Help => "Hilfe",
        Text::Request(id) => return format!("Anfrage {id}").into(),
        Text::SignedInAs(account) => return format!("Sie sind angemeldet als {account}.").into(),
        Text::KnownAs(account) => return format!("Der Anmeldedienst kennt Sie als {account}.").into(),
        Text::ProviderCode(code) => return format!("Der Fehlercode lautet {code}.").into(),
        Text::HintRequest => {
            "Für die Verwaltung: Der Anbieter nimmt die Anfrage so nicht an; was er dazu sagt, steht im Protokoll, und evergate check zeigt, was eingestellt ist."
        }
        Text::HintClient => {
            "Für die Verwaltung: Der Client darf den Authorization Code Flow nicht benutzen; erlauben Sie es dort, wo er registriert ist."
        }
        Text::HintScopes => "Für die Verwaltung: Der Anbieter gewährt einen Scope aus CODER_OIDC_SCOPES nicht.",
        Text::HintProvider => "Für die Verwaltung: Beim Anbieter selbst ist ein Fehler aufgetreten; hier ist nichts zu ändern.",
        Text::HintInteraction => {
            "Für die Verwaltung: Der Anbieter muss etwas fragen, was ihm verboten wurde; siehe CODER_OIDC_AUTH_URL_PARAMS."
        }
        Text::KeptPostTarget { path, kibibytes } => {
            return format!("Es geht an {path} und ist bis zu {kibibytes} KiB groß.").into();
        }
        Text::KeptPostFields => "Seine Felder",
        Text::SendAgain => "Senden",
        Text::Discard => "Verwerfen",
        Text::FrontPage => "Zur Startseite",
        Text::Tokens => "Zugriffstokens",
        Text::TokensAreOf(user) => {
            return format!(
                "Skripte, Terminals und Git melden sich damit als {user} an: als Bearer-Token oder als Passwort mit beliebigem \
                 Benutzernamen. Wer eines hat, handelt in Ihrem Namen."
            )
            .into();
        }
        Text::Apps => "Ihre Anwendungen",
        Text::NoApps => "Hier gibt es keine Anwendung, die Sie öffnen dürfen.",
        Text::Sessions => "Ihre Sitzungen",
        Text::SessionsAreOf(user) => return format!("Wo {user} angemeldet ist. Beenden Sie, was Sie nicht kennen.").into(),
        Text::OneEnded => "Die Sitzung oder das Token ist beendet.",
        Text::OthersEnded => "Alle anderen Sitzungen sind beendet.",
        Text::ThisBrowser => "dieser Browser",
        Text::UnknownBrowser => "Ein Browser",
        Text::SessionTimes { since, seen } => {
            let seen = seen.map(|seen| format!(", zuletzt benutzt vor {}", span(seen))).unwrap_or_default();
            return format!("angemeldet vor {}{seen}", span(since)).into();
        }
        Text::SessionEnds { left, unused: true } => {
            return format!("endet ohne Benutzung in {}", span(left)).into();
        }
        Text::SessionEnds { left, unused: false } => return format!("endet in {}", span(left)).into(),
        Text::MoreTokens => "Es gibt weitere. Die Seite der Tokens hat sie.",
        Text::MoreRoutes(count) => return format!("und {count} weitere, die evergate login --route nennen kann").into(),
        Text::NextPage => "Nächste Seite",
        Text::More(count) => return format!("und {count} weitere").into(),
        Text::EndOthers => "Alle anderen beenden",
        Text::SignOutEverywhere => "Überall abmelden",
        Text::End => "Beenden",
        Text::EndNamed(name) => return format!("{name} beenden").into(),
        Text::TokenPlaces => "Wo es gilt (überall, wenn nichts gewählt ist)",
        Text::TokenForAdministration => "Die Verwaltung (nur, wenn sie gewählt ist)",
        Text::TokenForAdministrationAlone => "Es gilt für die Verwaltung.",
        Text::TokenRoutes(&[], site) => return format!("alle Routen unter {site}").into(),
        Text::TokenRoutes(routes, site) => return format!("{} unter {site}", routes.join(", ")).into(),
        Text::TokenTimes { made, used, left } => {
            let used = used.map_or_else(|| "nie benutzt".to_owned(), |days| format!("{} benutzt", days_ago(days)));
            let end = left.map_or_else(|| "mit seiner Anmeldung beendet".to_owned(), |left| format!("endet in {}", days(left)));
            return format!("{} ausgestellt, {used}, {end}", days_ago(made)).into();
        }
        Text::NewTokenHeading => "Ein neues Token",
        Text::TokenName => "Name",
        Text::TokenDays => "Tage",
        Text::MakeToken => "Token ausstellen",
        Text::BackToTokens => "Zurück zu den Tokens",
        Text::NoTokenMade => "Es wurde kein Token ausgestellt",
        Text::TokenNameUnfit => "Ein Token braucht einen Namen von höchstens 64 Zeichen.",
        Text::TokenLifetimeUnfit => "Das Token würde länger gelten als erlaubt (CODER_MAX_TOKEN_LIFETIME) oder gar nicht.",
        Text::TokenRouteUnfit => "Es gibt keine solche Route, die Tokens annimmt.",
        Text::TokenNotRenewable => {
            "Ihre Anmeldung hat kein Refresh-Token gebracht (offline_access), sodass das Token mit ihr enden würde."
        }
        Text::TerminalTitle => "Ein Terminal anmelden?",
        Text::TerminalAsks { user, left, routes } => {
            let at = if routes.is_empty() { String::new() } else { format!(" unter {}", routes.join(", ")) };
            return format!(
                "Ein Terminal bittet um ein Zugriffstoken, das {} lang{at} im Namen von {user} handelt. Erlauben Sie es nur, wenn Sie \
                 gerade selbst evergate login aufgerufen haben.",
                if left == 1 { "1 Tag".to_owned() } else { format!("{left} Tage") }
            )
            .into();
        }
        Text::TerminalName => "Es nennt sich:",
        Text::Allow => "Erlauben",
        Text::DoNotAllow => "Nicht erlauben",
    })
}

/// A length of time in its largest unit, in the dative.
fn span(time: Duration) -> String {
    let (count, one, many) = match time.as_secs() {
        0..60 => return "weniger als einer Minute".to_owned(),
        seconds @ 60..3600 => (seconds / 60, "Minute", "Minuten"),
        seconds @ 3600..86_400 => (seconds / 3600, "Stunde", "Stunden"),
        seconds => (seconds / 86_400, "Tag", "Tagen"),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}

fn days(count: u64) -> String {
    if count == 1 { "1 Tag".to_owned() } else { format!("{count} Tagen") }
}

fn days_ago(count: u64) -> String {
    match count {
        0 => "heute".to_owned(),
        1 => "gestern".to_owned(),
        _ => format!("vor {count} Tagen"),
    }
}
