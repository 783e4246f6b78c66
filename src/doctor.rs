//! `evergate doctor`: finds out, by one real login, whether the provider lets users stay logged in.
//!
//! It logs in as every user does, renews the grant twice, says what that means, and revokes what it was given. Nothing is kept,
//! and no token, secret or name of a person is in what it returns.
//!
//! | module | what it does |
//! |---|---|
//! | [`examination`] | the examination from its first login to its end |
//! | [`examiner`], [`browser`] | what it works with; the browser that it sends |
//! | [`login`], [`renewals`] | one login; renewals of its grant |
//! | [`storm`] | many requests on two replicas at once |
//! | [`destructive`] | what costs the grant to find out |
//! | [`cleanup`] | the revocation of what was given |
//! | [`facts`] | what was found out |
//! | [`finding`], [`verdict`], [`words`] | what that means; pure |
//! | [`report`], [`page`] | the verdict as text and JSON, and as a page; pure |

mod browser;
mod cleanup;
mod destructive;
mod examination;
mod examiner;
mod facts;
mod finding;
mod login;
mod page;
mod renewals;
mod report;
mod storm;
mod verdict;
mod words;

pub use browser::{Browser, Errand};
pub use examination::Extent;
pub use examiner::{Doctor, Settings};
pub use finding::Level;
pub use report::Report;
