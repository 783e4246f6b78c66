//! Integration tests that take long or load the machine: suites of others' making, crashes, crowds, floods and waits of minutes.
//! `tests/run` runs them after the quick ones of `tests/it`. The modules are the table of contents.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]
#![expect(unreachable_pub, reason = "the harness is a library to the tests beside it")]

#[expect(dead_code, reason = "the quick tests use more of it")]
#[path = "../harness/world.rs"]
mod harness;

mod browser_origins;
mod browser_tokens;
mod chaos;
mod conformance;
mod crash;
mod crowd;
mod floods;
mod git;
mod grpc;
mod mcp;
mod pages;
mod peers;
mod readings;
mod stalled_uploads;
mod storm;
mod transfer;
