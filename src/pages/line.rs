//! A line of text on a page, of which it is known how much others have written.

use super::{escape, escape_cut};

/// A line of text. Where a page has little room, what others have written at its end is cut, and never what is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    /// How many bytes at its end are others', with what closes them.
    foreign: usize,
}

impl Line {
    /// One that is ours, all of it. It has some hundred bytes at most.
    pub fn own(text: impl Into<String>) -> Self {
        Self { text: text.into(), foreign: 0 }
    }

    /// One of ours, whose end is so many bytes that others wrote, and perhaps a quotation mark or a bracket.
    pub fn ending_in(text: impl Into<String>, foreign: usize) -> Self {
        const CLOSING: usize = '“'.len_utf8();
        let text = text.into();
        let foreign = if foreign == 0 { 0 } else { text.len().min(foreign + CLOSING) };
        Self { text, foreign }
    }

    /// As HTML, with so many bytes of others' at most.
    pub(super) fn html(&self, most: usize) -> String {
        if self.foreign == 0 {
            return escape(&self.text);
        }
        escape_cut(&self.text, (self.text.len() - self.foreign).saturating_add(most))
    }
}

/// One that others wrote, all of it.
impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { foreign: text.len(), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_whole_and_what_others_wrote_is_cut() {
        let ours = "Ends if it is not used: 2026-12-28 00:13:06 UTC";
        assert_eq!(Line::own(ours).html(20), ours);
        assert_eq!(Line::from("n".repeat(100)).html(20), format!("{}…", "n".repeat(17)));
        let name = "n".repeat(100);
        let token = Line::ending_in(format!("Personal access token “{name}”"), name.len());
        assert_eq!(token.html(20), format!("Personal access token “{}…", "n".repeat(17)));
        assert_eq!(token.html(1000), format!("Personal access token “{name}”"));
        assert_eq!(Line::ending_in(ours, 0).html(20), ours);
    }
}
