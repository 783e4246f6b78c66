//! The picture of a grant's history: signs along a line of time. Every sign differs in place and height, not in colour alone, and a
//! text beside the picture says the same.

use std::fmt::Write;

use super::{escape, escape_cut};

/// What is to be drawn. Times are milliseconds since the epoch.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Where it begins.
    pub from: i64,
    /// Where it ends.
    pub to: i64,
    /// What happened, and what will.
    pub marks: Vec<Mark>,
    /// What it shows, in a sentence.
    pub says: String,
    /// Its beginning and its end, written below it.
    pub ends: (String, String),
    /// What each sign means, of those that are drawn.
    pub legend: Vec<(Sign, String)>,
}

/// Something at one moment.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When.
    pub at: i64,
    /// What.
    pub sign: Sign,
    /// What a pointer that rests on it is told.
    pub label: String,
}

/// How something is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A login.
    Login,
    /// A renewal.
    Renewed,
    /// A renewal that failed.
    Failed,
    /// An end.
    Ended,
    /// The present.
    Now,
    /// The next renewal.
    Next,
    /// The end that is predicted.
    Predicted,
}

const WIDTH: f64 = 1000.0;
/// Labels are left out where they would be no longer than this.
const LEAST_OF_LABEL: usize = 40;

impl Sign {
    /// All of them, in the order of the legend.
    pub const ALL: [Self; 7] = [Self::Login, Self::Renewed, Self::Failed, Self::Ended, Self::Now, Self::Next, Self::Predicted];

    /// The class, and where it begins and how high it is, of 60.
    fn shape(self) -> (&'static str, u32, u32) {
        match self {
            Self::Login => ("good", 2, 56),
            Self::Renewed => ("good", 16, 14),
            Self::Failed => ("bad", 30, 26),
            Self::Ended => ("bad", 2, 56),
            Self::Now => ("ink", 2, 56),
            Self::Next => ("soft", 16, 14),
            Self::Predicted => ("soft", 2, 56),
        }
    }

    /// `label` is HTML.
    fn draw(self, x: f64, label: Option<&str>, svg: &mut String) {
        let (class, y, height) = self.shape();
        let _infallible = write!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"5\" height=\"{height}\">");
        if let Some(label) = label {
            let _infallible = write!(svg, "<title>{label}</title>");
        }
        svg.push_str("</rect>");
    }
}

impl Timeline {
    /// Renders the picture with its legend.
    /// Labels have `most` bytes at most.
    pub(super) fn html(&self, most: usize) -> String {
        let span = self.to.saturating_sub(self.from).max(1) as f64;
        let mut svg = format!(
            "<svg class=\"time\" role=\"img\" viewBox=\"0 0 1005 60\" preserveAspectRatio=\"none\" aria-label=\"{}\">\
             <rect class=\"line\" x=\"0\" y=\"29\" width=\"1005\" height=\"2\"/>",
            escape(&self.says)
        );
        for Mark { at, sign, label } in &self.marks {
            let x = (at.saturating_sub(self.from) as f64 / span).clamp(0.0, 1.0) * WIDTH;
            // Of a page that has little room the list alone says it.
            let label = (most > LEAST_OF_LABEL).then(|| escape_cut(label, most));
            sign.draw(x, label.as_deref(), &mut svg);
        }
        svg.push_str("</svg>\n");
        let (from, to) = (escape(&self.ends.0), escape(&self.ends.1));
        let _infallible = writeln!(svg, "<p class=\"ends\"><small>{from}</small><small>{to}</small></p>\n<ul class=\"legend\">");
        for (sign, name) in &self.legend {
            svg.push_str("<li><svg class=\"sign\" viewBox=\"0 0 9 60\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"line\" x=\"0\" y=\"29\" width=\"9\" height=\"2\"/>");
            sign.draw(2.0, None, &mut svg);
            let _infallible = writeln!(svg, "</svg>{}</li>", escape(name));
        }
        svg + "</ul>\n"
    }
}
