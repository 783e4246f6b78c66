//! The texts of the administration in German.

use std::borrow::Cow;

use crate::pages::AdminText;

/// A label or a sentence.
pub(in crate::pages) fn text(text: &AdminText<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match *text {
        AdminText::Administration => "Verwaltung",
        AdminText::Name(name) => return name.to_owned().into(),
        AdminText::SignedIn => "Wer angemeldet ist",
        AdminText::Why => "Warum abgemeldet?",
        AdminText::WhyLabel => {
            "E-Mail-Adresse, Benutzername oder sub; oder der Anfang des Namens einer Sitzung oder eines Grants"
        }
        AdminText::WhyText => "Was Sitzungen beendet oder eine Anmeldung verhindert hat, das Letzte zuerst.",
        AdminText::WhyNothing(name) => {
            return format!("Über „{name}“ ist nichts bekannt: keine Sitzung und keine Geschichte.").into();
        }
        AdminText::WhyNoEnd => "Nichts, was noch aufbewahrt wird, sagt etwas über ein Ende.",
        AdminText::Audit => "Was Administratoren getan haben",
        AdminText::AuditNothing => "Nichts, was noch aufbewahrt wird.",
        AdminText::Everyone => "Alle Sitzungen beenden",
        AdminText::EveryoneText => {
            "Beendet alle Sitzungen und persönlichen Zugriffstokens aller Benutzer, auch Ihre, und widerruft deren Refresh-Tokens beim Anmeldedienst."
        }
        AdminText::EveryoneConfirm => "Zur Bestätigung alle eingeben",
        AdminText::EveryoneWord => "alle",
        AdminText::EveryoneUnconfirmed => "Nichts wurde beendet: das eingegebene Wort ist ein anderes.",
        AdminText::EveryoneBegun => "Alle Sitzungen werden beendet.",
        AdminText::EveryoneUnderWay => "Alle Sitzungen werden schon beendet.",
        AdminText::SearchLabel => "E-Mail-Adresse oder Benutzername, oder deren Anfang; oder sub",
        AdminText::Search => "Suchen",
        AdminText::Show => "Zeigen",
        AdminText::ShowAll => "alles",
        AdminText::ShowNotRenewable => "ohne Refresh-Token",
        AdminText::ShowRefused => "Erneuerung vom Anmeldedienst abgelehnt",
        AdminText::ShowEnded => "Grant beendet",
        AdminText::ShowTokens => "persönliche Zugriffstokens",
        AdminText::Next => "Nächste Seite",
        AdminText::Counts(all, renewable) => {
            let sessions = counted(all, ("Sitzung", "Sitzungen"));
            return format!("{sessions}, davon {renewable} mit Refresh-Token. Eine große Zahl ist geschätzt.").into();
        }
        AdminText::LookedAt(1) => "Für diese Seite wurde 1 Sitzung angesehen.",
        AdminText::LookedAt(count) => return format!("Für diese Seite wurden {count} Sitzungen angesehen.").into(),
        AdminText::Nobody => "Hier ist keine Sitzung zu zeigen.",
        AdminText::Token(name) => return format!("Persönliches Zugriffstoken „{name}“").into(),
        AdminText::User => "Benutzer",
        AdminText::Subject => "sub (Kennung)",
        AdminText::Groups => "Gruppen",
        AdminText::Provider => "Anmeldedienst",
        AdminText::Grant => "Grant (Kennung)",
        AdminText::State => "Zustand",
        AdminText::Login => "Anmeldung",
        AdminText::LastSeen => "Zuletzt benutzt",
        AdminText::OpenedBy => "Geöffnet von",
        AdminText::AccessToken => "Zugriffstoken",
        AdminText::Expires(at) => return format!("läuft ab {at}").into(),
        AdminText::RefreshToken => "Refresh-Token",
        AdminText::Yes => "ja",
        AdminText::YesUntil(at) => return format!("ja, gut bis {at}, wenn es nicht benutzt wird").into(),
        AdminText::No => "nein",
        AdminText::LastRenewed => "Zuletzt erneuert",
        AdminText::RenewedAt(at, count) => {
            return format!("{at}, {}", counted(count, ("Erneuerung", "Erneuerungen"))).into();
        }
        AdminText::Rotation => "Wechsel",
        AdminText::Rotating => "jede Erneuerung bringt ein neues Refresh-Token",
        AdminText::Reusable => "das Refresh-Token bleibt dasselbe",
        AdminText::Unknown => "noch nicht bekannt",
        AdminText::NextRenewal => "Nächste Erneuerung",
        AdminText::NextFrom(at) => return format!("bei der ersten Benutzung ab {at}").into(),
        AdminText::NextAtUse => "bei der nächsten Benutzung",
        AdminText::NextAfterPause(at) => {
            return format!("die letzte ist gescheitert; bei der ersten Benutzung ab {at}").into();
        }
        AdminText::NextNever => "keine",
        AdminText::EndsUnused => "Endet unbenutzt",
        AdminText::EndsUsed => "Endet bei Benutzung",
        AdminText::EndsBy(at, cause) => return format!("{at}, {cause}").into(),
        AdminText::Sessions => "Sitzungen",
        AdminText::NoSession => "Keine Sitzung hat diesen Grant mehr.",
        AdminText::Timeline => "Erneuerungen im Lauf der Zeit",
        AdminText::TimelineSays { renewed, failed, from, to } => {
            return format!(
                "{} und {failed} gescheiterte, von {from} bis {to}. Die Liste darunter sagt sie in Worten, Seite für Seite.",
                counted(renewed, ("Erneuerung", "Erneuerungen"))
            )
            .into();
        }
        AdminText::SignLogin => "Anmeldung",
        AdminText::SignRenewed => "erneuert",
        AdminText::SignFailed => "nicht erneuert",
        AdminText::SignEnded => "beendet",
        AdminText::SignNow => "jetzt",
        AdminText::SignNext => "nächste Erneuerung",
        AdminText::SignPredicted => "vorhergesagtes Ende",
        AdminText::History => "Geschichte, das Letzte zuerst",
        AdminText::EndSession => "Diese Sitzung beenden",
        AdminText::EndUser => "Alle Sitzungen dieses Benutzers beenden",
        AdminText::RenewNow => "Jetzt erneuern",
        AdminText::SessionEnded => "Die Sitzung ist beendet.",
        AdminText::UserEnded => "Alle Sitzungen des Benutzers sind beendet.",
        AdminText::Gone => "Sie war schon beendet.",
        AdminText::Renewed => "Der Grant wurde erneuert.",
        AdminText::NotRenewed(why) => return format!("Der Grant wurde nicht erneuert: {why}.").into(),
        AdminText::Providers => "Anmeldedienste",
        AdminText::ProvidersText => {
            "Erneuerungen, wie alle Replikate sie nach Stunden zählen. Dass ein Grant tot ist, ist eine Antwort wie jede andere."
        }
        AdminText::LastDays(one) => return format!("Letzte {one} Tage").into(),
        AdminText::NoCalls(one) => return format!("Keine Erneuerung in den letzten {one} Tagen.").into(),
        AdminText::PresentSettings => "Anmeldungen mit den jetzigen Einstellungen",
        AdminText::WithRefreshToken => "Anmeldungen mit Refresh-Token",
        AdminText::PartOf(one, all) => return format!("{one} von {all}, die angesehen wurden").into(),
        AdminText::ChartOutcomes => "Erneuerungen im Lauf der Zeit, nach ihrem Ergebnis; die Tabelle darunter hat die Zahlen.",
        AdminText::ChartLatency => "Wie lange Erneuerungen im Lauf der Zeit dauerten; die Tabelle darunter hat die Zahlen.",
        AdminText::MostCalls(one) => return format!("höchster Wert: {one}").into(),
        AdminText::MostMilliseconds(one) => return format!("höchster Wert: {one}").into(),
        AdminText::KeysOf(issuer) => return format!("Signaturschlüssel von {issuer}").into(),
        AdminText::KeysFetched(at) => {
            return format!(
                "Dieses Replikat hat sie {at} geholt, und holt sie neu für eine Signatur, die keiner von ihnen prüft."
            )
            .into();
        }
        AdminText::KeysNotFetched => "Dieses Replikat hat sie noch nicht geholt.",
        AdminText::Unnamed => "ein Schlüssel ohne Namen",
        AdminText::NoEnd => "nennt kein Ende",
        AdminText::MoreThan(one) => return format!("mehr als {one} ms").into(),
        AdminText::Median => "die Hälfte binnen",
        AdminText::Slow => "95 von 100 binnen",
        AdminText::OutcomeOk => "erneuert",
        AdminText::OutcomeDead => "Grant tot",
        AdminText::OutcomeConfig => "abgelehnt, zu beheben",
        AdminText::OutcomeRetry => "gescheitert, erneut versucht",
        AdminText::OutcomeAmbiguous => "Ausgang unbekannt",
        AdminText::Day => "Tag",
        AdminText::Calls => "Alle",
        AdminText::AsTable => "Die Zahlen, Tag für Tag",
        AdminText::Keys => "Zertifikate und Schlüssel",
        AdminText::Certificates => "Zertifikate, die gezeigt werden",
        AdminText::NoCertificates => "TLS endet nicht hier.",
        AdminText::OtherCertificates => "Zertifikate, die Evergate selbst vorzeigt, und CA-Bündel, denen es vertraut",
        AdminText::ClientCertificate => "als Client vorgezeigt",
        AdminText::SigningCertificate => "des Schlüssels, der beim Anmeldedienst signiert",
        AdminText::TrustedCertificates => "CA-Bündel",
        AdminText::EncryptionKeys => "Schlüssel der gespeicherten Tokens",
        AdminText::EncryptionKeysText => {
            "Sie laufen nicht ab. Von den ersten 1000 Grants wird gesagt, wie viele ein Token unter jedem haben."
        }
        AdminText::KeySeals(one) => return format!("verschlüsselt: {}", counted(one, ("Grant", "Grants"))).into(),
        AdminText::KeyOpens(one) => {
            let grants = counted(one, ("Grant", "Grants"));
            return format!("öffnet ältere Tokens: {grants}; evergate keys reseal macht ihn überflüssig").into();
        }
        AdminText::KeyMissing(one) => {
            return format!("fehlt: {}, deren Benutzer sich neu anmelden", counted(one, ("Grant", "Grants"))).into();
        }
        AdminText::HealthSays { days, calls, answered, median, slow } => {
            return format!(
                "{} in den letzten {days} Tagen; von hundert wurden {answered} beantwortet, wie sie sollten. Die Hälfte dauerte höchstens: {median}; 95 von hundert höchstens: {slow}.",
                counted(calls, ("Erneuerung", "Erneuerungen"))
            )
            .into();
        }
    })
}

/// So many of a thing, of which the names are given for one and for many.
fn counted(count: impl std::fmt::Display, (one, many): (&str, &str)) -> String {
    let count = count.to_string();
    if count == "1" { format!("1 {one}") } else { format!("{count} {many}") }
}
