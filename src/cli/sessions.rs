//! `evergate sessions`: lists and ends sessions, and explains why a user was logged out.

mod act;
mod find;
mod list;
mod tell;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{output::print_out, runtime::block_on};
use crate::{
    administration::Administration,
    app,
    config::{Environment, Problems, check},
    store::EventPlace,
};

pub(super) fn command() -> Command {
    let name = || {
        Arg::new("name").value_name("NAME").help(
            "An e-mail address, user name or sub; or the beginning of a session's or grant's name, as lists and logs show it",
        )
    };
    let issuer = || {
        let help = "Only users of the provider with this issuer, where there are several";
        Arg::new("issuer").long("issuer").value_name("URL").help(help)
    };
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let all = Arg::new("all").long("all").action(ArgAction::SetTrue).conflicts_with("name").help("Everybody's");
    Command::new("sessions")
        .about("Who is logged in, and why somebody no longer is")
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("All sessions, the last login first, or those of one person")
                .args([name(), json(), issuer()])
                .args(list::arguments()),
        )
        .subcommand(Command::new("show").about("Sessions with their history").args([name().required(true), json(), issuer()]))
        .subcommand(Command::new("why").about("Why somebody is logged in or out, in sentences").args([name().required(true), issuer()]))
        .subcommand(Command::new("restored").about(
            "After the database was restored from a backup, before gateways start: mark all refresh tokens as possibly used since",
        ))
        .subcommand(Command::new("audit").about("What administrators did, the last first").arg(json()))
        .subcommand(
            Command::new("renew").about("Renew the grants of somebody's sessions now").args([name().required(true), issuer()]),
        )
        .subcommand(
            Command::new("revoke")
                .about("End sessions, here and at the provider")
                .args([name().required_unless_present("all"), all, issuer()]),
        )
}

pub(super) fn run(environment: &Environment, verb: &ArgMatches) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let settings = check(&raw, problems)?;
    let Some((verb, arguments)) = verb.subcommand() else { return Ok(()) };
    let name = arguments.try_get_one::<String>("name").ok().flatten().map(String::as_str);
    block_on(async {
        let administration = app::administer(&settings)?;
        match verb {
            "restored" => {
                let marked = administration.store.mark_restored().await?;
                print_out(&format!("{marked} refresh tokens are marked as possibly used since the backup\n"));
                return Ok(());
            }
            "list" => return list::run(&administration, name, arguments).await,
            "audit" => return audit(&administration, arguments.get_flag("json")).await,
            _ => {}
        }
        let mut sessions = match name {
            Some(name) => find::named(&administration, name).await?,
            None => find::all(&administration).await?,
        };
        let issuer = arguments.try_get_one::<String>("issuer").ok().flatten();
        sessions.retain(|listed| issuer.is_none_or(|issuer| listed.grant.issuer == *issuer));
        let now = administration.clock.now();
        match verb {
            "show" | "why" => {
                let events = administration.history(name.unwrap_or_default(), &sessions).await;
                let events = events.context("the history could not be read")?;
                if sessions.is_empty() && events.is_empty() {
                    bail!("nobody by that name has a session or a history here");
                }
                print_out(&match verb {
                    "why" => tell::why(&sessions, &administration.limits, &events, now),
                    _ if arguments.get_flag("json") => tell::json(&sessions, &administration.limits, &events, now),
                    _ => tell::show(&sessions, &administration.limits, &events, now),
                });
            }
            _ => {
                if sessions.is_empty() {
                    bail!("nobody by that name has a session here");
                }
                act::discover(&administration).await;
                match verb {
                    "renew" => act::renew(&administration, &sessions).await?,
                    _ => act::end(&administration, name, sessions).await?,
                }
            }
        }
        Ok(())
    })
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
