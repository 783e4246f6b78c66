//! The pages of the administration: a heading, the way to the others, and parts of a few kinds, each of which escapes what it shows.

use std::fmt::Write;

use super::{
    AdminText, Chart, Line, Look, Timeline, escape, escape_cut,
    html::{Room, cut, document_wide, fitting},
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
    Facts(Vec<(Line, Line)>),
    /// A list.
    Rows(Vec<Row>),
    /// The first part of a long list.
    Long(LongList),
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

/// The first part of a long list, which has fewer lines where the page has little room.
#[derive(Clone, Debug)]
pub struct LongList {
    /// The lines, each with where the list goes on behind it.
    pub rows: Vec<(Row, String)>,
    /// Whether it goes on behind them.
    pub goes_on: bool,
    /// How many lines there are at least.
    pub few: usize,
}

/// A line of a list.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What it is about.
    pub name: Line,
    /// Where more is to be seen of it.
    pub href: Option<String>,
    /// What else is known of it.
    pub details: Vec<Line>,
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
        fitting(|room| self.html_with(room))
    }

    /// The page in so much room.
    fn html_with(&self, room: Room) -> String {
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
            self.part(part, room, &mut body);
        }
        document_wide(&cut(self.title, room.most), &body, self.look)
    }

    fn part(&self, part: &Part, room: Room, out: &mut String) {
        let most = room.most;
        let _infallible = match part {
            Part::Text(text) => writeln!(out, "<p>{}</p>", escape_cut(text, most.max(MOST_OF_SENTENCE))),
            Part::Heading(text) => writeln!(out, "<h2>{}</h2>", escape_cut(text, most)),
            Part::Link(href, label) => writeln!(out, "<p><a href=\"{}\">{}</a></p>", escape(href), escape_cut(label, most)),
            Part::Timeline(timeline) => write!(out, "{}", timeline.html(room)),
            Part::Chart(chart) => write!(out, "{}", chart.html()),
            Part::Table { caption, heads, rows } => write!(out, "{}", table(caption, heads, rows)),
            Part::Facts(facts) => {
                let facts = facts.iter().fold(String::new(), |mut all, (name, value)| {
                    let _infallible = writeln!(all, "<div><dt>{}</dt><dd>{}</dd></div>", name.html(most), value.html(most));
                    all
                });
                writeln!(out, "<dl class=\"facts\">\n{facts}</dl>")
            }
            Part::Rows(rows) if rows.iter().any(|row| row.button.is_some()) => {
                writeln!(out, "{}{}</form>", self.form(), list(rows, most))
            }
            Part::Rows(rows) => writeln!(out, "{}", list(rows, most)),
            Part::Long(list) => writeln!(out, "{}", self.part_of(list, room)),
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

    fn part_of(&self, long: &LongList, room: Room) -> String {
        let shown = if room.is_scarce { long.few.min(long.rows.len()) } else { long.rows.len() };
        let rows = list(long.rows.iter().take(shown).map(|(row, _)| row), room.most);
        let next = long.rows.iter().take(shown).next_back().filter(|_| long.goes_on || shown < long.rows.len());
        let label = || escape(&AdminText::Next.said(self.look.language));
        let next = next.map(|(_, href)| format!("\n<p><a href=\"{}\">{}</a></p>", escape(href), label()));
        rows + &next.unwrap_or_default()
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

fn list<'a>(rows: impl IntoIterator<Item = &'a Row>, most: usize) -> String {
    let mut list = "<ul class=\"list\">\n".to_owned();
    for Row { name, href, details, button } in rows {
        let details = details.iter().map(|line| format!("<br><small>{}</small>", line.html(most)));
        let name = name.html(most);
        let shown = match href {
            Some(href) => format!("<a href=\"{}\"><strong>{name}</strong></a>", escape(href)),
            None => format!("<strong>{name}</strong>"),
        };
        let button = button.as_ref().map(|button| button.html("button quiet", &name)).unwrap_or_default();
        let _infallible = writeln!(list, "<li><div>{shown}{}</div>{button}</li>", details.collect::<String>());
    }
    list + "</ul>\n"
}

#[cfg(test)]
mod tests;
