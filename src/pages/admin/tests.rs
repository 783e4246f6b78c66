use super::*;
use crate::{
    language::Language,
    pages::{Branding, ChartKind, Mark, Series, Sign},
};

fn page(parts: &[Part], evil: &str) -> String {
    let branding = Branding::default();
    let look = Look { branding: &branding, language: Language::German, request_id: evil.to_owned() };
    let pages = [(evil.to_owned(), evil.to_owned())];
    AdminPage { title: evil, pages: &pages, notice: Some(evil), parts, href: evil, seal: evil, look: &look }.html()
}

#[test]
fn no_text_of_these_pages_is_markup() {
    let evil = "<script>alert('x')</script>\"&";
    let text = || evil.to_owned();
    let button = || Button { name: "end", value: text(), label: text() };
    let row = Row { name: text().into(), href: Some(text()), details: vec![text().into()], button: Some(button()) };
    let mark = Mark { at: 5, sign: Sign::Failed, label: text() };
    let timeline = Timeline {
        from: 0,
        to: 10,
        marks: vec![mark],
        says: text(),
        ends: (text(), text()),
        legend: vec![(Sign::Failed, text())],
    };
    let search =
        Search { href: text(), field: ("name", text(), text()), choices_label: text(), choices: vec![("all", text(), true)] };
    let parts = [
        Part::Text(text()),
        Part::Heading(text()),
        Part::Facts(vec![(text().into(), text().into())]),
        Part::Long(LongList { rows: vec![(row.clone(), text())], goes_on: true, few: 0 }),
        Part::Rows(vec![row.clone(), Row { href: None, button: None, ..row }]),
        Part::Search(search),
        Part::Buttons(vec![button()]),
        Part::Confirm { label: text(), button: button() },
        Part::Link(text(), text()),
        Part::Timeline(timeline),
        Part::Table { caption: text(), heads: vec![text()], rows: vec![vec![text(), text()], Vec::new()] },
        Part::Chart(Chart {
            says: text(),
            ends: (text(), text()),
            most: text(),
            series: vec![(Series { class: "good", values: vec![Some(1), None] }, text())],
            kind: ChartKind::Bars,
        }),
    ];
    let html = page(&parts, evil);
    assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
}

#[test]
fn a_page_is_small_however_long_everything_on_it_is() {
    let long = "&\"<ä".repeat(2000);
    let text = || long.clone();
    let button =
        || Button { name: "end", value: "0123456789abcdef0123456789abcdef".to_owned(), label: "End this session".to_owned() };
    let row = |button| Row { name: text().into(), href: None, details: vec![text().into(); 5], button };
    let events = vec![Row { details: vec![text().into()], ..row(None) }; 25];
    let sessions = vec![row(Some(button())); 10];
    let marks = (0..50).map(|at| Mark { at, sign: Sign::Failed, label: text() }).collect();
    let legend = Sign::ALL.into_iter().map(|sign| (sign, "predicted end".to_owned())).collect();
    let times = || ("2026-11-27 10:00:00 UTC".to_owned(), "2026-11-27 10:00:00 UTC".to_owned());
    let timeline = Timeline { from: 0, to: 50, marks, says: "3 renewals".to_owned(), ends: times(), legend };
    let parts = [
        Part::Facts(vec![(Line::own("Groups"), text().into()); 11]),
        Part::Timeline(timeline),
        Part::Heading("Sessions".to_owned()),
        Part::Rows(sessions),
        Part::Buttons(vec![button(), button()]),
        Part::Rows(events),
    ];
    let branding = Branding::largest();
    let look = Look { branding: &branding, language: Language::English, request_id: "0123456789abcdef".to_owned() };
    let pages: Vec<_> = (0..6).map(|number| (format!("/oauth2/admin/{number}"), "What administrators did".to_owned())).collect();
    let page = AdminPage {
        title: &long,
        pages: &pages,
        notice: Some("The session has ended."),
        parts: &parts,
        href: "/oauth2/admin/grants/0123456789abcdef",
        seal: &"s".repeat(120),
        look: &look,
    };
    let html = page.html();
    assert!(html.len() <= 20 * 1024, "{}", html.len());
    assert_eq!(html.matches("<li>").count(), 35 + Sign::ALL.len(), "nothing is left out but the ends of texts");
}

/// Ten sessions, 25 events and 50 marks, as of somebody whose scripts work all day; everything that every page has is as long as can be.
#[test]
fn what_we_say_of_a_grant_is_whole_however_many_sessions_and_events_it_has() {
    let branding = Branding::largest();
    let at = "2026-12-28 00:13:06 UTC";
    let says = |text: &str| format!("{text}, von {at} bis {at}. Die Liste darunter sagt sie in Worten, Seite für Seite.");
    let ends = [
        format!("Endet unbenutzt: {at}, weil sie zu lange unbenutzt ist (CODER_SESSION_DURATION)"),
        format!("Endet bei Benutzung: {at}, weil sie zu alt ist (CODER_SESSION_MAX_DURATION)"),
    ];
    let own = ["in Ordnung, wird bei Benutzung erneuert".to_owned(), format!("Anmeldung: {at} · Zuletzt benutzt: {at}")];
    let site = "wiki.apps.example.com";
    let session = |number: usize| {
        let name = format!("nightly-backup-{number}");
        let details = own.iter().chain(&ends).map(|line| Line::own(line.as_str()));
        let places = Line::ending_in(format!("0123456789ab · 2001:db8::1234 · {site}"), site.len());
        Row {
            name: Line::ending_in(format!("Persönliches Zugriffstoken „{name}“"), name.len()),
            href: None,
            details: details.chain([places]).collect(),
            button: Some(Button { name: "end", value: "0123456789abcdef".repeat(2), label: "Diese Sitzung beenden".to_owned() }),
        }
    };
    let event = |number: usize| {
        let details = vec![Line::ending_in(format!("{at} · 0123456789ab · 120 ms · evergate-7d9f-x2x"), 17)];
        let row = Row { name: Line::own("erneuert, mit neuem Refresh-Token"), href: None, details, button: None };
        (row, format!("/oauth2/admin/grants/0123456789abcdef0123456789abcdef?after=1764201600000-{number}"))
    };
    let mark = |number| Mark { at: number, sign: Sign::Renewed, label: format!("{at}: erneuert, mit neuem Refresh-Token") };
    let timeline = Timeline {
        from: 0,
        to: 50,
        marks: (0..50).map(mark).collect(),
        says: says("48 Erneuerungen und 2 gescheiterte"),
        ends: (at.to_owned(), at.to_owned()),
        legend: Sign::ALL.into_iter().map(|sign| (sign, "vorhergesagtes Ende".to_owned())).collect(),
    };
    let fact = |value: &str| (Line::own("Nächste Erneuerung"), Line::own(value));
    let state = "wird erst bedient, wenn der Anmeldedienst sie erneuert: interaction_required";
    let mut facts = vec![fact(&format!("die letzte ist gescheitert; bei der ersten Benutzung ab {at}")); 8];
    facts.push((Line::own("Zustand"), Line::ending_in(state, "interaction_required".len())));
    let button = |label: &str| Button { name: "end_user", value: "true".to_owned(), label: label.to_owned() };
    let parts = [
        Part::Facts(facts),
        Part::Heading("Erneuerungen im Lauf der Zeit".to_owned()),
        Part::Timeline(timeline),
        Part::Heading("Sitzungen".to_owned()),
        Part::Rows((0..10).map(session).collect()),
        Part::Link("/oauth2/admin/grants/0123456789abcdef0123456789abcdef?page=2".to_owned(), "und 40 weitere".to_owned()),
        Part::Buttons(vec![button("Jetzt erneuern"), button("Alle Sitzungen dieses Benutzers beenden")]),
        Part::Heading("Geschichte, das Letzte zuerst".to_owned()),
        Part::Long(LongList { rows: (0..25).map(event).collect(), goes_on: true, few: 5 }),
    ];
    let pages: Vec<_> = ["", "/why", "/providers", "/keys", "/audit", "/everyone"]
        .map(|path| (format!("/oauth2/admin{path}"), "Was Administratoren getan haben".to_owned()))
        .into();
    let look = Look { branding: &branding, language: Language::German, request_id: "0123456789abcdef".to_owned() };
    let page = AdminPage {
        title: "zoe@example.com",
        pages: &pages,
        notice: Some("Die Sitzung ist beendet."),
        parts: &parts,
        href: "/oauth2/admin/grants/0123456789abcdef0123456789abcdef",
        seal: &"s".repeat(240),
        look: &look,
    };
    let html = page.html();
    assert!(html.len() <= 20 * 1024, "{}", html.len());
    assert_eq!(html.matches("nightly-backup-").count(), 20, "{html}");
    for (line, count) in ends.iter().chain(&own).map(|line| (line.as_str(), 10)).chain([(state, 1), (site, 10)]) {
        assert_eq!(html.matches(line).count(), count, "{line}: {html}");
    }
    let shown = html.matches("erneuert, mit neuem Refresh-Token").count();
    assert!(shown >= 5 && html.contains(&format!("?after=1764201600000-{}\">Nächste Seite<", shown - 1)), "{html}");
}

#[test]
fn a_picture_of_odd_times_stays_within_its_frame() {
    for (from, to, at) in [(0, 0, 5), (i64::MIN, i64::MAX, 0), (10, 5, i64::MAX)] {
        let mark = Mark { at, sign: Sign::Now, label: String::new() };
        let timeline = Timeline {
            from,
            to,
            marks: vec![mark],
            says: String::new(),
            ends: (String::new(), String::new()),
            legend: Vec::new(),
        };
        let html = timeline.html(Room { most: 1000, is_scarce: false });
        let x: f64 = html.split("class=\"ink\" d=\"M").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((0.0..=1000.0).contains(&x), "{html}");
    }
}
