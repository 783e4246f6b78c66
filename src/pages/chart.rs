//! Charts of figures over time, drawn on the server: stacked bars, and lines. A table beside each says the same.

use std::fmt::Write;

use super::escape;

/// A chart of bins of time.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows, in a sentence.
    pub says: String,
    /// Its beginning and its end, written below it.
    pub ends: (String, String),
    /// The largest value, written beside it.
    pub most: String,
    /// What is drawn, and what each series is called.
    pub series: Vec<(Series, String)>,
    /// How the series are drawn.
    pub kind: ChartKind,
}

/// How series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartKind {
    /// As bars, one on the other.
    Bars,
    /// As lines.
    Lines,
}

/// A value for each bin.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its colour and pattern, by class of the style sheet.
    pub class: &'static str,
    /// The values; `None` where there is none.
    pub values: Vec<Option<i64>>,
}

const WIDTH: i64 = 1000;
const HEIGHT: i64 = 100;

impl Chart {
    /// Renders the chart with its legend.
    pub(super) fn html(&self) -> String {
        let bins = self.series.iter().map(|(series, _)| series.values.len()).max().unwrap_or(0);
        let at = |series: &Series, bin: usize| series.values.get(bin).copied().flatten();
        let sum = |bin: usize| self.series.iter().filter_map(|(series, _)| at(series, bin)).sum::<i64>();
        let largest = |bin: usize| self.series.iter().filter_map(|(series, _)| at(series, bin)).max().unwrap_or(0);
        let most = (0..bins).map(|bin| if self.kind == ChartKind::Bars { sum(bin) } else { largest(bin) }).max().unwrap_or(0);
        let most = most.max(1);
        // The picture ends where the last bin does, and its end is written below its edge.
        let count = i64::try_from(bins.max(1)).unwrap_or(WIDTH);
        let width = (WIDTH / count).max(1);
        let mut svg = format!(
            "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" aria-label=\"{}\">",
            width * count,
            escape(&self.says)
        );
        let mut below = vec![0; bins];
        for (series, _) in &self.series {
            let path = match self.kind {
                ChartKind::Bars => bars(&series.values, &mut below, most, width),
                ChartKind::Lines => line(&series.values, most, width),
            };
            let _infallible = write!(svg, "<path class=\"{}\" d=\"{path}\"/>", series.class);
        }
        let (from, to) = (escape(&self.ends.0), escape(&self.ends.1));
        let _infallible = writeln!(
            svg,
            "</svg>\n<p class=\"ends\"><small>{from}</small><small>{}</small><small>{to}</small></p>\n<ul class=\"legend\">",
            escape(&self.most)
        );
        for (series, name) in &self.series {
            let shape = match self.kind {
                ChartKind::Bars => "M0 20h9v30h-9z",
                ChartKind::Lines => "M0 35h9",
            };
            let _infallible = writeln!(
                svg,
                "<li><svg class=\"sign\" viewBox=\"0 0 9 60\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"{}\" d=\"{shape}\"/></svg>{}</li>",
                series.class,
                escape(name)
            );
        }
        svg + "</ul>\n"
    }
}

/// Bars that stand on those below.
fn bars(values: &[Option<i64>], below: &mut [i64], most: i64, width: i64) -> String {
    let mut path = String::new();
    for ((bin, value), below) in (0..).zip(values).zip(below) {
        let Some(value) = value.filter(|value| *value > 0) else { continue };
        let top = HEIGHT - (*below + value) * HEIGHT / most;
        let bottom = HEIGHT - *below * HEIGHT / most;
        *below += value;
        // What is there is seen, however little it is.
        let height = (bottom - top).max(1);
        let _infallible = write!(path, "M{} {top}h{}v{height}h-{}z", bin * width, (width - 1).max(1), (width - 1).max(1));
    }
    path
}

/// A line, which is broken where there is no value.
fn line(values: &[Option<i64>], most: i64, width: i64) -> String {
    let (mut path, mut is_broken) = (String::new(), true);
    for (bin, value) in (0..).zip(values) {
        let Some(value) = value else {
            is_broken = true;
            continue;
        };
        let y = HEIGHT - 2 - value * (HEIGHT - 4) / most;
        let _infallible = write!(path, "{}{} {y}h{}", if is_broken { 'M' } else { 'L' }, bin * width, (width - 1).max(1));
        is_broken = false;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_lines_break_where_nothing_is_known() {
        let mut below = vec![0; 3];
        assert_eq!(bars(&[Some(50), None, Some(0)], &mut below, 100, 10), "M0 50h9v50h-9z");
        assert_eq!(bars(&[Some(50), Some(100), None], &mut below, 100, 10), "M0 0h9v50h-9zM10 0h9v100h-9z");
        assert_eq!(line(&[Some(100), Some(0), None, Some(50)], 100, 10), "M0 2h9L10 98h9M30 50h9");
    }

    #[test]
    fn the_last_bin_ends_at_the_edge() {
        for bins in [1, 48, 57, 1000] {
            let series = Series { class: "good", values: vec![Some(1); bins] };
            let ends = (String::new(), String::new());
            let chart = Chart {
                says: String::new(),
                ends,
                most: String::new(),
                series: vec![(series, String::new())],
                kind: ChartKind::Bars,
            };
            let html = chart.html();
            let edge: i64 = html.split("viewBox=\"0 0 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            let last = html.split("d=\"").nth(1).unwrap().split('"').next().unwrap().rsplit('M').next().unwrap();
            let (at, bar) = last.split_once(' ').unwrap();
            let wide: i64 = bar.split('h').nth(1).unwrap().split('v').next().unwrap().parse().unwrap();
            assert!(edge - (at.parse::<i64>().unwrap() + wide) <= 1, "{bins}: {last} of {edge}");
        }
    }
}
