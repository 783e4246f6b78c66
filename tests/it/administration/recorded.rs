//! What the command line does is recorded as it is done, whatever becomes of the command.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{administered, audit, both, browser};
use crate::harness::{Kind, World, eventually::eventually, idp::user, postgres};

const BY: &str = "the command line";

#[tokio::test]
async fn an_end_of_everyone_that_is_stopped_halfway_has_its_history() {
    let world = World::build().on(Kind::Postgres).start().await;
    let early = browser(&world, user("eve")).await;
    world.clock.advance(std::time::Duration::from_secs(1));
    browser(&world, user("bob")).await;
    assert!(early.fetch("/").await.is_upstreams());
    // The last login is ended first; the next one cannot be.
    let (url, hers) = (world.database_url(), "grant_id IN (SELECT id FROM grants WHERE subject = 'sub-eve')");
    let lock = postgres::held(&url, &format!("BEGIN; SELECT hash FROM sessions WHERE {hers} FOR UPDATE")).await;
    let mut command = world.binary();
    let mut child = command.args(["sessions", "revoke", "--all"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::task::spawn_blocking(move || lines.next()).await.unwrap().unwrap().unwrap();
    assert!(line.contains("of bob@example.com"), "{line}");
    // While the command runs, and not when it ends.
    eventually("it is recorded", async || {
        let begun = ["end_everyone", "begun", BY].map(str::to_owned);
        let (_, why) = world.command(&["sessions", "why", "bob"]).await;
        audit(&world).await.contains(&begun) && why.contains("an administrator ended the session")
    })
    .await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    eventually("it waits for what is under way alone", async || {
        postgres::waiting(&url, "SELECT hash FROM sessions WHERE hash = $1 OR login%").await > 0
    })
    .await;
    drop(lock);
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "it tells that it was stopped: {status}");
    let (_, why) = world.command(&["sessions", "why", "eve"]).await;
    assert!(why.contains("an administrator ended the session"), "what was under way is recorded, too: {why}");
}

#[tokio::test]
async fn what_is_done_to_all_tokens_is_audited() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        browser(&world, user("bob")).await;
        for (command, action) in [(["sessions", "restored"], "restored"), (["keys", "reseal"], "reseal")] {
            let (code, said) = world.command(&command).await;
            assert_eq!(code, 0, "{said}");
            assert!(audit(&world).await.contains(&[action, "ok", BY].map(str::to_owned)), "{action}");
        }
        let (_, told) = world.command(&["sessions", "audit"]).await;
        assert!(told.contains("had all tokens encrypted with the newest key"), "{told}");
    }
}

#[tokio::test]
async fn a_renewal_by_the_command_line_counts_in_the_figures_of_its_provider() {
    let world = administered().start().await;
    browser(&world, user("bob")).await;
    let (code, said) = world.command(&["sessions", "renew", "bob"]).await;
    assert_eq!(code, 0, "{said}");
    let program = super::Program::of(&super::administrator(&world).await).await;
    let providers = program.get("/providers").await;
    let hours = providers["providers"][0]["hours"].as_array().unwrap();
    assert_eq!(hours.iter().map(|hour| hour["outcomes"]["ok"].as_i64().unwrap()).sum::<i64>(), 1, "{providers}");
}
