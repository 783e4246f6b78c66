//! The quick integration tests, in one binary; the modules are the table of contents. Those that take long are in `tests/heavy`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]
#![expect(unreachable_pub, reason = "the harness is a library to the tests beside it")]

#[expect(dead_code, reason = "the heavy tests use more of it")]
#[path = "../harness/world.rs"]
mod harness;

mod access;
mod answers;
mod architecture;
mod assertion;
mod back_channel_logout;
mod bearer;
mod broken_answers;
mod check;
mod claims;
mod client_auth;
mod coder_environment;
mod config;
mod cors;
mod credentials;
mod cross_origin;
mod database_contract;
mod doctor;
mod documentation;
mod draining;
mod early_answers;
mod forward;
mod forward_auth;
mod full_disk;
mod further_sites;
mod groups_overage;
mod history;
mod hosts;
mod identity;
mod ingress;
mod interim_answers;
mod judgement;
mod key_rotation;
mod login;
mod login_attacks;
mod login_problems;
mod login_ways;
mod logout;
mod long_lived;
mod lost_keys;
mod lost_logins;
mod odd_metadata;
mod odd_tokens;
mod operations;
mod personal_tokens;
mod plans;
mod poolers;
mod postgres_connections;
mod postgres_schema;
mod process;
mod protocols;
mod provider_proxy;
mod pushed_authorization;
mod readme;
mod reload;
mod renewal;
mod renewal_failures;
mod renewal_knowledge;
mod repeats;
mod replicas;
mod revocations;
mod routes;
mod rules;
mod session_cache;
mod sessions;
mod shared_grants;
mod silent_return;
mod smuggling;
mod snapshots;
mod sqlite_file;
mod store_failures;
mod store_grace;
mod store_rollbacks;
mod targets;
mod tls;
mod translate;
mod unknown_fate;
mod unreadable;
mod unverified_renewals;
mod webdav;
