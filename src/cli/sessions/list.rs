//! `evergate sessions list`: streams all sessions by pages, and shows those that pass the filters.

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, builder::NonEmptyStringValueParser, value_parser};

use super::{find, tell};
use crate::{
    administration::{Administration, EndedBecause, Filter, Limits, is_behind, parse_place, place, session_json},
    cli::output::{Reader, json_text, print_out, print_to_reader},
    clock::Timestamp,
    grant::EndReason,
    store::{ListPosition, ListedSession},
};

/// The arguments of `list` alone.
pub(super) fn arguments() -> [Arg; 7] {
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    [
        option("group", "GROUP").value_parser(NonEmptyStringValueParser::new()).help("Those whose user is in this group"),
        option("site", "HOST").value_parser(NonEmptyStringValueParser::new()).help("Those whose login was for this host"),
        option("ended", "REASON")
            .value_parser(parse_reason)
            .help("Those whose grant has ended for this reason, such as dead or outcome_unknown; any: for any"),
        Arg::new("not-renewable").long("not-renewable").action(ArgAction::SetTrue).help("Those without a refresh token"),
        option("not-renewed-since", "TIME")
            .value_parser(parse_time)
            .help("Those whose grant was last renewed before, as 2026-11-20 or 2026-11-20T08:00:00Z"),
        option("limit", "NUMBER")
            .value_parser(value_parser!(u64).range(1..))
            .help("Show so many at most, and where the list goes on"),
        option("after", "PLACE").value_parser(parse_after).help("Go on there"),
    ]
}

/// Any reason for an end.
const ANY: &str = "any";

/// Reads the reason for an end. A slip would be an empty list, as if nobody's grant had ended.
fn parse_reason(text: &str) -> anyhow::Result<EndedBecause> {
    if text == ANY {
        return Ok(EndedBecause::Any);
    }
    let known = || EndReason::ALL.map(EndReason::as_str).join(", ");
    let reason = EndReason::parse(text).with_context(|| format!("it is no reason for an end; write {} or {ANY}", known()))?;
    Ok(EndedBecause::Of(reason))
}

fn parse_after(text: &str) -> anyhow::Result<ListPosition> {
    parse_place(text).context("it is no place in a list; the list that it goes on from has printed one")
}

/// Which sessions are shown.
fn filter(arguments: &ArgMatches) -> Filter {
    let text = |name| arguments.get_one::<String>(name).cloned();
    Filter {
        group: text("group"),
        site: text("site"),
        issuer: text("issuer"),
        ended: arguments.get_one("ended").copied(),
        not_renewable: arguments.get_flag("not-renewable"),
        not_renewed_since: arguments.get_one("not-renewed-since").copied(),
        ..Filter::default()
    }
}

fn parse_time(text: &str) -> anyhow::Result<Timestamp> {
    let day = format!("{text}T00:00:00Z");
    let parsed = [text, &day].into_iter().find_map(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    let time = parsed.context("it is no time; write it as 2026-11-20 or 2026-11-20T08:00:00Z")?;
    Ok(Timestamp(time.timestamp_millis()))
}

/// Prints the list.
pub(super) async fn run(administration: &Administration, name: Option<&str>, arguments: &ArgMatches) -> anyhow::Result<()> {
    let (filter, limits, now) = (filter(arguments), &administration.limits, administration.clock.now());
    let limit = arguments.get_one::<u64>("limit").map_or(usize::MAX, |limit| usize::try_from(*limit).unwrap_or(usize::MAX));
    let mut position = Some(arguments.get_one("after").copied().unwrap_or(ListPosition::START));
    let mut output = Output { is_json: arguments.get_flag("json"), limits, now, widths: None, shown: 0 };
    output.begin()?;
    let mut last = None;
    while let Some(after) = position {
        let mut page;
        (page, position) = match name {
            Some(name) => (find::named(administration, name).await?, None),
            None => find::page(administration, after).await?,
        };
        // Of one person's all are read, and a list of them goes on within.
        page.retain(|listed| filter.matches(listed) && is_behind(listed, after));
        let left = limit - output.shown;
        // What goes on is known to do so only if there is one more.
        let is_cut = page.len() > left;
        page.truncate(left);
        if output.page(&page)? == Reader::Gone {
            return Ok(());
        }
        last = page.last().map(place).or(last);
        if is_cut {
            return output.end(last.as_deref());
        }
    }
    output.end(None)
}

/// The list as it is printed, page by page.
struct Output<'a> {
    is_json: bool,
    limits: &'a Limits,
    now: Timestamp,
    widths: Option<[usize; tell::COLUMNS]>,
    shown: usize,
}

impl Output<'_> {
    fn begin(&self) -> anyhow::Result<()> {
        if self.is_json { print_out("{\"events\":[],\"sessions\":[") } else { Ok(()) }
    }

    fn page(&mut self, page: &[ListedSession]) -> anyhow::Result<Reader> {
        let text = if self.is_json {
            page.iter().fold(String::new(), |mut text, listed| {
                text.push_str(if self.shown > 0 || !text.is_empty() { "," } else { "" });
                text.push_str(&json_text(&session_json(listed, self.limits, self.now).to_string()));
                text
            })
        } else {
            tell::list(page, self.limits, self.now, &mut self.widths)
        };
        self.shown += page.len();
        print_to_reader(&text)
    }

    /// Ends the list; `next` is where it goes on.
    fn end(&self, next: Option<&str>) -> anyhow::Result<()> {
        match next {
            _ if self.is_json => {
                let next = next.map(|next| format!(",\"next\":\"{next}\"")).unwrap_or_default();
                print_out(&format!("]{next}}}\n"))
            }
            Some(next) => print_out(&format!("there are more: --after {next}\n")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_or_a_moment() {
        assert_eq!(parse_time("1970-01-02").unwrap(), Timestamp(86_400_000));
        assert_eq!(parse_time("1970-01-01T01:00:00+01:00").unwrap(), Timestamp(0));
        assert!(parse_time("yesterday").unwrap_err().to_string().contains("it is no time"));
    }
}
