//! Translates the configuration of oauth2-proxy into Evergate's, and says what has no equivalent. Pure: texts go in and come out.
//!
//! It promises that nobody may enter whom oauth2-proxy kept out, and that no path is public that was not: what cannot be said here is
//! stricter in the result, and is told. The [table of options](options) is what the translation and `docs/oauth2-proxy-options.md` go by.

mod access;
mod addresses;
mod alpha;
mod alpha_config;
mod chart;
mod entries;
mod given;
mod headers;
mod manifest;
mod options;
mod patterns;
mod print;
mod provider;
mod public_paths;
mod result;
mod sessions;
mod source_reader;
mod sources;
mod upstreams;

use std::collections::BTreeMap;

use crate::config::Problems;

use access::RouteRule;
use alpha_config::{Alpha, FurtherProvider};
use given::Given;
use options::{Form, Meaning};
use result::{ProviderTable, RouteTable};

pub use print::{Output, Secrets, options as options_page};
pub use result::{Note, Severity, Translation};
pub use sources::Sources;

/// Translates what `sources` say. `open` reads a file, and `settings` are Evergate's own that an administrator has set already, by
/// their names: a secret with `_file` after it and the path of its file.
///
/// # Errors
/// What cannot be read.
pub fn translate(
    sources: &Sources,
    settings: &BTreeMap<String, String>,
    open: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<Translation, Problems> {
    let read = sources::read(sources, open)?;
    let (mut given, mut alpha) = (read.given, read.alpha);
    let further_providers = std::mem::take(&mut alpha.further_providers);
    let mut result = Translation { notes: std::mem::take(&mut given.notes), ..Translation::default() };
    let serves = upstreams::translate(&mut given, &alpha, &mut result);
    let answers_ingresses = addresses::translate(&mut given, serves, !alpha.response_headers.is_empty(), &mut result);
    let rule = access::translate(&mut given, &mut result);
    provider::translate(&mut given, &alpha, &mut result);
    headers::translate(&mut given, &alpha, answers_ingresses, &mut result);
    sessions::translate(&mut given, &mut result);
    public_paths::translate(&mut given, &mut result);
    restrict(&rule, &mut result);
    account_for_the_rest(&given, &mut result);
    for provider in further_providers {
        add_provider(provider, &given, &mut result);
    }
    access::close(&mut result);
    for (name, value) in settings {
        result.answer(name, value);
    }
    result.notes.sort_by_key(|note| std::cmp::Reverse(note.severity));
    result.notes.dedup();
    Ok(result)
}

/// Adds a provider that oauth2-proxy does not use, as a table that is commented out: an administrator decides whether its users enter.
/// What restricts them and has no equivalent keeps them out also where somebody takes the marks away.
fn add_provider(provider: FurtherProvider, all: &Given, result: &mut Translation) {
    let FurtherProvider { origin, id, mut given, login_parameters } = provider;
    given.share(all, &["email-domain", "authenticated-emails-file"]);
    let mut own = Translation { notes: std::mem::take(&mut given.notes), ..Translation::default() };
    let rule = access::translate(&mut given, &mut own);
    provider::translate(&mut given, &Alpha { login_parameters, ..Alpha::default() }, &mut own);
    account_for_the_rest(&given, &mut own);
    if !rule.claims.is_empty() || !rule.claims_match.is_empty() {
        let message =
            "restricts who may enter, which routes ask for and no [[provider]] table: name its routes' providers and claims";
        own.notes.push(Note::closing(&rule.comment.join(", "), message));
    }
    access::close(&mut own);
    let message = "is a further provider, which oauth2-proxy does not use; its [[provider]] table stands commented out. Take the marks \
                   away if its users are to enter (docs/several-providers.md)";
    result.notes.push(Note::warning(&origin, message));
    let is_shared = |note: &Note| all.all().any(|(_, option)| option.origin == note.subject);
    let notes = own.notes.into_iter().filter(|note| !is_shared(note) || note.closes);
    result.notes.extend(notes.map(|note| Note {
        subject: if note.subject.contains(&origin) || note.subject.contains("providers[") {
            note.subject
        } else {
            format!("{origin}: {}", note.subject)
        },
        // Nobody enters by a table that is commented out.
        closes: false,
        asks_for: Vec::new(),
        ..note
    }));
    let number = result.providers.len().saturating_add(2);
    let name = id.as_deref().and_then(provider_name).unwrap_or_else(|| format!("provider-{number}"));
    let is_taken = name == "default" || result.providers.iter().any(|other| other.name == name);
    let name = if is_taken { format!("{name}-{number}") } else { name };
    for line in &mut own.lines {
        if line.name == "oidc_sign_in_text" {
            line.name = "text".to_owned();
        }
    }
    result.providers.push(ProviderTable {
        name,
        lines: own.lines,
        comment: format!("{origin}, which oauth2-proxy does not use"),
    });
}

/// A provider's name here, if its `id` can be made one.
fn provider_name(id: &str) -> Option<String> {
    let name: String =
        id.to_ascii_lowercase().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    Some(name.trim_matches('-').to_owned()).filter(|name| !name.is_empty() && name.len() <= MAX_NAME_LEN)
}

/// Has every route that is not public ask for what all users must have, and send the fixed headers.
fn restrict(rule: &RouteRule, result: &mut Translation) {
    let is_restricted = !rule.claims.is_empty() || !rule.claims_match.is_empty() || !rule.bearer_audiences.is_empty();
    let is_front = |route: &RouteTable| route.path == "/" && !route.is_commented_out;
    if (is_restricted || !result.fixed_headers.is_empty()) && !result.routes.iter().any(is_front) {
        result
            .routes
            .insert(0, RouteTable { path: "/".to_owned(), comment: "every other path".to_owned(), ..RouteTable::default() });
    }
    let headers = result.fixed_headers.clone();
    for route in &mut result.routes {
        route.set_headers.clone_from(&headers);
        if is_restricted && !route.is_public {
            route.claims.clone_from(&rule.claims);
            route.claims_match.clone_from(&rule.claims_match);
            route.bearer_audiences.clone_from(&rule.bearer_audiences);
            route.comment = format!("{}; for users as {} says", route.comment, rule.comment.join(", "));
        }
    }
}

/// Says of every option that has become nothing why that is so.
fn account_for_the_rest(given: &Given, result: &mut Translation) {
    for (flag, option) in given.unused() {
        let Some(known) = options::find(flag) else { continue };
        // A switch that says what oauth2-proxy does anyway asks for nothing.
        let is_default =
            known.form == Form::Switch && option.values.iter().all(|value| (value == "true") == (flag == "proxy-websockets"));
        result.notes.push(match known.meaning {
            Meaning::NoEffect(why) => Note::info(&option.origin, format!("has no effect here: {why}")),
            Meaning::NoEquivalent(_) if is_default => Note::info(&option.origin, "is as Evergate does it"),
            Meaning::NoEquivalent(why) => Note::warning(&option.origin, format!("has no equivalent: {why}")),
            Meaning::NoRestriction(why) => {
                Note::closing(&option.origin, format!("restricts who may enter and has no equivalent: {why}"))
            }
            Meaning::Becomes(_) | Meaning::Restriction(_) => continue,
        });
    }
    // Nothing is left out silently: an option of which nothing speaks says what oauth2-proxy does anyway, or needs another one.
    let spoken_of: Vec<String> = result.comments().collect();
    let is_longer = |next: char| next.is_alphanumeric() || next == '-';
    let is_spoken_of =
        |origin: &str| spoken_of.iter().any(|comment| comment.split(origin).skip(1).any(|rest| !rest.starts_with(is_longer)));
    let silent = given.all().filter(|(_, option)| !is_spoken_of(&option.origin));
    result.notes.extend(silent.filter_map(|(flag, option)| {
        Some(match options::find(flag)?.meaning {
            Meaning::Restriction(_) | Meaning::NoRestriction(_) => {
                Note::closing(&option.origin, "decides who may enter, and is not translated with the other options as they are")
            }
            Meaning::Becomes(_) | Meaning::NoEffect(_) | Meaning::NoEquivalent(_) => Note::info(&option.origin, CHANGES_NOTHING),
        })
    }));
}

/// The longest name that is made of an `id`.
const MAX_NAME_LEN: usize = 28;

/// What is said of an option of which nothing else speaks.
const CHANGES_NOTHING: &str = "changes nothing here, with the other options as they are";

#[cfg(test)]
mod tests;
