//! The picture of a grant's history: signs along a line of time. Every sign differs in place and height, not in colour alone, and a
//! text beside the picture says the same.

use std::fmt::Write;

use super::{escape, escape_cut, html::Room};

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

    /// Its outline where it stands so far from the left.
    fn outline(self, x: f64) -> String {
        let (_, y, height) = self.shape();
        format!("M{x:.1} {y}h5v{height}h-5z")
    }

    /// A path of such outlines, with what they tell as HTML.
    fn draw(self, outlines: &str, told: &str, svg: &mut String) {
        let (class, _, _) = self.shape();
        let _infallible = write!(svg, "<path class=\"{class}\" d=\"{outlines}\">{told}</path>");
    }
}

impl Timeline {
    /// Renders the picture with its legend. Where room is scarce the list of events alone says what labels do.
    pub(super) fn html(&self, room: Room) -> String {
        let span = self.to.saturating_sub(self.from).max(1) as f64;
        let mut svg = format!(
            "<svg class=\"time\" role=\"img\" viewBox=\"0 0 1005 60\" preserveAspectRatio=\"none\" aria-label=\"{}\">\
             <rect class=\"line\" x=\"0\" y=\"29\" width=\"1005\" height=\"2\"/>",
            escape(&self.says)
        );
        let place = |mark: &Mark| (mark.at.saturating_sub(self.from) as f64 / span).clamp(0.0, 1.0) * WIDTH;
        if room.is_scarce {
            for sign in Sign::ALL {
                let marks = self.marks.iter().filter(|mark| mark.sign == sign);
                let outlines: String = marks.map(|mark| sign.outline(place(mark))).collect();
                if !outlines.is_empty() {
                    sign.draw(&outlines, "", &mut svg);
                }
            }
        } else {
            for mark in &self.marks {
                let label = format!("<title>{}</title>", escape_cut(&mark.label, room.most));
                mark.sign.draw(&mark.sign.outline(place(mark)), &label, &mut svg);
            }
        }
        svg.push_str("</svg>\n");
        let (from, to) = (escape(&self.ends.0), escape(&self.ends.1));
        let _infallible = writeln!(svg, "<p class=\"ends\"><small>{from}</small><small>{to}</small></p>\n<ul class=\"legend\">");
        for (sign, name) in &self.legend {
            svg.push_str("<li><svg class=\"sign\" viewBox=\"0 0 9 60\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"line\" x=\"0\" y=\"29\" width=\"9\" height=\"2\"/>");
            sign.draw(&sign.outline(2.0), "", &mut svg);
            let _infallible = writeln!(svg, "</svg>{}</li>", escape(name));
        }
        svg + "</ul>\n"
    }
}
