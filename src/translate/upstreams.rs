//! The apps: where each path leads.

use url::Url;

use super::{
    alpha_config::{Alpha, Upstream},
    given::Given,
    result::{Note, RouteTable, Translation},
};

/// Whether there is an app to forward requests to; the others only answer an ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    Apps,
    Nothing,
}

/// Translates apps into `CODER_UPSTREAM_URL` and routes.
pub(super) fn translate(given: &mut Given, alpha: &Alpha, result: &mut Translation) -> Serves {
    let all = if alpha.is_given { alpha.upstreams.clone() } else { legacy(given) };
    let mut serves = Serves::Nothing;
    for upstream in all {
        if upstream.status.is_some() || upstream.address.starts_with("static:") || upstream.address.starts_with("file:") {
            fixed(&upstream, result);
            continue;
        }
        serves = Serves::Apps;
        app(&upstream, result);
    }
    if !alpha.is_given
        && let Some((timeout, origin)) = given.text("upstream-timeout")
    {
        result.set("upstream_timeout", timeout, origin);
    }
    serves
}

/// The apps that the flags name. One may also be a whole list in a text.
fn legacy(given: &mut Given) -> Vec<Upstream> {
    let keeps_host = given.is_on("pass-host-header", true);
    let (addresses, origin) = given.list("upstream").unwrap_or_default();
    let upstream = |address: String| {
        let url = Url::parse(&address).ok();
        let path = match &url {
            Some(url) if url.scheme() == "file" => url.fragment().unwrap_or_else(|| url.path()).to_owned(),
            Some(url) if url.scheme() == "http" || url.scheme() == "https" => url.path().to_owned(),
            Some(_) | None => "/".to_owned(),
        };
        let status = url.as_ref().filter(|url| url.scheme() == "static").and_then(|url| url.host_str()?.parse().ok());
        // The path chooses the app, and is not put before the request's.
        let address = match url {
            Some(url) if url.has_host() && status.is_none() && url.scheme() != "file" => url.origin().ascii_serialization(),
            Some(_) | None => address,
        };
        Upstream { path, address, status, rewrite: None, keeps_host, timeout: None, origin: origin.clone() }
    };
    addresses.into_iter().map(upstream).collect()
}

/// A fixed response, or files.
fn fixed(upstream: &Upstream, result: &mut Translation) {
    let is_ingress_s =
        upstream.address == "file:///dev/null" || upstream.status.is_some_and(|status| (200..300).contains(&status));
    if !is_ingress_s {
        let message = if upstream.address.starts_with("file:") {
            "has no equivalent: Evergate serves no files; let a web server do it, and name that as the upstream of a route"
        } else {
            "has no equivalent: Evergate has no fixed responses"
        };
        result.notes.push(Note::error(&upstream.origin, message));
    }
}

fn app(upstream: &Upstream, result: &mut Translation) {
    let address = match address(&upstream.address) {
        Ok(address) => address,
        Err(message) => return result.notes.push(Note::error(&upstream.origin, message)),
    };
    let (path, strips_prefix) = match path(upstream) {
        Ok(path) => path,
        Err(message) => return result.notes.push(Note::error(&upstream.origin, message)),
    };
    let is_taken =
        if path == "/" { result.value("upstream_url").is_some() } else { result.routes.iter().any(|route| route.path == path) };
    if is_taken {
        let message = format!("has two apps for {path}; oauth2-proxy refuses that, and the second is left out");
        return result.notes.push(Note::error(&upstream.origin, message));
    }
    if path == "/" {
        result.set("upstream_url", address, upstream.origin.clone());
        if upstream.keeps_host && upstream.timeout.is_none() {
            return;
        }
        let comment = format!("how requests reach the app of {}", upstream.origin);
        result.routes.push(RouteTable {
            path,
            uses_own_host: !upstream.keeps_host,
            timeout: upstream.timeout.clone(),
            comment,
            ..RouteTable::default()
        });
        return;
    }
    let mut comment = upstream.origin.clone();
    if !upstream.path.ends_with('/') && !strips_prefix {
        comment.push_str("; oauth2-proxy led this path alone here, Evergate also what is below it");
    }
    result.routes.push(RouteTable {
        path,
        upstream: Some(address),
        strips_prefix,
        uses_own_host: !upstream.keeps_host,
        timeout: upstream.timeout.clone(),
        comment,
        ..RouteTable::default()
    });
}

/// The app's address as Evergate takes it.
fn address(text: &str) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(format!("unix:{}", path.strip_prefix("//").unwrap_or(path)));
    }
    let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has no equivalent: an app is reached by http, https or a socket, not by {}", url.scheme()));
    }
    if !matches!(url.path(), "" | "/") {
        return Err("has no equivalent: it puts a path before the app's own; let the app serve the request's path".to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

/// The route's path, and whether it is removed before requests are forwarded.
fn path(upstream: &Upstream) -> Result<(String, bool), String> {
    let Some(rewrite) = &upstream.rewrite else {
        if upstream.path.starts_with('^') {
            return Err("has no equivalent: a route's path is no regular expression".to_owned());
        }
        let path = upstream.path.trim_end_matches('/');
        return Ok((if path.is_empty() { "/".to_owned() } else { path.to_owned() }, false));
    };
    let prefix = upstream.path.trim_start_matches('^').trim_end_matches('$').strip_suffix("/(.*)");
    let is_plain = |prefix: &&str| prefix.chars().all(|letter| letter.is_ascii_alphanumeric() || "/-_~".contains(letter));
    match prefix.filter(is_plain) {
        Some("") if rewrite == "/$1" => Ok(("/".to_owned(), false)),
        Some(prefix) if rewrite == "/$1" => Ok((prefix.to_owned(), true)),
        Some(_) | None => Err("has no equivalent: Evergate rewrites a path by removing the route's own prefix alone".to_owned()),
    }
}
