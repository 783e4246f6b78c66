//! `evergate sessions`: lists and ends sessions, and explains why a user was logged out.

mod find;
mod list;
mod tell;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    output::{print_out, printable},
    runtime::block_on,
};
use crate::{
    app,
    clock::Clock,
    config::{Environment, Problems, check},
    sign_out::LogoutInitiator,
    store::{ListedSession, Store},
};

/// The maximum number of events shown.
const EVENTS: i64 = 50;

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
        let (store, sign_out) = app::administer(&settings)?;
        if verb == "restored" {
            let marked = store.mark_restored().await?;
            print_out(&format!("{marked} refresh tokens are marked as possibly used since the backup\n"));
            return Ok(());
        }
        let now = Clock::System.now();
        if verb == "list" {
            return list::run(&store, name, arguments, &settings.session, now).await;
        }
        let mut sessions = match name {
            Some(name) => find::named(&store, name).await?,
            None => find::all(&store).await?,
        };
        let issuer = arguments.try_get_one::<String>("issuer").ok().flatten();
        sessions.retain(|listed| issuer.is_none_or(|issuer| listed.grant.issuer == *issuer));
        match verb {
            "show" | "why" => {
                let events = history(&store, name.unwrap_or_default(), &sessions).await?;
                if sessions.is_empty() && events.is_empty() {
                    bail!("nobody by that name has a session or a history here");
                }
                print_out(&match verb {
                    "why" => tell::why(&sessions, &settings.session, &events, now),
                    _ if arguments.get_flag("json") => tell::json(&sessions, &settings.session, &events),
                    _ => tell::show(&sessions, &settings.session, &events, now),
                });
            }
            _ => {
                if sessions.is_empty() {
                    bail!("nobody by that name has a session here");
                }
                // Sessions end locally even if the provider cannot be reached.
                for provider in sign_out.providers.iter() {
                    if let Err(error) = provider.discover().await {
                        print_out(&format!(
                            "the provider {} cannot be reached; refresh tokens are revoked there by the next gateway that runs: \
                             {error}\n",
                            provider.issuer()
                        ));
                    }
                }
                let end_all = async |sessions: &[ListedSession]| {
                    let mut failures = 0;
                    for listed in sessions {
                        let name = listed.session.hash.short();
                        match sign_out
                            .end(
                                listed.session.hash,
                                LogoutInitiator::Administrator,
                                settings.gateway.exchange.sites.main(),
                                None,
                            )
                            .await
                        {
                            Ok(_) => {
                                print_out(&format!("ended session {name} of {}\n", printable(listed.grant.identity.display())))
                            }
                            Err(error) => {
                                failures += 1;
                                print_out(&format!("session {name} could not be ended: {error}\n"));
                            }
                        }
                    }
                    failures
                };
                let mut failures = end_all(&sessions).await;
                // A token that was made of one of them while the others ended.
                let mut made_meanwhile = match name {
                    Some(name) => find::named(&store, name).await?,
                    None => find::all(&store).await?,
                };
                made_meanwhile.retain(|listed| {
                    listed.session.token.is_some() && sessions.iter().all(|ended| ended.session.hash != listed.session.hash)
                });
                failures += end_all(&made_meanwhile).await;
                // What has ended is revoked and recorded even if others failed.
                sign_out.tasks.close();
                sign_out.tasks.wait().await;
                sign_out.revoke_due().await;
                store.flush_events().await;
                if failures > 0 {
                    bail!("{failures} sessions could not be ended");
                }
            }
        }
        Ok(())
    })
}

/// Returns the events of a user, a session or a grant, and of the grants of the matching sessions.
async fn history(store: &Store, name: &str, sessions: &[ListedSession]) -> anyhow::Result<Vec<tell::Line>> {
    let mut events = store.events(name, None, EVENTS).await.context("the history could not be read")?;
    for listed in sessions {
        for line in store.events(&listed.session.hash.short(), Some(listed.grant.id), EVENTS).await? {
            if !events.contains(&line) {
                events.push(line);
            }
        }
    }
    // A session's hash leads to its grant, whose token refreshes explain why it ended.
    for grant in events.iter().map(|(event, _)| event.grant).collect::<std::collections::HashSet<_>>() {
        for line in store.events("", Some(grant), EVENTS).await? {
            if !events.contains(&line) {
                events.push(line);
            }
        }
    }
    events.sort_by_key(|(event, _)| std::cmp::Reverse(event.at));
    Ok(events)
}
