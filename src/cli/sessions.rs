//! `evergate sessions`: lists and ends sessions, and explains why a user was logged out.

mod act;
mod find;
mod list;
mod tell;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, builder::NonEmptyStringValueParser, value_parser};

use super::{
    existing_store::require_store,
    nobody::Nobody,
    output::{print_out, printable},
    recorded::recorded,
    runtime::block_on,
};
use crate::{
    administration::{Action, Administration, Whose, parse_event_place},
    app,
    config::{Environment, Problems, check},
    store::{EventFilter, EventPlace, EventsOf, ListedSession, Store},
};

/// What is asked for.
#[derive(Clone, Copy)]
enum Verb {
    List,
    Show,
    Why,
    Restored,
    Audit,
    Renew,
    Revoke,
}

impl Verb {
    const ALL: [Self; 7] = [Self::List, Self::Show, Self::Why, Self::Restored, Self::Audit, Self::Renew, Self::Revoke];

    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show => "show",
            Self::Why => "why",
            Self::Restored => "restored",
            Self::Audit => "audit",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }

    fn command(self) -> Command {
        let name = Arg::new(NAME).value_name("NAME").value_parser(NonEmptyStringValueParser::new()).help(
            "An e-mail address, user name or sub; or the beginning of a session's or grant's name, as lists and logs show it",
        );
        let issuer = Arg::new(ISSUER)
            .long(ISSUER)
            .value_name("URL")
            .value_parser(NonEmptyStringValueParser::new())
            .help("Only users of the provider with this issuer, where there are several");
        let json = Arg::new(JSON).long(JSON).action(ArgAction::SetTrue).help("Print JSON");
        let limit = Arg::new(LIMIT)
            .long(LIMIT)
            .value_name("NUMBER")
            .value_parser(value_parser!(u64).range(1..=10_000))
            .help("Show so many events at most, and where the history goes on");
        let after = Arg::new(AFTER).long(AFTER).value_name("PLACE").value_parser(parse_after).help("Go on there");
        let command = Command::new(self.name());
        match self {
            Self::List => command
                .about("All sessions, the last login first, or those of one person")
                .args([name, json, issuer])
                .args(list::arguments()),
            Self::Show => command.about("Sessions with their history").args([name.required(true), json, issuer, limit, after]),
            Self::Why => {
                command.about("Why somebody is logged in or out, in sentences").args([name.required(true), issuer])
            }
            Self::Restored => command
                .about("After the database was restored from a backup, before gateways start: mark all refresh tokens as possibly used since")
                .arg(
                    Arg::new(WHILE_SERVING)
                        .long(WHILE_SERVING)
                        .action(ArgAction::SetTrue)
                        .help("Also while gateways use the database, which may have presented tokens of the backup already"),
                ),
            Self::Audit => command.about("What administrators did, the last first").args([json, limit, after]),
            Self::Renew => {
                command.about("Renew the grants of somebody's sessions now").args([name.required(true), issuer])
            }
            Self::Revoke => {
                let all = Arg::new(ALL).long(ALL).action(ArgAction::SetTrue).conflicts_with(NAME).help("Everybody's");
                command
                    .about("End sessions, here and at the provider")
                    .args([name.required_unless_present(ALL), all, issuer])
            }
        }
    }
}

const NAME: &str = "name";
const ISSUER: &str = "issuer";
const JSON: &str = "json";
const LIMIT: &str = "limit";
const AFTER: &str = "after";
const ALL: &str = "all";
const WHILE_SERVING: &str = "while-serving";

pub(super) fn command() -> Command {
    Command::new("sessions")
        .about("Who is logged in, and why somebody no longer is")
        .subcommand_required(true)
        .subcommands(Verb::ALL.map(Verb::command))
}

pub(super) fn run(environment: &Environment, verb: &ArgMatches) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let settings = check(&raw, problems)?;
    require_store(&settings.store)?;
    let Some((verb, arguments)) = verb.subcommand().and_then(|(name, arguments)| Some((Verb::parse(name)?, arguments))) else {
        return Ok(());
    };
    let text = |name| arguments.try_get_one::<String>(name).ok().flatten().map(String::as_str);
    let (name, issuer) = (|| text(NAME).context("it is not said whose"), text(ISSUER));
    block_on(async {
        let administration = app::administer(&settings)?;
        match verb {
            Verb::List => list::run(&administration, text(NAME), arguments).await,
            Verb::Show => show(&administration, name()?, issuer, arguments).await,
            Verb::Why => why(&administration, name()?, issuer).await,
            Verb::Restored => restored(&administration.store, arguments.get_flag(WHILE_SERVING)).await,
            Verb::Audit => audit(&administration, arguments).await,
            Verb::Renew => act::renew(&administration, name()?, issuer).await,
            Verb::Revoke if arguments.get_flag(ALL) => act::end(&administration, Whose::Everyone, issuer).await,
            Verb::Revoke => act::end(&administration, Whose::Named(name()?), issuer).await,
        }
    })
}

/// Marks all refresh tokens as possibly used since the backup that the database was restored from; beside gateways only if that is meant.
/// Where nothing was restored, their users would all pass the provider.
async fn restored(store: &Store, while_serving: bool) -> anyhow::Result<()> {
    let living = store.living_replicas().await.context("which gateways use the database could not be read")?;
    if !living.is_empty() && !while_serving {
        bail!(
            "nothing is marked, because gateways use the database ({}): stop them first, or say --{WHILE_SERVING}",
            printable(&living.join(", "))
        );
    }
    let marked = recorded(store, Action::Restored, async { Ok(store.mark_restored().await?) }).await?;
    print_out(&format!("{marked} refresh tokens are marked as possibly used since the backup\n"))
}

/// The sessions of those who have this name, and whose history it is.
async fn found(
    administration: &Administration,
    name: &str,
    issuer: Option<&str>,
) -> anyhow::Result<(Vec<ListedSession>, Vec<EventsOf>)> {
    let (sessions, of) = administration.found(name, issuer).await.context(find::UNREADABLE)?;
    if sessions.is_empty() && of.is_empty() {
        bail!(Nobody::WithHistory);
    }
    Ok((sessions, of))
}

const UNREADABLE: &str = "the history could not be read";
/// So many events, or actions, are printed, if it is not said how many.
const NEWEST: usize = 100;

/// Prints sessions in detail with a part of their history.
async fn show(administration: &Administration, name: &str, issuer: Option<&str>, arguments: &ArgMatches) -> anyhow::Result<()> {
    let (sessions, of) = found(administration, name, issuer).await?;
    let (limits, now) = (&administration.limits, administration.clock.now());
    let part = administration.history(&of, EventFilter::All, after(arguments), most(arguments)).await.context(UNREADABLE)?;
    print_out(&if arguments.get_flag(JSON) {
        tell::json(&sessions, limits, &part, now)
    } else {
        tell::show(&sessions, limits, &part, now)
    })
}

/// Prints why sessions ended: everything that is kept, however many renewals there were in between.
async fn why(administration: &Administration, name: &str, issuer: Option<&str>) -> anyhow::Result<()> {
    let (sessions, of) = found(administration, name, issuer).await?;
    let (mut ends, mut position) = (Vec::new(), Some(EventPlace::START));
    while let Some(after) = position {
        let part = administration.history(&of, EventFilter::Ends, after, NEWEST).await.context(UNREADABLE)?;
        ends.extend(part.events);
        position = part.next;
    }
    let logins = administration.history(&of, EventFilter::Logins, EventPlace::START, 1).await.context(UNREADABLE)?;
    let last_login = logins.events.first().map(|stored| stored.event.at);
    print_out(&tell::why(&sessions, &administration.limits, &ends, last_login, administration.clock.now()))
}

/// Prints what administrators did.
async fn audit(administration: &Administration, arguments: &ArgMatches) -> anyhow::Result<()> {
    let part = administration.audit(after(arguments), most(arguments)).await.context(UNREADABLE)?;
    print_out(&if arguments.get_flag(JSON) {
        tell::json(&[], &administration.limits, &part, administration.clock.now())
    } else {
        tell::audit(&part)
    })
}

/// Reads where a list of events goes on.
fn parse_after(text: &str) -> anyhow::Result<EventPlace> {
    parse_event_place(text).context("it is no place in a history; the part that it goes on from has printed one")
}

fn after(arguments: &ArgMatches) -> EventPlace {
    arguments.get_one(AFTER).copied().unwrap_or(EventPlace::START)
}

fn most(arguments: &ArgMatches) -> usize {
    arguments.get_one::<u64>(LIMIT).map_or(NEWEST, |limit| usize::try_from(*limit).unwrap_or(usize::MAX))
}
