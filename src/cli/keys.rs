//! `evergate keys`.

use clap::{ArgMatches, Command};

use super::{block_on, say};
use crate::{
    app,
    config::{Environment, Problems},
    seal::KeyRing,
    store::{Resealed, Store},
    telemetry::metrics::Metrics,
};

/// So many grants are sealed anew between two looks at the store.
const BATCH: i64 = 100;

pub(super) fn command() -> Command {
    Command::new("keys")
        .about("Keys that seal tokens")
        .subcommand_required(true)
        .subcommand(Command::new("generate").about("Print a new key"))
        .subcommand(Command::new("status").about("How many grants are sealed under which key"))
        .subcommand(Command::new("reseal").about("Seal all tokens under the first key; gateways may run meanwhile"))
}

pub(super) fn run(environment: &Environment, verb: &ArgMatches) -> anyhow::Result<()> {
    match verb.subcommand_name() {
        Some("status") => block_on(async { status(&open(environment)?).await }),
        Some("reseal") => block_on(async { reseal(&open(environment)?).await }),
        Some(_) | None => {
            say(&format!("{}\n", KeyRing::generate()));
            Ok(())
        }
    }
}

fn open(environment: &Environment) -> anyhow::Result<Store> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let (store, keys) = raw.store(problems)?;
    Ok(Store::open(&store, app::keys(keys)?, Metrics::default())?)
}

async fn status(store: &Store) -> anyhow::Result<()> {
    let sealing = store.sealing_key();
    let all = store.sealed_under().await?;
    if !all.iter().any(|under| under.key == sealing) {
        say(&format!("{sealing}  seals: no grants yet\n"));
    }
    for under in all {
        let role = match (under.key == sealing, under.is_known) {
            (true, _) => "seals",
            (false, true) => "opens; `evergate keys reseal` makes it unnecessary",
            (false, false) => "is missing: these users sign in again",
        };
        say(&format!("{}  {role}: {} grants\n", under.key, under.grants));
    }
    Ok(())
}

async fn reseal(store: &Store) -> anyhow::Result<()> {
    let (mut after, mut all) = (None, Resealed::default());
    loop {
        let some = store.reseal(after, BATCH).await?;
        all.done += some.done;
        all.unreadable += some.unreadable;
        // What changed meanwhile was sealed under the first key by whoever changed it, unless that is an older gateway.
        all.changed += some.changed;
        match some.last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    say(&format!(
        "sealed anew: {}; renewed or ended meanwhile: {}; cannot be opened: {}\n",
        all.done, all.changed, all.unreadable
    ));
    status(store).await
}
