//! The pages of the administration: a heading, the way to the others, and parts of a few kinds, each of which escapes what it shows.

use std::fmt::Write;

use super::{
    AdminText, Chart, Look, Timeline, escape, escape_cut,
    html::{document_wide, fitting},
};

/// A page of the administration.
#[derive(Clone, Debug)]
pub struct AdminPage<'a> {
    /// The heading.
    pub title: &'a str,
    /// The other pages: where they are, and their names.
    pub pages: &'a [(String, String)],
    /// What has just happened.
    pub notice: Option<&'a str>,
    /// What it shows.
    pub parts: &'a [Part],
    /// Where its forms go.
    pub href: &'a str,
    /// What proves that they came from here.
    pub seal: &'a str,
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// A part of a page.
#[derive(Clone, Debug)]
pub enum Part {
    /// A sentence.
    Text(String),
    /// A heading.
    Heading(String),
    /// Names with their values.
    Facts(Vec<(String, String)>),
    /// A list.
    Rows(Vec<Row>),
    /// A form that asks for another part of the same page.
    Search(Search),
    /// Buttons, each of which does something.
    Buttons(Vec<Button>),
    /// A field in which a word is to be typed before the button works.
    Confirm {
        /// What to type.
        label: String,
        /// The button.
        button: Button,
    },
    /// A link.
    Link(String, String),
    /// A picture of times.
    Timeline(Timeline),
    /// A picture of figures.
    Chart(Chart),
    /// A table, which is shown when its caption is chosen.
    Table {
        /// What it shows.
        caption: String,
        /// The heads of the columns.
        heads: Vec<String>,
        /// The lines.
        rows: Vec<Vec<String>>,
    },
}

/// A line of a list.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What it is about.
    pub name: String,
    /// Where more is to be seen of it.
    pub href: Option<String>,
    /// What else is known of it, a line each.
    pub details: Vec<String>,
    /// What can be done about it.
    pub button: Option<Button>,
}

/// A button of a form that does something.
#[derive(Clone, Debug)]
pub struct Button {
    /// The field's name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The label.
    pub label: String,
}

/// A form that asks for another part of the same page.
#[derive(Clone, Debug)]
pub struct Search {
    /// Where it goes.
    pub href: String,
    /// The field's name, its label, and what it says.
    pub field: (&'static str, String, String),
    /// The label of the choices, if there are any.
    pub choices_label: String,
    /// The choices: the value, its label, and whether it is chosen.
    pub choices: Vec<(&'static str, String, bool)>,
}

impl AdminPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        fitting(|most| self.html_with(most))
    }

    /// The page with texts of `most` bytes at most.
    fn html_with(&self, most: usize) -> String {
        let said = |text: AdminText<'_>| escape(&text.said(self.look.language));
        let mut body = format!("<nav class=\"actions\" aria-label=\"{}\">", said(AdminText::Administration));
        for (href, name) in self.pages {
            let current = if href == self.href { " aria-current=\"page\"" } else { "" };
            let _infallible = write!(body, "<a href=\"{}\"{current}>{}</a> ", escape(href), escape(name));
        }
        body += "</nav>\n";
        if let Some(notice) = self.notice {
            let _infallible = writeln!(body, "<p class=\"notice\" role=\"status\">{}</p>", escape(notice));
        }
        for part in self.parts {
            self.part(part, most, &mut body);
        }
        document_wide(&shortened(self.title, most), &body, self.look)
    }

    fn part(&self, part: &Part, most: usize, out: &mut String) {
        let _infallible = match part {
            Part::Text(text) => writeln!(out, "<p>{}</p>", escape_cut(text, most.max(MOST_OF_SENTENCE))),
            Part::Heading(text) => writeln!(out, "<h2>{}</h2>", escape_cut(text, most)),
            Part::Link(href, label) => writeln!(out, "<p><a href=\"{}\">{}</a></p>", escape(href), escape_cut(label, most)),
            Part::Timeline(timeline) => write!(out, "{}", timeline.html(most)),
            Part::Chart(chart) => write!(out, "{}", chart.html()),
            Part::Table { caption, heads, rows } => write!(out, "{}", table(caption, heads, rows)),
            Part::Facts(facts) => {
                let facts = facts.iter().fold(String::new(), |mut all, (name, value)| {
                    let _infallible =
                        writeln!(all, "<div><dt>{}</dt><dd>{}</dd></div>", escape_cut(name, most), escape_cut(value, most));
                    all
                });
                writeln!(out, "<dl class=\"facts\">\n{facts}</dl>")
            }
            Part::Rows(rows) if rows.iter().any(|row| row.button.is_some()) => {
                writeln!(out, "{}{}</form>", self.form(), list(rows, most))
            }
            Part::Rows(rows) => writeln!(out, "{}", list(rows, most)),
            Part::Buttons(buttons) => {
                let buttons: String = buttons.iter().map(|button| button.html("button quiet", "")).collect();
                writeln!(out, "{}<p class=\"actions\">{buttons}</p></form>", self.form())
            }
            Part::Confirm { label, button } => writeln!(
                out,
                "{}<div class=\"fields\"><label>{} <input name=\"confirm\" required maxlength=\"40\" autocomplete=\"off\"></label></div>\n{}</form>",
                self.form(),
                escape(label),
                button.html("button", "")
            ),
            Part::Search(search) => writeln!(out, "{}", self.search(search)),
        };
    }

    fn form(&self) -> String {
        let (href, seal) = (escape(self.href), escape(self.seal));
        format!("<form method=\"post\" action=\"{href}\"><input type=\"hidden\" name=\"seal\" value=\"{seal}\">\n")
    }

    fn search(&self, search: &Search) -> String {
        let Search { href, field: (name, label, value), choices_label, choices } = search;
        let mut form = format!(
            "<form class=\"fields\" method=\"get\" action=\"{}\" role=\"search\">\n<label>{} <input name=\"{name}\" maxlength=\"320\" value=\"{}\" autocomplete=\"off\"></label>\n",
            escape(href),
            escape(label),
            escape(value)
        );
        if !choices.is_empty() {
            let _infallible = write!(form, "<label>{} <select name=\"show\">", escape(choices_label));
            for (value, label, is_chosen) in choices {
                let chosen = if *is_chosen { " selected" } else { "" };
                let _infallible = write!(form, "<option value=\"{value}\"{chosen}>{}</option>", escape(label));
            }
            form += "</select></label>\n";
        }
        let label = AdminText::Search.said(self.look.language);
        form + &format!("<button class=\"button\">{}</button>\n</form>", escape(&label))
    }
}

impl Button {
    /// `whose`: what it is about, as HTML, where that is not to be seen beside it.
    fn html(&self, class: &str, whose: &str) -> String {
        let (name, value, label) = (self.name, escape(&self.value), escape(&self.label));
        let more = if whose.is_empty() { String::new() } else { format!(" aria-label=\"{label}: {whose}\"") };
        format!("<button class=\"{class}\" name=\"{name}\" value=\"{value}\"{more}>{label}</button> ")
    }
}

/// A sentence of ours is not cut to less than that.
const MOST_OF_SENTENCE: usize = 400;

/// A text with so many characters at most, which may be longer as HTML.
fn shortened(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn table(caption: &str, heads: &[String], rows: &[Vec<String>]) -> String {
    let caption = escape(caption);
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", escape(head))).collect();
    let mut table = format!(
        "<details><summary>{caption}</summary>\n<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n"
    );
    for row in rows {
        let (first, rest) = row.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let rest: String = rest.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let _infallible = writeln!(table, "<tr><th scope=\"row\">{}</th>{rest}</tr>", escape(first));
    }
    table + "</tbody></table></div></details>\n"
}

fn list(rows: &[Row], most: usize) -> String {
    let mut list = "<ul class=\"list\">\n".to_owned();
    for Row { name, href, details, button } in rows {
        let details = details.iter().map(|line| format!("<br><small>{}</small>", escape_cut(line, most)));
        let shown = escape_cut(name, most);
        let shown = match href {
            Some(href) => format!("<a href=\"{}\"><strong>{shown}</strong></a>", escape(href)),
            None => format!("<strong>{shown}</strong>"),
        };
        let button = button.as_ref().map(|button| button.html("button quiet", &escape_cut(name, most))).unwrap_or_default();
        let _infallible = writeln!(list, "<li><div>{shown}{}</div>{button}</li>", details.collect::<String>());
    }
    list + "</ul>\n"
}

#[cfg(test)]
mod tests {
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
        let row = Row { name: text(), href: Some(text()), details: vec![text()], button: Some(button()) };
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
            Part::Facts(vec![(text(), text())]),
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
        let row = |button| Row { name: text(), href: None, details: vec![text(); 5], button };
        let events = vec![Row { details: vec![text()], ..row(None) }; 25];
        let sessions = vec![row(Some(button())); 10];
        let marks = (0..50).map(|at| Mark { at, sign: Sign::Failed, label: text() }).collect();
        let legend = Sign::ALL.into_iter().map(|sign| (sign, "predicted end".to_owned())).collect();
        let times = || ("2026-11-27 10:00:00 UTC".to_owned(), "2026-11-27 10:00:00 UTC".to_owned());
        let timeline = Timeline { from: 0, to: 50, marks, says: "3 renewals".to_owned(), ends: times(), legend };
        let parts = [
            Part::Facts(vec![("Groups".to_owned(), text()); 11]),
            Part::Timeline(timeline),
            Part::Heading("Sessions".to_owned()),
            Part::Rows(sessions),
            Part::Buttons(vec![button(), button()]),
            Part::Rows(events),
        ];
        let branding = Branding::largest();
        let look = Look { branding: &branding, language: Language::English, request_id: "0123456789abcdef".to_owned() };
        let pages: Vec<_> =
            (0..6).map(|number| (format!("/oauth2/admin/{number}"), "What administrators did".to_owned())).collect();
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
            let html = timeline.html(1000);
            let x: f64 = html.split("class=\"ink\" x=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
            assert!((0.0..=1000.0).contains(&x), "{html}");
        }
    }
}
