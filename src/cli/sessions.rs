//! `evergate sessions`: who is logged in, and why somebody no longer is.

mod tell;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{block_on, say};
use crate::{
    app,
    clock::Clock,
    config::{Environment, Problems, check},
    secret::hex,
    sign_out::LogoutInitiator,
    store::{ListedSession, Store},
};

/// So many events are shown at most.
const EVENTS: i64 = 50;

pub(super) fn command() -> Command {
    let name = || {
        Arg::new("name").value_name("NAME").help(
            "An e-mail address, user name or sub; or the beginning of a session's or grant's name, as lists and logs show it",
        )
    };
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let all = Arg::new("all").long("all").action(ArgAction::SetTrue).conflicts_with("name").help("Everybody's");
    Command::new("sessions")
        .about("Who is logged in, and why somebody no longer is")
        .subcommand_required(true)
        .subcommand(Command::new("list").about("All sessions, or those of one person").args([name(), json()]))
        .subcommand(Command::new("show").about("Sessions with their history").args([name().required(true), json()]))
        .subcommand(Command::new("why").about("Why somebody is logged in or out, in sentences").arg(name().required(true)))
        .subcommand(Command::new("restored").about(
            "After the database was restored from a backup, before gateways start: mark all refresh tokens as possibly used since",
        ))
        .subcommand(
            Command::new("revoke")
                .about("End sessions, here and at the provider")
                .args([name().required_unless_present("all"), all]),
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
            say(&format!("{marked} refresh tokens are marked as possibly used since the backup\n"));
            return Ok(());
        }
        let sessions = found(&store, name).await?;
        let now = Clock::System.now();
        match verb {
            "list" if arguments.get_flag("json") => say(&tell::json(&sessions, &settings.session, &[])),
            "list" => say(&tell::list(&sessions, &settings.session, now)),
            "show" | "why" => {
                let events = history(&store, name.unwrap_or_default(), &sessions).await?;
                if sessions.is_empty() && events.is_empty() {
                    bail!("nobody by that name has a session or a history here");
                }
                say(&match verb {
                    "why" => tell::why(&sessions, &settings.session, &events, now),
                    _ if arguments.get_flag("json") => tell::json(&sessions, &settings.session, &events),
                    _ => tell::show(&sessions, &settings.session, &events, now),
                });
            }
            _ => {
                if sessions.is_empty() {
                    bail!("nobody by that name has a session here");
                }
                // Sessions end here even if the provider cannot be reached.
                if let Err(error) = sign_out.provider.discover().await {
                    say(&format!(
                        "the provider cannot be reached; refresh tokens are revoked there by the next gateway that runs: {error}\n"
                    ));
                }
                let mut failures = 0;
                for listed in &sessions {
                    let name = listed.session.hash.short();
                    match sign_out
                        .end(listed.session.hash, LogoutInitiator::Administrator, settings.gateway.exchange.sites.main(), None)
                        .await
                    {
                        Ok(_) => say(&format!("ended session {name} of {}\n", tell::printable(listed.grant.identity.display()))),
                        Err(error) => {
                            failures += 1;
                            say(&format!("session {name} could not be ended: {error}\n"));
                        }
                    }
                }
                // What has ended is revoked and written whatever became of the others.
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

/// The sessions that `name` means; all without one.
async fn found(store: &Store, name: Option<&str>) -> anyhow::Result<Vec<ListedSession>> {
    let mut sessions = store.list_sessions().await.context("the sessions could not be read")?;
    if let Some(name) = name {
        // A person's own name wins over the beginning of somebody else's session: neither must be taken for the other.
        let is_a_person = sessions.iter().any(|listed| is_person(name, listed));
        sessions.retain(|listed| if is_a_person { is_person(name, listed) } else { begins_so(name, listed) });
    }
    Ok(sessions)
}

/// The beginning of a name must be long enough to mean one.
const SHORTEST: usize = 6;

fn is_person(name: &str, listed: &ListedSession) -> bool {
    let identity = &listed.grant.identity;
    identity.subject == name
        || identity.username.as_deref() == Some(name)
        || identity.email.iter().chain(&identity.unverified_email).any(|email| email.eq_ignore_ascii_case(name))
}

fn begins_so(name: &str, listed: &ListedSession) -> bool {
    let begins = |whole: String| name.len() >= SHORTEST && whole.starts_with(name);
    begins(hex(&listed.session.hash.0)) || begins(listed.grant.id.to_string())
}

/// The events of a person, a session or a grant, and of the grants of the sessions that were found.
async fn history(store: &Store, name: &str, sessions: &[ListedSession]) -> anyhow::Result<Vec<tell::Line>> {
    let mut events = store.events(name, None, EVENTS).await.context("the history could not be read")?;
    for listed in sessions {
        for line in store.events(&listed.session.hash.short(), Some(listed.grant.id), EVENTS).await? {
            if !events.contains(&line) {
                events.push(line);
            }
        }
    }
    // A session's name leads to its grant, whose renewals say why it ended.
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
