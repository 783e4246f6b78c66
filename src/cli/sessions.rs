//! `evergate sessions`: lists and ends sessions, and explains why a user was logged out.

mod act;
mod find;
mod list;
mod tell;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{output::print_out, runtime::block_on};
use crate::{
    administration::{Administration, Whose},
    app,
    config::{Environment, Problems, check},
    store::{EventPlace, ListedSession},
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
        let name = Arg::new(NAME).value_name("NAME").help(
            "An e-mail address, user name or sub; or the beginning of a session's or grant's name, as lists and logs show it",
        );
        let issuer = Arg::new(ISSUER)
            .long(ISSUER)
            .value_name("URL")
            .help("Only users of the provider with this issuer, where there are several");
        let json = Arg::new(JSON).long(JSON).action(ArgAction::SetTrue).help("Print JSON");
        let command = Command::new(self.name());
        match self {
            Self::List => command
                .about("All sessions, the last login first, or those of one person")
                .args([name, json, issuer])
                .args(list::arguments()),
            Self::Show => command.about("Sessions with their history").args([name.required(true), json, issuer]),
            Self::Why => {
                command.about("Why somebody is logged in or out, in sentences").args([name.required(true), issuer])
            }
            Self::Restored => command.about(
                "After the database was restored from a backup, before gateways start: mark all refresh tokens as possibly used since",
            ),
            Self::Audit => command.about("What administrators did, the last first").arg(json),
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
const ALL: &str = "all";

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
    let Some((verb, arguments)) = verb.subcommand().and_then(|(name, arguments)| Some((Verb::parse(name)?, arguments))) else {
        return Ok(());
    };
    let text = |name| arguments.try_get_one::<String>(name).ok().flatten().map(String::as_str);
    let (name, issuer) = (|| text(NAME).context("it is not said whose"), text(ISSUER));
    block_on(async {
        let administration = app::administer(&settings)?;
        match verb {
            Verb::List => list::run(&administration, text(NAME), arguments).await,
            Verb::Show => {
                let (sessions, events) = story(&administration, name()?, issuer).await?;
                let (limits, now) = (&administration.limits, administration.clock.now());
                let render = if arguments.get_flag(JSON) { tell::json } else { tell::show };
                print_out(&render(&sessions, limits, &events, now));
                Ok(())
            }
            Verb::Why => {
                let (sessions, events) = story(&administration, name()?, issuer).await?;
                print_out(&tell::why(&sessions, &administration.limits, &events, administration.clock.now()));
                Ok(())
            }
            Verb::Restored => {
                let marked = administration.store.mark_restored().await?;
                print_out(&format!("{marked} refresh tokens are marked as possibly used since the backup\n"));
                Ok(())
            }
            Verb::Audit => audit(&administration, arguments.get_flag(JSON)).await,
            Verb::Renew => act::renew(&administration, &find::named_at(&administration, name()?, issuer).await?).await,
            Verb::Revoke if arguments.get_flag(ALL) => act::end(&administration, Whose::Everyone, issuer).await,
            Verb::Revoke => act::end(&administration, Whose::Named(name()?), issuer).await,
        }
    })
}

/// The sessions of those who have this name, and what happened to them.
async fn story(
    administration: &Administration,
    name: &str,
    issuer: Option<&str>,
) -> anyhow::Result<(Vec<ListedSession>, Vec<tell::Line>)> {
    let sessions = find::named_at(administration, name, issuer).await?;
    let events = administration.history(name, &sessions).await.context("the history could not be read")?;
    if sessions.is_empty() && events.is_empty() {
        bail!("nobody by that name has a session or a history here");
    }
    Ok((sessions, events))
}

/// So many actions are printed.
const NEWEST: usize = 100;

/// Prints what administrators did.
async fn audit(administration: &Administration, is_json: bool) -> anyhow::Result<()> {
    let events = administration.audit(EventPlace::START, NEWEST).await.context("the history could not be read")?.events;
    print_out(&if is_json {
        tell::json(&[], &administration.limits, &events, administration.clock.now())
    } else {
        tell::audit(&events)
    });
    Ok(())
}
