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
        AdminText::Audit => "Was Administratoren getan haben",
        AdminText::AuditNothing => "Nichts, was noch aufbewahrt wird.",
        AdminText::Everyone => "Alle Sitzungen beenden",
        AdminText::EveryoneText => {
            "Beendet alle Sitzungen und Zugangstokens aller Benutzer, auch Ihre, und widerruft deren Refresh-Tokens beim Anmeldedienst."
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
        AdminText::ShowTokens => "Zugangstokens",
        AdminText::Next => "Nächste Seite",
        AdminText::Counts(all, renewable) => {
            return format!("{all} Sitzungen, davon {renewable} mit Refresh-Token. Viele sind geschätzt.").into();
        }
        AdminText::LookedAt(count) => return format!("Für diese Seite wurden {count} Sitzungen angesehen.").into(),
        AdminText::Nobody => "Hier ist keine Sitzung zu zeigen.",
        AdminText::SearchIsCut => "Gezeigt werden höchstens hundert. Geben Sie mehr vom Namen ein, um andere zu sehen.",
        AdminText::Token(name) => return format!("Zugangstoken „{name}“").into(),
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
        AdminText::RenewedAt(at, 1) => return format!("{at}, 1 Erneuerung").into(),
        AdminText::RenewedAt(at, count) => return format!("{at}, {count} Erneuerungen").into(),
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
                "{renewed} Erneuerungen und {failed} gescheiterte, von {from} bis {to}. Die Liste darunter hat alle."
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
        AdminText::MostMilliseconds(one) => return format!("höchster Wert: {one} ms").into(),
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
        AdminText::EncryptionKeys => "Schlüssel der gespeicherten Tokens",
        AdminText::EncryptionKeysText => {
            "Sie laufen nicht ab. Von den ersten 1000 Grants wird gesagt, wie viele ein Token unter jedem haben."
        }
        AdminText::KeySeals(one) => return format!("verschlüsselt: {one} Grants").into(),
        AdminText::KeyOpens(one) => {
            return format!("öffnet ältere Tokens: {one} Grants; evergate keys reseal macht ihn überflüssig").into();
        }
        AdminText::KeyMissing(one) => return format!("fehlt: {one} Grants, deren Benutzer sich neu anmelden").into(),
        AdminText::HealthSays { days, calls, answered, median, slow } => {
            return format!(
                "{calls} Erneuerungen in den letzten {days} Tagen; von hundert wurden {answered} beantwortet, wie sie sollten; die Hälfte binnen {median}, 95 von hundert binnen {slow}."
            )
            .into();
        }
    })
}
